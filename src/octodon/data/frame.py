"""A table of any tool as a DataFrame, types as pandas guesses them."""

from __future__ import annotations

import zlib
from collections.abc import Hashable, Sequence
from pathlib import Path

import pandas as pd

from octodon.data._files import one_line, plain_suffix
from octodon.errors import DataError


def read_frame(file: Path, text: Sequence[str]) -> pd.DataFrame:
    """Return a table: Parquet, CSV or tab-separated text, plain or gzipped.

    Parameters
    ----------
    file : Path
    text : sequence of str
        Columns of text, whatever they look like. Only an empty field is missing: an id may well read "NA".

    Raises
    ------
    DataError
        The file cannot be read as a table.
    """
    kind = plain_suffix(file)
    try:
        if kind == ".parquet":
            return pd.read_parquet(file)
        words: dict[Hashable, type[str]] = dict.fromkeys(text, str)
        separator = "," if kind == ".csv" else "\t"
        return pd.read_csv(file, sep=separator, dtype=words, keep_default_na=False, na_values=[""])
    except (OSError, EOFError, ValueError, zlib.error) as error:  # of pandas and arrow, too
        reason = one_line(error) or type(error).__name__
        raise DataError(f"{file}: cannot be read as a table: {reason}; write it again") from None
