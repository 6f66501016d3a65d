"""What people read of ``shift.tsv``: per target one line per set of sequences."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pandas as pd

from octodon.metrics.summary import mean_of_all, plain_table

Key = tuple[str, str, str, str]
"""Model, quantity, metric, truth."""

_ERROR: tuple[tuple[str, Key, str], ...] = (
    ("MSE indiv.", ("individual", "activity", "mse", "ensemble"), ".3f"),
    ("MSE student", ("student", "activity", "mse", "ensemble"), ".3f"),
    ("r indiv.", ("individual", "activity", "pearson", "measured"), ".3f"),
    ("r ensemble", ("ensemble", "activity", "pearson", "measured"), ".3f"),
    ("r student", ("student", "activity", "pearson", "measured"), ".3f"),
    ("std ensemble", ("ensemble", "epistemic", "mean", ""), ".3f"),
    ("std student", ("student", "epistemic", "mean", ""), ".3f"),
    ("r of stds", ("student", "epistemic", "pearson", "ensemble"), ".3f"),
)
_INTERVALS: tuple[tuple[str, Key, str], ...] = (
    ("inside, own", ("student", "OWN", "coverage_0.9", "measured"), ".1%"),
    ("calibrated", ("student", "calibrated", "coverage_0.9", "measured"), ".1%"),
    ("width, own", ("student", "OWN", "width_0.9", "ensemble"), ".2f"),
    ("calibrated", ("student", "calibrated", "width_0.9", "ensemble"), ".2f"),
    ("flagged", ("student", "ood", "flagged", ""), ".1%"),
)


def shift_lines(table: pd.DataFrame, units: str = "activity") -> str:
    """Return the text that ``octodon shift`` prints; values are means over the networks of a kind, "-" = not known."""
    lines = []
    for target in dict.fromkeys(table.loc[table["quantity"] == "activity", "target"]):
        part = table.loc[table["target"].isin((target, "all"))]
        lines += [
            f"{target}: mean squared error against the ensemble's mean, r against the measurement, mean epistemic std ({units})",
            plain_table(shift_cells(part, _ERROR)),
            f"{target}: the student's 90 % intervals before and after calibration ({units}), out of distribution",
            plain_table(shift_cells(part, _INTERVALS)),
        ]
    return "\n".join(lines)


def shift_cells(part: pd.DataFrame, columns: Sequence[tuple[str, Key, str]]) -> list[list[str]]:
    """Return the rows of one target as text, the header first."""
    said = set(part.loc[part["model"] == "student", "quantity"])
    own = next((q for q in ("total", "epistemic", "aleatoric") if q in said), "total")
    keys = ["split", "model", "quantity", "metric", "truth"]
    means: dict[tuple[str, ...], float] = part.groupby(keys, sort=False)["value"].agg(mean_of_all).to_dict()  # type: ignore[assignment]
    cells = [["set", "n", *(name for name, *_ in columns)]]
    for name in dict.fromkeys(part["split"]):
        line = [name, f"{means[name, 'ensemble', 'sequences', 'count', '']:,.0f}"]
        for _, (model, quantity, metric, truth), how in columns:
            value = means.get((name, model, own if quantity == "OWN" else quantity, metric, truth), math.nan)
            line.append("-" if math.isnan(value) else format(value, how))
        cells.append(line)
    return cells
