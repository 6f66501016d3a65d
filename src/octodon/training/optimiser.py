"""The optimisers of a training: Adam, or Muon for the matrices of a network beside Adam for the rest.

To match a function whose labels hold no noise, Muon needs a fraction of Adam's steps (benchmarks/results/distillation_promoter.md).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from octodon.models.model import Model
from octodon.models.precision import uses_bfloat16
from octodon.training.config import TrainingConfig

MOMENTUM = 0.95
BETAS = (0.9, 0.999)
EPS = 1e-7
"""Of Keras, in Adam; of Muon's authors, where a gradient is divided by its norm."""
_NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)
"""Coefficients of the quintic iteration of Jordan et al. 2024 (kellerjordan.github.io/posts/muon)."""
_NEWTON_SCHULZ_STEPS = 5
_ADAM_SIZE = 0.2
"""Root mean square of a typical step of Adam, in learning rates (Liu et al. 2025, arXiv 2502.16982, section 2.2)."""
_WORTH_BFLOAT16 = 12_000_000
"""Multiplications and additions of an iteration: below, a CPU takes longer to begin a product of bfloat16 than float32 to end it."""

MatrixType = Literal["float32", "bfloat16"]


def is_matrix(name: str, value: Tensor) -> bool:
    """Return whether Muon moves this weight: matrices and kernels of the backbone; a head's columns are no such map."""
    return value.dim() >= 2 and not name.startswith("head.")


def build_optimiser(model: Model, config: TrainingConfig) -> torch.optim.Optimizer:
    """Return a fresh optimiser of a network's weights, as configured."""
    if config.optimiser == "adam":
        return adam(model.parameters(), config)
    named = list(model.named_parameters())
    device = named[0][1].device
    return Muon(
        [value for name, value in named if is_matrix(name, value)],
        [value for name, value in named if not is_matrix(name, value)],
        config,
        "bfloat16" if uses_bfloat16(config.precision, device) else "float32",
    )


def adam(
    parameters: Iterable[Any], config: TrainingConfig, capturable: bool = False
) -> torch.optim.Optimizer:
    """Return Adam (AdamW with weight decay) over tensors or groups: one fused kernel instead of one a tensor."""
    kind = torch.optim.AdamW if config.weight_decay > 0 else torch.optim.Adam
    return kind(
        parameters,
        lr=config.learning_rate,
        betas=BETAS,
        eps=EPS,
        weight_decay=config.weight_decay,
        fused=True,
        capturable=capturable,
    )


class Muon(torch.optim.Optimizer):
    """Muon for ``matrices``, Adam for ``others``, both at one learning rate.

    A matrix moves along its momentum with all singular values set to one, so that no direction of a layer waits for the
    others; kernels (o, i, k) count as matrices (o, i k). torch.optim.Muon takes no kernels.
    """

    def __init__(
        self,
        matrices: Sequence[Tensor],
        others: Sequence[Tensor],
        config: TrainingConfig,
        matrix_type: MatrixType = "float32",
    ) -> None:
        groups = [{"params": list(matrices)}, {"params": list(others)}]
        super().__init__(groups, {"lr": config.learning_rate})
        self._weight_decay = config.weight_decay
        self._matrix_type: MatrixType = matrix_type
        self._adam = adam(others, config)
        self._adam.state = self.state

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]  # no closure here
        """Make one step; weights without a gradient stay."""
        for group in self._adam.param_groups:
            group["lr"] = self.param_groups[1]["lr"]
        self._adam.step()
        rate = self.param_groups[0]["lr"]
        for matrix in self.param_groups[0]["params"]:
            if matrix.grad is None:
                continue
            state = self.state[matrix]
            if "momentum" not in state:
                state["momentum"] = torch.zeros_like(matrix)
            direction = muon_direction(matrix.grad, state["momentum"], self._matrix_type)
            if self._weight_decay > 0:
                matrix.mul_(1 - rate * self._weight_decay)
            matrix.sub_(direction, alpha=rate)


def muon_direction(
    gradient: Float[Tensor, "*m o i *k"],
    momentum: Float[Tensor, "*m o i *k"],
    matrix_type: MatrixType = "float32",
    stacked: bool = False,
) -> Float[Tensor, "*m o i *k"]:
    """Return the step at learning rate one, as large as a typical one of Adam; ``momentum`` takes up the gradient in place.

    Nesterov momentum, then all singular values set to one. With ``stacked`` the first axis is the members'.
    """
    momentum.lerp_(gradient, 1 - MOMENTUM)
    ahead = gradient.lerp(momentum, MOMENTUM).flatten(2 if stacked else 1)
    direction = orthogonalised(ahead, matrix_type).to(gradient.dtype)
    return direction.reshape(gradient.shape) * (_ADAM_SIZE * math.sqrt(max(direction.shape[-2:])))


def orthogonalised(
    matrix: Float[Tensor, "*m r c"], matrix_type: MatrixType = "float32"
) -> Float[Tensor, "*m r c"]:
    """Return U V^T of the singular value decomposition U S V^T, nearly: singular values between about 0.7 and 1.2.

    Five Newton-Schulz iterations, which need products alone. A zero matrix stays zero.
    """
    a, b, c = _NEWTON_SCHULZ
    x = matrix / matrix.norm(dim=(-2, -1), keepdim=True).clamp(min=EPS)
    is_tall = x.shape[-2] > x.shape[-1]
    x = (x.mT if is_tall else x).to(_type_of_products(x, matrix_type))
    # One kernel for a product and what is added to it: on a GPU small matrices cost as much as their kernels are many.
    add_product = torch.baddbmm if x.dim() == 3 else torch.addmm
    for _ in range(_NEWTON_SCHULZ_STEPS):
        gram = x @ x.mT
        x = add_product(x, add_product(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.mT if is_tall else x


def _type_of_products(matrix: Tensor, matrix_type: MatrixType) -> torch.dtype:
    """Return the numbers in which products of a matrix are computed: those asked for, unless it is too small for them."""
    short, long = sorted(matrix.shape[-2:])
    is_small = 4 * short**2 * long + 2 * short**3 < _WORTH_BFLOAT16
    if is_small and matrix.device.type == "cpu":
        return torch.float32
    return getattr(torch, matrix_type)
