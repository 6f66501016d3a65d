"""What can be known to fail is refused before anything is trained, and not when the ensemble is there."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from tiny import examples

from octodon.data.examples import Examples
from octodon.errors import ConfigError, DataError
from octodon.experiment.config import resolve
from octodon.experiment.heads import with_heads
from octodon.experiment.validate import validate
from octodon.records import MemberPredictions

SMALL = {"data": {}, "model": {"options": {"width": 0.05}}}


def _validate(data: Examples | None = None, teachers: Any = None, **sections: Any) -> None:
    """Do what a run does before it trains."""
    data = examples() if data is None else data
    config = resolve(SMALL | sections)
    validate(with_heads(config, data, teachers), data, teachers)


def test_a_plain_experiment_passes() -> None:
    _validate()


def test_a_target_that_the_split_leaves_without_training_values_is_refused() -> None:
    data = examples()
    assert data.splits is not None
    on_train = (data.splits == "train")[:, None] & np.array([False, True])
    masked = replace(data, targets=np.where(on_train, np.nan, data.targets).astype(np.float32))
    with pytest.raises(
        DataError, match=r"train: target 'tata' has no value in any of 120 training rows, .*leave it out"
    ):
        _validate(masked)


STRETCH = {"name": "deletion", "most_bp": 40}
EITHER = {"name": "evoaug", "operations": [{"name": "shift"}, {"name": "mutate"}, STRETCH], "most": 1}
"""The stretch is one of three that are drawn: following the recipe once may well miss it."""


@pytest.mark.parametrize("step", [STRETCH, EITHER], ids=["alone", "among others"])
@pytest.mark.parametrize(
    "where", ["ensemble.training.augment", "distill.training.augment", "distill.recipes"]
)
def test_an_alteration_longer_than_the_sequences_is_refused(where: str, step: dict[str, Any]) -> None:
    section, _, key = where.partition(".")
    value = {"recipes": [[step]]} if key == "recipes" else {"training": {"augment": [step]}}
    with pytest.raises(ConfigError, match=rf"^{where}: deletion: .* most_bp = 40, expected .* <= 32 "):
        _validate(**{section: value})
    _validate(examples(length=40), **{section: value})


def test_what_evoaug_draws_by_default_is_checked_too() -> None:
    training = {"augment": [{"name": "evoaug"}]}
    with pytest.raises(ConfigError, match=r"augment: deletion: .* most_bp = 20, expected .* <= 16 "):
        _validate(examples(length=16), ensemble={"training": training})


def test_how_members_are_trained_is_not_asked_where_none_are() -> None:
    said = MemberPredictions(
        ids=examples().ids, target_names=("gc", "tata"), mean=np.stack([examples().targets] * 2)
    )
    training = {"augment": [STRETCH]}
    _validate(teachers=said, ensemble={"training": training})
    with pytest.raises(ConfigError, match=r"^ensemble.training.augment: deletion"):
        _validate(teachers=said, ensemble={"training": training}, baselines={"evidential": {}})
