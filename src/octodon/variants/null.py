"""What effects look like where there is nothing: random mutations of shuffled sequences."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, UInt8
from numpy import ndarray

from octodon.predict.predictor import Predictor
from octodon.seeds import derive_seed
from octodon.seq.codes import N_CODE
from octodon.seq.shuffle import dinucleotide_shuffle
from octodon.variants.effects import effects_of


@dataclass(frozen=True, kw_only=True, eq=False)
class Null:
    """Sorted absolute effects of random mutations.

    Attributes
    ----------
    sizes : (k, t) array
        Ascending along the first axis.
    """

    sizes: Float[ndarray, "k t"]

    def percentile(self, effect: Float[ndarray, "v t"]) -> Float[ndarray, "v t"]:
        """Return the share of null effects, in percent (0 to 100), that are at most as large, whatever their sign."""
        ranks = [
            np.searchsorted(sizes, np.abs(column), side="right")
            for sizes, column in zip(self.sizes.T, effect.T, strict=True)
        ]
        return 100.0 * np.stack(ranks, axis=1) / len(self.sizes)


def shuffled_null(
    predictor: Predictor,
    surroundings: UInt8[ndarray, "k w"],
    offsets_bp: tuple[int, ...],
    *,
    seed: int,
    both_strands: bool,
    device: str = "auto",
) -> Null:
    """Return the null of one random substitution in a dinucleotide shuffle of each sequence, seen as the variants are.

    Parameters
    ----------
    surroundings : (k, w) uint8
        Real sequences, longer than the model's by the spread of the offsets, so that every window lies inside.
    offsets_bp, both_strands
        Windows over which an effect is averaged.
    seed : int
        Of shuffles and substitutions.
    """
    length = predictor.model.length
    shuffled = dinucleotide_shuffle(surroundings, 1, derive_seed(seed, "null", "shuffle"))[:, 0]
    rng = np.random.default_rng(derive_seed(seed, "null", "base"))
    at = length // 2 - min(offsets_bp)
    bases = shuffled[:, at]
    mutated = shuffled.copy()
    step = rng.integers(1, 4, len(bases), dtype=np.uint8)
    mutated[:, at] = np.where(bases == N_CODE, bases, (bases + step) % 4)
    starts = [at - length // 2 + offset for offset in offsets_bp]
    ref, alt = (np.stack([x[:, s : s + length] for s in starts], axis=1) for x in (shuffled, mutated))
    effects = effects_of(predictor, ref, alt, both_strands=both_strands, device=device)
    return Null(sizes=np.sort(np.abs(effects.effect), axis=0))
