"""What every backbone, head, calibration and out-of-distribution score promises of its graph. New files are tested unasked."""

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

sys.path.append(str(Path(__file__).resolve().parents[1] / "unit"))
from exported import random_sequences, small_student

from octodon.calibration.fit import fit_calibration
from octodon.calibration.methods import methods
from octodon.distillation.student import Student
from octodon.ensemble.ensemble import Ensemble
from octodon.errors import ConfigError, DataError, RunError
from octodon.handover.onnx_file import INPUT, export_onnx, open_session
from octodon.handover.unlikeness import IN_GRAPH
from octodon.handover.whole import assemble
from octodon.models.backbones import backbones
from octodon.models.dropout import DropoutPasses
from octodon.models.heads import heads
from octodon.ood import scores
from octodon.predict.ood import fit_ood
from octodon.records import Prediction

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")


def run(path: Path, codes: np.ndarray) -> dict[str, np.ndarray]:
    session = open_session(str(path), threads=1)
    return dict(zip([o.name for o in session.get_outputs()], session.run(None, {INPUT: codes}), strict=True))


def assert_says(got: dict[str, np.ndarray], said: Prediction) -> None:
    for name, values in got.items():
        expected = np.asarray(getattr(said, name))
        if name == "ood":
            assert (values == expected).mean() > 0.98  # a percentile on the threshold may fall to either side
            continue
        size = 100.0 if name == "ood_score" else float(np.ptp(expected))
        np.testing.assert_allclose(values, expected, rtol=1e-4, atol=1e-4 * size, err_msg=name)
    given = {n for n, v in vars(said).items() if v is not None}
    assert given & {
        "mean",
        "epistemic_std",
        "aleatoric_std",
        "calibrated_std",
        "lower",
        "upper",
        "ood",
        "ood_score",
    } == set(got)


@pytest.mark.parametrize("backbone", list(backbones))
def test_every_backbone_says_in_onnx_what_it_says_in_torch(backbone: str, tmp_path: Path) -> None:
    length = getattr(backbones[backbone], "min_length", 1) + 60 | 1
    student = small_student(backbone, length)
    path = export_onnx(student, tmp_path / "x.onnx", level=0.8, calibrated=False)
    codes = random_sequences(23, length, seed=5)
    said = student.predict(codes, device="cpu", level=0.8, calibrated=False)
    assert float(np.ptp(said.mean, axis=0).min()) > 1e-3  # rows differ, so a mix-up would show
    assert_says(run(path, codes), said)
    for n in (1, 7):
        part = run(path, codes[:n])
        np.testing.assert_allclose(part["mean"], said.mean[:n], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("head", list(heads))
def test_every_head_says_what_it_gives(head: str, tmp_path: Path) -> None:
    student = small_student(head=head)
    path = export_onnx(student, tmp_path / "x.onnx")
    codes = random_sequences(20, 62)
    assert_says(run(path, codes), student.predict(codes, device="cpu"))


def calibrated(student: Student, method: str) -> Student:
    rng = np.random.default_rng(3)
    codes = random_sequences(300, student.model.length, seed=9)
    said = student.predict(codes, device="cpu", calibrated=False)
    measured = said.mean + rng.standard_normal(said.mean.shape) * 0.4
    score = rng.random(300) if method == "mondrian_ood" else None
    made = fit_calibration(said, measured, method=method, replicates=3, ood_score=score)
    return replace(student, calibration=made)


@pytest.mark.parametrize("method", list(methods))
@pytest.mark.parametrize("head", ["distilled", "distilled_aleatoric"])
def test_every_calibration_is_in_the_module_or_refused(method: str, head: str) -> None:
    student = calibrated(small_student(head=head), method)
    if method == "mondrian_ood":
        with pytest.raises(ConfigError, match="'mondrian_ood' needs more than a sequence's own prediction"):
            assemble(student)
        return
    codes = random_sequences(200, 62, seed=2)
    for level in (None, 0.5, 0.97):
        made = assemble(student, level=level)
        values = made.module(torch.from_numpy(codes))
        got = {name: value.numpy() for name, value in zip(made.module.output_names, values, strict=True)}
        said = student.predict(codes, device="cpu", level=level)
        assert_says(got, said)
        assert made.interval == said.interval
        assert made.level == said.level


def test_a_calibration_comes_through_onnx(tmp_path: Path) -> None:
    student = calibrated(small_student(), "mondrian_activity")
    path = export_onnx(student, tmp_path / "x.onnx", level=0.8)
    codes = random_sequences(150, 62)
    assert_says(run(path, codes), student.predict(codes, device="cpu", level=0.8))


@pytest.mark.parametrize("score", list(scores))
def test_every_score_is_in_the_graph_or_left_out_with_a_line(score: str, tmp_path: Path) -> None:
    student = fit_ood(
        small_student(), random_sequences(300, 62, seed=4, n_share=0), score=score, threshold=70.0
    )
    told: list[str] = []
    path = export_onnx(student, tmp_path / "x.onnx", say=told.append)
    codes = random_sequences(150, 62, n_share=0.02)
    got = run(path, codes)
    assert ("ood" in got) == (score in IN_GRAPH) != any("left out" in line for line in told)
    if score in IN_GRAPH:
        said = student.predict(codes, device="cpu")
        assert said.ood is not None
        assert 0.05 < said.ood.mean() < 0.95
        assert_says(got, said)


def test_a_score_that_no_graph_knows_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    student = fit_ood(small_student(), random_sequences(300, 62), score="kmer")
    monkeypatch.delitem(IN_GRAPH, "kmer")
    told: list[str] = []
    assert "ood" not in assemble(student, say=told.append).module.output_names
    assert told == ["left out: the out-of-distribution score 'kmer' cannot go into a graph"]


@pytest.mark.parametrize("head", ["replicate_variance", "replicate_variance_apart"])
def test_an_ensemble_follows_the_law_of_total_variance(head: str, tmp_path: Path) -> None:
    members = [small_student(head=head, seed=seed) for seed in (1, 2, 3)]
    ensemble = Ensemble(
        model=members[0].model,
        target_names=("Dev", "Hk"),
        units="log2",
        members=tuple(m.fitted for m in members),
    )
    path = export_onnx(ensemble, tmp_path / "x.onnx")
    codes = random_sequences(20, 62)
    assert_says(run(path, codes), ensemble.predict(codes, device="cpu"))


def test_what_a_file_says_of_itself(tmp_path: Path) -> None:
    import json

    student = calibrated(small_student(), "normalised")
    student = fit_ood(student, random_sequences(300, 62), score="kmer")
    session = open_session(str(export_onnx(student, tmp_path / "x.onnx")))
    props = session.get_modelmeta().custom_metadata_map
    assert json.loads(props["octodon.targets"]) == ["Dev", "Hk"]
    assert props["octodon.units"] == "log2"
    assert json.loads(props["octodon.length"]) == 62
    assert json.loads(props["octodon.level"]) == 0.9
    assert props["octodon.interval"] == "normalised, level 0.9, mean of 3 replicates"
    assert json.loads(props["octodon.ood"]) == {"score": "kmer", "threshold_percentile": 99.0}
    assert set(json.loads(props["octodon.outputs"])) == {o.name for o in session.get_outputs()}


def test_a_level_needs_a_calibration_or_its_waiver() -> None:
    with pytest.raises(DataError, match="the model is not calibrated"):
        assemble(small_student(), level=0.9)
    with pytest.raises(DataError, match="gives no std"):
        assemble(small_student(head="mean"), level=0.9, calibrated=False)
    with pytest.raises(ConfigError, match=r"level: 1\.5"):
        assemble(small_student(), level=1.5, calibrated=False)


class Draws(nn.Module):
    """A backbone that says something else each time."""

    def __init__(self, length: int) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 5)
        self.calls = 0.0

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        return self.linear(x.mean(2)) * self.calls


