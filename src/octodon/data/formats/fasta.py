"""FASTA, plain or gzipped: unlabelled sequences, read in blocks of bytes without work per base or record in Python."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy import ndarray

from octodon.data._arrow import Coder, texts_of
from octodon.data._files import open_binary
from octodon.data.assemble import Measurements, assemble
from octodon.data.examples import Examples
from octodon.data.formats import readers
from octodon.data.lengths import LengthPolicy, PolicyName, as_policy
from octodon.errors import DataError

FASTA_SUFFIXES = (".fa", ".fasta", ".fna", ".ffn")
_BLOCK_BYTES = 4 << 20
_NEWLINE, _RETURN, _HEADER = b"\n\r>"
_IS_BLANK = np.isin(np.arange(256), list(b"\t\n\f\r "))


@readers.register("fasta")
def read_fasta(path: str | Path, *, length: LengthPolicy | PolicyName = "refuse") -> Examples:
    """Read a FASTA file as unlabelled examples.

    Parameters
    ----------
    path : path
        Records of one or many lines; the id is the first word after ">" and blanks; gzip is recognised by content.
    length : LengthPolicy or str
        What to do with sequences of different lengths.

    Raises
    ------
    DataError
        For a missing, empty or truncated file, text before the first ">", a letter that is no base, an empty record,
        mixed lengths, empty or duplicate ids, an id that is no UTF-8. Rows are records, counted from 1.
    """
    ids: list[pa.Array] = []
    codes: list[ndarray] = []
    for names, block in fasta_blocks(path, as_policy(length)):
        ids.append(names)
        codes.append(block)
    return assemble(np.concatenate(codes), texts_of(ids), Measurements(), where=str(path))


def fasta_blocks(path: str | Path, policy: LengthPolicy) -> Iterator[tuple[pa.StringArray, ndarray]]:
    """Yield (ids, (n, l) codes) for successive blocks of records."""
    with open_binary(path) as stream:
        yield from fasta_blocks_of(stream, policy, str(path))


def fasta_blocks_of(
    stream: io.BufferedIOBase, policy: LengthPolicy, where: str
) -> Iterator[tuple[pa.StringArray, ndarray]]:
    """Yield the same of FASTA that comes from anywhere; ``where`` is what to call it in a message."""
    coder = Coder(policy, where)
    n_records = 0
    for block in _record_blocks(stream, where):
        words, letters, offsets = _parse(block)
        ids = _as_texts(*words, where, n_records)
        empty = np.flatnonzero(np.diff(words[1]) == 0)
        if len(empty):
            raise DataError(
                f"{where}: row {n_records + empty[0] + 1} has an empty id; give every record one, behind its '>'"
            )
        n_records += len(ids)
        yield ids, coder.block(letters, offsets)
    if not n_records:
        raise DataError(f"{where}: no records, expected at least one line that starts with '>'")


def _record_blocks(stream: io.BufferedIOBase, where: str) -> Iterator[bytes]:
    """Yield bytes that hold whole records, each starting with ">"."""
    rest = b""
    pieces: list[bytes] = []
    at_start = True
    while piece := stream.read(_BLOCK_BYTES):
        if at_start:
            piece = piece.lstrip()
            if piece[:1] not in (b">", b""):
                raise DataError(
                    f"{where}: starts with {piece[:1]!r}, expected '>' (FASTA); name the format if it is not"
                )
            at_start = not piece
        # A boundary of pieces between the two bytes hides one record's start: its block is then a piece longer.
        cut = piece.rfind(b"\n>") + 1
        if not cut:
            pieces.append(piece)
            continue
        yield b"".join([rest, *pieces, piece[:cut]])
        rest, pieces = piece[cut:], []
    if last := b"".join([rest, *pieces]):
        yield last


def _parse(block: bytes) -> tuple[tuple[ndarray, ndarray], ndarray, ndarray]:
    """Return the ids as ``_first_words`` does, letters end to end and (n + 1,) offsets of the records in ``block``."""
    if not block.endswith(b"\n"):
        block += b"\n"
    letters = np.frombuffer(block, dtype=np.uint8)
    ends = np.flatnonzero(letters == _NEWLINE) + 1
    starts = np.concatenate([[0], ends[:-1]])
    is_header = letters[starts] == _HEADER
    in_header = np.repeat(is_header, ends - starts)
    is_text = (letters != _NEWLINE) & (letters != _RETURN)
    headers = np.flatnonzero(is_header)
    # Bases of a record = text bytes in the lines after its header and before the next.
    per_line = np.add.reduceat(is_text, starts, dtype=np.int64)
    per_line[is_header] = 0
    n_bases = np.add.reduceat(per_line, headers)
    offsets = np.concatenate([[0], np.cumsum(n_bases)])
    return _first_words(letters, starts[headers] + 1), letters[is_text & ~in_header], offsets


def _first_words(letters: ndarray, starts: ndarray) -> tuple[ndarray, ndarray]:
    """Return the bytes of the first word of each header line end to end, and their (n + 1,) offsets.

    Blanks between ">" and it are skipped. Cut as bytes: a description in an encoding of old does no harm to an id that
    is plain text.
    """
    blanks = np.flatnonzero(_IS_BLANK[letters])
    if _IS_BLANK[letters[starts]].any():
        # to the first letter; at the latest to the end of the line, where the word is empty
        others = np.flatnonzero(~_IS_BLANK[letters] | (letters == _NEWLINE))
        starts = others[np.searchsorted(others, starts)]
    stops = blanks[np.searchsorted(blanks, starts)]  # at the latest the end of the line
    sizes = stops - starts
    offsets = np.concatenate([[0], np.cumsum(sizes)])
    within = np.arange(offsets[-1]) - np.repeat(offsets[:-1], sizes)
    return letters[np.repeat(starts, sizes) + within], offsets


def _as_texts(words: ndarray, offsets: ndarray, where: str, first_row: int) -> pa.StringArray:
    """Return words laid end to end as texts; refuses one that is none."""
    texts = pa.StringArray.from_buffers(
        len(offsets) - 1, pa.py_buffer(offsets.astype(np.int32)), pa.py_buffer(np.ascontiguousarray(words))
    )
    try:
        texts.validate(full=True)
    except pa.ArrowInvalid:
        for row in range(len(texts)):
            word = words[offsets[row] : offsets[row + 1]].tobytes()
            if not _is_text(word):
                raise DataError(
                    f"{where}: row {first_row + row + 1} has the id {word[:60]!r}, expected text in UTF-8; save the file as UTF-8, "
                    f"or rename the record"
                ) from None
        raise
    return texts


def _is_text(word: bytes) -> bool:
    try:
        word.decode()
    except UnicodeDecodeError:
        return False
    return True
