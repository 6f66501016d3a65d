"""What can be known to fail is said before anything is trained."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import numpy as np

from octodon.baselines.fit import make_baseline
from octodon.data.examples import Examples
from octodon.data.values import require_values
from octodon.distillation.cached import fingerprint
from octodon.distillation.distill import left_out_folds, member_predictions
from octodon.distillation.labels import require_ensemble
from octodon.distillation.out_of_fold import require_folds
from octodon.distillation.pool import check_pool
from octodon.ensemble.ensemble import Ensemble
from octodon.ensemble.folds import Folds
from octodon.errors import ConfigError, DataError
from octodon.experiment.config import ExperimentConfig
from octodon.models.model import backbone_file, check_model
from octodon.records import MemberPredictions
from octodon.training.augment import check_recipe


def validate(
    config: ExperimentConfig, examples: Examples, teachers: Ensemble | MemberPredictions | None
) -> None:
    """Refuse a configuration, its heads named (``with_heads``), that cannot end well with these data.

    Raises
    ------
    ConfigError
        A backbone that is unknown or does not work; unknown baseline, option or alteration, or one that these sequences are
        too short for; one member, or too few for labels out of fold.
    DataError
        Fewer than two training rows, a target without a value in any of them, a pool that cannot be read or that
        holds nothing new, or a table of teachers that lacks a row.
    """
    if teachers is None and config.ensemble.members < 2:
        raise ConfigError(
            f"ensemble.members: {config.ensemble.members}; a student needs at least two members: one gives no epistemic std"
        )
    _check_networks(config, examples)
    _check_recipes(config, examples.length, are_members_trained=teachers is None)
    train = examples.subset("train")
    if len(train) < 2:
        raise DataError("train: one training row; batch normalisation needs at least two")
    require_values(train)
    if config.distill.labels_of(len(train)) == "out_of_fold":
        _check_folds(config, train, teachers)
    if config.distill.pool is not None:
        check_pool(config.distill.pool, examples, config.distill.pool_lengths)
    if isinstance(teachers, MemberPredictions):
        require_ensemble(teachers)
        for split in ("train", "valid", "test"):
            member_predictions(teachers, examples.subset(split))


def _check_networks(config: ExperimentConfig, examples: Examples) -> None:
    """Refuse members, students or baselines that cannot be built, or cannot learn from these data."""
    model = config.member(examples)
    for head in (config.ensemble.head, config.distill.head):
        check_model(replace(model, head=head))
    for name, settings in config.baselines.items():
        chosen = make_baseline(name, settings, f"baselines.{name}")
        with _named(f"baselines.{name}"):
            chosen.check(examples, model)


def _check_recipes(config: ExperimentConfig, length_bp: int, are_members_trained: bool) -> None:
    """Refuse alterations that sequences of this length are too short for: read without data, they seemed well."""
    if are_members_trained or config.baselines:  # networks of a baseline are trained as members are
        with _named("ensemble.training.augment"):
            check_recipe(config.ensemble.training.augment, length_bp=length_bp)
    with _named("distill.training.augment"):
        check_recipe(config.distill.training.augment, length_bp=length_bp)
    with _named("distill.recipes"):
        for recipe in config.distill.recipes if config.distill.copies != 0 else ():
            check_recipe(recipe, length_bp=length_bp, as_codes=True)


def _check_folds(
    config: ExperimentConfig, train: Examples, teachers: Ensemble | MemberPredictions | None
) -> None:
    """Refuse members, trained or still to be, that cannot label every training row out of fold."""
    if teachers is not None:
        left_out_folds(teachers, train)
        return
    folds = Folds.of(train, config.ensemble.folds, config.seed)
    require_folds(folds.count, [folds.left_out_by(member) for member in range(config.ensemble.members)])


@contextmanager
def _named(setting: str) -> Iterator[None]:
    """Put the name of the setting before what is refused of it."""
    try:
        yield
    except (ConfigError, DataError) as error:
        raise type(error)(f"{setting}: {error}") from None


def identify(teachers: Ensemble | MemberPredictions) -> str:
    """Return the SHA-256 of what the teachers are: their weights, or their predictions."""
    if isinstance(teachers, Ensemble):
        return fingerprint([w.numpy() for m in teachers.members for _, w in sorted(m.weights.items())])
    return fingerprint([teachers.mean, np.array("\n".join(map(str, teachers.ids)))])


def identify_beside_weights(teachers: Ensemble | MemberPredictions | None) -> str | None:
    """Return the SHA-256 of what else the answers of teachers depend on; None for networks of octodon as they are.

    That is code which is not part of octodon with what it is built from, and how their dropout is on.
    """
    if not isinstance(teachers, Ensemble):
        return None
    model = teachers.model
    code = identify_code(model.backbone) if isinstance(model.backbone, str) else None
    parts = [] if code is None else [code, model.head, model.length, sorted(model.options.items())]
    parts += [] if teachers.dropout is None else [teachers.dropout]
    return fingerprint([np.array(repr(part)) for part in parts]) if parts else None


def identify_code(backbone: str) -> str | None:
    """Return the SHA-256 of the file of a backbone that is not part of octodon, None for a registered one.

    Members trained before and after a change of it would be of two kinds.
    """
    file = backbone_file(backbone)
    return None if file is None else hashlib.sha256(file.read_bytes()).hexdigest()
