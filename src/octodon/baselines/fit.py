"""Train a baseline by its name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from octodon.baselines.methods import baselines
from octodon.baselines.methods._base import Baseline
from octodon.data.examples import Examples
from octodon.data.splits import refuse_leaks
from octodon.ensemble.ensemble import Ensemble
from octodon.ensemble.train import train
from octodon.models.model import ModelConfig
from octodon.settings import checked, merge
from octodon.training.config import TrainingConfig


def baseline(
    name: str,
    data: Examples,
    backbone: str | type = "deepstarr",
    seed: int = 0,
    *,
    settings: Mapping[str, Any] | None = None,
    preset: str = "default",
    options: Mapping[str, Any] | None = None,
    training: TrainingConfig | Mapping[str, Any] | None = None,
    on_leak: str = "refuse",
    processes: int | None = None,
    device: str = "auto",
    progress: bool = True,
    executor: str = "local",
) -> Ensemble:
    """Train a baseline on examples that have a split; it predicts and is calibrated and saved as an ensemble is.

    Parameters
    ----------
    name : str
        See ``octodon list baselines``.
    data : Examples
        With rows in the splits "train" and "valid".
    settings : mapping, optional
        Options of the baseline, ``{"passes": 50}`` for "mc_dropout".
    backbone, seed, preset, options, training, on_leak, processes, device, progress, executor
        As for ``octodon.train``.

    Returns
    -------
    Ensemble
        Of one network, for all but "ensemble".

    Raises
    ------
    ConfigError
        An unknown baseline or setting; a backbone without dropout for "mc_dropout".
    DataError, RunError
        As ``octodon.train``.
    """
    chosen = make_baseline(name, settings or {}, f"baseline {name}")
    data = refuse_leaks(data, on_leak)
    plain = training.model_dump() if isinstance(training, TrainingConfig) else dict(training or {})
    model = ModelConfig(
        backbone=backbone, length=data.length, n_targets=len(data.target_names), options=dict(options or {})
    )
    where = {"processes": processes, "device": device, "progress": progress, "executor": executor}
    return chosen.fit(
        data, _TrainHere(data=data, model=model, seed=seed, preset=preset, training=plain, where=where)
    )


@dataclass(frozen=True, kw_only=True)
class _TrainHere:
    """As ``octodon.train`` does."""

    data: Examples
    model: ModelConfig
    seed: int
    preset: str
    training: dict[str, Any]
    where: dict[str, Any]

    def __call__(self, *, members: int | None, head: str | None, training: Mapping[str, Any]) -> Ensemble:
        return train(
            self.data,
            self.model.backbone,
            10 if members is None else members,
            self.seed,
            preset=self.preset,
            options=self.model.options,
            training=merge(self.training, training),
            head=head,
            on_leak="allow",  # judged by the caller
            **self.where,
        )


def make_baseline(name: str, settings: Mapping[str, Any], where: str) -> Baseline:
    """Return the baseline with its options; unknown ones are a ConfigError with a suggestion."""
    return checked(baselines[name], settings, where)
