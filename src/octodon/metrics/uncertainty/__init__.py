"""Metrics of a std: one file each, a pure function of predicted mean and std and of the measured truth.

A metric takes ``mean``, ``std`` and ``truth``, each (n, t), and returns one float64 value per target, (t,). It
carries ``better``: "lower" or "higher". Rows whose truth is NaN are left out target by target; see ``_spread.py``
for what every metric refuses.
"""

from octodon.metrics.uncertainty._spread import SpreadMetric
from octodon.registry import Registry

uncertainty_metrics: Registry[SpreadMetric] = Registry("uncertainty metric", __name__)

__all__ = ["SpreadMetric", "uncertainty_metrics"]
