"""Each pass as plain PyTorch: what ``triton_passes`` must equal, and what runs where there is no Triton.

Axes: m members, r rows (pairs of positions), v columns of a window, o outputs, b sequences, l positions, k taps of a kernel, c
channels. Sums are float32 at least, whatever the activations are.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor


def moments(windows: Float[Tensor, "m r v"]) -> tuple[Float[Tensor, "m v v"], Float[Tensor, "m v"]]:
    """Return X'X and the column sums of every member's windows."""
    wide = _wide(windows)
    return wide.mT @ wide, wide.sum(1)


def pooled_product(
    windows: Float[Tensor, "m r v"], weight: Float[Tensor, "m v p"], shift: Float[Tensor, "m o"]
) -> Float[Tensor, "m r o"]:
    """Return relu(max(X A, X B) + shift) for weights [A, B]: a product at both positions of a pair, pooled."""
    first, second = _both(windows, weight)
    pooled = torch.maximum(first, second) + shift[:, None]
    return pooled.clamp_min(0).to(windows.dtype)


def pooled_product_gradients(
    windows: Float[Tensor, "m r v"],
    weight: Float[Tensor, "m v p"],
    shift: Float[Tensor, "m o"],
    gradient: Float[Tensor, "m r o"],
) -> tuple[Float[Tensor, "m v p"], Float[Tensor, "m o"]]:
    """Return the gradients of ``pooled_product`` by its weights and its shift; it is computed again rather than kept."""
    first, second = _both(windows, weight)
    alive = _wide(gradient) * (torch.maximum(first, second) + shift[:, None] > 0)
    by_first = alive * (first >= second)
    both = torch.cat([by_first, alive - by_first], 2)
    return _wide(windows).mT @ both, alive.sum(1)


def shifted_sum(
    parts: Float[Tensor, "m b l k c"], left: int
) -> tuple[Float[Tensor, "m b l c"], Float[Tensor, "m 2 c"]]:
    """Return y[l] = sum over taps t of parts[l + t - left, t], zero outside, and the sums of y and its squares."""
    size = parts.shape[3]
    length = parts.shape[2]
    padded = F.pad(_wide(parts), (0, 0, 0, 0, left, size - 1 - left))
    y = torch.stack([padded[:, :, tap : tap + length, tap] for tap in range(size)]).sum(0).to(parts.dtype)
    wide = _wide(y)
    return y, torch.stack([wide.sum((1, 2)), wide.square().sum((1, 2))], 1)


def normalised_pool(
    y: Float[Tensor, "m b l c"], scale: Float[Tensor, "m c"], shift: Float[Tensor, "m c"]
) -> Float[Tensor, "m b h c"]:
    """Return relu(max over pairs of positions of y * scale + shift); an odd last position is left out."""
    z = _affine(y, scale, shift)
    return _pairs(z).amax(3).clamp_min(0).to(y.dtype)


def normalised_pool_sums(
    gradient: Float[Tensor, "m b h c"], y: Float[Tensor, "m b l c"], folded: Float[Tensor, "4 m c"]
) -> Float[Tensor, "m 2 c"]:
    """Return the sums over positions of g and of g * (y - mean) / std, g being the gradient at the output of BatchNorm.

    ``folded`` holds scale, shift, mean and 1 / std of every channel.
    """
    through = _through(gradient, y, folded)
    standard = (_wide(y) - folded[2][:, None, None]) * folded[3][:, None, None]
    return torch.stack([through.sum((1, 2)), (through * standard).sum((1, 2))], 1)


def shifted_gradients(
    gradient: Float[Tensor, "m b h c"],
    y: Float[Tensor, "m b l c"],
    folded: Float[Tensor, "4 m c"],
    sums: Float[Tensor, "m 2 c"],
    taps: tuple[int, int],
) -> Float[Tensor, "m b l k c"]:
    """Return the gradient by ``parts`` of shifted_sum, BatchNorm and pooling; ``taps`` are their number and ``left``."""
    size, left = taps
    scale, _, mean, inverse = (row[:, None, None] for row in folded)
    count = y.shape[1] * y.shape[2]
    by_bias, by_weight = (sums[:, row, None, None] / count for row in (0, 1))
    standard = (_wide(y) - mean) * inverse
    by_y = (scale * (_through(gradient, y, folded) - by_bias - standard * by_weight)).to(y.dtype)
    padded = F.pad(by_y, (0, 0, size - 1 - left, left))
    length = y.shape[2]
    starts = [size - 1 - tap for tap in range(size)]
    return torch.stack([padded[:, :, start : start + length] for start in starts], 3)


def normalised_rows(
    x: Float[Tensor, "m b c"], scale: Float[Tensor, "m c"], shift: Float[Tensor, "m c"], eps: float
) -> tuple[Float[Tensor, "m b c"], Float[Tensor, "2 m c"]]:
    """Return x of every member and channel with the mean and variance of its rows taken away, scaled, shifted; and those two."""
    wide = _wide(x)
    variance, mean = torch.var_mean(wide, 1, correction=0)
    slope = scale * torch.rsqrt(variance + eps)
    y = (wide - mean[:, None]) * slope[:, None] + shift[:, None]
    return y.to(x.dtype), torch.stack([mean, variance])


def normalised_rows_gradients(
    gradient: Float[Tensor, "m b c"],
    x: Float[Tensor, "m b c"],
    scale: Float[Tensor, "m c"],
    moments: Float[Tensor, "2 m c"],
    eps: float,
) -> tuple[Float[Tensor, "m b c"], Float[Tensor, "2 m c"]]:
    """Return the gradients of ``normalised_rows`` by x, and by shift and scale in one tensor."""
    mean, inverse = moments[0], torch.rsqrt(moments[1] + eps)
    standard = (_wide(x) - mean[:, None]) * inverse[:, None]
    wide = _wide(gradient)
    sums = torch.stack([wide.sum(1), (wide * standard).sum(1)])
    by_x = wide - sums[0, :, None] / x.shape[1] - standard * sums[1, :, None] / x.shape[1]
    return (by_x * (scale * inverse)[:, None]).to(x.dtype), sums


def _both(windows: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    first, second = (_wide(windows) @ _wide(weight)).chunk(2, 2)
    return first, second


def _through(gradient: Tensor, y: Tensor, folded: Tensor) -> Tensor:
    """Return the gradient at the output of BatchNorm, (m, b, l, c): of a pair the larger gets it, of two equal ones the first."""
    z = _affine(y, folded[0], folded[1])
    first, second = _pairs(z).unbind(3)
    alive = _wide(gradient) * (torch.maximum(first, second) > 0)
    by_first = alive * (first >= second)
    pairs = torch.stack([by_first, alive - by_first], 3).flatten(2, 3)
    return F.pad(pairs, (0, 0, 0, y.shape[2] % 2))


def _affine(y: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    return _wide(y) * scale[:, None, None] + shift[:, None, None]


def _pairs(z: Tensor) -> Tensor:
    return z[:, :, : z.shape[2] // 2 * 2].unflatten(2, (-1, 2))


def _wide(x: Tensor) -> Tensor:
    return x if x.dtype in (torch.float32, torch.float64) else x.float()
