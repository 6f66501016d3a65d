"""Down-sampling is nested, seeded and touches the train split alone."""

import numpy as np
import pytest

from octodon.data.examples import Examples
from octodon.data.subsample import subsample
from octodon.errors import ConfigError, DataError


@pytest.fixture
def examples():
    rng = np.random.default_rng(0)
    n = 1037
    return Examples(
        codes=rng.integers(0, 4, (n, 12)).astype(np.uint8),
        ids=np.array([f"s{i}" for i in range(n)]),
        targets=rng.normal(size=(n, 1)).astype(np.float32),
        target_names=("A",),
        splits=rng.choice(["train", "valid", "test", "random"], n),
        dropped={"earlier": 2},
    )


def test_fractions_are_nested_and_of_the_stated_size(examples):
    n_train = int((examples.splits == "train").sum())
    held = examples.ids[examples.splits != "train"]
    smaller: set[str] = set()
    for fraction in (0.1, 0.25, 0.5, 0.75, 1.0):
        thin = subsample(examples, fraction, seed=4)
        train = thin.ids[thin.splits == "train"]
        assert len(train) == round(fraction * n_train)
        assert smaller <= set(train)
        smaller = set(train)
        assert thin.ids[thin.splits != "train"].tolist() == held.tolist()
        assert (np.diff([int(i[1:]) for i in thin.ids]) > 0).all(), "rows keep their order"
        assert sum(thin.dropped.values()) == 2 + n_train - len(train)


def test_the_seed_chooses_the_rows(examples):
    first, again, other = (subsample(examples, 0.3, seed=seed).ids.tolist() for seed in (1, 1, 2))
    assert first == again
    assert first != other


@pytest.mark.parametrize("fraction", [0.0, -0.1, 1.01, float("nan")])
def test_fraction_out_of_range(examples, fraction):
    with pytest.raises(ConfigError, match="expected above 0 and at most 1"):
        subsample(examples, fraction)


def test_nothing_left_is_refused(examples):
    with pytest.raises(DataError, match="leaves none"):
        subsample(examples, 0.0001)
