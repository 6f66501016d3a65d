"""Codes of a large table in a file that is mapped: while networks train elsewhere, they take no memory of this process."""

from __future__ import annotations

import mmap
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy import ndarray

from octodon.atomic import atomic_file
from octodon.data.examples import Examples

LARGE_BYTES = 2**26
"""Smaller codes stay where they are."""


def with_codes_on_disk(examples: Examples, path: Path) -> Examples:
    """Return the same examples with their codes in ``path``, if they are large; the file must stay while they are used."""
    if examples.codes.nbytes < LARGE_BYTES:
        return examples
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_file(path) as partial:
        np.save(partial, examples.codes)
    # "c": shared until written, and nobody writes; torch wraps such arrays without a copy or a warning
    return replace(examples, codes=np.load(path, mmap_mode="c"))


def forget_pages(codes: ndarray) -> None:
    """Unmap what was read of mapped codes; it is mapped again when it is read again."""
    mapped = getattr(codes, "_mmap", None)
    if isinstance(mapped, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
        mapped.madvise(mmap.MADV_DONTNEED)
