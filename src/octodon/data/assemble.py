"""From sequences and measurements to ``Examples``: means over replicates, missing values, what is refused."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import pandas as pd
from jaxtyping import Float, UInt8
from numpy import ndarray

from octodon.data.examples import Examples
from octodon.errors import ConfigError, DataError

Missing = Literal["refuse", "drop", "mask"]
RepeatedIds = Literal["refuse", "number"]
NOT_FINITE = "target missing or infinite"
NO_TARGET = "no target measured"


@dataclass(frozen=True, kw_only=True, eq=False)
class Measurements:
    """What was measured for each sequence.

    Attributes
    ----------
    names : tuple of str
        Name of each target, length t.
    values : tuple of (n, r) arrays
        Replicates of each target (their number may differ); NaN = missing. One column = no replicates.
    units : str
        Unit of all values.
    replicate_se, n_barcodes : (n, t, r) array or None
        As in ``Examples``.
    """

    names: tuple[str, ...] = ()
    values: tuple[Float[ndarray, "n _"], ...] = ()
    units: str = "activity"
    replicate_se: ndarray | None = None
    n_barcodes: ndarray | None = None


def assemble(
    codes: UInt8[ndarray, "n l"],
    ids: ndarray,
    measured: Measurements,
    *,
    missing: Missing = "refuse",
    repeated_ids: RepeatedIds | None = None,
    where: str,
    splits: ndarray | None = None,
    columns: Mapping[str, ndarray] | None = None,
) -> Examples:
    """Return examples whose targets are the means over the replicates present.

    Parameters
    ----------
    codes, ids, splits, columns
        As in ``Examples``.
    measured : Measurements
        Values behind the targets; none for unlabelled sequences.
    missing : str
        What to do where a target has no value at all (a missing replicate is no missing target). "refuse": an
        error that counts them. "drop": leave the row out and count it. "mask": keep NaN; only rows without any target
        are left out and counted. An infinite value is refused, except with "drop".
    repeated_ids : str or None
        What to do with an id that occurs again, see ``unique_ids``; None: refuse, in a format without the choice.
    where : str
        What to call the input in a message.

    Raises
    ------
    DataError
        For duplicate ids, missing or infinite values (as above), a constant target, no rows left.
    """
    if missing not in ("refuse", "drop", "mask"):
        raise ConfigError(f"missing: {missing!r}, expected 'refuse', 'drop' or 'mask'")
    given = ids
    if repeated_ids is not None:
        ids = unique_ids(ids, repeated_ids, where)
    refuse_duplicates(ids, where)
    # Not warned about here: what is infinite, or becomes so in float32, is counted and refused by name below.
    with np.errstate(over="ignore", invalid="ignore"):
        targets = _means(measured, len(ids)).astype(np.float32)
        replicates = _replicates(measured)
        infinite = _infinite(measured, len(ids))
    examples = Examples(
        codes=codes,
        ids=ids,
        targets=targets,
        target_names=measured.names,
        units=measured.units,
        replicates=replicates,
        replicate_se=measured.replicate_se,
        n_barcodes=measured.n_barcodes,
        splits=splits,
        columns=dict(columns or {}),
        n_repeated_ids=int(np.count_nonzero(ids != given)),
    )
    if not measured.names:
        return examples
    examples = _without_missing(examples, infinite, missing, where)
    _refuse_constant(examples, where)
    return examples


def unique_ids(ids: ndarray, repeated_ids: RepeatedIds, where: str) -> ndarray:
    """Return unique ids: those given, or with "#2", "#3" ... after the later occurrences if "number" is asked for.

    Raises
    ------
    DataError
        Under "refuse", for an id that occurs twice.
    """
    if repeated_ids not in ("refuse", "number"):
        raise ConfigError(f"{where}: repeated_ids is {repeated_ids!r}, expected 'refuse' or 'number'")
    again = pd.Index(ids).duplicated()
    if not again.any():
        return ids
    if repeated_ids == "refuse":
        first = int(np.flatnonzero(again)[0])
        earlier = int(np.flatnonzero(ids == ids[first])[0])
        raise DataError(
            f"{where}: rows {earlier + 1} and {first + 1} have the same id {str(ids[first])!r} ({int(again.sum())} "
            f"repeats in all); ids must be unique: remove rows, or number them with repeated_ids = 'number'"
        )
    occurrence = pd.Series(ids).groupby(ids, sort=False).cumcount().to_numpy()
    numbered = ids.astype(object)
    numbered[again] = [f"{name}#{k + 1}" for name, k in zip(ids[again], occurrence[again], strict=True)]
    return numbered


def refuse_duplicates(ids: ndarray, where: str) -> None:
    """Raise DataError naming the first id that occurs twice, or that is empty."""
    if len(set(ids.tolist())) == len(ids) and not np.any(ids == ""):
        return
    order = np.argsort(ids, kind="stable")
    again = np.flatnonzero(ids[order][1:] == ids[order][:-1])
    if len(again):
        first = order[again + 1].min()
        earlier = np.flatnonzero(ids == ids[first])[0]
        raise DataError(
            f"{where}: rows {earlier + 1} and {first + 1} have the same id {str(ids[first])!r} ({len(again)} "
            f"repeats in all); ids must be unique"
        )
    refuse_empty_ids(ids, where)


def refuse_empty_ids(ids: ndarray, where: str, first_row: int = 0) -> None:
    """Raise DataError naming the first row without an id; ``first_row`` is the number of rows before these."""
    empty = np.flatnonzero(ids == "")
    if len(empty):
        raise DataError(f"{where}: row {first_row + empty[0] + 1} has an empty id; give every row one")


def _means(measured: Measurements, n: int) -> ndarray:
    """Return (n, t) means over the replicates that are present; NaN where none is."""
    targets = np.empty((n, len(measured.names)))
    for t, values in enumerate(measured.values):
        present = ~np.isnan(values)
        count = present.sum(axis=1)
        total = np.where(present, values, 0.0).astype(np.float64).sum(axis=1)
        targets[:, t] = np.where(count > 0, total / np.maximum(count, 1), np.nan)
    return targets


def _replicates(measured: Measurements) -> ndarray | None:
    """Return (n, t, r) replicates, padded with NaN to the largest number; None if no target has two."""
    most = max((values.shape[1] for values in measured.values), default=0)
    if most < 2 and measured.n_barcodes is None:
        return None
    padded = np.full((len(measured.values[0]), len(measured.values), most), np.nan, dtype=np.float32)
    for t, values in enumerate(measured.values):
        padded[:, t, : values.shape[1]] = values
    return padded


def _infinite(measured: Measurements, n: int) -> ndarray:
    """Return an (n, t) mask of targets with a replicate that is infinite in float32."""
    infinite = np.zeros((n, len(measured.names)), dtype=bool)
    for t, values in enumerate(measured.values):
        infinite[:, t] = np.isinf(values.astype(np.float32)).any(axis=1)
    return infinite


def _without_missing(examples: Examples, infinite: ndarray, missing: Missing, where: str) -> Examples:
    absent = np.isnan(examples.targets) & ~infinite
    if missing != "drop":
        _refuse_bad(examples, infinite, "infinite", "set missing = 'drop' to leave these rows out", where)
    if missing == "refuse":
        advice = "set missing = 'drop' to leave these rows out, or 'mask' to keep the other targets"
        _refuse_bad(examples, absent, "missing", advice, where)
        return examples
    if missing == "drop":
        unusable, reason = np.any(absent | infinite, axis=1), NOT_FINITE
    else:
        unusable, reason = np.all(absent, axis=1), NO_TARGET
    n_dropped = int(np.count_nonzero(unusable))
    if n_dropped == len(examples):
        raise DataError(f"{where}: no row is left; all {n_dropped} have missing or infinite targets")
    kept = examples if n_dropped == 0 else examples.take(np.flatnonzero(~unusable))
    return replace(kept, dropped={**examples.dropped, **({reason: n_dropped} if n_dropped else {})})


def _refuse_bad(examples: Examples, bad: ndarray, what: str, advice: str, where: str) -> None:
    if bad.any():
        per_target = ", ".join(
            f"{name} {count}"
            for name, count in zip(examples.target_names, bad.sum(axis=0), strict=True)
            if count
        )
        row = int(np.flatnonzero(bad.any(axis=1))[0])
        raise DataError(
            f"{where}: {bad.any(axis=1).sum()} of {len(bad)} rows have a target that is {what} ({per_target}; first: "
            f"row {row + 1}, id {str(examples.ids[row])!r}); {advice}"
        )


def _refuse_constant(examples: Examples, where: str) -> None:
    for name, values in zip(examples.target_names, examples.targets.T, strict=True):
        present = values[~np.isnan(values)]
        if not len(present):
            raise DataError(f"{where}: target {name!r} has no value in any row; name another column")
        if len(present) > 1 and np.all(present == present[0]):
            raise DataError(
                f"{where}: target {name!r} is {present[0]:g} in all {len(present)} rows; nothing can be learned from a "
                f"constant, name another column"
            )


def row_ids(n: int, prefix: str = "row", first: int = 1) -> ndarray:
    """Return "row1", "row2", ... for ``n`` rows without a name, counted from ``first``."""
    return np.char.add(prefix, np.arange(first, first + n).astype(np.str_))
