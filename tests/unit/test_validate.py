"""What can be known to fail is refused before anything is trained, and not when the ensemble is there."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny import ensemble, examples

from octodon.data.examples import Examples
from octodon.errors import ConfigError, DataError
from octodon.experiment.config import resolve
from octodon.experiment.heads import with_heads
from octodon.experiment.validate import validate
from octodon.records import MemberPredictions
from octodon.seq.codes import decode, random_codes

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


WITHOUT_DROPOUT = """
from torch import nn

class Plain(nn.Module):
    def __init__(self, length):
        super().__init__()
        self.n_features = 4
        self.scale = nn.Linear(4, 4)

    def forward(self, x):
        return self.scale(x.mean(2))
"""


@pytest.mark.parametrize("name", ["mc_dropout", "ensemble"])
@pytest.mark.parametrize(
    ("head", "message"),
    [
        ("nope", "head: no 'nope'"),
        ("distilled", "head: 'distilled' learns activity, epistemic_std; members have measurements only"),
        ("replicate_variance", "target 'gc': at most 1 replicate a row, expected at least 2"),
    ],
)
def test_a_head_that_a_baseline_cannot_learn_is_refused(name: str, head: str, message: str) -> None:
    with pytest.raises((ConfigError, DataError), match=rf"^baselines.{name}: {message}"):
        _validate(baselines={name: {"head": head}})


def test_monte_carlo_dropout_of_a_backbone_without_dropout_is_refused(tmp_path: Path) -> None:
    (tmp_path / "plain.py").write_text(WITHOUT_DROPOUT)
    model = {"backbone": f"{tmp_path / 'plain.py'}:Plain", "options": {}}
    with pytest.raises(
        ConfigError, match=r"^baselines.mc_dropout: dropout passes: Plain has no dropout layer"
    ):
        _validate(model=model, baselines={"mc_dropout": {}})
    _validate(model=model, baselines={"heteroscedastic": {}, "evidential": {}, "ensemble": {}})


OUT_OF_FOLD = {"labels": "out_of_fold"}
NO_FOLDS = r"^distill.labels: 'out_of_fold' needs members that left out folds .*ensemble.folds = 5"


def test_labels_out_of_fold_are_refused_where_members_will_leave_out_nothing() -> None:
    with pytest.raises(ConfigError, match=NO_FOLDS):
        _validate(distill=OUT_OF_FOLD)


@pytest.mark.parametrize(("members", "folds", "fold"), [(5, 3, 3), (3, 2, 2), (9, 5, 5)])
def test_labels_out_of_fold_are_refused_with_fewer_than_two_members_a_fold(
    members: int, folds: int, fold: int
) -> None:
    message = rf"^distill.labels: 1 of {members} members left out fold {fold}, .*twice as many members as"
    with pytest.raises(ConfigError, match=message):
        _validate(distill=OUT_OF_FOLD, ensemble={"members": members, "folds": folds})
    _validate(distill=OUT_OF_FOLD, ensemble={"members": 2 * folds, "folds": folds})


def test_given_members_that_left_out_nothing_do_not_label_out_of_fold() -> None:
    with pytest.raises(ConfigError, match=NO_FOLDS):
        _validate(teachers=ensemble(), distill=OUT_OF_FOLD)


def _pool(folder: Path, codes: np.ndarray) -> dict[str, Any]:
    path = folder / "pool.fa"
    path.write_text("".join(f">p{i}\n{text}\n" for i, text in enumerate(decode(codes))))
    return {"pool": str(path)}


def test_a_pool_that_cannot_be_used_is_refused(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(DataError, match=r"nope\.fa"):
        _validate(distill={"pool": str(tmp_path / "nope.fa")})
    longer = _pool(tmp_path, random_codes((6, 41), np.random.default_rng(5)))
    with pytest.raises(DataError, match="has 41 bases, expected 32"):
        _validate(distill=longer)
    _validate(distill=longer | {"pool_lengths": "crop"})
    data = examples()
    with pytest.raises(DataError, match=r"distill.pool: all 5 sequences of .* are among the data already"):
        _validate(data, distill=_pool(tmp_path, data.codes[:5]))
    some = np.concatenate([data.codes[:5], random_codes((6, 32), np.random.default_rng(5))])
    _validate(data, distill=_pool(tmp_path, some))
    assert not caplog.text  # what is left out is said once, when the pool is labelled
