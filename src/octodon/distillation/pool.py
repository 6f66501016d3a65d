"""A pool of further sequences without measurements: the teachers label them for the student."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Bool, UInt8
from numpy import ndarray

from octodon.data.examples import Examples
from octodon.data.formats.fasta import read_fasta
from octodon.data.lengths import LengthPolicy
from octodon.data.related import core_labels, repeats, strandless_labels
from octodon.errors import DataError

logger = logging.getLogger(__name__)

Lengths = Literal["refuse", "crop"]


def read_pool(path: Path, examples: Examples, lengths: Lengths = "refuse") -> UInt8[ndarray, "p l"]:
    """Return the sequences of a FASTA file that are not among the examples, nor twice in the pool.

    A pool may well hold sequences of the test split (a whole library does). To learn their labels, even if only the
    teachers', would make the test easier than it is: equal sequences, on either strand, are left out, and so are those
    that are equal between flanks which all rows share. How many is logged.

    Parameters
    ----------
    path : Path
        FASTA, plain or gzipped.
    examples : Examples
        All rows, whatever their split.
    lengths : {"refuse", "crop"}
        What to do with a sequence of another length than the examples': "crop" keeps its centre.

    Raises
    ------
    DataError
        From the reader; a length that does not fit; nothing left.
    """
    codes, known = _with_known(path, examples, lengths)
    if known.any():
        logger.warning(
            "distill.pool: %s of %s sequences left out, equal to one of the data or to another of the pool",
            f"{int(known.sum()):,}",
            f"{len(codes):,}",
        )
    return codes[~known]


def check_pool(path: Path, examples: Examples, lengths: Lengths = "refuse") -> None:
    """Refuse a pool that ``read_pool`` would refuse when the ensemble is trained; nothing is logged.

    Raises
    ------
    DataError
        As ``read_pool``.
    """
    _with_known(path, examples, lengths)


def _with_known(
    path: Path, examples: Examples, lengths: Lengths
) -> tuple[UInt8[ndarray, "p l"], Bool[ndarray, " p"]]:
    """Return the sequences of a pool, and which of them are known from the data or from earlier in the pool."""
    codes = read_fasta(path, length=LengthPolicy(policy=lengths, length_bp=examples.length)).codes
    both = np.concatenate([examples.codes, codes])
    known = (repeats(strandless_labels(both)) | repeats(core_labels(both)))[len(examples) :]
    if known.all():
        raise DataError(f"distill.pool: all {len(codes):,} sequences of {path} are among the data already")
    return codes, known
