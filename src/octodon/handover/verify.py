"""Does a bundle still say what it said? Its self-test, asked again with today's hardware and versions."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy import ndarray

from octodon.artifact.bundle import load
from octodon.artifact.selftest import BESIDE, QUANTITIES, read_selftest, said_by, versions
from octodon.errors import BundleError

TOLERANCE = 1e-3
"""Share of a column's spread over the self-test's sequences that it may differ by. Other processors, libraries and batch
sizes add float32 numbers in another order: about 1e-6 of it; TensorFloat-32 on a GPU about 1e-4. An error (bases in another
order, another BatchNorm epsilon, a weight that is not the saved one) moves it by 1e-2 and more."""
_PERCENTILES = 100.0


@dataclass(frozen=True, kw_only=True)
class Difference:
    """One column of the self-test: the largest difference from what was said then, and how large it may be."""

    quantity: str
    target: str
    largest: float
    tolerance: float

    @property
    def holds(self) -> bool:
        """Whether it is small enough; a NaN that was none is not."""
        return self.largest <= self.tolerance


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What became of a bundle's self-test.

    Attributes
    ----------
    differences : tuple of Difference
    then, now : dict of str to str
        Versions and platform.
    n_sequences : int
    """

    differences: tuple[Difference, ...]
    then: dict[str, str]
    now: dict[str, str]
    n_sequences: int

    @property
    def holds(self) -> bool:
        """Whether every column holds."""
        return all(column.holds for column in self.differences)


def verify(bundle: str | Path, *, backbone: str | type | None = None, device: str = "auto") -> Verdict:
    """Return how far the bundle's answers to its own self-test are from those that were saved with it.

    Raises
    ------
    BundleError
        No bundle, a damaged one, or one without a self-test (saved by an older octodon).
    RunError
        When a GPU is asked for that is not there.
    """
    folder = Path(bundle)
    model = load(folder, backbone=backbone)
    kept = read_selftest(folder)
    if kept is None:
        raise BundleError(
            f"{folder}: has no self-test (saved by an octodon before it wrote one), so that nothing can be compared; load it "
            f"where its answers are known to be right and save it again in its place: octodon.save(octodon.load(PATH), PATH)"
        )
    now = said_by(model, kept.codes, device)
    now = {name: values for name, values in now.items() if name in kept.said or name not in BESIDE}
    if now.keys() != kept.said.keys():
        odd = sorted(now.keys() ^ kept.said.keys())
        raise BundleError(
            f"{folder}: its self-test and its answers differ in what they hold ({', '.join(odd)}); a part was added or "
            f"removed by hand: copy the bundle again, or save it again"
        )
    columns = [
        column
        for name in (*QUANTITIES, *BESIDE)
        if name in now
        for column in _compare(name, kept.said[name], now[name], model.target_names)
    ]
    return Verdict(
        differences=tuple(columns), then=kept.versions, now=versions(), n_sequences=len(kept.codes)
    )


def _compare(name: str, then: ndarray, now: ndarray, targets: tuple[str, ...]) -> list[Difference]:
    if then.shape != now.shape:
        raise BundleError(
            f"self-test: {name} has shape {then.shape}, the model says {now.shape}; copy the bundle again"
        )
    if name in ("ood_score", "ood_threshold"):
        return [_difference(name, "", then, now, _PERCENTILES)]
    return [
        _difference(name, target, before, after, _spread(before))
        for target, before, after in zip(targets, then.T, now.T, strict=True)
    ]


def _difference(name: str, target: str, then: ndarray, now: ndarray, spread: float) -> Difference:
    # NaN then and NaN now is the same answer
    difference = np.where(np.isnan(then) & np.isnan(now), 0.0, np.abs(now.astype(np.float64) - then))
    return Difference(
        quantity=name, target=target, largest=float(difference.max()), tolerance=TOLERANCE * spread
    )


def _spread(values: ndarray) -> float:
    """Return largest minus smallest, or the size of values that are all alike."""
    finite = values[np.isfinite(values)].astype(np.float64)
    if not len(finite):
        return 1.0
    size = float(np.abs(finite).max())
    return max(float(np.ptp(finite)), 1e-3 * size, 1e-6)
