"""What can be known to fail is said before anything is trained."""

from __future__ import annotations

import hashlib

import numpy as np

from octodon.baselines.fit import make_baseline
from octodon.data.examples import Examples
from octodon.data.values import require_values
from octodon.distillation.cached import fingerprint
from octodon.distillation.copies import altered_copy
from octodon.distillation.distill import member_predictions
from octodon.distillation.labels import require_ensemble
from octodon.ensemble.ensemble import Ensemble
from octodon.errors import ConfigError, DataError
from octodon.experiment.config import ExperimentConfig
from octodon.models.model import ModelConfig, backbone_file, check_model
from octodon.records import MemberPredictions


def validate(
    config: ExperimentConfig, examples: Examples, teachers: Ensemble | MemberPredictions | None
) -> None:
    """Refuse a configuration, its heads named (``with_heads``), that cannot end well with these data.

    Raises
    ------
    ConfigError
        A backbone that is unknown or does not work; unknown baseline, option or alteration; one member.
    DataError
        Fewer than two training rows, a target without a value in any of them, or a table of teachers that lacks a row.
    """
    if teachers is None and config.ensemble.members < 2:
        raise ConfigError(
            f"ensemble.members: {config.ensemble.members}; a student needs at least two members: one gives no epistemic std"
        )
    for head in (config.ensemble.head, config.distill.head):
        check_model(
            ModelConfig(
                backbone=config.model.backbone,
                length=examples.length,
                n_targets=len(examples.target_names),
                head=head,
                options=config.model.options,
            )
        )
    for name, settings in config.baselines.items():
        make_baseline(name, settings, f"baselines.{name}")
    for recipe in config.distill.recipes if config.distill.copies != 0 else ():
        altered_copy(examples.codes[:2], recipe, seed=0)
    train = examples.subset("train")
    if len(train) < 2:
        raise DataError("train: one training row; batch normalisation needs at least two")
    require_values(train)
    if isinstance(teachers, MemberPredictions):
        require_ensemble(teachers)
        for split in ("train", "valid", "test"):
            member_predictions(teachers, examples.subset(split))


def identify(teachers: Ensemble | MemberPredictions) -> str:
    """Return the SHA-256 of what the teachers are: their weights, or their predictions."""
    if isinstance(teachers, Ensemble):
        return fingerprint([w.numpy() for m in teachers.members for _, w in sorted(m.weights.items())])
    return fingerprint([teachers.mean, np.array("\n".join(map(str, teachers.ids)))])


def identify_code(backbone: str) -> str | None:
    """Return the SHA-256 of the file of a backbone that is not part of octodon, None for a registered one.

    Members trained before and after a change of it would be of two kinds.
    """
    file = backbone_file(backbone)
    return None if file is None else hashlib.sha256(file.read_bytes()).hexdigest()
