"""DNA letters to uint8 codes (A C G T N = 0 1 2 3 4) and back, without work per base in Python."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, UInt8
from numpy import ndarray

from octodon.errors import DataError

ALPHABET = "ACGT"
N_CODE = 4
INVALID_CODE = 255

_CODE_OF_BYTE = np.full(256, INVALID_CODE, dtype=np.uint8)
for _code, _letter in enumerate(ALPHABET + "N"):
    _CODE_OF_BYTE[[ord(_letter), ord(_letter.lower())]] = _code
_BYTE_OF_CODE = np.frombuffer((ALPHABET + "N").encode(), dtype=np.uint8)
_COMPLEMENT = np.array([3, 2, 1, 0, 4], dtype=np.uint8)


def codes_from_bytes(letters: UInt8[ndarray, "*shape"]) -> UInt8[ndarray, "*shape"]:
    """Return the code of every ASCII letter; ``INVALID_CODE`` where it is no base. Case is ignored."""
    return _CODE_OF_BYTE[letters]


def bytes_from_codes(codes: UInt8[ndarray, "*shape"]) -> UInt8[ndarray, "*shape"]:
    """Return the upper-case ASCII letter of every code (0 to 4)."""
    return _BYTE_OF_CODE[codes]


def has_few_n(codes: UInt8[ndarray, "n l"], most: float) -> Bool[ndarray, " n"]:
    """Return whether the share of N in each sequence is at most ``most`` (0 to 1)."""
    return np.count_nonzero(codes == N_CODE, axis=1) <= most * codes.shape[1]


def encode(sequences: Sequence[str], where: str = "sequences") -> UInt8[ndarray, "n l"]:
    """Return the codes of sequences of one length.

    Parameters
    ----------
    sequences : sequence of str
        Letters A C G T N, either case.
    where : str
        What to call the input in a message.

    Raises
    ------
    DataError
        For mixed lengths or a letter that is no base (row and position are named, both from 1).
    """
    if len(sequences) == 0:
        raise DataError(f"{where}: no sequences, expected at least one")
    lengths = np.fromiter(map(len, sequences), dtype=np.int64, count=len(sequences))
    if lengths.min() != lengths.max():
        odd = int(np.flatnonzero(lengths != lengths[0])[0])
        raise DataError(
            f"{where}: row {odd + 1} has {lengths[odd]} bases, row 1 has {lengths[0]}; expected one length "
            f"(see the length policies: crop, or flank)"
        )
    try:
        joined = "".join(sequences).encode("ascii")
    except UnicodeEncodeError as error:
        row, position = divmod(error.start, int(lengths[0]))
        raise DataError(
            f"{where}: row {row + 1}, position {position + 1}: {error.object[error.start]!r} is not a base; "
            f"expected A, C, G, T or N"
        ) from None
    letters = np.frombuffer(joined, dtype=np.uint8).reshape(len(sequences), int(lengths[0]))
    codes = codes_from_bytes(letters)
    refuse_invalid(codes, letters, where)
    return codes


def refuse_invalid(
    codes: UInt8[ndarray, "n l"], letters: UInt8[ndarray, "n l"], where: str, first_row: int = 0
) -> None:
    """Raise DataError naming the first letter that is no base; ``first_row`` is the number of rows before these."""
    if codes.size and codes.max() == INVALID_CODE:
        row, position = (int(i[0]) for i in np.nonzero(codes == INVALID_CODE))
        raise DataError(
            f"{where}: row {first_row + row + 1}, position {position + 1}: {chr(letters[row, position])!r} is not "
            f"a base; expected A, C, G, T or N"
        )


def decode(codes: UInt8[ndarray, "n l"]) -> list[str]:
    """Return the sequences as upper-case strings."""
    length = codes.shape[1]
    joined = bytes_from_codes(codes).tobytes().decode("ascii")
    return [joined[start : start + length] for start in range(0, len(joined), length)]


def reverse_complement(codes: UInt8[ndarray, "*n l"]) -> UInt8[ndarray, "*n l"]:
    """Return the other strand, read 5' to 3'; N stays N."""
    return _COMPLEMENT[codes[..., ::-1]]


def random_codes(shape: tuple[int, ...], rng: np.random.Generator, gc: float = 0.5) -> UInt8[ndarray, ...]:
    """Return independent random bases with GC content ``gc`` (0 to 1)."""
    draws = rng.random(shape, dtype=np.float32)
    edges = np.cumsum([(1 - gc) / 2, gc / 2, gc / 2]).astype(np.float32)
    return np.searchsorted(edges, draws.ravel(), side="right").astype(np.uint8).reshape(shape)


def as_codes(sequences: Any, where: str = "sequences") -> UInt8[ndarray, "n l"]:
    """Return codes for a list of strings, or the codes themselves; anything else is refused."""
    if isinstance(sequences, ndarray) and sequences.dtype == np.uint8:
        if sequences.ndim != 2:
            raise DataError(f"{where}: codes of shape {sequences.shape}, expected (n, length)")
        if sequences.size and sequences.max() > N_CODE:
            raise DataError(f"{where}: code {sequences.max()} found, expected 0 to 4 for A C G T N")
        return sequences
    if isinstance(sequences, str):
        return encode([sequences], where)
    return encode(list(sequences), where)
