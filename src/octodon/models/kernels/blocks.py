"""Convolution, BatchNorm, pooling by 2 and ReLU of every member as one differentiable step."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from types import ModuleType
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from octodon.models.kernels import torch_passes

_NARROWEST_WINDOW = 16
"""Columns that the matrix units of a GPU multiply at least."""
_ALIGNED = 8
"""Channels are made a multiple of it: 16 bytes of bfloat16, which a GPU reads at once."""


@dataclass(frozen=True, kw_only=True, eq=False)
class BlockConvolution:
    """The weights (m, o, c, k) of a convolution that keeps the length, its bias (m, o), and the zeros before its first position."""

    weight: Tensor
    bias: Tensor | None
    left: int


@dataclass(frozen=True, kw_only=True, eq=False)
class BlockNorm:
    """Weights and running estimates (m, o) of BatchNorm; in training the statistics are those of the batch."""

    weight: Tensor
    bias: Tensor
    running_mean: Tensor
    running_var: Tensor
    eps: float
    training: bool


@dataclass(frozen=True, kw_only=True, eq=False)
class Statistics:
    """Mean and population variance (m, o) of ``count`` outputs of a convolution, its bias included."""

    mean: Tensor
    variance: Tensor
    count: int


def has_triton() -> bool:
    """Return whether Triton is installed, as it is with PyTorch for GPUs."""
    return find_spec("triton") is not None


def passes_on(device: torch.device) -> ModuleType:
    """Return the passes for a device: Triton's on a GPU where it is installed, else PyTorch's."""
    if device.type == "cuda" and has_triton():
        from octodon.models.kernels import triton_passes  # an optional package

        return triton_passes
    return torch_passes


def first_block(
    x: Float[Tensor, "m b c l"], conv: BlockConvolution, norm: BlockNorm, products: torch.dtype
) -> tuple[Float[Tensor, "m b h p"], Statistics]:
    """Return relu(max_pool(norm(conv(x)), 2)) of sequences, whose gradient nobody asks for; products are of the type given.

    As ``octodon.models.first_block``: mean and variance of a convolution's output follow from those of its windows, so
    BatchNorm is known before the convolution. Here nothing of its size is kept either: the backward pass multiplies again.
    The result is position-major; channels of zeros follow up to a multiple of 8, as matrix units read them.
    """
    passes = passes_on(x.device)
    windows, last = _windows(x, conv, products)
    result, mean, variance = _FirstBlock.apply(  # type: ignore[misc]
        (windows, last, x.shape), conv.weight, conv.bias, norm.weight, norm.bias, (norm.eps, _fixed(conv, norm), passes),
    )  # fmt: skip
    return result.unflatten(1, (x.shape[1], -1)), _statistics(conv, mean, variance, x.shape[1] * x.shape[3])


def pooled_block(
    x: Float[Tensor, "m b l c"], conv: BlockConvolution, norm: BlockNorm
) -> tuple[Float[Tensor, "m b h p"], Statistics]:
    """Return relu(max_pool(norm(conv(x)), 2)) of features, position-major; both may have channels of zeros at the end.

    One product gives what every position contributes through each tap; these are shifted and added up, normalised, pooled and
    rectified in two passes, and in two more backward. The gradient of the convolution's bias, which BatchNorm cancels, is 0.
    """
    result, mean, variance = _PooledBlock.apply(  # type: ignore[misc]
        x, conv.weight, conv.bias, norm.weight, norm.bias,
        (norm.eps, conv.left, _fixed(conv, norm), passes_on(x.device)),
    )  # fmt: skip
    return result, _statistics(conv, mean, variance, x.shape[1] * x.shape[2])


def _fixed(conv: BlockConvolution, norm: BlockNorm) -> tuple[Tensor, Tensor] | None:
    """Return mean (without the convolution's bias) and variance where they are not those of the batch."""
    if norm.training:
        return None
    mean = norm.running_mean if conv.bias is None else norm.running_mean - conv.bias
    return mean, norm.running_var


def _statistics(conv: BlockConvolution, mean: Tensor, variance: Tensor, count: int) -> Statistics:
    whole = mean if conv.bias is None else mean + conv.bias.detach()
    return Statistics(mean=whole, variance=variance, count=count)


def _windows(
    x: Float[Tensor, "m b c l"], conv: BlockConvolution, kind: torch.dtype
) -> tuple[Float[Tensor, "m r v"], Float[Tensor, "m b w"] | None]:
    """Return what each pair of positions reads, position-major, and what an odd last position reads."""
    size, channels = conv.weight.shape[3], x.shape[2]
    padded = _padded(x.to(kind).transpose(2, 3), (0, 0, conv.left, size - 1 - conv.left))
    pairs = padded.unfold(2, size + 1, 2).transpose(3, 4)
    windows = pairs.reshape(len(x), -1, (size + 1) * channels)
    columns = max(_NARROWEST_WINDOW, 1 << (windows.shape[2] - 1).bit_length())
    last = padded[:, :, -size:].flatten(2) if x.shape[3] % 2 else None
    return _padded(windows, (0, columns - windows.shape[2])).contiguous(), last


class _FirstBlock(torch.autograd.Function):
    """See ``first_block``; ``inputs`` are windows, last positions and the shape of the sequences."""

    @staticmethod
    def forward(
        ctx: Any,
        inputs: Any,
        weight: Float[Tensor, "m o c k"],
        bias: Float[Tensor, "m o"] | None,
        scale: Float[Tensor, "m o"],
        shift: Float[Tensor, "m o"],
        how: Any,
    ) -> tuple[Tensor, Tensor, Tensor]:
        (windows, last, shape), (eps, fixed, passes) = inputs, how
        wide = weight.transpose(2, 3).flatten(2)  # (m, o, w): columns as those of the windows
        channels, width = weight.shape[2], wide.shape[2]
        if fixed is None:
            centre, covariance = _window_moments(passes, windows, last, (channels, width), shape)
            by_covariance = wide @ covariance
            mean = (wide @ centre[..., None])[..., 0]
            variance = (by_covariance * wide).sum(2)
        else:
            mean, variance = fixed
            centre = by_covariance = None
        inverse = torch.rsqrt(variance + eps)
        slope = scale * inverse
        more = -weight.shape[1] % _ALIGNED
        folded = _padded(wide * slope[..., None], (0, 0, 0, more))
        pair = _at_both(folded, channels, windows.shape[2]).to(windows.dtype)
        offset = _padded(shift - slope * mean, (0, more))
        result = passes.pooled_product(windows, pair, offset)
        ctx.save_for_backward(windows, pair, offset, wide, scale, slope, inverse, mean, centre, by_covariance)
        ctx.passes, ctx.shape, ctx.has_bias = passes, weight.shape, bias is not None
        ctx.mark_non_differentiable(mean, variance)
        return result, mean, variance

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Any, ...]:  # type: ignore[override]
        windows, pair, offset, wide, scale, slope, inverse, mean, centre, by_covariance = ctx.saved_tensors
        gradient = grad_outputs[0].contiguous()
        by_pair, by_shift = ctx.passes.pooled_product_gradients(windows, pair, offset, gradient)
        _, outputs, channels, size = ctx.shape
        width = wide.shape[2]
        by_first, by_second = by_pair.unflatten(2, (2, -1))[..., :outputs].unbind(2)
        by_folded = by_first[:, :width] + by_second[:, channels : channels + width]
        by_folded, by_shift = by_folded.mT, by_shift[:, :outputs]  # (m, o, w), by wide * slope
        by_slope = (by_folded * wide).sum(2) - by_shift * mean
        by_wide = slope[..., None] * (by_folded - by_shift[..., None] * centre[:, None])
        by_variance = -0.5 * inverse**3 * by_slope * scale
        by_wide = by_wide + 2 * by_variance[..., None] * by_covariance
        by_weight = by_wide.unflatten(2, (size, channels)).transpose(2, 3)
        by_bias = torch.zeros_like(by_shift) if ctx.has_bias else None
        return None, by_weight, by_bias, by_slope * inverse, by_shift, None


