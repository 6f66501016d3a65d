"""Dynamic augmentation: what the members say of every altered batch is what students learn."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny import MODEL, TARGETS, ensemble, examples, same_weights
from torch import Tensor

from octodon.distillation.config import DISTILL_PRESETS, DistillConfig
from octodon.distillation.distill import distil_students
from octodon.distillation.dynamic import DynamicBatches
from octodon.ensemble.execution import Execution
from octodon.ensemble.network import FittedNetwork
from octodon.errors import ConfigError
from octodon.records import MemberPredictions
from octodon.seq.onehot import one_hot
from octodon.settings import checked, merge
from octodon.training.augment import alter_codes

RECIPE = ({"name": "mutate", "fraction": 0.4},)
HAD = {"activity": torch.zeros(50, 2), "epistemic_std": torch.zeros(50, 2)}
QUIET = Execution(progress=False)


def _codes() -> Tensor:
    return torch.from_numpy(examples().codes[:50])


def _batches(mode: Any, folder: Path) -> DynamicBatches:
    return DynamicBatches.write(ensemble(), mode, folder / "teachers.safetensors")


def test_the_members_label_what_replaces_the_batch(tmp_path: Path) -> None:
    inputs, labels = _batches("replace", tmp_path).make(_codes(), HAD, RECIPE, 3)
    altered = alter_codes(_codes(), RECIPE, 3)
    assert torch.equal(inputs, one_hot(altered))
    said = ensemble().predict(altered.numpy())
    np.testing.assert_allclose(labels["activity"], said.mean, atol=1e-6)
    np.testing.assert_allclose(labels["epistemic_std"], said.epistemic_std, atol=1e-6)


def test_appended_halves_are_both_labelled_by_the_members(tmp_path: Path) -> None:
    inputs, labels = _batches("append", tmp_path).make(_codes(), HAD, RECIPE, 3)
    both = torch.cat([_codes(), alter_codes(_codes(), RECIPE, 3)])
    assert torch.equal(inputs, one_hot(both))
    np.testing.assert_allclose(labels["activity"], ensemble().predict(both.numpy()).mean, atol=1e-6)
    assert len(labels["epistemic_std"]) == 100


def test_noise_on_the_one_hot_is_labelled_as_it_is(tmp_path: Path) -> None:
    recipe = ({"name": "noise", "std": 0.5},)
    inputs, labels = _batches("replace", tmp_path).make(_codes(), HAD, recipe, 3)
    member = ensemble().network(1).eval()
    with torch.no_grad():
        others = torch.stack([ensemble().network(i).eval().read(inputs).mean for i in (0, 1, 2)])
        assert torch.allclose(member.read(inputs).mean, others[1])
    torch.testing.assert_close(labels["activity"], others.mean(0), atol=1e-6, rtol=1e-5)
    assert not torch.equal(inputs, inputs.round())


def test_without_a_recipe_rows_keep_their_labels(tmp_path: Path) -> None:
    inputs, labels = _batches("append", tmp_path).make(_codes(), HAD, (), 3)
    assert torch.equal(inputs, one_hot(_codes()))
    assert labels is HAD


def test_students_learn_from_them_and_nothing_of_the_teachers_is_theirs(tmp_path: Path) -> None:
    def fitted(folder: str, **given: Any) -> FittedNetwork:
        training = {"epochs": 1, "augment": RECIPE} | given.pop("training", {})
        config = checked(DistillConfig, {"copies": 0, "training": training} | given, "distill")
        path = tmp_path / folder
        students = distil_students(
            ensemble(), examples(), MODEL, config, seed=0, folder=path, execution=QUIET
        )
        return students[0].fitted

    def student(folder: str, **given: Any) -> Mapping[str, Tensor]:
        return fitted(folder, **given).weights

    plain, replaced, again, appended = (
        student("none"),
        student("replace", dynamic="replace"),
        student("again", dynamic="replace"),
        student("append", dynamic="append"),
    )
    assert same_weights(replaced, again)
    assert not same_weights(plain, replaced)
    assert not same_weights(replaced, appended)
    assert plain.keys() == appended.keys()  # weights of the student alone
    tuned = fitted("tuned", dynamic="replace", training={"epochs": 2, "augment_until": 0.5})
    two = fitted("two", dynamic="replace", training={"epochs": 2})
    # of the second epoch, which need not be the best, whose weights are kept
    assert tuned.history[0]["train_loss"] == two.history[0]["train_loss"]
    assert tuned.history[1]["train_loss"] != two.history[1]["train_loss"]


def test_a_checkpoint_of_other_teachers_is_another_training(tmp_path: Path) -> None:
    one, same = _batches("replace", tmp_path / "a"), _batches("replace", tmp_path / "b")
    other = DynamicBatches.write(
        replace(ensemble(), members=ensemble().members[:2]), "replace", tmp_path / "c"
    )
    assert one.identity == same.identity
    assert len({one.identity, other.identity, _batches("append", tmp_path / "a").identity}) == 3


def test_what_cannot_be_dynamic_is_refused(tmp_path: Path) -> None:
    message = r"dynamic needs training.augment, e.g. \[\{name = 'evoaug'\}\]"
    with pytest.raises(ConfigError, match=message):
        checked(DistillConfig, {"dynamic": "append"}, "distill")
    given = {"dynamic": "append", "training": {"augment": RECIPE}}
    published = merge(DISTILL_PRESETS["paper"], given)
    message = r"distill: dynamic with training.schedule = 'plateau' has no fine-tuning .*'cosine' and training.augment_until = 0.5"
    with pytest.raises(ConfigError, match=message):
        checked(DistillConfig, published, "distill")
    as_told = {"training": {"schedule": "cosine", "augment_until": 0.5}}
    training = checked(DistillConfig, merge(published, as_told), "distill").training_of(5000)
    assert [bool(training.recipe_of(epoch)) for epoch in (0, 49, 50, 99)] == [True, True, False, False]
    with pytest.raises(ConfigError, match=r"distill: recipes: .*noise: makes inputs that are no sequences"):
        checked(DistillConfig, {"recipes": [[{"name": "noise"}]]}, "distill")
    data = examples()
    table = MemberPredictions(
        ids=data.ids, target_names=TARGETS, mean=np.random.default_rng(0).random((3, 200, 2))
    )
    config = checked(
        DistillConfig, {"dynamic": "append", "copies": 0, "training": {"augment": RECIPE}}, "distill"
    )
    with pytest.raises(ConfigError, match=r"distill.dynamic: 'append' needs an ensemble of octodon"):
        distil_students(table, data, MODEL, config, seed=0, folder=tmp_path, execution=QUIET)
