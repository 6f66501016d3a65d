"""Metrics of an interval: one file each, a pure function of its ends, the measured truth and the level.

A metric takes ``lower``, ``upper`` and ``truth``, each (n, t), and the ``level``; it returns one float64 value per
target, (t,). Rows whose truth is NaN are left out target by target; see ``_ends.py`` for what every metric refuses.
"""

from octodon.metrics.intervals._ends import IntervalMetric
from octodon.registry import Registry

interval_metrics: Registry[IntervalMetric] = Registry("interval metric", __name__)

__all__ = ["IntervalMetric", "interval_metrics"]