def _window_moments(
    passes: ModuleType, windows: Tensor, last: Tensor | None, widths: tuple[int, int], shape: torch.Size
) -> tuple[Float[Tensor, "m w"], Float[Tensor, "m w w"]]:
    """Return mean and covariance of what every single position reads."""
    channels, width = widths
    second, first = passes.moments(windows)
    here, there = slice(0, width), slice(channels, channels + width)
    second = second[:, here, here] + second[:, there, there]
    first = first[:, here] + first[:, there]
    if last is not None:  # it has no partner: pooling leaves it out, BatchNorm counts it
        wide = last.to(second.dtype)
        second, first = second + wide.mT @ wide, first + wide.sum(1)
    count = shape[1] * shape[3]
    centre = first / count
    return centre, second / count - centre[:, :, None] * centre[:, None]


def _padded(x: Tensor, zeros: tuple[int, ...]) -> Tensor:
    """Return x with zeros around it, as ``torch.nn.functional.pad``, which would copy it where there are none."""
    return F.pad(x, zeros) if any(zeros) else x


def _at_both(weight: Float[Tensor, "m o w"], channels: int, columns: int) -> Float[Tensor, "m v p"]:
    """Return the weights for windows that are one position wider, at its first and at its second place."""
    rest = columns - weight.shape[2]
    both = torch.cat([_padded(weight, (0, rest)), _padded(weight, (channels, rest - channels))], 1)
    return both.mT.contiguous()


