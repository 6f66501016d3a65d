"""Convolution, BatchNorm, pooling by 2 and ReLU of a network's FIRST layer as one step, on a CPU; see ``first_block``."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from octodon.models import layers
from octodon.models.kernels import evaluated

_ROWS = 1024
"""Rows at once: 1024 x 512 float32 are 2 MB, so what the convolution writes is still in cache for the steps after it."""
_MAX_CHANNELS = 8
"""Above this many input channels the covariance of the windows costs more than it saves."""


def first_block(x: Float[Tensor, "n c l"], conv: nn.Module, norm: nn.Module) -> Float[Tensor, "n o k"]:
    """Return relu(max_pool(norm(conv(x)), 2)).

    A convolution is linear, so mean and variance of its output follow from those of its input windows (a 28 x 28
    covariance for 7 bases): mean = W mu + b, var = diag(W C W'). BatchNorm is then known BEFORE the convolution and folds
    into its weights, no full-size intermediate is kept, and autograd differentiates the statistics on small matrices.
    The numbers are those of the plain layers up to rounding (about 7 times closer to float64 than theirs); the
    gradient of the convolution's bias, which BatchNorm cancels, is exactly 0 here and rounding noise there.

    Under bfloat16 autocast the products and what they give are bfloat16, as those of the plain layers would be; the
    statistics, and sums over positions, stay float32.

    Falls back to the plain layers where it does not apply: on an accelerator, in another precision, with many input
    channels, for another kind of convolution, or when the gradient of the input is wanted.

    Measured on DeepSTARR (144 bp, batch 128, one AVX2 thread of a busy machine, the two in turn, best and median): a training
    step in 85 and 101 ms, plain 104 and 127; prediction of a batch in 27 and 32 ms, plain 31 and 36; peak memory 393
    and 472 MB. The other convolutions take most of what is left, near the speed of the matrix products in them. In bfloat16
    (249 bp, one thread with avx512_bf16, in turn, best): 67 ms, plain 77; in float32 there 106 and 124.
    """
    own = getattr(conv, "first_block", None)
    if own is not None:  # of a stack of networks
        return own(x, norm)
    if evaluated.applies(x, conv, norm) and x.shape[1] <= _MAX_CHANNELS:
        return evaluated.first_block(x, conv, norm)
    if not (isinstance(conv, layers.Conv1d) and isinstance(norm, layers.BatchNorm1d)):
        return layers.plain_block(x, conv, norm)
    products = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else torch.float32
    fits = (
        isinstance(x, Tensor)  # else it is followed, not computed: see octodon.models.lowering
        and x.device.type == "cpu"
        and x.dtype == torch.float32 == conv.weight.dtype
        and not (x.requires_grad and torch.is_grad_enabled())
        and products in (torch.float32, torch.bfloat16)
        and x.shape[1] <= _MAX_CHANNELS
        and conv.padding == "same"
        and conv.dilation == (1,)
        and conv.kernel_size[0] % 2 == 1
        and norm.momentum is not None
    )
    if not fits:
        return layers.plain_block(x, conv, norm)
    with torch.autocast("cpu", enabled=False):  # it would round the statistics, too
        return _in_one_step(x, conv, norm, products)


def _in_one_step(
    x: Float[Tensor, "n c l"], conv: layers.Conv1d, norm: layers.BatchNorm1d, products: torch.dtype
) -> Float[Tensor, "n o k"]:
    size = conv.kernel_size[0]
    windows = _windows(x, size)
    weight = conv.weight.transpose(1, 2).flatten(1)
    mean, variance = _statistics(x, windows, weight, conv, norm)
    scale = norm.weight * torch.rsqrt(variance + norm.eps)
    weight = weight * scale[:, None]
    shift = norm.bias - scale * mean
    if conv.bias is not None:
        shift = shift + scale * conv.bias
    # Both positions of a pair in one product: the window is one position wider, the weights are shifted within it.
    pair = torch.cat([F.pad(weight, (0, x.shape[1])), F.pad(weight, (x.shape[1], 0))])
    pooled: Any = _PooledProduct.apply(windows.to(products), pair, shift.repeat(2))
    return pooled[0].unflatten(0, (len(x), -1)).transpose(1, 2)


def _windows(x: Float[Tensor, "n c l"], size: int) -> Float[Tensor, "r w"]:
    """Return, for every pair of positions, the ``size + 1`` positions that its two outputs read, position-major."""
    padded = F.pad(x.transpose(1, 2), (0, 0, size // 2, size // 2))
    return padded.unfold(1, size + 1, 2).transpose(2, 3).reshape(-1, (size + 1) * x.shape[1])


def _statistics(
    x: Float[Tensor, "n c l"],
    windows: Float[Tensor, "r w"],
    weight: Float[Tensor, "o v"],
    conv: layers.Conv1d,
    norm: layers.BatchNorm1d,
) -> tuple[Tensor, Tensor]:
    """Return mean and population variance of the convolution's output (of its running estimates in eval mode)."""
    assert norm.running_mean is not None
    assert norm.running_var is not None
    assert norm.momentum is not None
    if not norm.training:
        return norm.running_mean, norm.running_var
    n, channels, length = x.shape
    width, count = weight.shape[1], n * length
    moments = windows.T @ windows  # of ones and zeros: counts, exact below 2^24
    sums = windows.sum(0)
    second = moments[:width, :width] + moments[channels:, channels:]
    first = sums[:width] + sums[channels:]
    if length % 2:  # the last position has no partner: pooling leaves it out, BatchNorm counts it
        size = conv.kernel_size[0]
        last = F.pad(x.transpose(1, 2), (0, 0, size // 2, size // 2))[:, -size:].flatten(1)
        second, first = second + last.T @ last, first + last.sum(0)
    centre = first.double() / count
    covariance = second.double() / count - torch.outer(centre, centre)
    wide = weight.double()
    mean = (wide @ centre).float()
    variance = ((wide @ covariance) * wide).sum(1).float()
    if conv.bias is not None:
        mean = mean + conv.bias
    with torch.no_grad():
        norm.running_mean.lerp_(mean, norm.momentum)
        norm.running_var.lerp_(variance * (count / (count - 1)), norm.momentum)
        if norm.num_batches_tracked is not None:
            norm.num_batches_tracked.add_(1)
    return mean, variance


class _PooledProduct(torch.autograd.Function):
    """relu(max(x A' + a, x B' + b)) for stacked weights [A; B], in pieces that stay in cache.

    Computed in the precision of x; weights and their gradients, which BatchNorm's nearly cancel, are float32 always.
    """

    @staticmethod
    def forward(windows: Tensor, weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
        rows, outputs = len(windows), len(weight) // 2
        result, difference = windows.new_empty(rows, outputs), windows.new_empty(rows, outputs)
        buffer = windows.new_empty(_ROWS, 2 * outputs)
        weight, bias = weight.to(windows.dtype), bias.to(windows.dtype)
        for start in range(0, rows, _ROWS):
            here = slice(start, min(start + _ROWS, rows))
            both = buffer[: here.stop - start]
            torch.addmm(bias, windows[here], weight.T, out=both)
            torch.maximum(both[:, :outputs], both[:, outputs:], out=result[here]).clamp_min_(0)
            torch.sub(both[:, outputs:], both[:, :outputs], out=difference[here])
        return result, difference

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, ...], output: tuple[Tensor, ...]) -> None:
        ctx.mark_non_differentiable(output[1])
        ctx.set_materialize_grads(False)  # else zeros as large as the output are made for it
        ctx.save_for_backward(inputs[0], *output)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(  # type: ignore[override]  # the decorator hides the parameters' names
        ctx: Any, *grad_outputs: Tensor | None
    ) -> tuple[None, Tensor | None, Tensor | None]:
        gradient, _ = grad_outputs
        if gradient is None:
            return None, None, None
        windows, result, difference = ctx.saved_tensors
        rows, outputs = result.shape
        # Sums over thousands of positions: float32 also where their terms are bfloat16.
        by_weight = windows.new_zeros(windows.shape[1], 2 * outputs, dtype=torch.float32)
        by_bias = windows.new_zeros(2 * outputs, dtype=torch.float32)
        buffer = windows.new_empty(_ROWS, 2 * outputs)
        for start in range(0, rows, _ROWS):
            here = slice(start, min(start + _ROWS, rows))
            both = buffer[: here.stop - start]
            # threshold_backward(g, s, 0) is g where s > 0, else 0; 17 times faster here than torch.where.
            alive = torch.ops.aten.threshold_backward(gradient[here], result[here], 0)
            second = both[:, outputs:]
            torch.ops.aten.threshold_backward(alive, difference[here], 0, grad_input=second)
            torch.sub(alive, second, out=both[:, :outputs])
            if windows.dtype == torch.float32:
                by_weight.addmm_(windows[here].T, both)
            else:
                by_weight += windows[here].T @ both
            by_bias += both.sum(0, dtype=torch.float32)
        return None, by_weight.T, by_bias

    @staticmethod
    def vmap(
        info: Any, in_dims: tuple[int | None, ...], *tensors: Tensor
    ) -> tuple[tuple[Tensor, ...], tuple[int, int]]:
        moved = [
            t.expand(info.batch_size, *t.shape) if dim is None else t.movedim(dim, 0)
            for t, dim in zip(tensors, in_dims, strict=True)
        ]
        results = [_PooledProduct.apply(*row) for row in zip(*moved, strict=True)]
        return tuple(torch.stack(column) for column in zip(*results, strict=True)), (0, 0)
