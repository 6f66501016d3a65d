"""Another GC content."""

from __future__ import annotations

import numpy as np
from jaxtyping import UInt8
from numpy import ndarray

from octodon.errors import ConfigError
from octodon.shifts.kinds import shifts


@shifts.register("gc")
def gc(codes: UInt8[ndarray, "n l"], seed: int, by: float = 0.15) -> UInt8[ndarray, "n l"]:
    """Return sequences whose GC content is higher by ``by``, a share of all bases; lower, if it is negative.

    At round(|by| l) random places A or T becomes C or G (C or G becomes A or T), either with an even chance; where a sequence
    has fewer such bases, all of them. So many mutations are a shift of their own: compare with mutagenesis of that fraction.

    Raises
    ------
    ConfigError
        For ``by`` outside -1 to 1.
    """
    if not -1 <= by <= 1:
        raise ConfigError(f"gc: by = {by}, expected -1 to 1 (share of all bases)")
    rng = np.random.default_rng(seed)
    strong = (codes == 1) | (codes == 2)
    weak = (codes == 0) | (codes == 3)
    key = np.where(weak if by > 0 else strong, rng.random(codes.shape), 2.0)
    count = round(abs(by) * codes.shape[1])
    places = np.argsort(key, axis=1)[:, :count]
    new = np.array([1, 2] if by > 0 else [0, 3], dtype=np.uint8)[rng.integers(0, 2, places.shape)]
    shifted = codes.copy()
    kept = np.take_along_axis(key, places, axis=1) > 1  # no such base left: a place that stays as it is
    np.put_along_axis(shifted, places, np.where(kept, np.take_along_axis(codes, places, axis=1), new), axis=1)
    return shifted
