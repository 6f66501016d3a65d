"""What can be known to fail is refused before anything is trained, and not when the ensemble is there."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from tiny import examples

from octodon.data.examples import Examples
from octodon.errors import DataError
from octodon.experiment.config import resolve
from octodon.experiment.heads import with_heads
from octodon.experiment.validate import validate

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
