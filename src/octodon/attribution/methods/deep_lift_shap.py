"""DeepLIFT with the rescale rule, averaged over the background."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from octodon.attribution.methods import methods
from octodon.attribution.methods._base import (
    ROWS,
    Explanation,
    Method,
    attributed,
    difference,
    hypothetical,
    values,
)
from octodon.attribution.methods.integrated_gradients import IntegratedGradients
from octodon.attribution.modular import RULES, Modular

_ROUNDING = 64
"""Units of rounding of f(x) that a delta may have however small the difference is."""


@methods.register("deep_lift_shap")
@dataclass(frozen=True)
class DeepLiftShap(Method):
    """DeepLIFT/SHAP (Shrikumar et al. 2017; Lundberg and Lee 2017) through tangermeme.

    Contributions sum to f(x) - mean f(background) if every operation of the network has a rule. Where they do not, to
    within ``tolerance`` of the mean absolute difference (a recurrent layer, a product of two activations), integrated
    gradients over the same background take their place, and the result says so.

    Parameters
    ----------
    tolerance : float
        Largest mean absolute convergence delta, as a share of the mean absolute f(x) - mean f(background).
    """

    tolerance: float = 0.01
    needs_background: ClassVar[bool] = True

    def __call__(
        self,
        f: nn.Module,
        x: Float[Tensor, "n 4 l"],
        background: Float[Tensor, "n k 4 l"] | None,
        seed: int,
    ) -> Explanation:
        """Return the contributions of every base."""
        assert background is not None
        multipliers = _multipliers(f, x, background)
        wanted = difference(f, x, background)
        deltas = wanted - attributed(x, background, multipliers)
        rounding = _ROUNDING * torch.finfo(x.dtype).eps * float(values(f, x).abs().mean())
        wrong, size = float(deltas.abs().mean()), float(wanted.abs().mean())
        if wrong <= self.tolerance * size + rounding:
            return Explanation(maps=hypothetical(multipliers, background), deltas=deltas)
        instead = IntegratedGradients()(f, x, background, seed)
        reason = f"integrated_gradients, since DeepLIFT's convergence delta was {wrong:.2g} of {size:.2g}"
        return Explanation(maps=instead.maps, deltas=instead.deltas, fallback=reason)


def _multipliers(
    f: nn.Module, x: Float[Tensor, "n 4 l"], background: Float[Tensor, "n k 4 l"]
) -> Float[Tensor, "n k 4 l"]:
    """Return DeepLIFT's multiplier for every base, position and reference."""
    from tangermeme.deep_lift_shap import deep_lift_shap

    modular = Modular(f, x[:1]).eval()  # its mode is what tangermeme gives back to all modules inside
    with warnings.catch_warnings():
        # The deltas are measured by the caller; an N, four zeros, is a base like others here.
        warnings.filterwarnings("ignore", message="Convergence deltas", category=RuntimeWarning)
        warnings.filterwarnings("ignore", message=".*one-hot.*")
        found = deep_lift_shap(
            modular,
            x,
            references=background,
            batch_size=ROWS // 2,
            raw_outputs=True,
            additional_nonlinear_ops=RULES,
            only_warn=True,
            device=x.device,
            dtype=x.dtype,
        )
    assert isinstance(found, torch.Tensor)
    return found.to(x.device)
