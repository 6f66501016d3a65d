"""Batch normalisation of several members whose rows lie side by side on the batch axis."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from octodon.models.kernels.blocks import has_triton, passes_on


class FoldedBatchNorm(nn.Module):
    """BatchNorm of (m * b, c, ...) with statistics, weights and running estimates (m, c) of each member's own."""

    def __init__(
        self, weight: Tensor, bias: Tensor, running: Mapping[str, Tensor], *, eps: float, momentum: float
    ) -> None:
        super().__init__()
        self.weight_of_members, self.bias_of_members = weight, bias
        self.running = dict(running)
        self.eps, self.momentum = eps, momentum

    def forward(self, x: Tensor) -> Tensor:
        """Return the normalised features; in training mode the running estimates follow."""
        weight, bias = self.weight_of_members, self.bias_of_members
        y = x.unflatten(0, (len(weight), -1))  # (m, b, c) or (m, b, c, l)
        if self.training:
            normalised, mean, variance = _Normalise.apply(y, weight, bias, self.eps)  # type: ignore[misc]
            self.remember(mean, variance, y.numel() // weight.numel())
        else:
            scale = weight * torch.rsqrt(self.running["running_var"] + self.eps)
            shift = bias - self.running["running_mean"] * scale
            normalised = torch.addcmul(_wide(shift, y), y, _wide(scale, y)).to(y.dtype)
        return normalised.flatten(0, 1)

    def remember(self, mean: Tensor, variance: Tensor, count: int) -> None:
        """Let the running estimates follow the mean and population variance of ``count`` numbers a channel."""
        with torch.no_grad():
            self.running["running_mean"].lerp_(mean.to(self.bias_of_members.dtype), self.momentum)
            unbiased = variance * (count / (count - 1))  # as PyTorch: correction=1 in the running estimate
            self.running["running_var"].lerp_(unbiased.to(self.bias_of_members.dtype), self.momentum)
            self.running["num_batches_tracked"].add_(1)


class _Normalise(torch.autograd.Function):
    """(x - mean) / std * weight + bias over axes (b, l), with the gradient in closed form (Ioffe and Szegedy 2015).

    Differentiated operation by operation it would pass eight times over the activations instead of three.
    """

    @staticmethod
    def forward(
        ctx: Any, x: Float[Tensor, "m b c *l"], weight: Tensor, bias: Tensor, eps: float
    ) -> tuple[Tensor, Tensor, Tensor]:
        if x.dim() == 3 and x.is_cuda and has_triton():
            y, moments = passes_on(x.device).normalised_rows(x.contiguous(), weight, bias, eps)
            ctx.save_for_backward(x, weight, moments)
            ctx.eps = eps
            mean, variance = moments.unbind()
            ctx.mark_non_differentiable(mean, variance)
            return y, mean, variance
        mean, variance = _moments(x)
        inverse = torch.rsqrt(variance + eps)
        scale = weight * inverse
        y = torch.addcmul(_wide(bias - mean * scale, x), x, _wide(scale, x)).to(x.dtype)
        ctx.save_for_backward(x, weight, mean, inverse)
        ctx.mark_non_differentiable(mean, variance)
        return y, mean, variance

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:  # type: ignore[override]
        gradient = grad_outputs[0]
        if len(ctx.saved_tensors) == 3:
            x, weight, moments = ctx.saved_tensors
            passes, gradient = passes_on(x.device), gradient.contiguous()
            by_x, sums = passes.normalised_rows_gradients(gradient, x.contiguous(), weight, moments, ctx.eps)
            return by_x, sums[1], sums[0], None
        x, weight, mean, inverse = ctx.saved_tensors
        axes, count = _axes(x), x.numel() // weight.numel()
        by_bias = gradient.sum(axes, dtype=weight.dtype)
        centred = x - _wide(mean, x).to(x.dtype)
        by_weight = (gradient * centred).sum(axes, dtype=weight.dtype) * inverse
        scale = weight * inverse
        slope = -scale * inverse * by_weight / count
        shift = -scale * by_bias / count
        by_x = torch.addcmul(_wide(shift, x), centred, _wide(slope, x))
        by_x = torch.addcmul(by_x, gradient, _wide(scale, x)).to(x.dtype)
        return by_x, by_weight, by_bias, None


def _moments(x: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean and population variance (m, c), at least in float32."""
    if x.dtype in (torch.float32, torch.float64):
        variance, mean = torch.var_mean(x, _axes(x), correction=0)
        return mean, variance
    # var_mean would round its result to 8 bits; these accumulate and answer in float32.
    count = x.shape[1] * (x.shape[3] if x.dim() == 4 else 1)
    mean = x.sum(_axes(x), dtype=torch.float32) / count
    square = torch.linalg.vector_norm(x, dim=_axes(x), dtype=torch.float32).square() / count
    return mean, (square - mean.square()).clamp(min=0)


def _axes(x: Tensor) -> tuple[int, ...]:
    return (1, 3) if x.dim() == 4 else (1,)


def _wide(values: Float[Tensor, "m c"], x: Tensor) -> Tensor:
    """Return (m, c) values with axes of length one where x has b and l."""
    return values.reshape(len(values), 1, -1, *[1] * (x.dim() - 3))
