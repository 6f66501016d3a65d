"""Adam on rows of a stack, each member at its own learning rate and step: one pass over memory for all of them."""

# pyright: reportMissingImports=false, reportIndexIssue=false
from __future__ import annotations

import math

import triton
import triton.language as tl
from jaxtyping import Float
from torch import Tensor

_BLOCK = 1024


def move_rows(
    weights: Float[Tensor, "m p"],
    gradients: Float[Tensor, "m p"],
    moments: tuple[Float[Tensor, "m p"], Float[Tensor, "m p"]],
    steps: Float[Tensor, " m"],
    rate: Float[Tensor, " m"],
    settings: tuple[float, float, float, float],
) -> None:
    """Make one step of Adam (AdamW with weight decay) in place, as ``torch.optim.Adam`` does.

    Parameters
    ----------
    weights, gradients : (m, p) tensors
    moments : two (m, p) tensors
        Running means of the gradients and of their squares.
    steps : (m,) tensor
        Steps of each member, this one counted.
    rate : (m,) tensor
        Learning rates.
    settings : tuple
        beta1, beta2, eps and weight decay.
    """
    first, second, eps, decay = settings
    size = weights.shape[1]
    _adam[(triton.cdiv(size, _BLOCK), len(weights))](
        weights, gradients, *moments, steps, rate, size,
        BETA1=first, BETA2=second, LOG1=math.log(first), LOG2=math.log(second), EPS=eps, DECAY=decay, BLOCK=_BLOCK,
    )  # fmt: skip


@triton.jit
def _adam(
    weights, gradients, means, squares, steps, rates,
    size, BETA1: tl.constexpr, BETA2: tl.constexpr, LOG1: tl.constexpr, LOG2: tl.constexpr,
    EPS: tl.constexpr, DECAY: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    member = tl.program_id(1).to(tl.int64)
    p = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    mask = p < size
    at = member * size + p
    step = tl.load(steps + member).to(tl.float64)
    rate = tl.load(rates + member)
    # float64: 1 - 0.999^step loses its first digits in float32
    first_share = (1 - tl.exp(step * LOG1)).to(tl.float32)
    second_share = (1 - tl.exp(step * LOG2)).to(tl.float32)
    gradient = tl.load(gradients + at, mask=mask, other=0)
    mean = tl.load(means + at, mask=mask, other=0)
    square = tl.load(squares + at, mask=mask, other=0)
    weight = tl.load(weights + at, mask=mask, other=0)
    mean = mean + (1 - BETA1) * (gradient - mean)
    square = BETA2 * square + (1 - BETA2) * gradient * gradient
    weight = weight * (1 - rate * DECAY)
    weight = weight - rate / first_share * mean / (tl.sqrt(square) / tl.sqrt(second_share) + EPS)
    tl.store(means + at, mean, mask=mask)
    tl.store(squares + at, square, mask=mask)
    tl.store(weights + at, weight, mask=mask)
