"""Out-of-distribution scores: how unlike the training sequences a sequence is. One file each, fitted once, numpy only."""

from octodon.ood._base import Arrays, Observed, Score
from octodon.registry import Registry

scores: Registry[type[Score]] = Registry("ood score", __name__)

__all__ = ["Arrays", "Observed", "Score", "scores"]
