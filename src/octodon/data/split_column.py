"""The column by which ``[split]`` splits is read without being listed again under ``[data]``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from octodon.data._batches import column_names
from octodon.data._split_ways import CHROMOSOME_COLUMNS, chromosome_column
from octodon.data.formats import readers
from octodon.data.read import reader_of


def with_split_column(data: Mapping[str, Any], split: Mapping[str, Any]) -> dict[str, Any]:
    """Return a ``[data]`` section that keeps the column by which ``[split]`` splits; only a table has free columns.

    Parameters
    ----------
    data, split : mapping
        The two sections; values of a wrong type are left for the reader and the split to refuse.

    Raises
    ------
    ConfigError
        For an unknown format, a delimiter that is no single character, or where the table has both default columns of a
        chromosome.
    DataError
        Where a chromosome is needed and the table has no default column for it; for a missing or damaged table.
    """
    columns, path, delimiter = data.get("columns", []), data.get("path"), data.get("delimiter")
    is_table = reader_of(data) is readers["table"]
    if not is_table or not isinstance(columns, (list, tuple)) or not isinstance(path, (str, Path)):
        return dict(data)
    column = split.get("column")
    needs_default = split.get("by") == "chromosome" and column is None
    if needs_default and not set(CHROMOSOME_COLUMNS).intersection(map(str, columns)):
        column = chromosome_column(column_names(path, delimiter if isinstance(delimiter, str) else None))
    if not isinstance(column, str) or column in columns:
        return dict(data)
    return dict(data) | {"columns": [*columns, column]}
