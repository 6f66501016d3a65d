"""Columns of a published table, whose layout is fixed and may hold no sequences."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
from jaxtyping import Float
from numpy import ndarray

from octodon.data._arrow import texts_of
from octodon.data._batches import NUMBER, TEXT, column_names, table_batches
from octodon.errors import DataError


def header(path: Path) -> list[str]:
    """Return the column names; a spreadsheet is refused with the way out."""
    if path.suffix.lower() in (".xlsx", ".xls", ".ods"):
        raise DataError(f"{path}: a spreadsheet, expected text; save the tab as TSV and read that")
    return column_names(path)


def read_columns(
    path: Path, texts: Sequence[str], numbers: Sequence[str]
) -> tuple[dict[str, ndarray], dict[str, Float[ndarray, " n"]]]:
    """Return the named columns of text, and those of numbers (float64, NaN = missing)."""
    parts: dict[str, list[pa.Array]] = {name: [] for name in (*texts, *numbers)}
    for batch in table_batches(path, dict.fromkeys(texts, TEXT) | dict.fromkeys(numbers, NUMBER)):
        for name, part in parts.items():
            part.append(batch.column(name))
    values = {name: pa.chunked_array(parts[name], type=NUMBER).to_numpy() for name in numbers}
    return {name: texts_of(parts[name]) for name in texts}, {
        name: np.asarray(value, dtype=np.float64) for name, value in values.items()
    }
