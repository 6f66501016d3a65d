"""The attribution study: whether students' maps are more like the ensemble's, and vary less, than single members'."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, UInt8
from numpy import ndarray
from scipy import stats

from octodon.artifact.bundle import load
from octodon.atomic import atomic_file, write_text
from octodon.attribution.attribute import attribute
from octodon.attribution.record import Attribution, centred, one_hot_of
from octodon.attribution.similarity import (
    HIGHER_IS_BETTER,
    MEASURES,
    motif_recall,
    similarity_to_mean,
    variability,
)
from octodon.data.examples import Examples
from octodon.distillation.student import Student
from octodon.ensemble.ensemble import Ensemble
from octodon.errors import ConfigError, DataError, RunError
from octodon.experiment.finished import load_examples, load_models
from octodon.experiment.planted import read_planted
from octodon.registry import suggest
from octodon.seq.codes import decode

MOST_SEQUENCES = 1000
"""The published study's: the test sequences of highest measured activity, chosen per target."""
LOGOS = 3
"""Of these, as many as a report draws base by base."""


@dataclass(frozen=True, kw_only=True, eq=False)
class StudyMaps:
    """Centred maps of one target's sequences.

    Attributes
    ----------
    members : (m, n, 4, l) array
    students : (s, n, 4, l) array
    one_hot : (n, 4, l) array
    """

    members: Float[ndarray, "m n 4 l"]
    students: Float[ndarray, "s n 4 l"]
    one_hot: Float[ndarray, "n 4 l"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Study:
    """What a study found.

    Attributes
    ----------
    table : DataFrame
        One row per target, measure and reference: means and medians of individual and student, their ratio, which is
        better, p-values of the paired tests over sequences and of the t-test over models.
    per_sequence : DataFrame
        target, measure, reference, id, individual, student: mean over the models of each kind.
    logos : DataFrame
        target, id, position (from 0), base, ensemble, ensemble_std, student: contribution of the base that is there, of the
        ensemble's average map and of the student kept; std over members (``correction=0``). A few sequences per target.
    notes : tuple of str
        Fall-backs of the method and the like.
    """

    table: pd.DataFrame
    per_sequence: pd.DataFrame
    logos: pd.DataFrame
    notes: tuple[str, ...]

    def lines(self) -> list[str]:
        """Return one line per target, measure and reference, which says who is better and by how much."""
        return [
            f"{row['target']}: {row['measure']} ({row['reference']}): individual {row['individual_mean']:.4g}, student "
            f"{row['student_mean']:.4g}, {'student' if row['student_is_better'] else 'individual'} better "
            f"(Wilcoxon p {row['wilcoxon_p']:.2g}, n {row['n_sequences']})"
            for row in self.table.to_dict("records")
        ]


def study_run(
    run: Path,
    *,
    method: str = "deep_lift_shap",
    targets: Sequence[str] | None = None,
    sequences: int = MOST_SEQUENCES,
    background: int = 20,
    seed: int = 0,
    truth: Path | None = None,
    backbone: str | None = None,
    device: str = "auto",
    ensemble: str = "ensemble",
    on_maps: Callable[[int, int], None] | None = None,
) -> Study:
    """Return the study of a finished run: its test sequences, ensemble and student(s).

    Parameters
    ----------
    ensemble : str
        Folder of the ensemble in the run: "ensemble_activity", the published reference of the lentiMPRA protocol, or the
        one that the students were distilled from.

    Raises
    ------
    RunError
        When the folder holds no finished run with an ensemble and a student, or its data have changed.
    ConfigError, DataError
        As ``prepare`` and ``attribute``; for a target that is not there.
    """
    models = load_models(run, backbone, ensemble=ensemble)
    test = load_examples(run)[1].subset("test")
    return study(
        models.ensemble,
        models.students,
        test,
        kept=models.kept,
        method=method,
        targets=targets,
        sequences=sequences,
        background=background,
        seed=seed,
        planted=None if truth is None else read_planted(truth, test.ids, test.length),
        device=device,
        on_maps=on_maps,
    )


def explain_run(
    run: Path,
    *,
    target: str | None = None,
    method: str = "deep_lift_shap",
    sequences: int = MOST_SEQUENCES,
    backbone: str | None = None,
    device: str = "auto",
    on_maps: Callable[[int, int], None] | None = None,
) -> Attribution:
    """Return the ensemble's maps, with each member's, of a run's test sequences of highest measured activity.

    Raises
    ------
    RunError, ConfigError, DataError
        As ``study_run``.
    """
    for part in ("config.toml", "ensemble"):
        if not (run / part).exists():
            raise RunError(f"{run}: no {part} here; give the folder of a finished run, or maps (.h5)")
    ensemble = load(run / "ensemble", backbone=backbone)
    test = load_examples(run)[1].subset("test")
    names = test.target_names
    named = names[0] if target is None and len(names) == 1 else target
    if named is None or named not in names:
        raise ConfigError(f"--target: got {target!r}; {suggest(str(target), names)}")
    chosen = _highest(test, named, sequences)
    return attribute(
        ensemble,
        test.codes[chosen],
        list(test.ids[chosen]),
        method=method,
        target=named,
        device=device,
        on_rows=on_maps,
    )


def study(
    ensemble: Ensemble,
    students: Sequence[Student],
    test: Examples,
    *,
    kept: int = 0,
    method: str = "deep_lift_shap",
    targets: Sequence[str] | None = None,
    sequences: int = MOST_SEQUENCES,
    background: int = 20,
    seed: int = 0,
    planted: Bool[ndarray, "n l"] | None = None,
    device: str = "auto",
    on_maps: Callable[[int, int], None] | None = None,
) -> Study:
    """Compare the maps of members and students with the ensemble's average map.

    Per target the ``sequences`` rows of ``test`` with the highest measured activity are explained (activity, ``method``), maps are
    centred over bases, and measured by ``octodon.attribution.similarity``; "pearson" is of the contributions of the bases that are
    there.

    Parameters
    ----------
    kept : int
        Position among ``students`` of the one whose map stands beside the ensemble's in ``logos``.
    planted : (n, l) bool array, optional
        Which positions of the rows of ``test`` hold a motif, where that is known: adds the recall of these positions.

    Raises
    ------
    ConfigError, DataError
        For a target that is not there, an ensemble of one member, or as ``attribute``.
    """
    if len(ensemble.members) < 3:
        raise DataError(
            f"attribution study: {len(ensemble.members)} members; a leave-one-out average needs at least 3"
        )
    tables, rows, logos, notes = [], [], [], []
    names = list(ensemble.target_names) if targets is None else list(targets)
    for target in names:
        if target not in ensemble.target_names:
            raise ConfigError(f"--target: no {target!r}; {suggest(target, ensemble.target_names)}")
        chosen = _highest(test, target, sequences)
        codes, ids = test.codes[chosen], test.ids[chosen]
        found = {}
        for role, models in (("members", [ensemble]), ("students", students)):
            explained = [
                attribute(model, codes, method=method, target=target, background=background, seed=seed,
                          device=device, on_rows=on_maps)
                for model in models
            ]  # fmt: skip
            notes += [f"{target}, {role}: {one.fallback}" for one in explained if one.fallback]
            each = [one.maps[None] if one.member_maps is None else one.member_maps for one in explained]
            found[role] = centred(np.concatenate(each))
        maps = StudyMaps(**found, one_hot=one_hot_of(codes))
        table, per_sequence = compare(maps, ids, None if planted is None else planted[chosen])
        tables.append(table.assign(target=target))
        rows.append(per_sequence.assign(target=target))
        logos.append(_logo_rows(maps, codes, ids, kept).assign(target=target))
    return Study(
        table=_target_first(pd.concat(tables, ignore_index=True)),
        per_sequence=_target_first(pd.concat(rows, ignore_index=True)),
        logos=_target_first(pd.concat(logos, ignore_index=True)),
        notes=tuple(notes),
    )


def compare(
    maps: StudyMaps, ids: ndarray, planted: Bool[ndarray, "n l"] | None = None
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the table of one target, and what it summarises, per sequence."""
    rows, per_sequence = [], []

    def add(
        measure: str, reference: str, individual: ndarray, student: ndarray, higher_is_better: bool
    ) -> None:
        rows.append(
            {"measure": measure, "reference": reference} | _summary(individual, student, higher_is_better)
        )
        per_sequence.append(
            pd.DataFrame(
                {
                    "measure": measure,
                    "reference": reference,
                    "id": ids,
                    "individual": individual.mean(axis=0),
                    "student": student.mean(axis=0),
                }
            )
        )

    for measure in MEASURES:
        # Centred maps have mean 0: a correlation over all bases would be their cosine again.
        members, students = (
            _observed(some, maps.one_hot) if measure == "pearson" else some
            for some in (maps.members, maps.students)
        )
        for reference, leave_out in (("ensemble", False), ("leave-one-out", True)):
            individual, student = (
                similarity_to_mean(some, members, measure, leave_out=leave_out)
                for some in (members, students)
            )
            add(measure, reference, individual, student, HIGHER_IS_BETTER[measure])
    if len(maps.students) > 1:
        for measure, scale_free in (("variability", False), ("variability_scale_free", True)):
            individual, student = (
                variability(some, scale_free=scale_free)[None] for some in (maps.members, maps.students)
            )
            add(measure, "own kind", individual, student, False)
    if planted is not None:
        individual, student, ensemble = _recalls(maps, planted)
        add("motif_recall", "truth", individual, student, True)
        rows[-1]["ensemble_mean"] = float(np.nanmean(ensemble))
    return pd.DataFrame(rows), pd.concat(per_sequence, ignore_index=True)


def _observed(maps: Float[ndarray, "m n 4 l"], one_hot: Float[ndarray, "n 4 l"]) -> Float[ndarray, "m n 1 l"]:
    """Return the contributions of the bases that are there."""
    return (maps * one_hot).sum(axis=2, keepdims=True)


def _logo_rows(maps: StudyMaps, codes: UInt8[ndarray, "n l"], ids: ndarray, kept: int) -> pd.DataFrame:
    """Return the first sequences base by base, as ``Study.logos`` describes them."""
    codes, ids = codes[:LOGOS], ids[:LOGOS]
    members, students = (
        _observed(some[:, :LOGOS], maps.one_hot[:LOGOS])[:, :, 0] for some in (maps.members, maps.students)
    )
    return pd.DataFrame(
        {
            "id": np.repeat(ids, codes.shape[1]),
            "position": np.tile(np.arange(codes.shape[1]), len(codes)),
            "base": list("".join(decode(codes))),
            "ensemble": members.mean(axis=0).ravel(),
            "ensemble_std": np.std(members, axis=0, correction=0).ravel(),
            "student": students[kept].ravel(),
        }
    )


def _recalls(maps: StudyMaps, planted: Bool[ndarray, "n l"]) -> list[Float[ndarray, "m n"]]:
    return [
        np.stack([motif_recall((one * maps.one_hot).sum(axis=1), planted) for one in some])
        for some in (maps.members, maps.students, maps.members.mean(axis=0, keepdims=True))
    ]


def _highest(test: Examples, target: str, count: int) -> ndarray:
    """Return the rows with the highest measured activity, missing ones left out."""
    measured = test.targets[:, test.target_names.index(target)]
    order = np.argsort(-np.where(np.isfinite(measured), measured, -np.inf), kind="stable")
    return order[: min(count, int(np.isfinite(measured).sum()))]


def _summary(individual: ndarray, student: ndarray, higher_is_better: bool) -> dict[str, object]:
    """Return means, medians, ratio and tests; (models, sequences) each."""
    a, b = individual.mean(axis=0), student.mean(axis=0)
    present = np.isfinite(a) & np.isfinite(b)
    a, b = a[present], b[present]  # a sequence without a motif has no recall
    better = b.mean() > a.mean() if higher_is_better else b.mean() < a.mean()
    over_models = [np.nanmean(scores, axis=1) for scores in (individual, student)]
    same = bool(np.allclose(a, b))
    return {
        "n_sequences": len(a),
        "n_individual": len(individual),
        "n_student": len(student),
        "individual_mean": a.mean(),
        "student_mean": b.mean(),
        "individual_median": np.median(a),
        "student_median": np.median(b),
        "student_over_individual": b.mean() / a.mean(),
        "student_is_better": bool(better),
        "wilcoxon_p": 1.0 if same else _p_value(stats.wilcoxon(a, b)),
        "paired_t_p": 1.0 if same else _p_value(stats.ttest_rel(a, b)),
        # Welch's, where both kinds have several models; the published one compares 10 with 10.
        "models_t_p": _p_value(stats.ttest_ind(*over_models, equal_var=False))
        if min(map(len, over_models)) > 1
        else np.nan,
    }


def _p_value(result: Any) -> float:
    return float(result.pvalue)


def _target_first(table: pd.DataFrame) -> pd.DataFrame:
    return table.reindex(columns=["target", *(name for name in table.columns if name != "target")])


def write_study(found: Study, run: Path) -> list[Path]:
    """Write the tables and figures of a study into the folder of its run; return the files.

    Raises
    ------
    RunError
        When a file cannot be written.
    """
    from octodon.report.attribution import similarity_figure, variability_figure

    results, figures = run / "results", run / "figures"
    for folder in (results, figures):
        folder.mkdir(parents=True, exist_ok=True)
    files = [
        results / "attribution_similarity.tsv",
        results / "attribution_per_sequence.parquet",
        results / "attribution_logos.parquet",
        figures / "attribution_similarity.svg",
        figures / "attribution_variability.svg",
    ]
    write_text(files[0], found.table.to_csv(sep="\t", index=False, float_format="%.6g"))
    for file, frame in zip(files[1:3], (found.per_sequence, found.logos), strict=True):
        with atomic_file(file) as partial:
            frame.to_parquet(partial, index=False)
    similarity_figure(found.per_sequence, files[3])
    variability_figure(found.per_sequence, files[4])
    return files
