"""Calibrate the predictions of any tool: a table in, the same table with calibrated stds and intervals out."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy import ndarray
from pyarrow import parquet

from octodon.atomic import atomic_file, write_json
from octodon.calibration.calibration import Calibration
from octodon.calibration.fit import DEFAULT_METHOD, fit_calibration
from octodon.data._arrow import texts_of
from octodon.data._batches import NUMBER, PARQUET_SUFFIXES, TEXT, column_names, table_batches
from octodon.data._files import existing_file, plain_suffix, refuse_input
from octodon.data.assemble import refuse_duplicates
from octodon.data.split_names import named_splits
from octodon.errors import ConfigError, DataError
from octodon.records import Prediction

SUFFIXES = (".tsv", ".csv", ".parquet")
_PARTS = ("mean", "measured", "std", "epistemic_std", "aleatoric_std")


@dataclass(frozen=True, kw_only=True)
class TableCalibration:
    """What ``calibrate_table`` did.

    Attributes
    ----------
    calibration : Calibration
    n_rows : int
        Rows of the table.
    n_used : int
        Rows that the calibration was made on.
    in_sample : bool
        Whether every row was used, so that nothing in this table can judge the intervals.
    """

    calibration: Calibration
    n_rows: int
    n_used: int
    in_sample: bool


def calibrate_table(
    source: Path,
    out: Path,
    *,
    method: str = DEFAULT_METHOD,
    level: float = 0.9,
    replicates: int | None = None,
    options: Mapping[str, Any] | None = None,
    split: str | None = None,
    seed: int = 0,
) -> TableCalibration:
    """Write the table of predictions with ``T_calibrated_std``, ``T_lower``, ``T_upper``, ``interval`` and ``calibrated_on``.

    Beside it, ``OUT.calibration.json`` holds what was learnt.

    Parameters
    ----------
    source : path
        Columns ``id`` and for each target ``T_mean``, ``T_measured`` (empty = not measured), and ``T_std``, or
        ``T_epistemic_std`` and ``T_aleatoric_std``, or neither; ``ood_score`` for "mondrian_ood". Others are kept.
    out : path
        .tsv, .csv or .parquet.
    method, level, replicates, options, seed
        As for ``fit_calibration``.
    split : str, optional
        Column of splits, by default ``split`` where there is such a column: only rows called "calibration" are used,
        all are calibrated. Without splits all measured rows are used, which only the caller can know to be unseen.

    Raises
    ------
    ConfigError
        An output of another kind, or the input; else as ``fit_calibration``.
    DataError
        No such file or column, text where a number belongs; else as ``fit_calibration``.
    """
    if out.suffix.lower() not in SUFFIXES:
        raise ConfigError(f"--out {out}: expected a name ending in {', '.join(SUFFIXES)}")
    refuse_input(out, source)
    frame = _read(source)
    prediction, measured = _as_prediction(frame, source)
    used = _used(frame, split, source)
    score = frame["ood_score"].to_numpy() if "ood_score" in frame else None
    learnt_from = np.where(used[:, None], measured, np.nan)
    calibration = fit_calibration(
        prediction,
        learnt_from,
        method=method,
        level=level,
        replicates=replicates,
        ood_score=score,
        options=options,
        seed=seed,
    )
    done = calibration.apply(prediction, ood_score=score)
    has_value = ~np.isnan(measured).all(axis=1)
    _write(frame, done, used & has_value, out)
    write_json(out.with_name(f"{out.name}.calibration.json"), calibration.to_dict())
    return TableCalibration(
        calibration=calibration,
        n_rows=len(frame),
        n_used=int((used & has_value).sum()),
        in_sample=not (~used & has_value).any(),
    )


def _read(path: Path) -> pd.DataFrame:
    """Return the table: what is calibrated as float64, every other column as it is written (a barcode 0012 stays 0012)."""
    file = existing_file(path)
    names = column_names(file)
    numbers = dict.fromkeys((name for name in names if name in _number_columns(names)), NUMBER)
    if plain_suffix(file) not in PARQUET_SUFFIXES:
        return pd.DataFrame(_columns(file, {name: numbers.get(name, TEXT) for name in names}))
    values = _columns(file, numbers) if numbers else {}
    return parquet.read_table(file).to_pandas(ignore_metadata=True).assign(**values)


def _targets(names: Iterable[str]) -> list[str]:
    return [name.removesuffix("_mean") for name in names if name.endswith("_mean")]


def _number_columns(names: Sequence[str]) -> set[str]:
    return {"ood_score"} | {f"{target}_{part}" for target in _targets(names) for part in _PARTS}


def _columns(file: Path, types: Mapping[str, pa.DataType]) -> dict[str, ndarray]:
    """Return columns of texts as str, those of numbers as float64 with NaN where there is none."""
    parts: dict[str, list[pa.Array]] = {name: [] for name in types}
    for batch in table_batches(file, types):
        for name, part in parts.items():
            part.append(batch.column(name))
    return {
        name: texts_of(part) if types[name] == TEXT else pa.chunked_array(part, type=NUMBER).to_numpy()
        for name, part in parts.items()
    }


def _as_prediction(frame: pd.DataFrame, path: Path) -> tuple[Prediction, ndarray]:
    targets = _targets(map(str, frame.columns))
    if not targets or "id" not in frame:
        raise DataError(
            f"{path}: no column {'id' if targets else 'T_mean'}; expected id and, for each target T, T_mean, T_measured and "
            f"T_std (or T_epistemic_std, T_aleatoric_std); found {', '.join(map(str, frame.columns[:12]))}"
        )
    names = frame["id"].astype(str).to_numpy(dtype=object)
    refuse_duplicates(names, str(path))

    def stack(suffixes: tuple[str, ...]) -> ndarray | None:
        for suffix in suffixes:
            present = [f"{target}_{suffix}" in frame for target in targets]
            if all(present):
                return np.stack([frame[f"{target}_{suffix}"].to_numpy() for target in targets], axis=1)
            if any(present):
                lacks = targets[present.index(False)]
                raise DataError(
                    f"{path}: no column {lacks}_{suffix}, which other targets have; give it for all or none"
                )
        return None

    measured = stack(("measured",))
    if measured is None:
        raise DataError(f"{path}: no column {targets[0]}_measured; a calibration needs what was measured")
    for target, part in itertools.product(targets, ("epistemic_std", "aleatoric_std")):
        if f"{target}_std" in frame and f"{target}_{part}" in frame:
            raise DataError(
                f"{path}: both {target}_std and {target}_{part}, which is a part of it and would count twice; give the total "
                f"or its parts"
            )
    mean = stack(("mean",))
    assert mean is not None
    prediction = Prediction(
        ids=names,
        target_names=tuple(targets),
        mean=mean,
        # a total without parts is scaled as a whole, as an epistemic std without an aleatoric one is
        epistemic_std=stack(("epistemic_std", "std")),
        aleatoric_std=stack(("aleatoric_std",)),
    )
    return prediction, measured


def _used(frame: pd.DataFrame, split: str | None, path: Path) -> ndarray:
    if split is None and "split" not in frame:
        return np.ones(len(frame), dtype=bool)
    split = "split" if split is None else split
    if split not in frame:
        raise DataError(
            f"{path}: no column {split!r} (--split); found {', '.join(map(str, frame.columns[:12]))}"
        )
    used = named_splits(frame[split].astype(str).to_numpy(dtype=object)) == "calibration"
    if not used.any():
        raise DataError(
            f"{path}: no row of column {split!r} is called 'calibration'; valid stopped the training early and test is for "
            f"the verdict: name rows of neither"
        )
    return used


def _write(frame: pd.DataFrame, done: Prediction, used: ndarray, out: Path) -> None:
    added = {}
    for position, target in enumerate(done.target_names):
        for suffix in ("calibrated_std", "lower", "upper"):
            added[f"{target}_{suffix}"] = getattr(done, suffix)[:, position]
    added |= {"interval": done.interval, "calibrated_on": used}
    taken = [name for name in added if name in frame]
    if taken:
        raise DataError(
            f"column {taken[0]!r} is in the table already; calibrate the predictions as they were made"
        )
    table = frame.assign(**added)
    with atomic_file(out) as partial:
        if out.suffix.lower() == ".parquet":
            table.to_parquet(partial, index=False)
        else:
            table.to_csv(
                partial, sep="," if out.suffix.lower() == ".csv" else "\t", index=False, lineterminator="\n"
            )