class Strange(nn.Module):
    """A backbone with an operation that no ONNX file has."""

    def __init__(self, length: int) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 5)

    def forward(self, x: Tensor) -> Tensor:
        return torch.linalg.qr(self.linear(x.mean(2)))[0]


class Counts(nn.Module):
    """A backbone that asks Python how many sequences there are, which a graph keeps as a constant."""

    def __init__(self, length: int) -> None:
        super().__init__()
        self.linear = nn.Linear(4 * length, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x.reshape(len(x), -1))


@pytest.mark.parametrize(
    ("backbone", "message"),
    [
        (Draws, "of the graph differs from torch"),
        (Strange, "Strange cannot be written as ONNX"),
        (Counts, r"graph of Counts does not answer for any number of sequences .*from x.shape\[0\]"),
    ],
)
def test_a_graph_that_would_say_something_else_is_not_written(
    backbone: type, message: str, tmp_path: Path
) -> None:
    with pytest.raises(RunError, match=message) as caught:
        export_onnx(small_student(backbone, options={}), tmp_path / "x.onnx")
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


class Padded(nn.Module):
    """A user's backbone: even kernels, dilation, "same" padding; it reads a convolution and uses one twice."""

    def __init__(self, length: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv1d(4, 6, 4, padding="same"),
            nn.ReLU(),
            nn.Conv1d(6, 6, 3, padding="same", dilation=5),
            nn.GELU(),
            nn.Conv1d(6, 6, 4, padding="same", dilation=3),
        )
        self.last = self.body[4]

    def forward(self, x: Tensor) -> Tensor:
        return self.last(input=self.body(x)).amax(2) / self.last.out_channels


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths")
def test_a_user_s_backbone_with_any_padding(tmp_path: Path) -> None:
    student = small_student(Padded, options={})
    path = export_onnx(student, tmp_path / "x.onnx")
    codes = random_sequences(20, 62)
    assert_says(run(path, codes), student.predict(codes, device="cpu"))


@pytest.mark.parametrize("package", ["onnx", "onnxruntime"])
def test_without_the_extra_one_line_says_what_to_install(
    package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ConfigError, match=rf"{package} is not installed; .*pip install 'octodon\[export\]'"):
        export_onnx(small_student(), tmp_path / "x.onnx")
    assert not list(tmp_path.iterdir())


def of_members(head: str, **parts: Any) -> Ensemble:
    members = tuple(replace(small_student(head=head, seed=seed).fitted, index=seed) for seed in (1, 2, 3))
    one = small_student(head=head)
    return Ensemble(model=one.model, target_names=one.target_names, units=one.units, members=members, **parts)


def test_members_that_doubt_themselves_doubt_together(tmp_path: Path) -> None:
    """The epistemic variance of an ensemble of evidential networks: that of their means, and the mean of their own."""
    ensemble = of_members("evidential")
    codes = random_sequences(40, 62)
    got = run(export_onnx(ensemble, tmp_path / "x.onnx"), codes)
    members = ensemble.predict_members(codes)
    assert members.epistemic_std is not None
    variance = members.mean.var(axis=0) + np.square(members.epistemic_std).mean(axis=0)
    np.testing.assert_allclose(got["epistemic_std"], np.sqrt(variance), rtol=1e-3)


def test_dropout_passes_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"answers with dropout on .* distil it into a student"):
        assemble(of_members("distilled", dropout=DropoutPasses(passes=2)))
