"""What people read: one line per target and metric; members, ensemble and students side by side."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

import numpy as np
import pandas as pd

from octodon.errors import DataError
from octodon.metrics.tables import COLUMNS
from octodon.metrics.uncertainty import uncertainty_metrics

# Lines in the order in which they are read; other quantities and metrics follow in the table's order.
_FIRST = (
    ("activity", "pearson"),
    ("activity", "spearman"),
    ("activity", "mse"),
    ("epistemic", "pearson"),
    ("epistemic", "spearman"),
    ("epistemic", "mse"),
    ("aleatoric", "pearson"),
    ("aleatoric", "pearson_ceiling"),
    ("aleatoric", "noise_nll"),
    ("aleatoric", "noise_ratio"),
    ("calibrated", "nll"),
    ("calibrated", "coverage_0.9"),
    ("calibrated", "width_0.9"),
)
# Scores of stds and intervals are many: of these people read one likelihood and one level; the table holds all.
_SHOWN_OF_SPREAD = {("calibrated", "nll"), ("calibrated", "coverage_0.9"), ("calibrated", "width_0.9")}
_SPREAD = re.compile(
    r"(coverage|width|interval_score)_[0-9.]+|std_ratio|binned_std_error|(ensemble_)?("
    + "|".join(uncertainty_metrics)
    + ")"
)
_SHORT = {"pairwise_pearson": "pairwise r", "pearson_ceiling": "pearson, ceiling"}
_CORRELATIONS = ("pearson", "spearman", "pairwise_pearson", "pearson_ceiling")


def mean_of_all(values: pd.Series) -> float:
    """Return the mean, NaN where one value is: pandas leaves such out, and rows side by side are then of other networks."""
    return float(values.to_numpy(np.float64).mean())


def median_of_all(values: pd.Series) -> float:
    """Return the median, NaN where one value is."""
    return float(np.median(values.to_numpy(np.float64)))


def summarise(frame: pd.DataFrame, splits: Sequence[str] | None = ("test",)) -> pd.DataFrame:
    """Return one row per split, target, quantity and metric of a metrics table.

    Columns beyond those of the metrics table (``fraction`` in a sweep) are kept and lead each row. Then:
    split, target, quantity, metric; ``individual_mean``, ``individual_sd``, ``individual_n``; ``ensemble``,
    ``ensemble_n``; ``student_mean``, ``student_sd``, ``student_n``. The sd is over networks,
    ``correction=1``, NaN for one network. One undefined value (NaN) makes mean and sd undefined: leaving it
    out would flatter the others. ``n`` tells a value that is undefined (n > 0) from one that no model gives
    (n = 0).

    Parameters
    ----------
    frame : DataFrame
        As `octodon.metrics.evaluate.evaluate_split` returns it.
    splits : sequence of str or None
        Splits to keep, None = all.

    Raises
    ------
    DataError
        A split has no row in the table.
    """
    for split in splits or ():
        if split not in set(frame["split"]):
            known = ", ".join(map(str, frame["split"].unique()))
            raise DataError(f"summary: no metrics of split {split!r}; splits present: {known}")
    chosen = frame if splits is None else frame[frame["split"].isin(list(splits))]
    extra = [name for name in frame.columns if name not in COLUMNS]
    keys = [*extra, "split", "target", "quantity", "metric"]
    rows = []
    # sort=False: splits and targets stay in the order of the table.
    for _, group in chosen.groupby(keys, sort=False, dropna=False):
        values = {
            model: group.loc[group["model"] == model, "value"].to_numpy(np.float64)
            for model in ("individual", "ensemble", "student")
        }
        ensemble = _mean_and_sd("ensemble", values["ensemble"])
        rows.append(
            group.iloc[0][keys].to_dict()
            | _mean_and_sd("individual", values["individual"])
            | {"ensemble": ensemble["ensemble_mean"], "ensemble_n": ensemble["ensemble_n"]}
            | _mean_and_sd("student", values["student"])
        )
    columns = [*keys, "individual_mean", "individual_sd", "individual_n", "ensemble", "ensemble_n"]
    summary = pd.DataFrame(rows, columns=[*columns, "student_mean", "student_sd", "student_n"])
    return _in_reading_order(summary, [*extra, "split", "target"])


def format_summary(summary: pd.DataFrame) -> list[list[str]]:
    """Return the summary as rows of text, the header first, for a terminal table or `markdown_table`.

    Correlations have three decimals; other values three significant digits, their sd as many decimals. Mean
    and sd are written ``0.631 ± 0.004``; "-" = no such model, "undefined" = at least one network has no such
    value. The split is shown where there are several; ``n_clipped`` only where some student has such values; of
    the scores of stds and intervals only the likelihood and the 90 % interval of the calibrated prediction.
    """
    names = list(summary.columns[: summary.columns.get_loc("split")])
    if len(set(summary["split"])) > 1:
        names.append("split")
    names.append("target")
    header = [*names, "metric", _heading(summary, "individual"), "ensemble", _heading(summary, "student")]
    cells = [header]
    for row in summary.to_dict("records"):
        metric = row["metric"]
        if _SPREAD.fullmatch(metric) and (row["quantity"], metric) not in _SHOWN_OF_SPREAD:
            continue
        if metric == "n_clipped" and row["student_mean"] == 0:
            continue
        # One column for both, so that the table fits a terminal of 80 columns.
        label = f"{row['quantity']} {_SHORT.get(metric, metric)}"
        cells.append(
            [
                *(_name(row[name]) for name in names),
                label,
                _value(metric, row["individual_mean"], row["individual_sd"], row["individual_n"]),
                _value(metric, row["ensemble"], math.nan, row["ensemble_n"]),
                _value(metric, row["student_mean"], row["student_sd"], row["student_n"]),
            ]
        )
    return cells


def markdown_table(cells: list[list[str]]) -> str:
    """Return rows of text, the header first, as a Markdown table with a newline at its end."""
    header, *rows = [[cell.replace("|", "\\|") for cell in row] for row in cells]
    lines = [header, ["---"] * len(header), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def plain_table(cells: list[list[str]]) -> str:
    """Return rows of text, the header first, as columns aligned by spaces, with a newline at the end."""
    widths = [max(len(cell) for cell in column) for column in zip(*cells, strict=True)]
    lines = ["  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in cells]
    lines.insert(1, "  ".join("-" * width for width in widths))
    return "\n".join(lines) + "\n"


def _mean_and_sd(model: str, values: np.ndarray) -> dict[str, float]:
    mean = float(values.mean()) if len(values) else math.nan
    with np.errstate(invalid="ignore"):  # one infinite value (a likelihood) makes the sd undefined
        sd = float(np.std(values, correction=1)) if len(values) > 1 else math.nan
    return {f"{model}_mean": mean, f"{model}_sd": sd, f"{model}_n": len(values)}


def _in_reading_order(summary: pd.DataFrame, groups: list[str]) -> pd.DataFrame:
    """Keep the groups as they come; inside each, bring the lines that matter to the top."""
    rank = {pair: position for position, pair in enumerate(_FIRST)}
    pairs = zip(summary["quantity"], summary["metric"], strict=True)
    group = summary.groupby(groups, sort=False, dropna=False).ngroup().to_numpy()
    order = np.lexsort(([rank.get(pair, len(rank)) for pair in pairs], group))
    return summary.iloc[order].reset_index(drop=True)


def _heading(summary: pd.DataFrame, model: str) -> str:
    """Return "10 individuals" where there are several; the number only where it is the same in every line."""
    counts = sorted({int(n) for n in summary[f"{model}_n"] if n > 1})
    if not counts:
        return model
    return f"{counts[0]} {model}s" if len(counts) == 1 else f"{model}s"


def _name(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _value(metric: str, mean: float, sd: float, count: int) -> str:
    """Write one cell; the decimals follow from the mean, so that mean and sd can be compared by eye."""
    if not count:
        return "-"
    if math.isnan(mean):
        return "undefined"
    if math.isinf(mean):
        return "infinite"
    decimals = 3 if metric in _CORRELATIONS else _decimals(mean)
    text = f"{mean:.{decimals}f}"
    return text if math.isnan(sd) else f"{text} ± {sd:.{decimals}f}"


def _decimals(value: float) -> int:
    """Return how many decimals show three significant digits."""
    return max(0, 2 - math.floor(math.log10(abs(value)))) if value else 0
