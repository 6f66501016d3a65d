"""Metrics: one file each, a pure function of prediction and truth; the results table and its summary.

A metric takes ``prediction`` and ``truth``, both (n, t), and returns one float64 value per target, (t,). It
carries ``better``: "lower" or "higher". Rows whose truth is NaN are left out target by target; see
``_paired.py`` for what every metric refuses.
"""

from octodon.metrics._paired import Metric, better
from octodon.registry import Registry

metrics: Registry[Metric] = Registry("metric", __name__)

__all__ = ["Metric", "better", "metrics"]
