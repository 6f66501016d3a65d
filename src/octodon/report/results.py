"""The result files of a finished run, read once for its report."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Hashable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from octodon.atomic import settled
from octodon.errors import DataError, RunError
from octodon.metrics.tables import read_metrics


@dataclass(frozen=True, kw_only=True, eq=False)
class RunResults:
    """What a run left; None where a run of its kind leaves no such file.

    Attributes
    ----------
    folder : Path
    config, data : dict
        ``config.toml`` and ``data.json``.
    calibration : dict
        By which the run's own intervals were made; without targets where nothing was calibrated.
    recalibrated : bool
        Whether the student has another calibration by now (``octodon calibrate``).
    metrics : DataFrame
        ``results/metrics.tsv``.
    predictions : DataFrame
        ``results/predictions_test.parquet``: the student kept, test split.
    ensemble, kmer_ridge : DataFrame or None
        The same rows in the same columns, from the ensemble and from the k-mer ridge.
    history : DataFrame
        One row per network and epoch; empty where teachers were given and no history came with them.
    coverage, curves : DataFrame or None
        Coverage by cell (all splits), and along the level (test).
    attribution, attribution_per_sequence, logos : DataFrame or None
        Of ``octodon attribution-study``.
    attribution_settings : dict or None
        What that study was asked for.
    baselines : DataFrame or None
        ``results/baselines.tsv``: columns as ``metrics``, the model being the name of the baseline.
    shift : DataFrame or None
        Of ``octodon shift``.
    shift_settings : dict or None
        What that was asked for.
    sweep : DataFrame or None
        Metrics with a column ``fraction``, where this run is part of a sweep.
    student : int
        Index of the student kept, the best by validation loss.
    provenance : dict
        Of the student's bundle: versions, machine, configuration.
    seconds : float
        Wall time of the call that finished the run.
    was_resumed : bool
        Whether there were calls before it.
    """

    folder: Path
    config: dict[str, Any]
    data: dict[str, Any]
    calibration: dict[str, Any]
    recalibrated: bool
    metrics: pd.DataFrame
    predictions: pd.DataFrame
    ensemble: pd.DataFrame | None
    kmer_ridge: pd.DataFrame | None
    history: pd.DataFrame
    coverage: pd.DataFrame | None
    curves: pd.DataFrame | None
    attribution: pd.DataFrame | None
    attribution_per_sequence: pd.DataFrame | None
    logos: pd.DataFrame | None
    attribution_settings: dict[str, Any] | None
    baselines: pd.DataFrame | None
    shift: pd.DataFrame | None
    shift_settings: dict[str, Any] | None
    sweep: pd.DataFrame | None
    student: int
    provenance: dict[str, Any]
    seconds: float
    was_resumed: bool

    @property
    def targets(self) -> list[str]:
        """Names of the targets, in the order of the data."""
        return list(self.data["targets"])

    @property
    def units(self) -> str:
        """Unit of the targets."""
        return str(self.data["units"])

    @property
    def has_ensemble(self) -> bool:
        """Whether the teachers are the run's own; what needs them cannot be asked of a run with given ones."""
        return (self.folder / "ensemble").is_dir()

    @property
    def level(self) -> float:
        """Level of the intervals in the predictions."""
        return float(self.config["calibrate"]["level"])


def read_results(folder: Path) -> RunResults:
    """Read what a finished run left.

    Raises
    ------
    RunError
        The folder holds no run, or one that is not finished.
    DataError
        A result file is damaged.
    """
    need_finished(folder)
    results = folder / "results"
    try:
        history = read_history(folder)
        predictions = pd.read_parquet(results / "predictions_test.parquet")
        return RunResults(
            folder=folder,
            config=tomllib.loads((folder / "config.toml").read_text(encoding="utf-8")),
            data=json.loads((folder / "data.json").read_text(encoding="utf-8")),
            calibration={"targets": []} | _calibration_of(folder, predictions),
            recalibrated=_is_recalibrated(folder, predictions),
            metrics=read_metrics(results / "metrics.tsv"),
            predictions=predictions,
            ensemble=_parquet(results / "ensemble_test.parquet"),
            kmer_ridge=_parquet(results / "kmer_ridge_test.parquet"),
            history=history,
            coverage=_tsv(results / "coverage.tsv"),
            curves=_tsv(results / "intervals_test.tsv"),
            attribution=_tsv(results / "attribution_similarity.tsv"),
            attribution_per_sequence=_parquet(results / "attribution_per_sequence.parquet"),
            logos=_parquet(results / "attribution_logos.parquet"),
            attribution_settings=_json(results / "attribution_study.json") or None,
            baselines=_metrics(results / "baselines.tsv"),
            shift=_tsv(results / "shift.tsv"),
            shift_settings=_json(results / "shift.json") or None,
            sweep=_sweep(folder),
            student=_best_student(history),
            provenance=_json(folder / "student" / "provenance.json"),
            seconds=float(_json(results / "complete.json")["seconds"]),
            was_resumed=_was_resumed(folder),
        )
    except (OSError, ValueError, KeyError) as error:
        reason = " ".join(str(error).split())[:200]
        raise DataError(f"{folder}: a result file is missing or damaged ({reason}); run it again") from error


