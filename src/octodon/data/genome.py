"""A genome in FASTA: bases of any interval as uint8 codes, by its index where it has one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from jaxtyping import Int64, UInt8
from numpy import ndarray
from numpy.lib.stride_tricks import sliding_window_view

from octodon.data._fasta_index import refuse_other_index
from octodon.data._files import GZIP_MAGIC, existing_file, one_line, open_binary, reading
from octodon.errors import DataError
from octodon.registry import suggest
from octodon.seq.codes import INVALID_CODE, N_CODE, codes_from_bytes

MOST_BYTES_WITHOUT_INDEX = 1 << 29
"""A file without an index is read whole, one byte of memory a base, up to this size: bacteria and yeast, no mammal."""
_PIECE_BP = 1 << 20
_PIECE_BYTES = 1 << 20
_CODE_OF_LETTER = codes_from_bytes(np.arange(256, dtype=np.uint8))
# Letters that stand for several bases (IUPAC, NC-IUB 1984): no one base to a model, so N.
_CODE_OF_LETTER[np.frombuffer(b"RYSWKMBDHVryswkmbdhv", dtype=np.uint8)] = N_CODE


@dataclass(frozen=True, kw_only=True, eq=False)
class Genome:
    """Contigs of a FASTA file; a context manager that closes it.

    Attributes
    ----------
    path : Path
    lengths_bp : mapping of str to int
        Length of each contig, in the order of the file.
    note : str
        How it is read, in one line for the user.
    """

    path: Path
    lengths_bp: Mapping[str, int]
    note: str
    _letters: Callable[[str, int, int], UInt8[ndarray, " l"]]
    _close: Callable[[], object]

    def __enter__(self) -> Genome:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

    def fetch(self, contig: str, start: int, stop: int) -> UInt8[ndarray, " l"]:
        """Return the codes of ``[start, stop)`` on the forward strand; letters that stand for several bases are N.

        Raises
        ------
        DataError
            For an unknown contig, an interval that leaves it, or a letter that is neither base nor IUPAC code.
        """
        self.require(contig)
        if not 0 <= start <= stop <= self.lengths_bp[contig]:
            raise DataError(
                f"{self.path}: {contig}:{start}-{stop} (0-based) leaves the contig of {self.lengths_bp[contig]:,} bp"
            )
        letters = self._letters(contig, start, stop)
        codes = _CODE_OF_LETTER[letters]
        if codes.size and codes.max() == INVALID_CODE:
            at = int(np.argmax(codes == INVALID_CODE))
            raise DataError(
                f"{self.path}: {contig}, position {start + at + 1}: {chr(letters[at])!r} is not a base; expected A, C, G, "
                f"T, N or an IUPAC letter"
            )
        return codes

    def windows(self, contig: str, starts: Int64[ndarray, " n"], length_bp: int) -> UInt8[ndarray, "n l"]:
        """Return the windows ``[start, start + length_bp)`` of one contig, in the order given.

        Raises
        ------
        DataError
            As ``fetch``.
        """
        out = np.empty((len(starts), length_bp), dtype=np.uint8)
        order = np.argsort(starts, kind="stable")
        at = 0
        while at < len(order):
            first = int(starts[order[at]])
            # windows near each other come from one read
            after = int(np.searchsorted(starts, first + _PIECE_BP, side="right", sorter=order))
            rows = order[at:after]
            codes = self.fetch(contig, first, int(starts[rows[-1]]) + length_bp)
            if length_bp:
                out[rows] = sliding_window_view(codes, length_bp)[starts[rows] - first]
            at = after
        return out

    def require(self, contig: str) -> None:
        """Refuse a contig that is not there, naming the nearest that is.

        Raises
        ------
        DataError
            There is no such contig.
        """
        if contig not in self.lengths_bp:
            known = list(self.lengths_bp)
            shown = suggest(contig, known) if len(known) <= 50 else f"it has {len(known)}, first {known[0]!r}"
            raise DataError(f"{self.path}: no contig {contig!r}; {shown}")


def open_genome(path: str | Path) -> Genome:
    """Open a FASTA file, plain, bgzipped or gzipped.

    With an index (``.fai``, and ``.gzi`` for a bgzipped file) intervals are read from disk. Without one the file is read
    whole, one byte of memory a base; nothing is ever written beside it.

    Raises
    ------
    DataError
        A missing, empty or damaged file, one that is no FASTA, a contig that is there twice, an index of another or of
        an earlier file, or a large file without index.
    """
    file = existing_file(path)
    with reading(file), file.open("rb") as stream:
        zipped = stream.read(2) == GZIP_MAGIC
    needed = [f"{file}.fai", *([f"{file}.gzi"] if zipped else [])]
    missing = [Path(name).name for name in needed if not Path(name).is_file()]
    return _whole(file, " and ".join(missing)) if missing else _indexed(file, zipped)


def _indexed(file: Path, zipped: bool) -> Genome:
    import pysam  # its library is loaded only where a genome is read

    pysam.set_verbosity(0)
    try:
        fasta: Any = pysam.FastaFile(str(file))
    except (OSError, ValueError) as error:
        raise DataError(
            f"{file}: cannot be read with its index ({one_line(error)}); make it anew: samtools faidx {file}"
        ) from None
    if not fasta.references:
        raise DataError(f"{file}: its index {file}.fai names no contig; make it anew: samtools faidx {file}")
    refuse_other_index(file, zipped=zipped)

    def letters(contig: str, start: int, stop: int) -> ndarray:
        try:
            text = fasta.fetch(contig, start, stop).encode("ascii", "replace")
        except (OSError, ValueError) as error:
            raise DataError(
                f"{file}: {contig}:{start}-{stop} cannot be read ({one_line(error)}); the file is truncated or damaged, or its "
                f"index is of another file: copy it again, then samtools faidx {file}"
            ) from None
        if len(text) != stop - start:
            raise DataError(
                f"{file}: {contig}:{start}-{stop} gives {len(text)} bases; the index is of another file: samtools faidx "
                f"{file}"
            )
        return np.frombuffer(text, dtype=np.uint8)

    return Genome(
        path=file,
        lengths_bp=dict(zip(fasta.references, fasta.lengths, strict=True)),
        note=f"{file.name}: {len(fasta.references)} contigs, read by its index",
        _letters=letters,
        _close=fasta.close,
    )


def _content(file: Path, missing: str) -> bytearray:
    """Return what comes after the first ">"; that it is there is looked at first, whatever the size of the file."""
    with open_binary(file) as stream:
        content = bytearray()
        while not content and (piece := stream.read(_PIECE_BYTES)):
            content += piece.lstrip()
        if not content.startswith(b">"):
            raise DataError(f"{file}: starts with {bytes(content[:1])!r}, expected '>' (FASTA)")
        n_bytes = max(len(content), file.stat().st_size)  # all of a plain file; a packed one holds more
        while n_bytes <= MOST_BYTES_WITHOUT_INDEX and (piece := stream.read(_PIECE_BYTES)):
            content += piece
            n_bytes = max(n_bytes, len(content))
    if n_bytes > MOST_BYTES_WITHOUT_INDEX:
        raise DataError(
            f"{file}: no index ({missing}), and too large to be read whole (more than {MOST_BYTES_WITHOUT_INDEX >> 20} MiB); make "
            f"it: samtools faidx {file} (bgzip it first if it is plain gzip)"
        )
    del content[:1]
    return content


def _whole(file: Path, missing: str) -> Genome:
    contigs: dict[str, ndarray] = {}
    for record in _content(file, missing).split(b"\n>"):
        header, _, bases = record.partition(b"\n")
        words = header.split()
        name = words[0].decode("utf-8", "replace") if words else ""
        if name in contigs or not name:
            raise DataError(
                f"{file}: contig {name!r} is there twice, or has no name; every contig needs its own"
            )
        contigs[name] = np.frombuffer(bases.translate(None, b"\r\n \t"), dtype=np.uint8)
    size_bp = sum(map(len, contigs.values()))
    return Genome(
        path=file,
        lengths_bp={name: len(bases) for name, bases in contigs.items()},
        note=f"{file.name}: no index, so read whole: {len(contigs)} contigs, {size_bp / 1e6:.1f} MB of memory",
        _letters=lambda contig, start, stop: contigs[contig][start:stop],
        _close=lambda: None,
    )
