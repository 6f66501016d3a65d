"""Numbers in the sentences of a verdict."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from octodon.report.verdict.facts import TargetFacts

_MINUS = "\N{MINUS SIGN}"


def or_nan(value: float | None) -> float:
    """Return the number, NaN where it is not known."""
    return math.nan if value is None else value


def each(targets: Sequence[TargetFacts], of: Callable[[TargetFacts], str]) -> str:
    """Return what is said of each target, after its name."""
    return "; ".join(f"{t.target} {of(t)}" for t in targets)


def as_r(value: float | None) -> str:
    """Return a correlation as text."""
    return "undefined" if value is None or math.isnan(value) else f"{value:.2f}"


def signed(value: float | None) -> str:
    """Return a difference as text, with its sign."""
    return f"{or_nan(value):+.3f}".replace("-", _MINUS)
