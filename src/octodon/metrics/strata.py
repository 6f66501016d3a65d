"""Coverage where it may fail: by predicted activity or epistemic std, GC content, class or out-of-distribution score."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from jaxtyping import Float, UInt8
from numpy import ndarray
from scipy.stats import binom

from octodon.errors import DataError
from octodon.records import Prediction

COVERAGE_COLUMNS = (
    "model", "index", "split", "target", "interval", "level", "stratum", "cell", "n", "coverage", "band_low",
    "band_high", "width", "worst",
)  # fmt: skip
# A class column of more different words than this is a name, not a class.
_MOST_CLASSES = 30
FEWEST_ROWS = 20
"""Rows below which a cell is not judged: one more or less inside moves its coverage by more than 5 points."""
_NO_CLASS = ("NA", "N/A", "NaN", "nan", "<NA>", "null")
"""Words for a missing value. "none" is a class."""
_OURS = ("all", "activity", "GC content", "epistemic", "ood")
"""Names of strata that are made, not read: a column called so would take the place of one."""


def coverage_by_cell(
    predictions: Sequence[tuple[str, int, Prediction]],
    measured: Float[ndarray, "n t"],
    strata: Mapping[str, ndarray],
    *,
    split: str,
) -> pd.DataFrame:
    """Return coverage and mean width in each cell of each stratum, for intervals at one level or several.

    Parameters
    ----------
    predictions : sequence of (model, index, Prediction)
        With intervals.
    measured : (n, t) array
        NaN = missing.
    strata : mapping of str to (n,) array of str
        The cell of each row; "" = in none. To these are added, target by target among its measured rows, "activity": ten
        cells of equal size by the predicted mean, and "epistemic": by the model's own epistemic std, where it gives one.
    split : str
        Name of the split, copied into the table.

    Returns
    -------
    DataFrame
        Columns `COVERAGE_COLUMNS`. ``band_low`` to ``band_high`` holds the coverage of 95 % of cells of that size
        whose true coverage is the level (binomial). ``worst`` marks, per model, target and level, the cell of at least
        20 rows that is furthest from the level in units of that band; a cell "all" comes first and is never worst.

    Raises
    ------
    DataError
        A prediction without interval, or a stratum of another number of rows.
    """
    tables = []
    for model, index, prediction in predictions:
        if prediction.lower is None or prediction.upper is None or prediction.level is None:
            raise DataError(
                f"coverage of {model} {index}: the prediction has no interval; apply its calibration first"
            )
        for target in range(len(prediction.target_names)):
            cells = {"all": np.full(len(measured), "all")} | _tenths(prediction, target, measured[:, target])
            cells |= strata
            table = _cells_of(prediction, target, measured[:, target], cells)
            table.insert(0, "model", model)
            tables.append(table.assign(index=index, split=split, interval=prediction.interval))
    return pd.concat(tables, ignore_index=True).reindex(columns=list(COVERAGE_COLUMNS))


def _tenths(prediction: Prediction, target: int, measured: Float[ndarray, " n"]) -> dict[str, ndarray]:
    """Return the tenths of one target by what is predicted of it."""
    values = {"activity": prediction.mean, "epistemic": prediction.epistemic_std}
    known = ~np.isnan(measured)
    return {name: quantile_cells(one[:, target], known) for name, one in values.items() if one is not None}


def _cells_of(
    prediction: Prediction, target: int, measured: Float[ndarray, " n"], strata: Mapping[str, ndarray]
) -> pd.DataFrame:
    """Return the cells of one model and target."""
    assert prediction.lower is not None
    assert prediction.upper is not None
    lower, upper, level = prediction.lower[:, target], prediction.upper[:, target], prediction.level
    present = ~np.isnan(measured)
    inside = (lower <= measured) & (measured <= upper)
    rows = []
    for stratum, labels in strata.items():
        if len(labels) != len(present):
            raise DataError(f"coverage: stratum {stratum!r} has {len(labels)} rows, expected {len(present)}")
        for cell in sorted(set(labels[present].tolist()) - {""}, key=_in_order):
            chosen = present & (labels == cell)
            n = int(chosen.sum())
            low, high = (float(binom.ppf(q, n, level)) / n for q in (0.025, 0.975))
            width = float((upper - lower)[chosen].mean())
            rows.append((stratum, cell, n, float(inside[chosen].mean()), low, high, width))
    names = ["stratum", "cell", "n", "coverage", "band_low", "band_high", "width"]
    table = pd.DataFrame(rows, columns=names).assign(
        target=prediction.target_names[target], level=prediction.level
    )
    return table.assign(worst=_is_worst(table))


def _is_worst(table: pd.DataFrame) -> ndarray:
    """Return True for the one cell furthest from its level in units of its binomial sd, if any is large enough."""
    n, level = table["n"].to_numpy(np.float64), table["level"].to_numpy(np.float64)
    far = np.abs(table["coverage"].to_numpy(np.float64) - level) / np.sqrt(level * (1 - level) / n)
    far[(table["stratum"] == "all").to_numpy() | (n < FEWEST_ROWS)] = -1.0
    marked = np.zeros(len(table), dtype=bool)
    if len(far) and far.max() >= 0:
        marked[far.argmax()] = True
    return marked


def quantile_cells(values: Float[ndarray, " n"], among: ndarray | None = None, cells: int = 10) -> ndarray:
    """Return "1" (lowest) to "10" by quantiles of the values, equal values in one cell; NaN is in none."""
    known = np.isfinite(values) if among is None else among & np.isfinite(values)
    labels = np.full(len(values), "", dtype=object)
    if not known.any():
        return labels
    edges = np.unique(np.quantile(values[known], np.arange(1, cells) / cells))
    labels[known] = (np.searchsorted(edges, values[known], side="right") + 1).astype(str)
    return labels


def gc_cells(codes: UInt8[ndarray, "n l"]) -> ndarray:
    """Return GC content of the known bases in steps of 10 %, as "40-50 %"; "" where all are N."""
    known = (codes < 4).sum(axis=1)
    strong = ((codes == 1) | (codes == 2)).sum(axis=1)
    # In whole numbers: 0.3 * 10 is not 3.
    step = np.minimum(10 * strong // np.maximum(known, 1), 9)
    return np.array(
        [f"{10 * s}-{10 * s + 10} %" if k else "" for s, k in zip(step, known, strict=True)], dtype=object
    )


def class_cells(columns: Mapping[str, ndarray]) -> dict[str, ndarray]:
    """Return the columns that name a class: 2 to 30 different words; missing values are in none.

    A column with the name of a stratum of ours (``_OURS``) is called "column NAME".
    """
    found = {}
    for name, values in columns.items():
        words = np.array([_word(value) for value in values.tolist()], dtype=object)
        if 2 <= len(set(words.tolist()) - {""}) <= _MOST_CLASSES:
            found[f"column {name}" if name in _OURS else name] = words
    return found


def _word(value: object) -> str:
    """Return the class that a value names; "" for a missing one, however the table wrote that."""
    word = "" if value is None or value != value else str(value)  # NaN alone differs from itself
    return "" if word in _NO_CLASS else word


def worst_cells(coverage: pd.DataFrame) -> list[str]:
    """Return one line about the worst cell of each model, target and level."""
    return [
        f"{row['model']} {row['index']}, {row['target']}, level {row['level']:g}: coverage {row['coverage']:.3f} of "
        f"{row['n']:,} rows where {row['stratum']} is {row['cell']}"
        for _, row in coverage.loc[coverage["worst"]].iterrows()
    ]


def _in_order(cell: str) -> tuple[int, float, str]:
    """Sort "2" before "10" and "5-10 %" by its start; words by the alphabet."""
    head = cell.split("-")[0]
    try:
        return (0, float(head), cell)
    except ValueError:
        return (1, 0.0, cell)
