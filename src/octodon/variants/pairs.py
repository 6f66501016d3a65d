"""Pairs of reference and alternative sequences from a table, block by block."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy import ndarray

from octodon.data._arrow import Coder, texts_of
from octodon.data._batches import TEXT, table_batches
from octodon.data.assemble import refuse_empty_ids, row_ids
from octodon.data.lengths import LengthPolicy

Pairs = tuple[ndarray, ndarray, ndarray]
"""Ids, (v, l) codes of the references, and of the alternatives."""


def read_pairs(path: Path, ref: str, alt: str, id: str | None, length_bp: int) -> Iterator[Pairs]:
    """Yield successive blocks of rows.

    Raises
    ------
    DataError
        A missing file or column, an empty id, a letter that is no base, a sequence of another length than ``length_bp``.
    """
    policy = LengthPolicy(length_bp=length_bp)
    coders = [Coder(policy, f"{path}: column {name!r}") for name in (ref, alt)]
    n = 0
    for batch in table_batches(path, dict.fromkeys([ref, alt, *([id] if id else [])], TEXT)):
        refs, alts = (
            coder.column(batch.column(name)) for coder, name in zip(coders, (ref, alt), strict=True)
        )
        ids = row_ids(len(refs), first=n + 1) if id is None else texts_of([batch.column(id)])
        refuse_empty_ids(ids, str(path), n)
        n += len(refs)
        for at in range(0, len(refs), 4096):
            yield ids[at : at + 4096], refs[at : at + 4096], np.ascontiguousarray(alts[at : at + 4096])
