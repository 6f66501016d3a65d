"""Whether the index of a FASTA file is of this file: one made before the file changed names the bases of other places."""

from __future__ import annotations

import zlib
from bisect import bisect_right
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO

import numpy as np

from octodon.errors import DataError

_HEADER_BYTES = 4096
"""Of a longer header line only its end is looked at."""
_BLOCK_BYTES = 1 << 16
"""No block of a bgzipped file is longer, packed or unpacked."""


def refuse_other_index(file: Path, *, zipped: bool) -> None:
    """Refuse an index (``.fai``, and ``.gzi`` where the file is bgzipped) that was made before the file changed.

    Every contig must begin below a line with its name, and end before the next such line or with the file.

    Raises
    ------
    DataError
        With the first contig that does not.
    """
    with file.open("rb") as stream:
        read = _unpacked(stream, Path(f"{file}.gzi")) if zipped else _plain(stream)
        for line in Path(f"{file}.fai").read_text(encoding="utf-8", errors="replace").splitlines():
            name, *numbers = line.split("\t")
            try:
                agrees = _lies_there(read, name, *map(int, numbers[:4]))
            except zlib.error:
                agrees = False
            if not agrees:
                index = f"{file}.fai or {file.name}.gzi" if zipped else f"{file}.fai"
                raise DataError(
                    f"{file}: contig {name!r} does not lie where its index says; {index} is of another file, or older than "
                    f"this one: samtools faidx {file}"
                )


def _lies_there(
    read: Callable[[int, int], bytes], name: str, length: int, offset: int, line_bp: int, line_bytes: int
) -> bool:
    above = max(0, offset - _HEADER_BYTES)
    header = read(above, offset - above).splitlines(keepends=True)[-1:] or [b""]
    place = length - 1
    end = offset + place // line_bp * line_bytes + place % line_bp if length else offset - 1
    last_and_after = read(end, 9)
    words = header[0].removeprefix(b">").split()
    begins = words[:1] == [name.encode()] or len(header[0]) == _HEADER_BYTES
    ends = bool(last_and_after) and last_and_after[1:].lstrip()[:1] in (b">", b"")
    return begins and header[0].endswith(b"\n") and ends


def _plain(stream: BinaryIO) -> Callable[[int, int], bytes]:
    def read(offset: int, size: int) -> bytes:
        stream.seek(offset)
        return stream.read(size)

    return read


def _unpacked(stream: BinaryIO, gzi: Path) -> Callable[[int, int], bytes]:
    """Return a function that reads ``size`` unpacked bytes from an unpacked offset, fewer at the end of the file.

    It raises ``zlib.error`` where no block begins as ``gzi`` says.
    """
    # uint64: number of blocks after the first, then where each begins in the packed and in the unpacked file
    places = np.fromfile(gzi, dtype="<u8")[1:].reshape(-1, 2)
    packed, plain = ([0, *column.tolist()] for column in places.T)

    @lru_cache(maxsize=2)  # contigs come in the order of the file, so short ones share a block
    def block(i: int) -> bytes:
        stream.seek(packed[i])
        unpacker = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)  # 16: with the header of gzip
        return unpacker.decompress(stream.read(_BLOCK_BYTES))

    def read(offset: int, size: int) -> bytes:
        i = bisect_right(plain, offset) - 1  # np.searchsorted would make an array of the whole list first
        content = block(i)[offset - plain[i] :]
        while len(content) < size and i + 1 < len(plain):
            i += 1
            content += block(i)
        return content[:size]

    return read
