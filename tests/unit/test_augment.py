"""Recipes on batches: what is drawn, for which sequences, and that training sees it."""

from typing import Any

import pytest
import torch
from tiny import LENGTH, LinearBackbone, same_weights, train_tiny
from torch import Tensor

from octodon.errors import ConfigError
from octodon.models.model import ModelConfig, build_model
from octodon.seeds import derive_seed
from octodon.seq.onehot import one_hot
from octodon.settings import checked
from octodon.training.augment import alter_codes, alter_inputs
from octodon.training.config import TrainingConfig
from octodon.training.loop import LabelledCodes, fit

FLIP = {"name": "reverse_complement"}


def _codes(n: int = 400) -> Tensor:
    return torch.randint(0, 4, (n, LENGTH), generator=torch.Generator().manual_seed(7), dtype=torch.uint8)


def test_each_sequence_is_drawn_for_itself_at_the_stated_probability() -> None:
    codes = _codes(2000)
    altered = alter_codes(codes, [FLIP | {"probability": 0.3}], seed=1)
    flipped = (altered == 3 - codes.flip(1)).all(1)
    assert ((altered == codes).all(1) | flipped).all()  # whole sequences, or nothing of one
    assert abs(float(flipped.float().mean()) - 0.3) < 4.5 * (0.3 * 0.7 / 2000) ** 0.5


def test_one_probability_after_another_gives_every_combination() -> None:
    codes = _codes()
    recipe = [FLIP | {"probability": 0.5}, {"name": "mutate", "fraction": 1.0, "probability": 0.5}]
    altered = alter_codes(codes, recipe, seed=0)
    plain, flipped = (altered == codes).all(1), (altered == 3 - codes.flip(1)).all(1)
    assert 60 < int(plain.sum()) < 140
    assert 60 < int(flipped.sum()) < 140


def test_inputs_are_the_one_hot_of_the_altered_codes() -> None:
    recipe = [FLIP | {"probability": 0.5}, {"name": "shift", "most_bp": 3}]
    codes = _codes()
    assert torch.equal(alter_inputs(codes, recipe, 5), one_hot(alter_codes(codes, recipe, 5)))
    assert torch.equal(alter_inputs(codes, (), 5), one_hot(codes))
    assert not torch.equal(alter_inputs(codes, recipe, 5), alter_inputs(codes, recipe, 6))


class _Watching(LinearBackbone):
    """Remembers the codes that it was trained on."""

    def __init__(self, length: int) -> None:
        super().__init__(length)
        self.seen: list[Tensor] = []

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            self.seen.append(x.argmax(1).to(torch.uint8))
        return super().forward(x)


def _seen(config: TrainingConfig, seed: int = 0) -> list[Tensor]:
    model = build_model(ModelConfig(backbone=_Watching, length=LENGTH, n_targets=1), 0)
    data = LabelledCodes(codes=_codes(32), labels={"activity": torch.zeros(32, 1)})
    fit(model, data, data, config, seed=seed)
    backbone = model.backbone
    assert isinstance(backbone, _Watching)
    return backbone.seen


def test_training_sees_each_batch_altered_by_its_own_stream() -> None:
    config = TrainingConfig(epochs=2, batch_size=16, schedule="cosine")
    plain = _seen(config)
    recipe = ({"name": "mutate", "fraction": 0.3},)
    altered = _seen(config.model_copy(update={"augment": recipe}))
    for step, (batch, new) in enumerate(zip(plain, altered, strict=True)):
        # a pure function of (seed, epoch, step): a training that goes on from a checkpoint draws the same
        assert torch.equal(new, alter_codes(batch, recipe, derive_seed(0, "augment", *divmod(step, 2))))
    changed = [b != n for b, n in zip(plain, altered, strict=True)]
    assert not torch.equal(changed[0], changed[1])


def test_the_last_epochs_are_fine_tuned_without() -> None:
    config = TrainingConfig(epochs=4, batch_size=32, schedule="cosine")
    altered = _seen(config.model_copy(update={"augment": (FLIP,), "augment_until": 0.75}))
    same = [torch.equal(a, b) for a, b in zip(_seen(config), altered, strict=True)]
    assert same == [False, False, False, True]


def test_members_are_trained_on_altered_batches() -> None:
    training = TrainingConfig(epochs=1, batch_size=32)
    plain = train_tiny(members=1, training=training).members[0].weights
    flipped = (
        train_tiny(members=1, training=training.model_copy(update={"augment": (FLIP,)})).members[0].weights
    )
    assert not same_weights(plain, flipped)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([{"name": "shfit"}], r"no 'shfit'; did you mean 'shift'\? Known: .*mutate"),
        ([{"name": "shift", "most": 3}], "shift: no option 'most'; did you mean 'most_bp'"),
        ([{"name": "shift", "most_bp": "far"}], "shift: .*; give values of the right kind"),
        ([{"name": "mutate", "fraction": 2.0}], "mutate: fraction = 2.0, expected 0 to 1"),
        ([{"name": "mutate", "probability": 0}], "mutate: probability = 0, expected above 0 and up to 1"),
        ([{"most_bp": 3}], "has no name; expected e.g."),
        ([{"name": "evoaug", "operations": 3}], "evoaug: operations = 3, expected a list of augmentations"),
        ([{"name": "evoaug", "operations": "mutate"}], "evoaug: operations = 'mutate', expected a list"),
        (
            [{"name": "evoaug", "operations": {"name": "mutate"}}],
            "evoaug: operations = {.*}, expected a list",
        ),
        ([{"name": "evoaug", "operations": [3, 4]}], r"evoaug: operations = \[3, 4\], expected a list"),
    ],
)
def test_a_recipe_that_cannot_be_followed_is_refused_before_training(values: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=rf"training: augment: .*{message}") as caught:
        checked(TrainingConfig, {"augment": values}, "training")
    assert "\n" not in str(caught.value)


def test_a_fine_tuning_that_may_never_come_is_refused() -> None:
    with pytest.raises(ConfigError, match="augment_until needs schedule = 'cosine'"):
        checked(TrainingConfig, {"augment_until": 0.5}, "training")
