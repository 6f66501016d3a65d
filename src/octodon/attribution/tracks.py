"""Contributions along a genome: bedGraph and bigWig, where the sequences have coordinates."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from octodon.atomic import atomic_file
from octodon.errors import ConfigError, DataError, RunError

_COORDINATES = re.compile(
    r"(?:^|.*[|\s])(?P<contig>[^:\s|]+):(?P<start>\d+)-(?P<stop>\d+)(?:[:(](?P<strand>[+-])\)?)?$"
)


@dataclass(frozen=True, kw_only=True)
class Interval:
    """Where a sequence lies: 0-based, half-open; on "-" the sequence is the reverse complement of the genome."""

    contig: str
    start: int
    stop: int
    strand: str = "+"


def intervals_of(ids: Sequence[str], length: int) -> list[Interval]:
    """Return the intervals that identifiers name: ``contig:start-stop``, 0-based and half-open, with ``:+``, ``(-)`` or none.

    Raises
    ------
    DataError
        For an identifier without coordinates, or an interval of another length than the sequences.
    """
    found = []
    for name in map(str, ids):
        match = _COORDINATES.match(name)
        if match is None:
            raise DataError(
                f"tracks: {name!r} has no coordinates; expected ids like chr2L:100-349:+ (0-based, half-open)"
            )
        start, stop = int(match["start"]), int(match["stop"])
        if stop - start != length:
            raise DataError(
                f"tracks: {name!r} spans {stop - start} bp, its sequence has {length} bp; expected equal lengths "
                f"(start is 0-based, stop is exclusive)"
            )
        found.append(Interval(contig=match["contig"], start=start, stop=stop, strand=match["strand"] or "+"))
    return found


def check_suffix(out: Path) -> None:
    """Refuse, before anything is computed, a name that says nothing of the format.

    Raises
    ------
    ConfigError
        For a suffix other than .bedgraph and .bw.
    """
    if out.suffix not in (".bedgraph", ".bw"):
        raise ConfigError(f"--track {out}: expected a name ending in .bedgraph or .bw")


def write_track(
    values: Float[ndarray, "n l"],
    intervals: Sequence[Interval],
    out: Path,
    sizes: dict[str, int] | None = None,
) -> None:
    """Write one value per base; where intervals overlap, their mean.

    Parameters
    ----------
    values : (n, l) array
        In the direction of the sequences.
    intervals : sequence of Interval
    out : path
        ``.bedgraph`` or ``.bw``.
    sizes : dict, optional
        Length of each contig, for a bigWig; default: the last base that is covered.

    Raises
    ------
    ConfigError
        For another suffix.
    DataError
        For another number of intervals.
    RunError
        When the file cannot be written.
    """
    if len(values) != len(intervals):
        raise DataError(f"tracks: {len(values)} sequences, {len(intervals)} intervals; expected one for each")
    check_suffix(out)
    contigs = {name: _covered(values, intervals, name) for name in sorted({i.contig for i in intervals})}
    with atomic_file(out) as partial:
        if out.suffix == ".bedgraph":
            with partial.open("w") as file:
                for name, (position, mean) in contigs.items():
                    file.writelines(
                        f"{name}\t{start}\t{start + 1}\t{value:.6g}\n"
                        for start, value in zip(position.tolist(), mean.tolist(), strict=True)
                    )
            return
        import pybigtools  # loaded only where tracks are written

        last = {name: int(position[-1]) + 1 for name, (position, _) in contigs.items()}
        written = 0

        def entries() -> Iterator[tuple[str, int, int, float]]:
            nonlocal written
            for name, (position, mean) in contigs.items():
                for start, value in zip(position.tolist(), mean.tolist(), strict=True):
                    yield name, start, start + 1, value
                written += 1

        writer = pybigtools.open(str(partial), "w")
        writer.write(
            {name: (sizes or {}).get(name, stop) for name, stop in last.items()},
            entries(),
        )
        # pybigtools prints what goes wrong and returns: what it has not asked for, it has not written
        if written < len(contigs):
            raise RunError(
                f"{out}: the track could not be written; check contig sizes, space and permissions"
            )


def _covered(
    values: Float[ndarray, "n l"], intervals: Sequence[Interval], contig: str
) -> tuple[ndarray, ndarray]:
    """Return the positions of a contig that are covered, sorted, and the mean value at each."""
    rows = [row for row, interval in enumerate(intervals) if interval.contig == contig]
    start = np.array([intervals[row].start for row in rows])
    reverse = np.array([intervals[row].strand == "-" for row in rows])
    along = np.where(reverse[:, None], values[rows][:, ::-1], values[rows])
    position, place = np.unique(start[:, None] + np.arange(values.shape[1]), return_inverse=True)
    place = place.ravel()
    total = np.bincount(place, weights=along.ravel().astype(np.float64))
    return position, total / np.bincount(place)