def need_finished(folder: Path) -> None:
    """Refuse a folder that holds no finished run.

    Raises
    ------
    RunError
        With the command that finishes it, or a folder to give instead.
    """
    if settled(folder / "results" / "complete.json").is_file():
        return
    if (folder / "config.toml").is_file():
        raise RunError(
            f"{folder}: this run is not finished; go on with it: octodon run {folder / 'config.toml'} --out {folder}"
        )
    inside = sorted(folder.glob("*/results/complete.json")) if folder.is_dir() else []
    hint = (
        f"give a run inside it, for example {inside[-1].parent.parent}"
        if inside
        else "give the --out of octodon run"
    )
    raise RunError(f"{folder}: not the folder of a run (no config.toml, no results/complete.json); {hint}")


def _was_resumed(folder: Path) -> bool:
    """Return whether the run was interrupted: the time that is known is then that of its last call."""
    events = folder / "events.jsonl"
    # by words: the last line of a call that was killed may be half a line
    return events.is_file() and '"event": "resumed"' in events.read_text(encoding="utf-8")


def _calibration_of(folder: Path, predictions: pd.DataFrame) -> dict[str, Any]:
    """Return the calibration that the run's results are of; the bundle's may be another by now."""
    own = folder / "results" / "calibration.json"
    if own.is_file():
        return _json(own)
    # of an earlier version, which kept it in the bundle alone
    is_calibrated = any(name.endswith("_calibrated_std") for name in predictions)
    return _json(folder / "student" / "calibration.json") if is_calibrated else {}


def _is_recalibrated(folder: Path, predictions: pd.DataFrame) -> bool:
    return _json(folder / "student" / "calibration.json") != _calibration_of(folder, predictions)


def _parquet(path: Path) -> pd.DataFrame | None:
    return pd.read_parquet(path) if path.is_file() else None


def _metrics(path: Path) -> pd.DataFrame | None:
    return read_metrics(path) if path.is_file() else None


def _tsv(path: Path) -> pd.DataFrame | None:
    if not path.is_file():
        return None
    # Names of targets and cells stay text, also where they look like numbers or like a missing value.
    words: dict[Hashable, Any] = dict.fromkeys(("model", "split", "target", "stratum", "cell"), "str")
    return pd.read_csv(path, sep="\t", dtype=words, keep_default_na=False, na_values=["NaN", ""])


def _json(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


def history_files(folder: Path) -> list[str]:
    """Return where the histories of a run's members and students lie in its folder; given teachers have none there."""
    names = [f"{name}/history.parquet" for name in ("ensemble", "student")]
    return [name for name in names if (folder / name).is_file()]


def read_history(folder: Path) -> pd.DataFrame:
    """Return the training history of a run's members and students, one row per network and epoch; empty without any."""
    tables = [pd.read_parquet(folder / name) for name in history_files(folder)]
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()


def _best_student(history: pd.DataFrame) -> int:
    """Return the student of the lowest validation loss, as the run chose it."""
    if history.empty:
        return 0
    losses = history.loc[history["network"] == "student"].groupby("index")["valid_loss"].min()
    return int(losses.index[int(np.argmin(losses.to_numpy()))]) if len(losses) else 0


def _sweep(folder: Path) -> pd.DataFrame | None:
    folder = folder.resolve()  # "octodon report ." has no name
    path = folder.parent / "results" / "metrics.tsv"
    if not folder.name.startswith("fraction_") or not path.is_file():
        return None
    table = read_metrics(path)
    return table if "fraction" in table.columns else None