class _PooledBlock(torch.autograd.Function):
    """See ``pooled_block``."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Float[Tensor, "m b l c"],
        weight: Float[Tensor, "m o i k"],
        bias: Float[Tensor, "m o"] | None,
        scale: Float[Tensor, "m o"],
        shift: Float[Tensor, "m o"],
        how: Any,
    ) -> tuple[Tensor, Tensor, Tensor]:
        eps, left, fixed, passes = how
        _, outputs, inputs, size = weight.shape
        more = -outputs % _ALIGNED
        kernel = _padded(weight.permute(0, 2, 3, 1), (0, more, 0, 0, 0, x.shape[3] - inputs)).to(x.dtype)
        kernel = kernel.flatten(2)  # (m, c, k * p)
        parts = torch.bmm(x.flatten(1, 2), kernel).view(*x.shape[:3], size, outputs + more)
        y, sums = passes.shifted_sum(parts, left)
        if fixed is None:
            mean, square = (sums[..., :outputs] / (x.shape[1] * x.shape[2])).unbind(1)
            variance = (square - mean.square()).clamp(min=0)
        else:
            mean, variance = fixed
        inverse = torch.rsqrt(variance + eps)
        slope = scale * inverse
        folded = _padded(torch.stack([slope, shift - mean * slope, mean, inverse]), (0, more))
        result = passes.normalised_pool(y, folded[0], folded[1])
        ctx.save_for_backward(x, kernel, y, folded)
        ctx.passes, ctx.taps, ctx.shape, ctx.has_bias = passes, (size, left), weight.shape, bias is not None
        ctx.mark_non_differentiable(mean, variance)
        return result, mean, variance

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Any, ...]:  # type: ignore[override]
        x, kernel, y, folded = ctx.saved_tensors
        passes, taps = ctx.passes, ctx.taps
        gradient = grad_outputs[0].contiguous()
        sums = passes.normalised_pool_sums(gradient, y, folded)
        parts = passes.shifted_gradients(gradient, y, folded, sums, taps).flatten(3).flatten(1, 2)
        by_x = torch.bmm(parts, kernel.mT).view_as(x)
        _, outputs, inputs, size = ctx.shape
        by_kernel = torch.bmm(x.flatten(1, 2).mT, parts).unflatten(2, (size, -1))
        by_weight = by_kernel[:, :inputs, :, :outputs].permute(0, 3, 1, 2).to(folded.dtype)
        by_shift, by_scale = sums[..., :outputs].unbind(1)
        by_bias = torch.zeros_like(by_shift) if ctx.has_bias else None
        return by_x, by_weight, by_bias, by_scale, by_shift, None
