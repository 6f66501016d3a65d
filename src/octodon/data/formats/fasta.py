"""FASTA, plain or gzipped: unlabelled sequences, read in blocks of bytes without work per base or record in Python."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy import ndarray

from octodon.data._arrow import Coder, compute, texts_of
from octodon.data._files import open_binary
from octodon.data.assemble import Measurements, assemble
from octodon.data.examples import Examples
from octodon.data.formats import readers
from octodon.data.lengths import LengthPolicy, PolicyName, as_policy
from octodon.errors import DataError

FASTA_SUFFIXES = (".fa", ".fasta", ".fna", ".ffn")
_BLOCK_BYTES = 4 << 20
_NEWLINE, _RETURN, _HEADER = b"\n\r>"


@readers.register("fasta")
def read_fasta(path: str | Path, *, length: LengthPolicy | PolicyName = "refuse") -> Examples:
    """Read a FASTA file as unlabelled examples.

    Parameters
    ----------
    path : path
        Records of one or many lines; the id is the first word after ">"; gzip is recognised by content.
    length : LengthPolicy or str
        What to do with sequences of different lengths.

    Raises
    ------
    DataError
        For a missing, empty or truncated file, text before the first ">", a letter that is no base, an empty record,
        mixed lengths, duplicate ids. Rows are records, counted from 1.
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
    found = False
    for block in _record_blocks(stream, where):
        ids, letters, offsets = _parse(block)
        found = True
        yield ids, coder.block(letters, offsets)
    if not found:
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


def _parse(block: bytes) -> tuple[pa.StringArray, ndarray, ndarray]:
    """Return ids, letters end to end and (n + 1,) offsets of the records in ``block``."""
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
    return _first_words(letters, starts[headers] + 1, ends[headers]), letters[is_text & ~in_header], offsets


def _first_words(letters: ndarray, starts: ndarray, ends: ndarray) -> pa.StringArray:
    """Return the first word of each header line."""
    sizes = ends - starts
    offsets = np.concatenate([[0], np.cumsum(sizes)])
    within = np.arange(offsets[-1]) - np.repeat(offsets[:-1], sizes)
    text = letters[np.repeat(starts, sizes) + within]
    lines = pa.StringArray.from_buffers(
        len(starts), pa.py_buffer(offsets.astype(np.int32)), pa.py_buffer(np.ascontiguousarray(text))
    )
    return compute.replace_substring_regex(lines, r"\s(?s:.)*$", "")
