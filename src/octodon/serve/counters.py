"""What a service counts, in the text format of Prometheus."""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections import Counter
from collections.abc import Mapping

BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)


class Counters:
    """Requests by path and status, their seconds by path, and what went through the model."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._requests: Counter[tuple[str, int]] = Counter()
        self._buckets: dict[str, list[int]] = {}
        self._seconds: Counter[str] = Counter()
        self._totals: Counter[str] = Counter()

    def request(self, path: str, status: int, seconds: float) -> None:
        """Count a request that was answered."""
        with self._lock:
            self._requests[path, status] += 1
            buckets = self._buckets.setdefault(path, [0] * (len(BUCKETS_S) + 1))
            buckets[bisect_left(BUCKETS_S, seconds)] += 1
            self._seconds[path] += seconds  # type: ignore[assignment]  # a Counter of floats

    def add(self, name: str, n: int = 1) -> None:
        """Add to a total."""
        with self._lock:
            self._totals[name] += n

    def answered(self) -> int:
        """Return the number of requests counted."""
        with self._lock:
            return sum(self._requests.values())

    def text(self, gauges: Mapping[str, tuple[str, float]]) -> str:
        """Return all counts, with values of this moment by name (each with its meaning)."""
        with self._lock:
            lines = _head("octodon_requests_total", "counter", "Requests answered, by path and HTTP status.")
            for (path, status), n in sorted(self._requests.items()):
                lines.append(f'octodon_requests_total{{path="{path}",status="{status}"}} {n}')
            lines += _head("octodon_request_seconds", "histogram", "Seconds from a request to its answer.")
            for path, counts in sorted(self._buckets.items()):
                lines += self._histogram(path, counts)
            for name, meaning in _TOTALS.items():
                lines += [*_head(name, "counter", meaning), f"{name} {self._totals[name]}"]
        for name, (meaning, value) in gauges.items():
            lines += [*_head(name, "gauge", meaning), f"{name} {value:g}"]
        return "\n".join(lines) + "\n"

    def _histogram(self, path: str, counts: list[int]) -> list[str]:
        lines, below = [], 0
        for edge, count in zip((*BUCKETS_S, float("inf")), counts, strict=True):
            below += count
            label = "+Inf" if edge == float("inf") else f"{edge:g}"
            lines.append(f'octodon_request_seconds_bucket{{path="{path}",le="{label}"}} {below}')
        lines.append(f'octodon_request_seconds_sum{{path="{path}"}} {self._seconds[path]:.6f}')
        return [*lines, f'octodon_request_seconds_count{{path="{path}"}} {below}']


SEQUENCES, BATCHES = "octodon_sequences_total", "octodon_batches_total"
_TOTALS = {
    SEQUENCES: "Sequences that went through the model for /predict and /variants.",
    BATCHES: "Batches that they went in; requests that come together share one.",
}


def _head(name: str, kind: str, meaning: str) -> list[str]:
    return [f"# HELP {name} {meaning}", f"# TYPE {name} {kind}"]
