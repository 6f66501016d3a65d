"""The blocks of one network that is evaluated on a GPU."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from octodon.models.kernels import blocks


def applies(x: object, conv: nn.Module, norm: nn.Module) -> bool:
    """Return whether a block is computed here: on a GPU with Triton, evaluated, without gradients, its length kept."""
    return (
        isinstance(x, Tensor)  # else it is followed, not computed: see octodon.models.lowering
        and x.is_cuda
        and blocks.has_triton()
        and not torch.is_grad_enabled()
        and isinstance(conv, nn.Conv1d)
        and isinstance(norm, nn.BatchNorm1d)
        and not norm.training
        and norm.running_mean is not None
        and norm.affine
        and conv.padding == "same"
        and (conv.dilation, conv.stride, conv.groups) == ((1,), (1,), 1)
    )


def first_block(x: Float[Tensor, "n c l"], conv: nn.Module, norm: nn.Module) -> Float[Tensor, "n o k"]:
    """Return relu(max_pool(norm(conv(x)), 2)) of sequences, where it ``applies``."""
    pooled, _ = blocks.first_block(x[None], _convolution(conv), _norm(norm), x.dtype)
    return with_whole(pooled[0], conv.out_channels)  # type: ignore[arg-type]  # a Conv1d


def pooled_block(x: Float[Tensor, "n c l"], conv: nn.Module, norm: nn.Module) -> Float[Tensor, "n o k"]:
    """Return relu(max_pool(norm(conv(x)), 2)) of features, where it ``applies``."""
    pooled, _ = blocks.pooled_block(whole_of(x).contiguous()[None], _convolution(conv), _norm(norm))
    return with_whole(pooled[0], conv.out_channels)  # type: ignore[arg-type]  # a Conv1d


def with_whole(whole: Float[Tensor, "n k p"], channels: int) -> Float[Tensor, "n o k"]:
    """Return features without their channels of zeros, as modules expect them; a block that comes next takes them whole."""
    result = whole[..., :channels].transpose(1, 2)
    result.whole = whole  # type: ignore[attr-defined]
    return result


def whole_of(x: Float[Tensor, "n c l"]) -> Float[Tensor, "n l p"]:
    """Return features position-major, with the channels of zeros of ``with_whole`` where they come from there."""
    whole = getattr(x, "whole", None)
    return x.transpose(1, 2) if whole is None else whole


def _convolution(conv: nn.Module) -> blocks.BlockConvolution:
    assert isinstance(conv, nn.Conv1d)
    bias = None if conv.bias is None else conv.bias[None]
    return blocks.BlockConvolution(weight=conv.weight[None], bias=bias, left=(conv.kernel_size[0] - 1) // 2)


def _norm(norm: nn.Module) -> blocks.BlockNorm:
    assert isinstance(norm, nn.BatchNorm1d)
    assert norm.running_mean is not None
    assert norm.running_var is not None
    return blocks.BlockNorm(
        weight=norm.weight[None],
        bias=norm.bias[None],
        running_mean=norm.running_mean[None],
        running_var=norm.running_var[None],
        eps=norm.eps,
        training=False,
    )
