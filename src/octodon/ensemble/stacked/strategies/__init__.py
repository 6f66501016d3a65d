"""Ways to compute all members of a stack at once, one file each; ``choose`` times them and keeps the fastest.

To add one, write a file here with a subclass of ``Strategy`` decorated with ``@strategies.register("name")``.
"""

from octodon.ensemble.stacked.strategies._base import Strategy
from octodon.registry import Registry

strategies: Registry[type[Strategy]] = Registry("strategy", __name__)

__all__ = ["Strategy", "strategies"]
