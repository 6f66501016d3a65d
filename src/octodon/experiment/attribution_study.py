"""The attribution study: whether students' maps are more like the ensemble's, and vary less, than single members'."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, UInt8
from numpy import ndarray

from octodon.artifact.bundle import load
from octodon.atomic import make_folder, remove_file, settled, write_json, write_text
from octodon.attribution.attribute import INSTEAD, attribute
from octodon.attribution.compare import StudyMaps, compare, observed
from octodon.attribution.methods import methods
from octodon.attribution.record import Attribution, centred, one_hot_of
from octodon.data.examples import Examples
from octodon.distillation.student import Student
from octodon.ensemble.ensemble import Ensemble
from octodon.errors import ConfigError, DataError, RunError
from octodon.experiment.finished import load_examples, load_models, refuse_unfinished
from octodon.experiment.folder import write_parquet
from octodon.experiment.planted import read_planted
from octodon.registry import suggest
from octodon.seq.codes import decode

MOST_SEQUENCES = 1000
"""The published study's: the test sequences of highest measured activity, chosen per target."""
SETTINGS = "results/attribution_study.json"
_NOTES = "notes"
"""Beside the settings in their file: by what else maps were made where the method did not fit."""
"""In the folder of a run: what its study was asked for."""
LOGOS = 3
"""Of these, as many as a report draws base by base."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Study:
    """What a study found.

    Attributes
    ----------
    table : DataFrame
        One row per target, measure and reference: means and medians over sequences of individual and student, medians over
        models of each one's mean, the ratio of the means, which is better, p-values of the paired tests over sequences and of
        the t-test over models.
    per_sequence : DataFrame
        target, measure, reference, id, individual, student: mean over the models of each kind.
    logos : DataFrame
        target, id, position (from 0), base, ensemble, ensemble_std, student: contribution of the base that is there, of the
        ensemble's average map and of the student kept; std over members (``correction=0``). A few sequences per target.
    notes : tuple of str
        Fall-backs of the method and the like.
    settings : dict
        What was asked for: method, targets (None = all), sequences, background, seed; of a run also the folder of its ensemble.
    """

    table: pd.DataFrame
    per_sequence: pd.DataFrame
    logos: pd.DataFrame
    notes: tuple[str, ...]
    settings: dict[str, Any]

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
    refuse_unfinished(run, ensemble)
    models = load_models(run, backbone, ensemble=ensemble)
    test = load_examples(run)[1].subset("test")
    found = study(
        models.ensemble,
        models.students,
        test,
        kept=models.kept,
        method=method,
        targets=targets,
        sequences=sequences,
        background=background,
        seed=seed,
        planted=None if truth is None else read_planted(truth, test.ids, test.codes),
        device=device,
        on_maps=on_maps,
    )
    return replace(found, settings=found.settings | {"ensemble": ensemble})


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
        if not settled(run / part).exists():
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
    how = _How(method=method, background=background, seed=seed, device=device, on_maps=on_maps)
    found = []
    for target in ensemble.target_names if targets is None else targets:
        if target not in ensemble.target_names:
            raise ConfigError(f"--target: no {target!r}; {suggest(target, ensemble.target_names)}")
        chosen = _highest(test, target, sequences)
        codes, ids = test.codes[chosen], test.ids[chosen]
        maps, notes = how.maps(ensemble, students, codes, target)
        table, per_sequence = compare(maps, ids, None if planted is None else planted[chosen])
        logos = _logo_rows(maps, codes, ids, kept)
        tables = (frame.assign(target=target) for frame in (table, per_sequence, logos))
        found.append((*tables, notes))
    tables, per_sequence, logos, notes = zip(*found, strict=True)
    return Study(
        table=_target_first(pd.concat(tables, ignore_index=True)),
        per_sequence=_target_first(pd.concat(per_sequence, ignore_index=True)),
        logos=_target_first(pd.concat(logos, ignore_index=True)),
        notes=tuple(itertools.chain(*notes)),
        settings={
            "method": method,
            "targets": None if targets is None else list(targets),
            "sequences": sequences,
            "background": background,
            "seed": seed,
            "truth": planted is not None,
        },
    )


@dataclass(frozen=True, kw_only=True)
class _How:
    """How sequences are explained."""

    method: str
    background: int
    seed: int
    device: str
    on_maps: Callable[[int, int], None] | None

    def maps(
        self, ensemble: Ensemble, students: Sequence[Student], codes: UInt8[ndarray, "n l"], target: str
    ) -> tuple[StudyMaps, list[str]]:
        """Return the centred maps of members and students, and what the method fell back to."""
        of_members = [self._explain(ensemble, codes, target)]
        of_students = [self._explain(student, codes, target) for student in students]
        fallen = [bool(one.fallback) for one in (*of_members, *of_students)]
        if any(fallen) and not all(fallen):
            # members and students are compared: all by one method
            instead = replace(self, method=INSTEAD)
            of_members = [_noted(instead._explain(ensemble, codes, target), of_members[0])]
            pairs = zip(students, of_students, strict=True)
            of_students = [_noted(instead._explain(student, codes, target), one) for student, one in pairs]
        notes = [
            f"{target}, {role}: {one.fallback}"
            for role, explained in (("members", of_members), ("students", of_students))
            for one in explained
            if one.fallback
        ]
        maps = StudyMaps(
            members=_stacked(of_members), students=_stacked(of_students), one_hot=one_hot_of(codes)
        )
        return maps, notes

    def _explain(self, model: Ensemble | Student, codes: UInt8[ndarray, "n l"], target: str) -> Attribution:
        return attribute(
            model,
            codes,
            method=self.method,
            target=target,
            background=self.background if methods[self.method].needs_background else None,
            seed=self.seed,
            device=self.device,
            on_rows=self.on_maps,
        )


def _noted(anew: Attribution, before: Attribution) -> Attribution:
    """Return maps that were made anew, with the reason why those before had to be."""
    return replace(anew, fallback=before.fallback)


def _stacked(explained: Sequence[Attribution]) -> Float[ndarray, "m n 4 l"]:
    each = [one.maps[None] if one.member_maps is None else one.member_maps for one in explained]
    return centred(np.concatenate(each))


def _logo_rows(maps: StudyMaps, codes: UInt8[ndarray, "n l"], ids: ndarray, kept: int) -> pd.DataFrame:
    """Return the first sequences base by base, as ``Study.logos`` describes them."""
    codes, ids = codes[:LOGOS], ids[:LOGOS]
    members, students = (
        observed(some[:, :LOGOS], maps.one_hot[:LOGOS])[:, :, 0] for some in (maps.members, maps.students)
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


def _highest(test: Examples, target: str, count: int) -> ndarray:
    """Return the rows with the highest measured activity, missing ones left out."""
    measured = test.targets[:, test.target_names.index(target)]
    order = np.argsort(-np.where(np.isfinite(measured), measured, -np.inf), kind="stable")
    return order[: min(count, int(np.isfinite(measured).sum()))]


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
        make_folder(folder)
    files = [
        results / "attribution_similarity.tsv",
        results / "attribution_per_sequence.parquet",
        results / "attribution_logos.parquet",
        figures / "attribution_similarity.svg",
        figures / "attribution_variability.svg",
    ]
    # whoever reads them finds the whole of one study, or that files are absent: never parts of two
    for file in (run / SETTINGS, *files):
        remove_file(file)
    write_text(files[0], found.table.to_csv(sep="\t", index=False, float_format="%.6g"))
    for file, frame in zip(files[1:3], (found.per_sequence, found.logos), strict=True):
        write_parquet(frame, file)
    similarity_figure(found.per_sequence, files[3])
    variability_figure(found.per_sequence, files[4])
    write_json(run / SETTINGS, found.settings | {_NOTES: list(found.notes)})
    return [*files, run / SETTINGS]


def study_settings(run: Path) -> dict[str, Any] | None:
    """Return the ``Study.settings`` of the study in the folder of a run; None where there is none that is whole."""
    file = run / SETTINGS
    if not file.is_file():
        return None
    kept = json.loads(file.read_text(encoding="utf-8"))
    return {name: value for name, value in kept.items() if name != _NOTES}
