"""Batched matrix products, and kernels of our own for what lies between them."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from octodon.ensemble.stacked.normalise import FoldedBatchNorm
from octodon.ensemble.stacked.strategies import strategies
from octodon.ensemble.stacked.strategies._folded import Folded
from octodon.ensemble.stacked.strategies.matmul import ProductConvolution
from octodon.models import layers
from octodon.models.kernels import blocks, evaluated


class BlockedConvolution(ProductConvolution):
    """Knows the blocks of which it may be part, and computes each as one step where that applies."""

    def first_block(self, x: Float[Tensor, "n c l"], norm: nn.Module) -> Float[Tensor, "n o k"]:
        """Return relu(max_pool(norm(conv(x)), 2)) of sequences; see ``octodon.models.first_block``."""
        if not self._is_block_with(norm):
            return layers.plain_block(x, self, norm)
        folded = x.unflatten(0, (len(self.weight_of_members), -1))
        products = _products(x)
        with torch.autocast(x.device.type, enabled=False):  # it would round the statistics, too
            return self._finish(norm, *blocks.first_block(folded, self._block, _norm(norm), products))

    def pooled_block(self, x: Float[Tensor, "n c l"], norm: nn.Module) -> Float[Tensor, "n o k"]:
        """Return relu(max_pool(norm(conv(x)), 2)) of features; see ``octodon.models.layers.pooled_block``."""
        if not self._is_block_with(norm):
            return layers.plain_block(x, self, norm)
        products = _products(x)
        with torch.autocast(x.device.type, enabled=False):
            folded = (
                evaluated.whole_of(x)
                .to(products)
                .contiguous()
                .unflatten(0, (len(self.weight_of_members), -1))
            )
            return self._finish(norm, *blocks.pooled_block(folded, self._block, _norm(norm)))

    def _finish(
        self, norm: nn.Module, pooled: Float[Tensor, "m b k p"], statistics: blocks.Statistics
    ) -> Float[Tensor, "n o k"]:
        assert isinstance(norm, FoldedBatchNorm)
        if norm.training:
            norm.remember(statistics.mean, statistics.variance, statistics.count)
        return evaluated.with_whole(pooled.flatten(0, 1), self.weight_of_members.shape[1])

    def _is_block_with(self, norm: nn.Module) -> bool:
        keeps_length = self.dilation == 1 and sum(self.padding) == self.weight_of_members.shape[3] - 1
        return keeps_length and isinstance(norm, FoldedBatchNorm)

    @property
    def _block(self) -> blocks.BlockConvolution:
        return blocks.BlockConvolution(
            weight=self.weight_of_members, bias=self.bias_of_members, left=self.padding[0]
        )


def _norm(norm: nn.Module) -> blocks.BlockNorm:
    assert isinstance(norm, FoldedBatchNorm)
    return blocks.BlockNorm(
        weight=norm.weight_of_members,
        bias=norm.bias_of_members,
        running_mean=norm.running["running_mean"],
        running_var=norm.running["running_var"],
        eps=norm.eps,
        training=norm.training,
    )


def _products(x: Tensor) -> torch.dtype:
    kind = x.device.type
    return torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else x.dtype


@strategies.register("fused")
class Fused(Folded):
    """Shifts, sums, BatchNorm, pooling and activation pass over memory about once a direction; the first layer keeps nothing."""

    convolution = BlockedConvolution
