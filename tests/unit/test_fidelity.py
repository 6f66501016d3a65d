"""The fidelity card: known agreements come out, and a distillation of given networks leaves one."""

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from exported import complete_student
from tiny import LENGTH, MODEL, TARGETS, examples, train_tiny

from octodon.artifact.bundle import save
from octodon.calibration.calibration import Calibration
from octodon.distillation.student import Student
from octodon.errors import RunError
from octodon.experiment.config import resolve
from octodon.experiment.fidelity import as_markdown, fidelity, write_fidelity
from octodon.experiment.given import distil_given
from octodon.models.model import ModelConfig
from octodon.ood.detector import Detector
from octodon.records import MemberPredictions, Prediction


@dataclass
class Echo:
    """A student that says what it is told to."""

    said: Prediction
    model: ModelConfig = MODEL
    target_names: tuple[str, ...] = TARGETS
    units: str = "activity"

    def predict(self, codes: Any, ids: Any = None, **_: Any) -> Prediction:
        return self.said


def _table(n: int, seed: int = 0) -> MemberPredictions:
    rng = np.random.default_rng(seed)
    mean = rng.standard_normal((1, n, 2)) + rng.uniform(0.1, 0.5, (1, n, 2)) * rng.standard_normal((4, n, 2))
    ids = np.array([f"seq{i}" for i in range(n)], dtype=object)
    return MemberPredictions(ids=ids, target_names=TARGETS, mean=mean)


def test_a_student_that_echoes_its_teachers_agrees_everywhere() -> None:
    rows, members = examples(90), _table(90)
    card = fidelity(members, Echo(members.combine()), rows)
    assert card.members == 4
    assert card.teachers_per_second is None
    assert len(card.agreement) == 2 * 10
    for row in card.agreement:
        assert row.mean_pearson == pytest.approx(1)
        assert row.std_pearson == pytest.approx(1)
        assert row.rmse == pytest.approx(0, abs=1e-12)
        assert row.std_ratio == pytest.approx(1)
    assert [row.rows for row in card.agreement if row.rows_are == "all"] == [90, 90]
    assert sum(row.rows for row in card.agreement if row.target == "gc") == 90 * 4


def test_rows_of_a_sorted_table_are_drawn_from_all_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("octodon.experiment.fidelity.MOST_ROWS", 50)
    rows, members = examples(400), _table(400)
    order = np.argsort(members.mean.mean(axis=0)[:, 0])
    rows = replace(rows, codes=rows.codes[order])
    members = replace(members, mean=members.mean[:, order])
    asked: list[list[str]] = []

    @dataclass
    class Asked(Echo):
        def predict(self, codes: Any, ids: Any = None, **_: Any) -> Prediction:
            if ids is not None:
                asked.append(ids)
                chosen = [int(name.removeprefix("seq")) for name in ids]
                assert (codes == rows.codes[chosen]).all()
                return replace(
                    members, ids=np.array(ids, dtype=object), mean=members.mean[:, chosen]
                ).combine()
            return self.said

    card = fidelity(members, Asked(members.combine()), rows)
    assert {row.rows for row in card.agreement if row.rows_are == "all"} == {50}
    places = [int(name.removeprefix("seq")) for name in asked[0]]
    assert places == sorted(set(places))
    assert np.histogram(places, bins=4, range=(0, 400))[0].min() >= 5
    assert "On 50 drawn of 400 sequences of the split 'test'" in as_markdown(card)
    fidelity(members, Asked(members.combine()), rows)
    assert asked[1] == asked[0]


def test_a_known_difference_is_found_and_named() -> None:
    rows, members = examples(60), _table(60)
    true = members.combine()
    assert true.epistemic_std is not None
    mean = true.mean.copy()
    mean[7, 0] += 3 * true.epistemic_std[7, 0] + 5
    said = Prediction(ids=true.ids, target_names=TARGETS, mean=mean, epistemic_std=0.5 * true.epistemic_std)
    card = fidelity(members, Echo(said), rows)
    first = next(row for row in card.worst if row.target == "gc")
    assert first.id == "seq7"
    assert first.in_std == pytest.approx(3 + 5 / true.epistemic_std[7, 0])
    whole = {row.target: row for row in card.agreement if row.rows_are == "all"}
    difference = mean[7, 0] - true.mean[7, 0]
    assert whole["gc"].rmse == pytest.approx(difference / np.sqrt(60))
    assert whole["gc"].share == pytest.approx(whole["gc"].rmse / true.mean[:, 0].std())
    assert whole["gc"].std_ratio == pytest.approx(0.5)
    assert whole["tata"].mean_pearson == pytest.approx(1)
    text = as_markdown(card)
    assert "| gc | seq7 |" in text
    assert "the teachers are a table" in text
    assert "On 60 sequences of the split 'test'" in text


