"""The label table on disk, with teachers whose every answer is known: member k says (k + 1) * GC and TA - k * GC."""

import shutil
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny import MODEL, TARGETS, TinyBackbone, ensemble, examples, same_weights, train_tiny

from octodon.data.examples import Examples
from octodon.distillation.config import DistillConfig, StudentTraining
from octodon.distillation.distill import distil_students, distill
from octodon.distillation.labels import train_labels, valid_labels
from octodon.ensemble import network
from octodon.ensemble.execution import Execution
from octodon.errors import DataError
from octodon.records import MemberPredictions, Prediction

N_MEMBERS = 3


def _said(codes: np.ndarray) -> np.ndarray:
    gc = ((codes == 1) | (codes == 2)).mean(1)
    ta = ((codes[:, :-1] == 3) & (codes[:, 1:] == 0)).sum(1)
    return np.stack([np.stack([(k + 1) * gc, ta - k * gc], 1) for k in range(N_MEMBERS)])


@dataclass
class KnownTeachers:
    target_names: tuple[str, ...] = TARGETS
    n_members: int = N_MEMBERS
    asked: list[int] = field(default_factory=list)

    def predict_members(self, sequences: Any, ids: Any = None, execution: Any = None) -> MemberPredictions:
        self.asked.append(len(sequences))
        names = np.array([str(i) for i in range(len(sequences))] if ids is None else ids, dtype=object)
        mean = _said(sequences)[: self.n_members]
        return MemberPredictions(ids=names, target_names=TARGETS, mean=mean)


def _distil(teachers: Any, data: Examples, folder: Path, copies: int = 2, seed: int = 0) -> None:
    recipes = (({"name": "reverse_complement"},), ({"name": "mutate", "fraction": 0.3},))
    training = StudentTraining(epochs=1)
    config = DistillConfig(copies=copies, recipes=recipes, labels="in_sample", training=training)
    distil_students(
        teachers, data, MODEL, config, seed=seed, folder=folder, execution=Execution(progress=False)
    )


