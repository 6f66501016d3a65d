"""Motifs from maps: modisco-lite on contributions weighted by confidence, patterns named from a MEME file."""

from __future__ import annotations

import gzip
import importlib.util
import warnings
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float
from numpy import ndarray

from octodon.atomic import atomic_file
from octodon.attribution.record import Attribution
from octodon.errors import ConfigError, DataError
from octodon.seq.codes import ALPHABET

_SMOOTHED_BP = 9
"""Confidence is that of a stretch about as wide as a motif, not of single bases."""
_TRIM = 0.3
"""A pattern is cut to the positions with at least this share of its largest contribution (modisco-lite's report)."""
_FEW_MOTIFS = 25
"""Below this many, tomtom's p-values depend much on which motifs the file holds (memelite)."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Pattern:
    """A motif that recurs in the maps.

    Attributes
    ----------
    name : str
        "pos_0": the sign of its contributions, and its rank.
    ppm : (w, 4) array
        Frequencies of bases over its seqlets, each weighted by its confidence.
    cwm : (w, 4) array
        Mean contribution of the bases that are there.
    n_seqlets : int
    confidence : float
        Mean confidence of its seqlets, 0 to 1.
    """

    name: str
    ppm: Float[ndarray, "w 4"]
    cwm: Float[ndarray, "w 4"]
    n_seqlets: int
    confidence: float

    @property
    def core(self) -> slice:
        """The positions that matter."""
        size = np.abs(self.cwm).sum(axis=1)
        inside = np.flatnonzero(size >= _TRIM * size.max())
        return slice(int(inside[0]), int(inside[-1]) + 1)

    @property
    def consensus(self) -> str:
        """The most frequent bases of the core."""
        return "".join(ALPHABET[i] for i in self.ppm[self.core].argmax(axis=1))


def confidence_of(attribution: Attribution) -> Float[ndarray, "n l"]:
    """Return how sure the members are of each contribution, 0 to 1: mean^2 / (mean^2 + variance over members).

    Squares are summed over 9 bp. The factor that would shrink an estimate of that mean and variance towards 0; 1 everywhere
    where there are no members.
    """
    std = attribution.observed_std
    if std is None:
        return np.ones(attribution.codes.shape)
    signal, noise = (_smooth(np.square(x, dtype=np.float64)) for x in (attribution.observed, std))
    return np.divide(signal, signal + noise, out=np.zeros_like(signal), where=signal + noise > 0)


def _smooth(values: Float[ndarray, "n l"]) -> Float[ndarray, "n l"]:
    half = _SMOOTHED_BP // 2
    total = np.cumsum(np.pad(values, ((0, 0), (half + 1, half))), axis=1)
    return np.maximum(total[:, _SMOOTHED_BP:] - total[:, :-_SMOOTHED_BP], 0)


def find_motifs(
    attribution: Attribution,
    out: Path | None = None,
    *,
    window: int | None = None,
    max_seqlets: int = 2000,
    weighted: bool = True,
) -> list[Pattern]:
    """Return the patterns that modisco-lite finds in the maps, the strongest support first.

    Maps are multiplied by the members' confidence first, so that stretches on which they disagree make no seqlets, and seqlets
    weigh by it in the pattern's frequencies.

    Parameters
    ----------
    out : path, optional
        Where to write modisco-lite's own HDF5, for ``modisco report`` and other tools.
    window : int, optional
        Bases from the middle that are looked at; default all.
    max_seqlets : int
        Per sign.
    weighted : bool
        False leaves the maps as they are.

    Raises
    ------
    ConfigError
        Where modisco-lite is not installed, or the window is longer than the sequences or too short for a seqlet.
    """
    if importlib.util.find_spec("modiscolite") is None:
        raise ConfigError("motifs need modisco-lite, which is not installed: pip install 'octodon[motifs]'")
    length = attribution.codes.shape[1]
    size = length if window is None else window
    if not 40 <= size <= length:
        raise ConfigError(f"--window {size}: expected 40 to {length}, the length of the sequences")
    start = (length - size) // 2
    inside = slice(start, start + size)
    confidence = confidence_of(attribution)[:, inside]
    maps = attribution.maps[:, :, inside]
    weights = confidence if weighted else np.ones_like(confidence)
    from modiscolite import io, tfmodisco

    found = tfmodisco.TFMoDISco(
        one_hot=attribution.one_hot[:, :, inside].transpose(0, 2, 1),
        hypothetical_contribs=(maps * weights[:, None]).transpose(0, 2, 1).astype(np.float32),
        sliding_window_size=20,
        flank_size=5,
        max_seqlets_per_metacluster=max_seqlets,
        n_leiden_runs=2,
    )
    if out is not None:
        with atomic_file(out) as partial:
            io.save_hdf5(partial, *found, size)
    return [
        _pattern(f"{sign}_{number}", pattern, confidence, weights)
        for sign, patterns in zip(("pos", "neg"), found, strict=True)
        for number, pattern in enumerate(patterns or [])
    ]


def _pattern(name: str, pattern: Any, confidence: ndarray, weights: ndarray) -> Pattern:
    places = [(s.example_idx, s.start, s.end) for s in pattern.seqlets]
    sure, weight = (
        np.array([values[row, start:stop].mean() for row, start, stop in places])
        for values in (confidence, weights)
    )
    sequences = np.stack([s.sequence for s in pattern.seqlets]).astype(np.float64)
    counts = np.einsum("s,swb->wb", weight, sequences)
    return Pattern(
        name=name,
        ppm=counts / counts.sum(axis=1, keepdims=True),
        cwm=np.asarray(pattern.contrib_scores, dtype=np.float64),
        n_seqlets=len(places),
        confidence=float(sure.mean()),
    )


def name_patterns(patterns: list[Pattern], meme: Path | None, matches: int = 3) -> pd.DataFrame:
    """Return one row per pattern, with the nearest known motifs where a MEME file is given.

    Columns: pattern, consensus, n_seqlets, confidence and, per match, ``match_1``, ``p_1`` (tomtom, Gupta et al. 2007, Euclidean
    distance, both strands), ``e_1`` (p times the number of motifs in the file).

    Raises
    ------
    DataError
        When the file holds no motif.
    """
    table = pd.DataFrame(
        {
            "pattern": [p.name for p in patterns],
            "consensus": [p.consensus for p in patterns],
            "n_seqlets": [p.n_seqlets for p in patterns],
            "confidence": [p.confidence for p in patterns],
        }
    )
    if meme is None or not patterns:
        return table
    from memelite import tomtom

    known = read_meme(meme)
    names, matrices = list(known), [matrix.T for matrix in known.values()]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="tomtom was given")  # the caller says so, see few_motifs
        p_values, *_ = tomtom([p.ppm[p.core].T for p in patterns], matrices, n_jobs=1)
    order = np.argsort(p_values, axis=1, kind="stable")[:, : min(matches, len(names))]
    best = np.take_along_axis(np.asarray(p_values), order, axis=1)
    for rank in range(order.shape[1]):
        table[f"match_{rank + 1}"] = [names[i] for i in order[:, rank]]
        table[f"p_{rank + 1}"] = best[:, rank]
        table[f"e_{rank + 1}"] = best[:, rank] * len(names)
    return table


def few_motifs(meme: Path) -> str:
    """Return a remark where the file holds so few motifs that p-values depend on which; "" otherwise."""
    count = len(read_meme(meme))
    if count >= _FEW_MOTIFS:
        return ""
    return f"{meme.name} holds {count} motifs; below {_FEW_MOTIFS}, tomtom's p-values are rough"


def read_meme(path: Path) -> dict[str, Float[ndarray, "w 4"]]:
    """Return the letter-probability matrices of a MEME file (.gz or not), by name.

    Raises
    ------
    DataError
        When the file is not there, holds no motif, or a matrix that is not w rows of 4 probabilities.
    """
    try:
        packed = path.read_bytes()
        lines = (gzip.decompress(packed) if path.suffix == ".gz" else packed).decode().splitlines()
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read ({error}); expected motifs in MEME format") from None
    motifs: dict[str, ndarray] = {}
    name, rows, width = "", [], 0
    for number, line in enumerate([*lines, ""], start=1):
        if line.startswith("MOTIF") and width <= 0:
            name, rows, width = " ".join(line.split()[1:]), [], 0
        elif line.startswith("letter-probability matrix") and name:
            width = _width(path, number, line)
        elif width:
            if rows and not line.strip() and width < 0:
                width = len(rows)
            else:
                rows.append(_row(path, number, line))
            if len(rows) == width:
                if name in motifs:
                    raise DataError(
                        f"{path}, line {number}: motif {name!r} is there twice; every motif needs its own name"
                    )
                motifs[name] = np.array(rows)
                name, width = "", 0
    if not motifs:
        raise DataError(f"{path}: no motif found; expected MEME format with letter-probability matrices")
    return motifs


def _width(path: Path, number: int, line: str) -> int:
    """Return how many rows a matrix has; -1 where its head does not say, so that a blank line ends it."""
    fields = line.replace("=", " ").split()
    if "w" not in fields:
        return -1
    width = " ".join(fields[fields.index("w") + 1 :][:1])
    if not width.isdecimal() or int(width) < 1:
        raise DataError(f"{path}, line {number}: width {width!r}, expected a whole number from 1 on (w= 8)")
    return int(width)


def _row(path: Path, number: int, line: str) -> list[float]:
    try:
        values = [float(field) for field in line.split()]
    except ValueError:
        values = []
    if len(values) != 4 or abs(sum(values) - 1) > 0.02:
        raise DataError(f"{path}, line {number}: {line.strip()[:60]!r}, expected 4 probabilities (A C G T)")
    return values
