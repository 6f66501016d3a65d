"""Baselines, one file each: options as fields, and ``fit``, which trains networks by the function that it is given.

What comes back is an ``Ensemble``, if only of one network: it predicts, is calibrated, saved and distilled as any other. What
is new about a baseline is its head (``models/heads``), or how its networks are read (``Ensemble.dropout``).
"""

from octodon.baselines.methods._base import Baseline, Train
from octodon.registry import Registry

baselines: Registry[type[Baseline]] = Registry("baseline", __name__)

__all__ = ["Baseline", "Train", "baselines"]
