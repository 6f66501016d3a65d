"""Plain networks, one after another, with everything between their convolutions fused by ``torch.compile``."""

from __future__ import annotations

from octodon.ensemble.stacked.strategies import strategies
from octodon.ensemble.stacked.strategies._compiled import Compiled
from octodon.ensemble.stacked.strategies.loop import Loop


@strategies.register("compiled_loop")
class CompiledLoop(Compiled, Loop):
    """What one member writes is still in the GPU's cache when its next layer reads it."""
