"""The std of a difference: a student learns that of its members, and the sum of both variances is wrong."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy import ndarray
from tiny import TARGETS, LinearBackbone, TinyBackbone, ensemble, examples

from octodon.artifact.bundle import load, save
from octodon.artifact.factors import FILE, write_factors
from octodon.distillation.distill import distill
from octodon.distillation.effects import _Said, learn_effects, random_alleles
from octodon.distillation.student import Student
from octodon.ensemble.ensemble import Ensemble
from octodon.ensemble.execution import Execution
from octodon.ensemble.network import FittedNetwork
from octodon.errors import BundleError
from octodon.models.factors import FactorMap, Factors
from octodon.models.model import ModelConfig, build_model
from octodon.records import MemberPredictions
from octodon.seq.codes import random_codes
from octodon.variants.effects import effects_of

L = 12


@dataclass(frozen=True)
class LinearMembers:
    """Members that add up weights of (base, position): what they disagree on in a difference is known in closed form."""

    weights: ndarray  # (m, l, 4, t)
    offsets: ndarray  # (m, t): shared by both alleles, so that it cancels in a difference
    target_names: tuple[str, ...] = TARGETS

    def predict_members(self, sequences: Any, ids: Any = None, execution: Any = None) -> MemberPredictions:
        del ids, execution
        mean = self.weights[:, np.arange(sequences.shape[1]), sequences].sum(2) + self.offsets[:, None]
        return MemberPredictions(
            ids=np.arange(len(sequences)).astype(str), target_names=TARGETS, mean=mean.astype(np.float32)
        )


def _members() -> LinearMembers:
    rng = np.random.default_rng(0)
    size = np.linspace(0.1, 1, L)[:, None, None] * np.array([1.0, 20.0])  # by position, and by target
    return LinearMembers(
        rng.standard_normal((5, L, 4, 2)) * size, 5 * rng.standard_normal((5, 2)) * np.array([1, 20])
    )


def _student() -> Student:
    """A student whose features are the sequence itself: factors of linear members exist."""
    model = ModelConfig(
        backbone=LinearBackbone, length=L, n_targets=2, head="distilled", options={"n_bases": L}
    )
    weights = build_model(model, 0).state_dict()
    fitted = FittedNetwork(index=0, attempt=0, seed=0, weights=weights, history=[])
    return Student(model=model, target_names=TARGETS, units="", fitted=fitted)


def test_of_linear_members_the_student_learns_the_std_and_the_sum_of_variances_is_no_measure() -> None:
    rng = np.random.default_rng(1)
    train, valid, test = (random_codes((n, L), rng) for n in (2000, 300, 500))
    members = _members()
    found = learn_effects(_student(), members, train, valid, seed=0)
    assert found is not None
    ref, alt = random_alleles(test, rng)
    effects = effects_of(found.student, ref[:, None], alt[:, None])
    said_ref, said_alt = (members.predict_members(codes).mean for codes in (ref, alt))
    apart = said_alt - said_ref
    assert effects.epistemic_std is not None
    for target in range(2):
        true, said = apart.std(0)[:, target], effects.epistemic_std[:, target]
        assert np.corrcoef(said, true)[0, 1] > 0.97
        assert said.mean() / true.mean() == pytest.approx(1, abs=0.1)
        naive = np.sqrt(said_ref.var(0) + said_alt.var(0))[:, target]  # even of the exact stds
        assert np.corrcoef(naive, true)[0, 1] < 0.3
        assert naive.mean() / true.mean() > 3
    assert (found.pearson > 0.97).all()


def test_one_network_disagrees_with_nobody() -> None:
    members = _members()
    alone = LinearMembers(members.weights[:1], members.offsets[:1])
    train, valid = random_codes((2, 60, L), np.random.default_rng(0))
    assert learn_effects(_student(), alone, train, valid, seed=0) is None


def test_a_student_without_a_std_learns_none_of_differences() -> None:
    train, valid = random_codes((2, 60, L), np.random.default_rng(0))
    model = ModelConfig(backbone=LinearBackbone, length=L, n_targets=2, head="mean", options={"n_bases": L})
    fitted = replace(_student().fitted, weights=build_model(model, 0).state_dict())
    student = replace(_student(), model=model, fitted=fitted)
    assert learn_effects(student, _members(), train, valid, seed=0) is None


def test_nobody_differs_from_itself_and_both_directions_are_one() -> None:
    torch.manual_seed(0)
    fitted = FactorMap(6, 2, 4, 5)
    for parameter in fitted.parameters():
        torch.nn.init.normal_(parameter)  # the gates say nothing before they are fitted
    features, means, stds = torch.randn(2, 30, 6), torch.randn(2, 30, 2), torch.rand(2, 30, 2)
    factors = torch.stack([fitted(*one) for one in zip(features, stds, strict=True)])
    there, back = fitted.std(factors, means, stds), fitted.std(factors.flip(0), means.flip(0), stds.flip(0))
    torch.testing.assert_close(there, back)
    same = [values[:1].expand(2, *values.shape[1:]) for values in (factors, means, stds)]
    assert torch.all(fitted.std(*same) < 1e-4 * there.mean())


def _is_one_variant_away(ref: str, alt: str) -> bool:
    """Whether alt is ref with one base exchanged, or 1 to 5 inserted or deleted and both sides moved by half of that (? = any)."""
    if sum(a != b for a, b in zip(ref, alt, strict=True)) == 1:
        return True
    n = len(ref)
    for size in range(1, 6):
        half = size // 2
        for place in range(n):
            longer = ref[half:place] + "?" * (size if place >= half else size - half + place)
            shorter = "?" * half + ref[:place] + ref[place + size :] + "?" * size
            for expected in ((longer + ref[place:])[:n], shorter[:n]):
                if all(b in (a, "?") for a, b in zip(alt, expected, strict=True)):
                    return True
    return False


def test_random_alleles_are_one_variant_away() -> None:
    codes = random_codes((400, 40), np.random.default_rng(2))
    ref, alt = random_alleles(codes, np.random.default_rng(3))
    assert ref is codes
    letters = np.array(list("ACGTN"))
    differing = (ref != alt).sum(1)
    assert 0.6 < (differing == 1).mean() < 0.85  # substitutions, and indels that happen to change one base
    assert all(
        _is_one_variant_away("".join(letters[a]), "".join(letters[b])) for a, b in zip(ref, alt, strict=True)
    )


def test_what_predict_says_does_not_change(tmp_path: Path) -> None:
    train, valid = random_codes((2, 60, L), np.random.default_rng(0))
    found = learn_effects(_student(), _members(), train, valid, seed=0)
    assert found is not None
    student = found.student
    codes = random_codes((9, L), np.random.default_rng(5))
    said, with_them = student.predict(codes), student.predict_with_factors(codes)
    assert said.epistemic_factors is None
    assert with_them.epistemic_factors is not None
    np.testing.assert_array_equal(said.mean, with_them.mean)
    np.testing.assert_array_equal(said.epistemic_std, with_them.epistemic_std)
    again = load(save(student, tmp_path / "student"), backbone=LinearBackbone)
    assert isinstance(again, Student)
    np.testing.assert_array_equal(
        again.predict_with_factors(codes).epistemic_factors, with_them.epistemic_factors
    )


def test_a_damaged_or_foreign_file_is_named(tmp_path: Path) -> None:
    student = replace(_student(), factors=Factors.of(FactorMap(4 * L, 2, 3, 5)))
    save(student, tmp_path / "student")
    path = tmp_path / "student" / FILE
    path.write_bytes(path.read_bytes()[:50])
    with pytest.raises(BundleError, match=r"factors.safetensors: damaged .*; copy the bundle again"):
        load(tmp_path / "student", backbone=LinearBackbone)
    write_factors(tmp_path / "student", Factors.of(FactorMap(7, 2, 3, 5)))
    with pytest.raises(BundleError, match=r"made for 2 targets and 7 features, the bundle has 2 and 48"):
        load(tmp_path / "student", backbone=LinearBackbone)


def test_distilling_learns_effects_unless_nobody_can_label_or_the_published_way_is_asked_for() -> None:
    quick = {"processes": 0, "progress": False, "training": {"epochs": 1, "batch_size": 32}, "copies": 1}
    data = examples(n=100)
    student = distill(ensemble(), data, backbone=TinyBackbone, **quick)
    assert isinstance(student, Student)
    assert student.factors is not None
    published = distill(ensemble(), data, backbone=TinyBackbone, preset="paper", **quick)
    assert isinstance(published, Student)
    assert published.factors is None
    table = ensemble().predict_members(data.codes, list(data.ids))
    from_table = distill(table, data, backbone=TinyBackbone, **quick | {"copies": 0})
    assert isinstance(from_table, Student)
    assert from_table.factors is None


def test_the_members_label_the_pairs_of_several_students_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[bytes] = []
    answer = Ensemble.predict_members

    def counted(self: Ensemble, sequences: Any, *rest: Any, **options: Any) -> MemberPredictions:
        asked.append(sequences.tobytes())
        return answer(self, sequences, *rest, **options)

    monkeypatch.setattr(Ensemble, "predict_members", counted)
    quick = {"copies": 0, "training": {"epochs": 1}, "processes": 0, "progress": False}
    students = distill(ensemble(), examples(n=60), backbone=TinyBackbone, students=2, **quick)
    assert isinstance(students, list)
    factors = [student.factors for student in students]
    assert None not in factors
    assert len(asked) == len(set(asked))
    assert len(asked) >= 6  # train, valid and both alleles of both kinds of pairs


def test_effects_are_learnt_on_the_device_that_was_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def pick(device: str) -> str:
        asked.append(device)
        return "cpu"

    monkeypatch.setattr("octodon.distillation.student.pick_device", pick)
    train, valid = (random_codes((n, L), np.random.default_rng(n)) for n in (40, 20))
    learn_effects(_student(), _members(), train, valid, seed=0, execution=Execution(device="cpu"))
    assert set(asked) == {"cpu"}


def test_hidden_features_are_the_same_of_both_sequences_and_keep_their_mean() -> None:
    features = torch.randn(1, 400, 50, generator=torch.Generator().manual_seed(0)) + 2
    nothing = torch.zeros(2, 400, 1)
    pair = _Said(features=torch.cat([features, features]), means=nothing, stds=nothing)
    centre = features[0].mean(0)
    one, other = pair.with_hidden(centre, torch.Generator().manual_seed(1)).features
    assert torch.equal(one, other)  # equal sequences stay equal: the std of their difference is zero
    assert (one == centre).float().mean() == pytest.approx(0.3, abs=0.01)
    torch.testing.assert_close(one.mean(0), centre, rtol=0, atol=0.25)


def test_scaled_stds_are_multiplied_and_nothing_else() -> None:
    generator = torch.Generator().manual_seed(2)
    made = FactorMap(n_features=6, n_targets=2)
    torch.nn.init.normal_(made.pair.get_parameter("2.weight"), generator=generator)
    features, mean = (torch.randn(2, 20, n, generator=generator) for n in (6, 2))
    std = torch.rand(2, 20, 2, generator=generator) + 0.1
    factors = torch.stack([made(*one) for one in zip(features, std, strict=True)])
    before = made.std(factors, mean, std)
    made.scale(torch.tensor([2.0, 0.5]))
    torch.testing.assert_close(made.std(factors, mean, std), before * torch.tensor([2.0, 0.5]))
