"""The student: both of its heads learn, and it is a network of its own."""

from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from tiny import LENGTH, MODEL, TARGETS, TRAINING, TinyBackbone, ensemble, examples, same_weights, train_tiny
from torch import nn

from octodon.distillation.distill import distill
from octodon.distillation.student import Student
from octodon.ensemble.ensemble import Ensemble
from octodon.errors import ConfigError
from octodon.models.heads import heads
from octodon.models.model import ModelConfig, build_model
from octodon.records import MemberPredictions

DISTILLED = [name for name in heads if "epistemic_std" in heads[name].needs]


@pytest.fixture(autouse=True)
def one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """These networks are too small to share among cores."""
    monkeypatch.setattr("octodon.distillation.distill.cpu_count", lambda: 1)


def _known_members() -> MemberPredictions:
    """Members that agree on AT-rich and differ on GC-rich sequences: std = .02 + GC (target 0), 10 times that (1).

    Their noise is large where they agree: 1.2 - GC, and 10 times that.
    """
    data = examples(n=600)
    gc = ((data.codes == 1) | (data.codes == 2)).mean(1)
    std = np.stack([0.02 + gc, 10 * (0.02 + gc)], 1)
    mean = np.stack([data.targets - std, data.targets + std]).astype(float)  # population std: std
    noise = np.stack([1.2 - gc, 10 * (1.2 - gc)], 1)
    return MemberPredictions(
        ids=data.ids, target_names=TARGETS, mean=mean, aleatoric_std=np.stack([noise, noise])
    )


@cache
def _noisy_ensemble() -> Ensemble:
    """Three members that learn the noise, because every target has three replicates."""
    data = examples()
    noise = 0.3 * np.random.default_rng(2).standard_normal((*data.targets.shape, 3))
    replicated = replace(data, replicates=(data.targets[:, :, None] + noise).astype(np.float32))
    return train_tiny(replicated, head="auto")


def _distil(teachers: Any, data: Any, epochs: int = 30, **settings: Any) -> Student:
    training = {"epochs": epochs, "batch_size": 32, "learning_rate": 0.03}
    return distill(
        teachers, data, backbone=TinyBackbone, training=training, processes=0, progress=False, **settings
    )


@pytest.mark.parametrize("head", DISTILLED)
def test_the_std_head_learns_as_well_as_the_activity_head(head: str) -> None:
    data, members = examples(n=600), _known_members()
    student = _distil(members, data, head=head, options={"dropout": 0.0})
    test = data.subset("test")
    said = student.predict(test.codes)
    for t in range(2):
        assert np.corrcoef(said.mean[:, t], test.targets[:, t])[0, 1] > 0.6
    for quantity in heads[head].gives:
        std, truth = getattr(said, quantity), getattr(members.combine(), quantity)[-len(test) :]
        assert (std >= 0).all()
        for t in range(2):
            assert np.corrcoef(std[:, t], truth[:, t])[0, 1] > 0.7, quantity
            error = np.square(std[:, t] - truth[:, t]).mean()
            assert error < 0.7 * truth[:, t].var(), (
                quantity
            )  # better than a constant, also in the published units


@pytest.mark.parametrize("head", DISTILLED)
def test_the_std_is_never_negative_whatever_the_sequence(head: str) -> None:
    teachers = _noisy_ensemble() if "aleatoric_std" in heads[head].needs else ensemble()
    student = _distil(teachers, examples(), epochs=3, copies=1, head=head)
    extremes = np.repeat(np.arange(5, dtype=np.uint8)[:, None], LENGTH, axis=1)  # all A ... all N
    said = student.predict(extremes)
    for quantity in heads[head].gives:
        std = getattr(said, quantity)
        assert (std >= 0).all()
        assert np.isfinite(std).all()


def test_validation_loss_falls() -> None:
    teachers = train_tiny(training=TRAINING.model_copy(update={"epochs": 20}))
    history = _distil(teachers, examples(), epochs=15, copies=2).fitted.history
    losses = [record["valid_loss"] for record in history]
    assert min(losses) < 0.8 * losses[0]


def test_its_weights_are_those_of_one_network() -> None:
    student = _distil(ensemble(), examples(), epochs=1, copies=0)
    fresh = build_model(
        ModelConfig(backbone=TinyBackbone, length=LENGTH, n_targets=2, head="distilled"), seed=0
    )
    assert student.network.state_dict().keys() == fresh.state_dict().keys()
    count = sum(p.numel() for p in student.network.parameters())
    assert count == (4 * 8 * 5 + 8) + 2 * 8 + (8 + 1) * 4  # conv, BatchNorm, two columns for two targets
    ours = {p.data_ptr() for p in student.network.parameters()}
    theirs = {p.data_ptr() for m in ensemble().members for p in m.weights.values()}
    assert not ours & theirs


def test_teachers_do_not_change() -> None:
    before = [{name: value.clone() for name, value in m.weights.items()} for m in ensemble().members]
    modules: list[nn.Module] = []
    for i in range(3):
        network = ensemble().network(i)

        class Foreign(nn.Module):
            def __init__(self, inner: Any) -> None:
                super().__init__()
                self.inner = inner

            def forward(self, x: torch.Tensor) -> torch.Tensor:
                return self.inner.read(x).mean

        modules.append(Foreign(network))
    _distil(modules, examples(), epochs=2, copies=1)
    for module, member, weights in zip(modules, ensemble().members, before, strict=True):
        assert same_weights(dict(module.inner.state_dict()), weights)
        assert same_weights(member.weights, weights)
        assert all(p.grad is None for p in module.parameters())


def test_same_seed_same_student_other_seed_another() -> None:
    one, again, other = (_distil(ensemble(), examples(), epochs=1, copies=1, seed=s) for s in (0, 0, 1))
    assert same_weights(one.fitted.weights, again.fitted.weights)
    assert not same_weights(one.fitted.weights, other.fitted.weights)


def test_several_students_come_as_a_list_and_differ() -> None:
    students = _distil(ensemble(), examples(), epochs=1, copies=0, students=2)
    assert isinstance(students, list)
    assert [s.fitted.index for s in students] == [0, 1]
    assert not same_weights(students[0].fitted.weights, students[1].fitted.weights)
    alone = _distil(ensemble(), examples(), epochs=1, copies=0)
    assert same_weights(alone.fitted.weights, students[0].fitted.weights)  # whoever else is distilled


def test_the_backbone_is_that_of_the_ensemble_unless_another_is_named() -> None:
    student = distill(ensemble(), examples(), copies=0, training={"epochs": 1}, processes=0, progress=False)
    assert (student.model.backbone, student.model.length) == (MODEL.backbone, MODEL.length)
    assert student.model.head == "distilled"
    assert student.units == "activity"


def test_an_unknown_head_is_refused() -> None:
    with pytest.raises(ConfigError, match="no 'distiled'; did you mean 'distilled'"):
        _distil(ensemble(), examples(), epochs=1, copies=0, head="distiled")


def test_an_ensemble_that_knows_the_noise_makes_a_student_that_does() -> None:
    teachers = _noisy_ensemble()
    assert teachers.model.head == "replicate_variance_apart"
    student = _distil(teachers, examples(), epochs=2, copies=1)
    assert student.model.head == "distilled_aleatoric"
    assert _distil(ensemble(), examples(), epochs=2, copies=1).model.head == "distilled"
    with pytest.raises(ConfigError, match="the teachers give activity, epistemic_std: choose auto"):
        _distil(ensemble(), examples(), epochs=2, copies=1, head="distilled_aleatoric")