def test_student_and_teachers_are_timed_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    rows, asked = examples(60), []

    @dataclass
    class Recorder:
        """Teachers that remember what they were asked for."""

        target_names: tuple[str, ...] = TARGETS

        def predict_members(self, codes: Any, ids: Any = None, execution: Any = None) -> MemberPredictions:
            asked.append(("teachers", len(codes), ids is None))
            return _table(len(codes))

    def never(*_: Any, **__: Any) -> None:
        raise AssertionError("teachers give no such thing")

    whole = complete_student(LENGTH)
    monkeypatch.setattr(Detector, "percentile", never)
    monkeypatch.setattr(Calibration, "apply", never)
    predict = Student.predict

    def recorded(self: Student, codes: Any, ids: Any = None, **how: Any) -> Prediction:
        asked.append(("student", len(codes), ids is None))
        return predict(self, codes, ids, **how)

    monkeypatch.setattr(Student, "predict", recorded)
    card = fidelity(Recorder(), whole, rows, device="cpu")
    assert asked == [(who, 60, is_warming) for who in ("teachers", "student") for is_warming in (True, False)]
    assert card.teachers_per_second is not None


def test_a_difference_from_teachers_that_all_say_the_same_is_in_no_stds(tmp_path: Path) -> None:
    rows, members = examples(60), _table(60)
    members.mean[:, 7] = members.mean[0, 7]
    true = members.combine()
    mean = true.mean.copy()
    mean[7, 0] += 50
    card = fidelity(members, Echo(replace(true, mean=mean)), rows)
    assert "| gc | seq7 |" in as_markdown(card)
    assert next(line for line in as_markdown(card).splitlines() if "seq7" in line).endswith("| - |")
    write_fidelity(card, tmp_path)
    worst = json.loads((tmp_path / "fidelity.json").read_text())["worst"]
    assert worst[0]["id"] == "seq7"
    assert worst[0]["in_std"] is None


def test_a_card_that_was_cut_off_is_not_taken_for_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise RunError("no space left")

    members = _table(60)
    card = fidelity(members, Echo(members.combine()), examples(60))
    with monkeypatch.context() as patched:
        patched.setattr("octodon.experiment.fidelity.write_text", full)
        with pytest.raises(RunError):
            write_fidelity(card, tmp_path)
    assert not (tmp_path / "fidelity.json").exists()  # what a repeated run asks for
    write_fidelity(card, tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"fidelity.json", "fidelity.md"}


def test_distilling_given_networks_leaves_the_card(tmp_path: Path) -> None:
    data = examples(300)
    assert data.splits is not None
    table = pd.DataFrame({"sequence": ["".join("ACGT"[c] for c in row) for row in data.codes]})
    table = table.assign(split=data.splits, **dict(zip(TARGETS, data.targets.T, strict=True)))
    table.to_csv(tmp_path / "data.tsv", sep="\t", index=False)
    options = {"width": 0.05}
    save(train_tiny(data, members=2, backbone="deepstarr", options=options), tmp_path / "ensemble")
    config = resolve(
        {
            "data": {
                "path": str(tmp_path / "data.tsv"),
                "targets": {name: name for name in TARGETS},
                "split": "split",
            },
            "model": {"backbone": "deepstarr", "options": options},
            "distill": {"copies": 1, "training": {"epochs": 1}},
            "run": {"processes": 0, "device": "cpu"},
        }
    )
    said: list[str] = []
    distil_given(config, tmp_path / "ensemble", tmp_path / "run", progress=False, say=said.append)
    card = json.loads((tmp_path / "run" / "results" / "fidelity.json").read_text())
    assert card["members"] == 2
    assert card["teachers_per_second"] > 0
    assert {row["target"] for row in card["agreement"]} == set(TARGETS)
    assert all(len(row["sequence"]) == LENGTH for row in card["worst"])
    assert "times as fast here" in (tmp_path / "run" / "results" / "fidelity.md").read_text()
    assert any("fidelity card -> " in line for line in said)
    distil_given(config, tmp_path / "ensemble", tmp_path / "run", progress=False)  # finished: nothing to do
