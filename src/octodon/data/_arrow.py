"""Arrow columns to numpy: bases, texts and numbers, without work per row in Python."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute
from numpy import ndarray

from octodon.data.lengths import LengthPolicy, apply_lengths
from octodon.errors import DataError
from octodon.seq.codes import INVALID_CODE, codes_from_bytes

# Its functions are made when it is imported, so that the type checker does not know them.
compute: Any = pyarrow.compute

# Texts that mean "no value" in a column of numbers.
NO_VALUE = ["", "NA", "N/A", "#N/A", "na", "n/a", "NaN", "nan", "-nan", "null", "NULL", "None", "none", "."]


def bytes_of(texts: pa.StringArray) -> tuple[ndarray, ndarray]:
    """Return the bytes of all texts and the (n + 1,) int64 offsets; text i is bytes[offsets[i]:offsets[i + 1]]."""
    _, offset_buffer, data_buffer = texts.buffers()
    n = len(texts)
    offsets = np.frombuffer(offset_buffer, dtype=np.int32, count=n + 1, offset=4 * texts.offset)
    data = np.frombuffer(data_buffer, dtype=np.uint8) if data_buffer else np.empty(0, dtype=np.uint8)
    return data[offsets[0] : offsets[-1]], (offsets - offsets[0]).astype(np.int64)


def codes_of(
    letters: ndarray,
    offsets: ndarray,
    policy: LengthPolicy,
    where: str,
    first_row: int,
    first_length_bp: int | None,
) -> ndarray:
    """Return the (n, l) codes of letters laid end to end; refuses a letter that is no base (row and position).

    The arguments are those of ``octodon.data.lengths.apply_lengths``.
    """
    bases = codes_from_bytes(letters)
    if bases.size and bases.max() == INVALID_CODE:
        at = int(np.argmax(bases))
        row = int(np.searchsorted(offsets, at, side="right")) - 1
        # A base of DNA is one ASCII byte; show the whole character where it is not.
        got = letters[at : at + 4].tobytes().decode("utf-8", errors="ignore")[:1]
        raise DataError(
            f"{where}: row {first_row + row + 1}, position {at - offsets[row] + 1}: {got!r} is not a base; "
            f"expected A, C, G, T or N"
        )
    return apply_lengths(bases, offsets, policy, where, first_row, first_length_bp)


class Coder:
    """Codes of successive blocks of one file's sequences; rows are counted through, the first sets an open length."""

    def __init__(self, policy: LengthPolicy, where: str, first_row: int = 0) -> None:
        self._policy, self._where = policy, where
        self._n_rows = first_row
        self._first_length_bp: int | None = None

    def block(self, letters: ndarray, offsets: ndarray) -> ndarray:
        """Return the (n, l) codes of the next sequences, laid end to end."""
        codes = codes_of(letters, offsets, self._policy, self._where, self._n_rows, self._first_length_bp)
        if self._first_length_bp is None:
            self._first_length_bp = int(offsets[1] - offsets[0])
        self._n_rows += len(codes)
        return codes

    def column(self, texts: pa.StringArray) -> ndarray:
        """Return the (n, l) codes of the next part of a column."""
        if texts.null_count:
            row = int(np.argmax(texts.is_null().to_numpy(zero_copy_only=False)))
            raise DataError(f"{self._where}: row {self._n_rows + row + 1} has no sequence; remove such rows")
        return self.block(*bytes_of(texts))


def texts_of(parts: list[pa.Array]) -> ndarray:
    """Return the (n,) object array of str of a column that came in parts; a missing text is "".

    Objects, since fixed-width text takes the length of the longest for every row: one id of 500 letters would make
    400,000 of them 0.8 GB.
    """
    column = compute.fill_null(pa.chunked_array(parts, type=pa.string()), "")
    return column.to_numpy()


def values_of(parts: list[pa.Array]) -> ndarray:
    """Return a column of texts as integers or floats where ALL of it reads so (and back), else as str."""
    column = pa.chunked_array(parts, type=pa.string())
    empty = compute.is_in(column, value_set=pa.array(NO_VALUE))
    present = compute.if_else(empty, pa.scalar(None, pa.string()), column)
    if present.null_count < len(present):
        try:
            whole = compute.cast(present, pa.int64())
        except pa.ArrowInvalid:
            pass
        else:
            # "007" is a name, not a number.
            if compute.all(compute.equal(compute.cast(whole, pa.string()), present)).as_py():
                return whole.to_numpy()
            return texts_of(parts)
        try:
            return compute.cast(present, pa.float64()).to_numpy()
        except pa.ArrowInvalid:
            pass
    return texts_of(parts)
