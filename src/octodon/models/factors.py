"""The std of a difference: how far members would disagree about two nearly equal sequences, from what one network makes of each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from numpy import ndarray
from torch import Tensor, nn

from octodon.models.heads import Head, Moments
from octodon.models.model import Model

_SMALL = 0.02
"""Of a mean std: below it a logarithm need not follow."""


class FactorMap(nn.Module):
    """Factors (n, k, t) and a log gate (n, 1, t) of each sequence, from which the std of two sequences' difference follows.

        unit * |factors - factors'| * exp(gate + gate' + a function of how sure and how different both are said to be)

    which is zero for equal sequences and the same in both directions by construction, whatever the weights are.
    """

    def __init__(
        self, n_features: int, n_targets: int, n_factors: int = 64, n_hidden: int = 256, n_gate: int = 128
    ) -> None:
        super().__init__()
        self.n_targets, self.n_factors = n_targets, n_factors
        for name, size in (("centre", n_features), ("std_centre", n_targets)):
            self.register_buffer(name, torch.zeros(size))
        for name, size in (("spread", n_features), ("std_spread", n_targets), ("unit", n_targets)):
            self.register_buffer(name, torch.ones(size))
        self.hidden = nn.Linear(n_features, n_hidden)
        self.out = nn.Linear(n_hidden, n_factors * n_targets)
        self.skip = nn.Linear(n_features, n_factors * n_targets, bias=False)
        self.gate = _small_network(n_features + n_targets, n_gate, n_targets)
        self.pair = _small_network(4 * n_targets, 64, n_targets)
        nn.init.normal_(self.skip.weight, std=0.03)

    def forward(self, features: Float[Tensor, "n f"], std: Float[Tensor, "n t"]) -> Float[Tensor, "n k t"]:
        """Return the factors and, as the last row, the gate of sequences with these features and epistemic stds."""
        x = (features - self.get_buffer("centre")) / self.get_buffer("spread")
        factors = self.out(nn.functional.silu(self.hidden(x))) + self.skip(x)
        gate = self.gate(torch.cat([x, self._log_std(std)], 1))
        return torch.cat([factors.unflatten(1, (self.n_factors, self.n_targets)), gate[:, None]], 1)

    def std(
        self, factors: Float[Tensor, "2 n k t"], mean: Float[Tensor, "2 n t"], std: Float[Tensor, "2 n t"]
    ) -> Float[Tensor, "n t"]:
        """Return the std of the difference of pairs, from factors (gate included), activity and epistemic std of both."""
        apart = (factors[1, :, :-1] - factors[0, :, :-1]).square().mean(1)
        apart = (apart + 1e-12).sqrt()  # the root has no gradient at 0
        unit, (one, other) = self.get_buffer("unit"), map(self._log_std, std)
        said = [
            (one + other) / 2,
            (one - other).abs(),
            torch.log((mean[1] - mean[0]).abs() / unit + _SMALL) + 1.5,
            torch.log(apart + _SMALL) + 1.5,
        ]
        return unit * apart * torch.exp(factors[:, :, -1].sum(0) + self.pair(torch.cat(said, 1)))

    def scale(self, by: Float[Tensor, " t"]) -> None:
        """Multiply the stds by numbers above 0; ``unit`` would not do, the gate of a pair sees it as well."""
        with torch.no_grad():
            self.pair.get_parameter("2.bias").add_(torch.log(by))

    def _log_std(self, std: Float[Tensor, "n t"]) -> Float[Tensor, "n t"]:
        logarithm = torch.log(std / self.get_buffer("unit") + _SMALL)
        return (logarithm - self.get_buffer("std_centre")) / self.get_buffer("std_spread")

    def fit_scale(
        self, features: Float[Tensor, "n f"], std: Float[Tensor, "n t"], unit: Float[Tensor, " t"]
    ) -> None:
        """Take the scales from the sequences that it will be fitted on; ``unit`` is the mean std of their differences."""
        self.get_buffer("unit").copy_(unit)
        self.get_buffer("centre").copy_(features.mean(0))
        self.get_buffer("spread").copy_(features.std(0, correction=0).clamp(min=1e-6))
        logarithm = torch.log(std / unit + _SMALL)
        self.get_buffer("std_centre").copy_(logarithm.mean(0))
        self.get_buffer("std_spread").copy_(logarithm.std(0, correction=0).clamp(min=1e-6))


def _small_network(n_in: int, n_hidden: int, n_out: int) -> nn.Sequential:
    """Return a network that says 0 before it is fitted."""
    made = nn.Sequential(nn.Linear(n_in, n_hidden), nn.SiLU(), nn.Linear(n_hidden, n_out))
    last = made[2]
    assert isinstance(last, nn.Linear)
    nn.init.zeros_(last.weight)
    nn.init.zeros_(last.bias)
    return made


@dataclass(frozen=True, kw_only=True, eq=False)
class Factors:
    """A fitted ``FactorMap`` as arrays by name: its state dict."""

    arrays: Mapping[str, ndarray]

    @classmethod
    def of(cls, fitted: FactorMap) -> Factors:
        """Return the record of a fitted map."""
        return cls(
            arrays={name: value.detach().numpy().copy() for name, value in fitted.state_dict().items()}
        )

    def build(self) -> FactorMap:
        """Return the map.

        Raises
        ------
        ValueError
            When the arrays do not fit together.
        """
        try:
            n_hidden, n_features = self.arrays["hidden.weight"].shape
            n_targets = len(self.arrays["unit"])
            n_factors = len(self.arrays["out.bias"]) // n_targets
            made = FactorMap(n_features, n_targets, n_factors, n_hidden, len(self.arrays["gate.0.bias"]))
            made.load_state_dict({name: torch.from_numpy(np.array(v)) for name, v in self.arrays.items()})
        except (KeyError, RuntimeError, ValueError, ZeroDivisionError) as error:
            raise ValueError(" ".join(str(error).split())[:100]) from None
        return made.eval()

    def std(
        self, factors: Float[ndarray, "2 n k t"], mean: Float[ndarray, "2 n t"], std: Float[ndarray, "2 n t"]
    ) -> Float[ndarray, "n t"]:
        """Return the std of the difference of pairs; see ``FactorMap.std``."""
        with torch.inference_mode():
            given = (torch.from_numpy(np.asarray(x, dtype=np.float32)) for x in (factors, mean, std))
            return self.build().std(*given).numpy().astype(np.float64)


class HeadWithFactors(Head):
    """A head that also gives factors; its raw columns are those of the head, then the factors."""

    def __init__(self, head: Head, factors: FactorMap) -> None:
        nn.Module.__init__(self)
        self.head, self.factors, self.n_targets = head, factors, head.n_targets

    def forward(self, features: Float[Tensor, "n f"]) -> Float[Tensor, "n r t"]:
        """Return the raw columns and the factors."""
        raw = self.head(features)
        std = self.head.read(raw).epistemic_std
        assert std is not None
        return torch.cat([raw, self.factors(features, std)], 1)

    def loss(self, raw: Float[Tensor, "n r t"], labels: Mapping[str, Any]) -> Float[Tensor, "n t"]:
        """Return the loss of the head; the factors were fitted after it."""
        return self.head.loss(raw[:, : -self._rows], labels)

    def read(self, raw: Float[Tensor, "n r t"]) -> Moments:
        """Return the moments of the head, with the factors."""
        moments = self.head.read(raw[:, : -self._rows])
        return replace(moments, epistemic_factors=raw[:, -self._rows :])

    @property
    def _rows(self) -> int:
        return self.factors.n_factors + 1


def with_factors(network: Model, factors: Factors) -> Model:
    """Return the network (the same weights, not a copy) with factors beside what it gives."""
    return Model(network.backbone, HeadWithFactors(network.head, factors.build())).eval()