@pytest.fixture
def untrained(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave students as they are built: these tests look at their labels alone."""
    monkeypatch.setattr(network, "fit", lambda *args, **kwargs: [])


def _arrays(folder: Path) -> dict[str, np.ndarray]:
    return {path.stem: np.load(path) for path in (folder / "arrays").glob("*.npy")}


@pytest.mark.usefixtures("untrained")
def test_the_label_table(tmp_path: Path) -> None:
    data = examples()
    data.targets[130:140, 0] = np.nan  # measured values missing in the validation split
    _distil(KnownTeachers(), data, tmp_path)
    arrays = _arrays(tmp_path)
    train, valid = data.subset("train"), data.subset("valid")
    n = len(train)

    codes = arrays["train.codes"]
    assert codes.shape == (3 * n, data.length)
    np.testing.assert_array_equal(codes[:n], train.codes)
    np.testing.assert_array_equal(codes[n : 2 * n], 3 - train.codes[:, ::-1])
    assert 0.2 < (codes[2 * n :] != train.codes).mean() < 0.4

    # train and every copy: what the ensemble says of THAT sequence, mean and population std
    said = _said(codes)
    np.testing.assert_allclose(arrays["train.label.activity"], said.mean(0), rtol=1e-6)
    np.testing.assert_allclose(
        arrays["train.label.epistemic_std"], np.std(said, axis=0, correction=0), atol=1e-6
    )
    # validation: MEASURED activity, bit for bit, missing where missing; the std of the ensemble
    np.testing.assert_array_equal(arrays["valid.codes"], valid.codes)
    np.testing.assert_array_equal(arrays["valid.label.activity"], valid.targets)
    assert np.isnan(arrays["valid.label.activity"][10:20, 0]).all()
    np.testing.assert_allclose(
        arrays["valid.label.epistemic_std"], np.std(_said(valid.codes), axis=0, correction=0), atol=1e-6
    )
    assert arrays.keys() == {
        f"{split}.{name}"
        for split in ("train", "valid")
        for name in ("codes", "label.activity", "label.epistemic_std")
    }
    assert {a.dtype for name, a in arrays.items() if "label" in name} == {np.dtype(np.float32)}


@pytest.mark.usefixtures("untrained")
def test_measured_training_values_are_no_labels(tmp_path: Path) -> None:
    data = examples()
    _distil(KnownTeachers(), data, tmp_path / "one")
    lost = replace(data, targets=np.where((data.splits == "train")[:, None], np.nan, data.targets))
    _distil(KnownTeachers(), lost, tmp_path / "other")
    for name, values in _arrays(tmp_path / "one").items():
        np.testing.assert_array_equal(values, _arrays(tmp_path / "other")[name])


@pytest.mark.usefixtures("untrained")
def test_labels_are_made_once(tmp_path: Path) -> None:
    teachers = KnownTeachers()
    _distil(teachers, examples(), tmp_path)
    first, asked = _arrays(tmp_path), list(teachers.asked)
    assert asked == [120, 40, 120, 120]
    _distil(teachers, examples(), tmp_path)
    assert teachers.asked == asked
    shutil.rmtree(tmp_path / "arrays")  # a run that was killed while labelling: whole or absent
    _distil(teachers, examples(), tmp_path)
    assert teachers.asked == asked * 2
    for name, values in _arrays(tmp_path).items():
        np.testing.assert_array_equal(values, first[name])


@pytest.mark.usefixtures("untrained")
def test_a_copy_stays_the_same_when_more_are_asked_for(tmp_path: Path) -> None:
    _distil(KnownTeachers(), examples(), tmp_path / "two", copies=2)
    _distil(KnownTeachers(), examples(), tmp_path / "four", copies=4)
    _distil(KnownTeachers(), examples(), tmp_path / "none", copies=0)
    _distil(KnownTeachers(), examples(), tmp_path / "seed", copies=2, seed=1)
    two, four, none, seed = (
        _arrays(tmp_path / name)["train.codes"] for name in ("two", "four", "none", "seed")
    )
    np.testing.assert_array_equal(four[: len(two)], two)
    assert not np.array_equal(four[240:360], four[480:600])  # one recipe, two copies
    np.testing.assert_array_equal(none, examples().subset("train").codes)
    assert not np.array_equal(two, seed)


@pytest.mark.usefixtures("untrained")
def test_one_teacher_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="one teacher gives no epistemic std; use at least two members"):
        _distil(KnownTeachers(n_members=1), examples(), tmp_path)
    with pytest.raises(DataError, match="one teacher gives no epistemic std"):
        distill(replace(ensemble(), members=ensemble().members[:1]), examples(), progress=False, processes=0)
    lone = Prediction(ids=np.array(["a"]), target_names=("t",), mean=np.zeros((1, 1)))
    for refused in (lambda: train_labels(lone), lambda: valid_labels(lone, np.zeros((1, 1)))):
        with pytest.raises(DataError, match="one teacher"):
            refused()


@pytest.mark.usefixtures("untrained")
def test_a_table_cannot_label_copies(tmp_path: Path) -> None:
    data = examples()
    table = KnownTeachers().predict_members(data.codes, list(data.ids))
    with pytest.raises(DataError, match="cannot label altered copies; set copies = 0"):
        _distil(table, data, tmp_path / "copies")
    _distil(table, data, tmp_path / "table", copies=0)
    _distil(KnownTeachers(), data, tmp_path / "networks", copies=0)
    for name, values in _arrays(tmp_path / "table").items():
        np.testing.assert_array_equal(values, _arrays(tmp_path / "networks")[name])


def test_students_take_streams_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network, "fit", lambda *args, **kwargs: [])
    students = distill(ensemble(), examples(), students=2, copies=0, processes=0, progress=False)
    members = train_tiny(backbone=TinyBackbone).members  # untrained, same seed 0
    conv = "backbone.conv.weight"
    kernels = [s.fitted.weights[conv] for s in students] + [m.weights[conv] for m in members]
    assert not any((kernels[i] == kernels[j]).any() for i in range(5) for j in range(i))
    assert not same_weights(students[0].fitted.weights, students[1].fitted.weights)


def test_the_noise_label_is_the_root_mean_variance_and_validation_may_be_measured() -> None:
    # members say 1 and 2: the root of (1 + 4) / 2
    members = MemberPredictions(
        ids=np.array(["a"], dtype=object),
        target_names=("t",),
        mean=np.array([[[0.0]], [[4.0]]]),
        aleatoric_std=np.array([[[1.0]], [[2.0]]]),
    )
    said, measured = members.combine(), np.array([[9.0]])
    train = train_labels(said)
    assert {name: float(values[0, 0]) for name, values in train.items()} == pytest.approx(
        {"activity": 2, "epistemic_std": 2, "aleatoric_std": 2.5**0.5}
    )
    assert float(valid_labels(said, measured)["aleatoric_std"][0, 0]) == pytest.approx(2.5**0.5)
    assert float(valid_labels(said, measured, np.array([[0.7]]))["aleatoric_std"][0, 0]) == pytest.approx(0.7)
