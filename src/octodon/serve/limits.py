"""What a service bears, and how it says no."""

from __future__ import annotations

import math
from dataclasses import dataclass

from octodon.errors import ConfigError, OctodonError


class Refusal(OctodonError):
    """A request that is not answered, with the HTTP status that says why."""

    def __init__(self, status: int, line: str) -> None:
        super().__init__(line)
        self.status = status


@dataclass(frozen=True, kw_only=True)
class Limits:
    """How much a service takes on.

    Attributes
    ----------
    sequences : int
        In one request; more: 413.
    megabytes : float
        Of one request's body; more: 413.
    waiting : int
        Sequences of all requests that wait for the model or are in it; beyond: 503.
    requests : int
        Requests at work at once, those that are still being read included; beyond: 503.
    seconds : float
        From the first byte of a request to its answer; beyond: 503.
    """

    sequences: int = 10_000
    megabytes: float = 16.0
    waiting: int = 50_000
    requests: int = 64
    seconds: float = 60.0

    def __post_init__(self) -> None:
        for name in ("sequences", "megabytes", "waiting", "requests", "seconds"):
            if not 0 < getattr(self, name) < math.inf:
                raise ConfigError(f"limits.{name}: {getattr(self, name)}, expected a number above 0")
        if self.waiting < self.sequences:
            raise ConfigError(
                f"limits: {self.waiting:,} sequences may wait, {self.sequences:,} be in one request, which would then never be "
                f"answered; allow at least as many to wait"
            )

    @property
    def body_bytes(self) -> int:
        """Bytes of the largest body."""
        return int(self.megabytes * 1e6)

    def refuse_sequences(self, n: int) -> None:
        """Raise Refusal (413) for too many sequences."""
        if n > self.sequences:
            raise Refusal(
                413,
                f"{n:,} sequences, at most {self.sequences:,} in one request; send them in parts, or use octodon predict",
            )
