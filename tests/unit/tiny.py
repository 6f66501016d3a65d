"""A network, a data set and an ensemble small enough to be made inside a test."""

from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from octodon.data.examples import Examples
from octodon.distillation.student import Student
from octodon.ensemble.ensemble import Ensemble
from octodon.ensemble.network import FittedNetwork
from octodon.ensemble.train import train
from octodon.models import layers
from octodon.models.model import ModelConfig, build_model
from octodon.seq.codes import random_codes
from octodon.training.config import TrainingConfig

LENGTH = 32
TARGETS = ("gc", "tata")
TRAINING = TrainingConfig(epochs=3, batch_size=32, learning_rate=0.01)


class TinyBackbone(nn.Module):
    """One convolution with everything that could leak between members: BatchNorm statistics and dropout."""

    def __init__(self, length: int, channels: int = 8, dropout: float = 0.2) -> None:
        super().__init__()
        self.conv = layers.Conv1d(4, channels, 5, padding="same")
        self.norm = layers.BatchNorm1d(channels)
        self.dropout = nn.Dropout(dropout)
        self.n_features = channels

    def forward(self, x: Tensor) -> Tensor:
        return self.dropout(torch.relu(self.norm(self.conv(x))).mean(2))


class LinearBackbone(nn.Module):
    """The first ``n_bases`` one-hot positions as they are: with a linear head, training has a closed form."""

    def __init__(self, length: int, n_bases: int = 2) -> None:
        super().__init__()
        self.n_bases = n_bases
        self.n_features = 4 * n_bases

    def forward(self, x: Tensor) -> Tensor:
        return x[:, :, : self.n_bases].flatten(1)


MODEL = ModelConfig(backbone=TinyBackbone, length=LENGTH, n_targets=2, head="standardised_mean")


def examples(n: int = 200, seed: int = 0, length: int = LENGTH) -> Examples:
    """60 % train, 20 % valid, 20 % test; the targets follow GC content and the count of TA."""
    rng = np.random.default_rng(seed)
    codes = random_codes((n, length), rng)
    gc = ((codes == 1) | (codes == 2)).mean(1)
    tata = ((codes[:, :-1] == 3) & (codes[:, 1:] == 0)).sum(1)
    targets = np.stack([8 * gc - 4, tata], 1) + 0.3 * rng.standard_normal((n, 2))
    return Examples(
        codes=codes,
        ids=np.array([f"seq{i}" for i in range(n)], dtype=object),
        targets=targets.astype(np.float32),
        target_names=TARGETS,
        splits=np.repeat(["train", "valid", "test"], [n - 2 * (n // 5), n // 5, n // 5]),
    )


def train_tiny(data: Examples | None = None, members: int = 3, seed: int = 0, **options: Any) -> Ensemble:
    """Train in this process, without a display."""
    given = {"backbone": TinyBackbone, "training": TRAINING} | options
    data = examples() if data is None else data
    return train(data, members=members, seed=seed, processes=0, device="cpu", progress=False, **given)


@cache
def ensemble() -> Ensemble:
    """Three fitted members, trained once for all tests; nobody may change them."""
    return train_tiny()


def student() -> Student:
    """A student as it is before its distillation."""
    config = ModelConfig(
        backbone="deepstarr", length=LENGTH, n_targets=2, head="distilled", options={"width": 0.05}
    )
    weights = build_model(config, seed=1).state_dict()
    fitted = FittedNetwork(index=0, attempt=0, seed=0, weights=weights, history=[])
    return Student(model=config, target_names=TARGETS, units="log2", fitted=fitted)


def same_weights(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    """Whether two state dicts are equal bit for bit."""
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)
