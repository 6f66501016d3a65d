"""Students that are small, of any backbone, none of whose numbers is at its start: for what hands models on."""

from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from octodon.calibration.fit import fit_calibration
from octodon.distillation.student import Student
from octodon.ensemble.network import FittedNetwork
from octodon.models.model import ModelConfig, build_model
from octodon.predict.ood import fit_ood


def varied_weights(config: ModelConfig, seed: int = 1) -> dict[str, Tensor]:
    """Return weights as training might leave them: BatchNorm statistics, biases and the head's scales included."""
    model = build_model(config, seed=seed)
    generator = torch.Generator().manual_seed(seed)
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            assert module.running_mean is not None
            assert module.running_var is not None
            module.running_mean.copy_(0.2 * torch.randn(module.num_features, generator=generator))
            module.running_var.copy_(0.5 + torch.rand(module.num_features, generator=generator))
        if isinstance(module, nn.Conv1d):
            module.weight.data.mul_(4)  # an untrained softmax hardly tells sequences apart
    weights = {name: value.detach().clone() for name, value in model.state_dict().items()}
    for name, value in weights.items():
        if name.endswith("_location"):
            value += 0.3
    weights["head.linear.weight"] *= 3
    return weights


def small_student(
    backbone: str | type = "deepstarr",
    length: int = 62,
    head: str = "distilled_aleatoric",
    options: dict[str, Any] | None = None,
    seed: int = 1,
) -> Student:
    """Return a student of two targets."""
    options = {"width": 0.05} if options is None else options
    config = ModelConfig(backbone=backbone, length=length, n_targets=2, head=head, options=options)
    fitted = FittedNetwork(index=0, attempt=0, seed=seed, weights=varied_weights(config, seed), history=[])
    return Student(model=config, target_names=("Dev", "Hk"), units="log2", fitted=fitted)


def random_sequences(n: int, length: int, seed: int = 0, n_share: float = 0.01) -> np.ndarray:
    """Return codes, some of them N."""
    rng = np.random.default_rng(seed)
    codes = rng.integers(0, 4, (n, length), dtype=np.uint8)
    codes[rng.random((n, length)) < n_share] = 4
    return codes


@cache
def complete_student(length: int = 62) -> Student:
    """Return a student with everything: three stds, an interval, a detector; nobody may change it."""
    made = fit_ood(
        small_student(length=length), random_sequences(300, length, seed=4, n_share=0), threshold=60.0
    )
    said = made.predict(random_sequences(200, length), device="cpu")
    measured = said.mean + 0.4 * np.random.default_rng(1).standard_normal(said.mean.shape)
    return replace(
        made, calibration=fit_calibration(said, measured, method="mondrian_activity", replicates=2)
    )
