"""How a check comes out: pass, warn or fail."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum


class Status(StrEnum):
    """How a check came out; in rising order of concern."""

    PASS = "pass"
    WARN = "warn"
    FAIL = "fail"


CONCERN = tuple(Status)
"""In rising order."""


def worst(statuses: Sequence[Status] | object) -> Status:
    """Return the status of most concern; pass of none."""
    return max(statuses, key=CONCERN.index, default=Status.PASS)  # type: ignore[call-overload]  # any iterable


def at_least(value: float, passes: float, warns: float) -> Status:
    """Return the status of a value that should be large."""
    return Status.PASS if value >= passes else Status.WARN if value >= warns else Status.FAIL


def at_most(value: float, passes: float, warns: float) -> Status:
    """Return the status of a value that should be small."""
    return Status.PASS if value <= passes else Status.WARN if value <= warns else Status.FAIL
