"""How members are fitted where nobody says: by how many rows there are."""

from __future__ import annotations

import pytest

from octodon.ensemble.config import ENSEMBLE_PRESETS, EnsembleConfig
from octodon.settings import checked
from octodon.training.config import TrainingConfig


@pytest.mark.parametrize(
    ("rows", "epochs"),
    [
        (402_296, 30),  # 3,142 steps an epoch
        (7_326, 30),  # 57
        (3_200, 40),  # 25: 1,000 steps
        (4_000, 32),  # 32, the last of them smaller: 31 epochs would be 992 steps
        (961, 60),  # 8: more would be needed than are worth it
        (2, 60),
    ],
)
def test_small_tables_are_seen_more_often(rows: int, epochs: int) -> None:
    assert EnsembleConfig().training_of(rows).epochs == epochs


def test_members_that_leave_out_a_fold_make_as_many_steps() -> None:
    # 4,000 rows less a fifth are 25 steps an epoch
    assert EnsembleConfig(folds=5).training_of(4_000).epochs == 40


def test_a_number_of_epochs_that_is_given_is_kept() -> None:
    config = checked(EnsembleConfig, {"training": {"epochs": 3}}, "test")
    assert config.training_of(10).epochs == 3


def test_members_see_shifted_sequences_and_the_paper_s_do_not() -> None:
    ours = EnsembleConfig().training_of(1000)
    paper = checked(EnsembleConfig, ENSEMBLE_PRESETS["paper"], "test").training_of(1000)
    assert ours.augment == ({"name": "shift"},)
    assert (paper.augment, paper.schedule, paper.optimiser, paper.learning_rate) == (
        (),
        "plateau",
        "adam",
        1e-3,
    )
    assert paper.epochs == 100


def test_a_plateau_of_no_given_length_may_run_as_long_as_the_published_one() -> None:
    config = checked(EnsembleConfig, {"training": {"schedule": "plateau"}}, "test")
    assert config.training_of(7_326).epochs == 100


def test_a_whole_training_config_is_taken_as_it_is() -> None:
    given = TrainingConfig(epochs=7)
    assert EnsembleConfig(training=given).training_of(1000) == given
