"""The numbers of a panel as a table: ours, and the published one in brackets."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd

from octodon.report.blocks import Table
from octodon.report.reproduction.record import Reproduction
from octodon.report.reproduction.words import in_place, number
from octodon.report.style import rows_where

_MOST_OPEN = 8
"""Rows of a table that is shown unfolded."""


def numbers_table(one: Reproduction, table: pd.DataFrame, panel: str) -> Table:
    """Return the table of one panel."""
    header, rows = cells(rows_where(table, panel=panel))
    note = "Ours (published). Basis of the published: printed, or read off a figure, good to about four decimals unless said otherwise."
    return Table(
        caption="In numbers" + in_place(one),
        header=header,
        rows=rows,
        n_names=3,
        note=note,
        folded=len(rows) > _MOST_OPEN,
    )


def cells(rows: pd.DataFrame) -> tuple[list[str], list[list[str]]]:
    """Return header and rows of one panel: a line for each score, a column for each share, size of a shift, or the like."""
    conditions = list(dict.fromkeys(rows["condition"]))
    header = ["target", "model", "what", *conditions, "basis"]
    keys = ["target", "model", "quantity", "metric"]
    found = []
    for name in dict.fromkeys(rows[keys].itertuples(index=False, name=None)):
        line = (
            rows_where(rows, **dict(zip(keys, name, strict=True))).set_index("condition").reindex(conditions)
        )
        values = [_beside(*both) for both in line[["ours", "published"]].to_numpy(np.float64)]
        basis = sorted({str(said) for said in line["basis"] if isinstance(said, str) and said})
        found.append([name[0], name[1], f"{name[2]} {name[3]}", *values, ", ".join(basis) or "-"])
    return header, found


def _beside(ours: float, published: float) -> str:
    return number(ours) if math.isnan(published) else f"{number(ours)} ({number(published)})"
