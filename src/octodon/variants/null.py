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
    count: int,
    seed: int,
    both_strands: bool,
    device: str = "auto",
) -> Null | None:
    """Return the null of ``count`` random substitutions, each in a dinucleotide shuffle of its own, seen as the variants are.

    Parameters
    ----------
    surroundings : (k, w) uint8
        Real sequences, longer than the model's by the spread of the offsets, so that every window lies inside. Each
        different one is shuffled as often as the others, give or take one; those of N alone are left out (None without any
        other).
    offsets_bp, both_strands
        Windows over which an effect is averaged.
    seed : int
        Of shuffles and substitutions.
    """
    length = predictor.model.length
    at = length // 2 - min(offsets_bp)
    shuffled = _shuffles(surroundings, count, derive_seed(seed, "null", "shuffle"))
    if not len(shuffled):
        return None
    mutated = _mutated(shuffled, at, derive_seed(seed, "null", "base"))
    starts = [at - length // 2 + offset for offset in offsets_bp]
    ref, alt = (np.stack([x[:, s : s + length] for s in starts], axis=1) for x in (shuffled, mutated))
    effects = effects_of(predictor, ref, alt, both_strands=both_strands, device=device)
    return Null(sizes=np.sort(np.abs(effects.effect), axis=0))


def _shuffles(codes: UInt8[ndarray, "k w"], count: int, seed: int) -> UInt8[ndarray, "c w"]:
    """Return ``count`` shuffles: one of each different sequence, then a second of each, and so on."""
    first = np.unique(codes, axis=0, return_index=True)[1]
    # in the order given, which is random: what a last, shorter round leaves out has no letters in common
    kept = codes[np.sort(first)]
    kept = kept[(kept != N_CODE).any(axis=1)]
    if not len(kept):
        return kept
    rounds = dinucleotide_shuffle(kept, -(-count // len(kept)), seed).swapaxes(0, 1)
    return rounds.reshape(-1, codes.shape[1])[:count]


def _mutated(codes: UInt8[ndarray, "c w"], at: int, seed: int) -> UInt8[ndarray, "c w"]:
    """Return the sequences with another base at position ``at``, or at the nearest one to it that holds no N."""
    rows, width = np.arange(len(codes)), codes.shape[1]
    nearest = np.where(codes == N_CODE, width, np.abs(np.arange(width) - at)).argmin(axis=1)
    step = np.random.default_rng(seed).integers(1, 4, len(codes), dtype=np.uint8)
    mutated = codes.copy()
    mutated[rows, nearest] = (codes[rows, nearest] + step) % 4
    return mutated
