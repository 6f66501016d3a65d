"""Batched matrix products with everything between them fused by ``torch.compile``."""

from __future__ import annotations

from octodon.ensemble.stacked.strategies import strategies
from octodon.ensemble.stacked.strategies._compiled import Compiled
from octodon.ensemble.stacked.strategies.matmul import Matmul


@strategies.register("compiled_matmul")
class CompiledMatmul(Compiled, Matmul):  # type: ignore[override]  # ``one`` passes on what it is given
    """BatchNorm, pooling and activations pass over memory once instead of once each, for all members."""
