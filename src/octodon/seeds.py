"""Seeds from seeds: every stream of random numbers is named, so that none depends on what ran before it."""

from __future__ import annotations

import hashlib
import operator
from typing import SupportsIndex


def derive_seed(seed: SupportsIndex, *path: SupportsIndex | str) -> int:
    """Return the seed (0 to 2**63 - 1) of the stream called ``path`` under ``seed``.

    Examples
    --------
    >>> derive_seed(0, "member", 3) == derive_seed(0, "member", 3) != derive_seed(0, "member", 4)
    True
    """
    # operator.index: a numpy integer names the same stream as the Python integer that it equals.
    parts = [part if isinstance(part, str) else operator.index(part) for part in (seed, *path)]
    text = "/".join(map(repr, parts))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1
