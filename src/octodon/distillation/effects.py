"""What the members would differ in: the std of the difference of two sequences, learnt by a student after its distillation.

A student gives the std of each sequence alone. Of an effect, the difference of two nearly equal sequences, that says little: what the
members do not know about the two is nearly the same and cancels. So pairs of sequences that differ by a random variant are shown to the
members, and a small map on the student's features learns the std of THEIR differences.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float, UInt8
from numpy import ndarray
from torch import Tensor

from octodon.distillation.copies import DEFAULT_RECIPES, altered_copy
from octodon.distillation.student import Student
from octodon.distillation.teachers import Teachers
from octodon.ensemble.execution import Execution
from octodon.ensemble.workers import threads
from octodon.metrics.pearson import correlation
from octodon.models.factors import FactorMap, Factors
from octodon.models.heads import heads
from octodon.models.observe import features_in_batches
from octodon.models.seeded import seeded
from octodon.seeds import derive_seed

PAIRS_PER_SEQUENCE, MOST_PAIRS, VALID_PAIRS = 6, 50_000, 2_000
_SMALL = 0.02
"""Of a mean std: below it the logarithm of the loss need not follow."""
_EPOCHS, _BATCH, _RATE, _DECAY = 12, 512, 4e-3, 1e-3
_HIDDEN_SHARE = 0.3
"""Of the features of a pair, in training: 50,000 pairs are few for a map of hundreds of features. With none hidden r on held-out variants
of validation sequences was .83 / .85, with these .84 / .86 (promoter tiles; benchmarks/results/variants.md)."""
_INDEL_SHARE, _LONGEST_INDEL_BP = 0.3, 5


@dataclass(frozen=True, kw_only=True, eq=False)
class EffectStd:
    """What a student learnt of effects.

    Attributes
    ----------
    student : Student
        With ``factors``.
    pearson : (t,) array
        Of the std that it says and that of the members, for random variants of the validation sequences.
    naive : (t,) array
        The same of sqrt(var_ref + var_alt), as if the errors of both alleles were unrelated.
    naive_ratio : (t,) array
        How many times too large that is on average.
    """

    student: Student
    pearson: Float[ndarray, " t"]
    naive: Float[ndarray, " t"]
    naive_ratio: Float[ndarray, " t"]


def learn_effects(
    student: Student,
    teachers: Teachers,
    train: UInt8[ndarray, "n l"],
    valid: UInt8[ndarray, "p l"],
    *,
    seed: int,
    execution: Execution | None = None,
) -> EffectStd | None:
    """Return the student with the std of differences; None where there is nothing to learn it from.

    That is a teacher alone, which disagrees with nobody, or a student that was not asked to learn the std of a sequence.

    The members label six pairs a training sequence, at most 50,000: a training sequence or, twice as often, an altered copy of one,
    beside itself with a random substitution, or (three in ten) insertion or deletion of 1 to 5 bases. On pairs of validation
    sequences the size of the stds is set and their worth is measured.
    """
    if "epistemic_std" not in heads[student.model.head].gives:
        return None
    if teachers.predict_members(train[:2], execution=execution).n_members < 2:
        return None
    rng = np.random.default_rng(derive_seed(seed, "effects", "pairs"))
    n_pairs = min(MOST_PAIRS, PAIRS_PER_SEQUENCE * len(train))
    shown = random_alleles(_references(train, n_pairs, rng, seed), rng)
    n_valid = min(VALID_PAIRS, PAIRS_PER_SEQUENCE * len(valid))
    held_out = random_alleles(valid[rng.integers(0, len(valid), n_valid)], rng)
    labels, checked = (_spread(teachers, pair, execution) for pair in (shown, held_out))
    device = "auto" if execution is None else execution.device_here
    fitted = _fit(_said(student, shown, device), labels, seed=derive_seed(seed, "effects", "fit"))
    beside = _said(student, held_out, device)
    with torch.no_grad():
        said = beside.std(fitted)
        # members are surer of sequences that they know: the size is taken from those that they do not
        fitted.scale(checked.mean(0).clamp(min=1e-12) / said.mean(0).clamp(min=1e-12))
        said = beside.std(fitted)
    naive, true = beside.stds.square().sum(0).sqrt().numpy(), checked.numpy()
    return EffectStd(
        student=replace(student, factors=Factors.of(fitted)),
        pearson=_pearson(said.numpy(), true),
        naive=_pearson(naive, true),
        naive_ratio=naive.mean(0) / true.mean(0),
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class _Said:
    """What the student makes of both sequences of pairs."""

    features: Float[Tensor, "2 n f"]
    means: Float[Tensor, "2 n t"]
    stds: Float[Tensor, "2 n t"]

    def take(self, rows: Tensor) -> _Said:
        """Return some of the pairs."""
        return _Said(features=self.features[:, rows], means=self.means[:, rows], stds=self.stds[:, rows])

    def with_hidden(self, centre: Float[Tensor, " f"], generator: torch.Generator) -> _Said:
        """Return the pairs with a share of their features, the same of both sequences, at ``centre`` (dropout)."""
        kept = torch.rand(self.features.shape[1:], generator=generator) >= _HIDDEN_SHARE
        stretched = (self.features - centre) / (1 - _HIDDEN_SHARE)
        return replace(self, features=torch.where(kept, centre + stretched, centre))

    def std(self, factors: FactorMap) -> Float[Tensor, "n t"]:
        """Return the std of every difference."""
        both = [factors(*allele) for allele in zip(self.features, self.stds, strict=True)]
        return factors.std(torch.stack(both), self.means, self.stds)


def _said(student: Student, pair: tuple[ndarray, ndarray], device: str) -> _Said:
    said = [student.predict(codes, device=device, calibrated=False) for codes in pair]
    stds = [one.epistemic_std for one in said if one.epistemic_std is not None]
    features = [features_in_batches(student.network, codes) for codes in pair]
    columns = (features, [one.mean for one in said], stds)
    found = [torch.from_numpy(np.stack(values).astype(np.float32)) for values in columns]
    return _Said(features=found[0], means=found[1], stds=found[2])


def random_alleles(
    codes: UInt8[ndarray, "n l"], rng: np.random.Generator
) -> tuple[UInt8[ndarray, "n l"], UInt8[ndarray, "n l"]]:
    """Return every sequence beside itself with one random variant; what a deletion lacks at the ends is random."""
    n, length = codes.shape
    alt, row, place = codes.copy(), np.arange(n), rng.integers(0, length, n)
    alt[row, place] = (codes[row, place] + rng.integers(1, 4, n)) % 4
    indels = np.flatnonzero(rng.random(n) < _INDEL_SHARE)
    alt[indels] = _with_indel(codes[indels], rng)
    return codes, alt


def _with_indel(codes: UInt8[ndarray, "n l"], rng: np.random.Generator) -> UInt8[ndarray, "n l"]:
    """Return every sequence with an insertion or a deletion, the parts beside it moved alike, as ``octodon variants`` centres them."""
    n, length = codes.shape
    size = rng.integers(1, min(_LONGEST_INDEL_BP, length - 1) + 1, (n, 1))
    inserts, place = rng.random((n, 1)) < 0.5, rng.integers(0, length, (n, 1))
    before, after, position = size // 2, size - size // 2, np.arange(length)[None]
    # what is left of an insertion moves to the left by half of it; of a deletion, to the right
    begins = np.where(inserts, place - before, place + before)
    ends = np.where(inserts, place + after, begins)
    left = np.where(inserts, position + before, position - before)
    right = np.where(inserts, position - after, position + after)
    source = np.where(position < begins, left, right)
    is_new = ((position >= begins) & (position < ends)) | (source < 0) | (source >= length)
    kept = np.take_along_axis(codes, np.clip(source, 0, length - 1), axis=1)
    return np.where(is_new, rng.integers(0, 4, codes.shape), kept).astype(np.uint8)


def _references(train: ndarray, n_pairs: int, rng: np.random.Generator, seed: int) -> ndarray:
    """Return a third training sequences and two thirds altered copies, by every recipe in turn."""
    parts = [train[rng.integers(0, len(train), n_pairs // 3)]]
    rest = np.array_split(rng.integers(0, len(train), n_pairs - n_pairs // 3), len(DEFAULT_RECIPES))
    parts += [
        altered_copy(train[rows], recipe, derive_seed(seed, "effects", "copy", k))
        for k, (rows, recipe) in enumerate(zip(rest, DEFAULT_RECIPES, strict=True))
        if len(rows)
    ]
    return np.concatenate(parts)


def _spread(
    teachers: Teachers, pair: tuple[ndarray, ndarray], execution: Execution | None
) -> Float[Tensor, "n t"]:
    """Return the std over members (``correction=0``) of their own differences."""
    with threads(1):
        ref, alt = (teachers.predict_members(codes, execution=execution).mean for codes in pair)
    return torch.from_numpy((alt - ref).std(axis=0).astype(np.float32))


def _fit(said: _Said, labels: Float[Tensor, "n t"], *, seed: int) -> FactorMap:
    """Return the map that fits the logarithms of the labels best."""
    unit = labels.mean(0).clamp(min=1e-12)
    with seeded(seed):
        made = FactorMap(said.features.shape[2], labels.shape[1])
    made.fit_scale(said.features[0], said.stds[0], unit)
    wanted, generator = torch.log(labels / unit + _SMALL), torch.Generator().manual_seed(seed)
    steps = _EPOCHS * -(-len(labels) // _BATCH)
    optimiser = torch.optim.AdamW(made.parameters(), lr=_RATE, weight_decay=_DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, _RATE, total_steps=steps)
    for _ in range(_EPOCHS):
        for rows in torch.randperm(len(labels), generator=generator).split(_BATCH):
            seen = said.take(rows).with_hidden(made.get_buffer("centre"), generator)
            found = torch.log(seen.std(made) / unit + _SMALL)
            loss = (found - wanted[rows]).square().mean()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
    return made.eval()


def _pearson(one: Float[ndarray, "n t"], other: Float[ndarray, "n t"]) -> Float[ndarray, " t"]:
    pairs = zip(one.T.astype(np.float64), other.T.astype(np.float64), strict=True)
    return np.array([correlation(a, b) for a, b in pairs])
