"""Distilling what exists: the data are read once, whoever the teachers are."""

from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from tiny import MODEL, TARGETS, ensemble, examples

from octodon.artifact.bundle import save
from octodon.artifact.seen import SEEN, save_seen
from octodon.errors import ConfigError, DataError, RunError
from octodon.experiment import fidelity, given, run
from octodon.experiment.config import resolve
from octodon.experiment.validate import identify, identify_beside_weights
from octodon.models.dropout import DropoutPasses
from octodon.records import MemberPredictions, Prediction


def test_a_table_of_teachers_reads_the_data_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read, data = [], examples()

    def prepared(config: Any) -> Any:
        read.append(config)
        return data

    class _ReachedError(Exception):
        pass

    def stop(config: Any, seen: Any, teachers: Any) -> None:
        assert seen is data
        assert config.distill.copies == 0
        raise _ReachedError

    for module in (given, run):
        monkeypatch.setattr(module, "prepare", prepared)
    monkeypatch.setattr(run, "validate", stop)
    rows = [
        pd.DataFrame(data.targets, columns=list(TARGETS)).assign(id=data.ids, member=member)
        for member in (0, 1)
    ]
    pd.concat(rows).to_parquet(tmp_path / "said.parquet")
    with pytest.raises(_ReachedError):
        given.distil_given(resolve({"data": {}}), tmp_path / "said.parquet", tmp_path / "out")
    assert len(read) == 1


def test_a_table_of_teachers_that_is_to_label_copies_alone_is_refused_before_anything_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(given, "prepare", lambda config: examples())
    table = pd.DataFrame({"gc": [0.0, 1.0], "tata": [0.0, 1.0], "id": "seq0", "member": [0, 1]})
    table.to_parquet(tmp_path / "said.parquet")
    config = resolve({"data": {}, "distill": {"labels": "augmented"}})
    with pytest.raises(ConfigError, match=r"table of predictions: labels = 'augmented' leaves the training"):
        given.distil_given(config, tmp_path / "said.parquet", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_code_of_the_teachers_stays_as_it_is_while_a_run_lasts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = tmp_path / "theirs.py"
    code.write_text("from tiny import TinyBackbone\n\n\nclass Net(TinyBackbone):\n    pass\n")
    save(ensemble(), tmp_path / "theirs")
    data, config = examples(), resolve({"data": {}, "run": {"processes": 0, "device": "cpu"}})
    for module in (given, run):
        monkeypatch.setattr(module, "prepare", lambda config: data)
    monkeypatch.setattr(given, "refuse_taught", lambda *_: None)
    monkeypatch.setattr(run, "source_hashes", lambda config: {})

    class _KilledError(Exception):
        pass

    def die(*_: Any) -> None:
        raise _KilledError

    monkeypatch.setattr(run.Stages, "students", die)

    def distil() -> None:
        backbone = f"{code}:Net"
        given.distil_given(config, tmp_path / "theirs", tmp_path / "out", backbone=backbone, progress=False)

    for _ in range(2):  # and goes on where nothing has changed
        with pytest.raises(_KilledError):
            distil()
    code.write_text(
        code.read_text().replace("pass", "def forward(self, x):\n        return -super().forward(x)")
    )
    with pytest.raises(
        RunError, match="the code of the teachers, or their dropout, has changed since this run began"
    ):
        distil()


def test_teachers_that_are_octodons_are_known_by_their_weights() -> None:
    ours = replace(ensemble(), model=replace(ensemble().model, backbone="deepstarr"))
    weights = b"".join(w.numpy().tobytes() for m in ours.members for _, w in sorted(m.weights.items()))
    assert identify(ours) == sha256(weights).hexdigest()  # as runs have written it from the first version on
    assert identify_beside_weights(ours) is None
    assert identify_beside_weights(replace(ours, dropout=DropoutPasses(passes=3))) is not None


def test_teachers_that_saw_the_students_test_rows_are_refused(tmp_path: Path) -> None:
    data, config = examples(), resolve({"data": {}})
    splits = np.array(["train", "valid", "test", "calibration"])[np.arange(len(data)) % 4]
    data = replace(data, splits=splits)
    save_seen(tmp_path, data.codes[np.isin(splits, ("train", "valid"))])
    given.refuse_taught(tmp_path, data, config)
    for one in ("test", "calibration"):  # as another seed would draw them
        other = replace(data, splits=np.where(splits == "train", one, splits))
        with pytest.raises(
            DataError, match=r"sequences trained the networks .* split as the teachers' run did"
        ):
            given.refuse_taught(tmp_path, other, config)
        given.refuse_taught(tmp_path, other, resolve({"data": {}, "split": {"on_leak": "allow"}}))
    (tmp_path / SEEN).unlink()  # trained elsewhere: nobody knows
    given.refuse_taught(tmp_path, other, config)


def test_the_fidelity_card_is_made_on_the_device_of_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, asked = examples(), []
    said = MemberPredictions(ids=data.ids, target_names=TARGETS, mean=data.targets[None].repeat(2, 0))

    class Recorder:
        """Answers, and remembers where it was asked to compute."""

        model, target_names, units = MODEL, TARGETS, "activity"

        def predict(self, codes: Any, ids: Any = None, *, device: str = "auto") -> Prediction:
            asked.append(device)
            rows = slice(0, len(codes))
            return Prediction(ids=data.ids[rows], target_names=TARGETS, mean=data.targets[rows])

    fidelity.fidelity(said, Recorder(), data, device="cpu")
    assert asked == ["cpu", "cpu"]
    for run_section, device in (
        ({"device": "cuda"}, "cuda"),
        (
            {"device": "cuda", "executor": "ray"},
            "auto",
        ),  # a GPU of the cluster, which this machine may not have
        ({"device": "cpu", "executor": "ray"}, "cpu"),
    ):
        assert resolve({"data": {}, "run": run_section}).run.device_here == device
