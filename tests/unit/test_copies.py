from typing import Any

import numpy as np
import pytest
from tiny import examples

from octodon.distillation.config import DISTILL_PRESETS, DistillConfig
from octodon.distillation.copies import DEFAULT_RECIPES, altered_copy, copy_seed, default_copies
from octodon.distillation.labels import pick_recipes
from octodon.errors import ConfigError
from octodon.settings import checked
from octodon.training.config import TrainingConfig


@pytest.mark.parametrize("recipe", DEFAULT_RECIPES)
def test_a_copy_is_a_pure_function_of_codes_recipe_and_seed(recipe: tuple[dict[str, object], ...]) -> None:
    codes = examples().codes
    codes.setflags(write=False)
    first, again, other = (altered_copy(codes, recipe, seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)
    assert not np.array_equal(first, codes)
    assert (first.shape, first.dtype, int(first.max())) == (codes.shape, np.uint8, 3)


def test_steps_are_applied_one_after_another() -> None:
    codes = examples().codes
    flip = {"name": "reverse_complement"}
    np.testing.assert_array_equal(altered_copy(codes, (flip,), 0), 3 - codes[:, ::-1])
    np.testing.assert_array_equal(altered_copy(codes, (flip, flip), 0), codes)
    np.testing.assert_array_equal(altered_copy(codes, (), 0), codes)


def test_options_reach_the_alteration() -> None:
    codes = examples().codes
    altered = altered_copy(codes, ({"name": "mutate", "fraction": 1.0},), 0)
    assert (altered != codes).all()


def test_recipes_cycle() -> None:
    a, b = ({"name": "mutate"},), ({"name": "shift"},)
    assert pick_recipes(5, (a, b)) == (a, b, a, b, a)
    assert pick_recipes(0, (a, b)) == ()
    assert pick_recipes(8) == DEFAULT_RECIPES


def test_every_copy_has_its_own_seed_whatever_the_number_of_copies() -> None:
    assert len({copy_seed(seed, copy) for seed in range(5) for copy in range(20)}) == 100


@pytest.mark.parametrize(
    ("rows", "copies"),
    [(50, 128), (1000, 99), (2041, 48), (7326, 24), (100_000, 24), (402_296, 11), (10**7, 8)],
)
def test_small_tables_get_more_copies_and_large_ones_fewer(rows: int, copies: int) -> None:
    assert default_copies(rows) == DistillConfig().copies_of(rows) == copies
    assert rows * (1 + default_copies(rows)) <= 5_000_000 or default_copies(rows) == 8
    assert DistillConfig(copies=3).copies_of(rows) == 3
    assert DistillConfig(copies=0).copies_of(rows) == 0


@pytest.mark.parametrize(
    ("given", "epochs", "dropout"),
    [
        ({}, 3, 0.0),
        ({"copies": 15}, 5, 0.0),
        ({"copies": 14, "labels": "in_sample"}, 5, 0.0),
        ({"copies": 0}, 75, "backbone"),  # a table of predictions: few inputs, seen often
        ({"copies": 0, "dynamic": "replace", "training": {"augment": [{"name": "shuffle"}]}}, 75, 0.0),
        ({"training": {"epochs": 7, "dropout": "backbone"}}, 7, "backbone"),
        ({"copies": 0, "training": {"dropout": 0.1}}, 75, 0.1),
    ],
)
def test_the_work_of_a_student_is_seventy_five_passes_whatever_the_copies(
    given: dict[str, Any], epochs: int, dropout: Any
) -> None:
    training = checked(DistillConfig, given, "distill").training_of(5000)
    assert (training.epochs, training.dropout) == (epochs, dropout)
    assert type(training) is TrainingConfig
    assert training.schedule == "cosine"


@pytest.mark.parametrize(
    ("given", "labels"),
    [
        ({}, "augmented"),
        ({"copies": 4}, "augmented"),
        ({"copies": 3}, "in_sample"),  # too few to say all that there is to learn
        ({"copies": 0}, "in_sample"),
        ({"labels": "in_sample"}, "in_sample"),
        ({"labels": "out_of_fold"}, "out_of_fold"),
        (DISTILL_PRESETS["paper"], "in_sample"),
    ],
)
def test_rows_that_the_members_know_by_heart_are_left_out_where_there_are_copies(
    given: dict[str, Any], labels: str
) -> None:
    assert checked(DistillConfig, given, "distill").labels_of(5000) == labels


def test_published_students_keep_the_published_training() -> None:
    paper = checked(DistillConfig, DISTILL_PRESETS["paper"], "distill").training_of(5000)
    assert (paper.epochs, paper.dropout, paper.learning_rate, paper.schedule) == (
        100,
        "backbone",
        1e-3,
        "plateau",
    )


@pytest.mark.parametrize(
    ("step", "message"),
    [
        ({"name": "mutat"}, "augmentation: no 'mutat'; did you mean 'mutate'"),
        ({"fraction": 0.1}, "has no name; expected e.g."),
        ({"name": "mutate", "rate": 0.1}, "mutate: no option 'rate'; did you mean 'fraction'"),
        ({"name": "mutate", "fraction": 3.0}, "mutate: fraction = 3.0, expected 0 to 1"),
    ],
)
def test_a_recipe_that_cannot_be_followed_is_refused(step: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        altered_copy(examples().codes, (step,), 0)
