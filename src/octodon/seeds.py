"""Seeds from seeds: every stream of random numbers is named, so that none depends on what ran before it."""

from __future__ import annotations

import hashlib


def derive_seed(seed: int, *path: int | str) -> int:
    """Return the seed (0 to 2**63 - 1) of the stream called ``path`` under ``seed``.

    Examples
    --------
    >>> derive_seed(0, "member", 3) == derive_seed(0, "member", 3) != derive_seed(0, "member", 4)
    True
    """
    text = "/".join(map(repr, (seed, *path)))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1
