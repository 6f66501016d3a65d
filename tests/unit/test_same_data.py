"""A run keeps to its data, its split and the code of its backbone, and so do the commands that add to it."""

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from finished_run import write_run

from octodon.errors import RunError
from octodon.experiment import attribution_study, shift
from octodon.experiment.beside import add_beside
from octodon.experiment.config import ExperimentConfig, dump, resolve
from octodon.experiment.folder import RunFolder, claim
from octodon.experiment.prepare import describe, prepare, source_hashes
from octodon.experiment.run import run_experiment
from octodon.experiment.sweep import run_sweep
from octodon.experiment.validate import identify_code
from octodon.seq.codes import decode, random_codes

SPLITS = ["train"] * 18 + ["valid"] * 6 + ["test"] * 6
SWAPPED = SPLITS[12:] + SPLITS[:12]


def _write(path: Path, splits: list[str]) -> ExperimentConfig:
    """Write thirty rows, the same ones whatever their splits are."""
    sequences = decode(random_codes((30, 25), np.random.default_rng(0)))
    rows = [f"s{i}\t{sequences[i]}\t{i / 4}\t{splits[i]}" for i in range(30)]
    path.write_text("\n".join(["id\tsequence\tA\tsplit", *rows]) + "\n")
    return resolve({"data": {"path": str(path), "id": "id", "targets": {"A": "A"}, "split": "split"}})


def _begin(config: ExperimentConfig, folder: Path, code: str | None = None) -> None:
    RunFolder(folder).begin(dump(config), describe(prepare(config)) | {"teachers": None, "code": code})


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run that has begun on a table whose split column was rewritten since: rows of the test trained its networks."""
    folder = tmp_path / "run"
    folder.mkdir()
    _begin(_write(tmp_path / "x.tsv", SPLITS), folder)
    _begin(_write(tmp_path / "x.tsv", SPLITS), folder)  # goes on
    _write(tmp_path / "x.tsv", SWAPPED)
    return folder


def test_a_run_does_not_go_on_with_another_split_of_the_same_rows(run: Path, tmp_path: Path) -> None:
    with pytest.raises(
        RunError, match=r"run: the data have changed \(splits\) since this run began; take back"
    ):
        _begin(_write(tmp_path / "x.tsv", SWAPPED), run)


@pytest.mark.parametrize(
    "command", [add_beside, shift.shift_run, attribution_study.study_run, attribution_study.explain_run]
)
def test_commands_that_add_to_a_run_do_not_test_on_rows_that_trained_it(
    run: Path, monkeypatch: pytest.MonkeyPatch, command: Callable[[Path], object]
) -> None:
    for part in ("ensemble", "student", "results"):
        (run / part).mkdir()
    (run / "results" / "complete.json").write_text("{}")
    models = SimpleNamespace(ensemble=None, students=[], kept=0)
    for module in (shift, attribution_study):
        monkeypatch.setattr(module, "load_models", lambda *_, **__: models)
    monkeypatch.setattr(attribution_study, "load", lambda *_, **__: None)
    with pytest.raises(RunError, match=r"the data have changed \(splits\)"):
        command(run)


@pytest.mark.parametrize("command", [shift.shift_run, attribution_study.study_run])
def test_networks_of_a_run_that_has_not_ended_are_not_judged(
    run: Path, command: Callable[[Path], object]
) -> None:
    for part in ("ensemble", "student"):
        (run / part).mkdir()
    with pytest.raises(RunError, match=r"run: this run is not finished; go on with it: octodon run"):
        command(run)


def test_a_run_of_an_earlier_version_which_recorded_less_goes_on(tmp_path: Path) -> None:
    config = _write(tmp_path / "x.tsv", SPLITS)
    report = describe(prepare(config)) | {"teachers": None}
    report["sha256"] = {part: report["sha256"][part] for part in ("codes", "targets", "replicates", "ids")}
    RunFolder(tmp_path).begin(dump(config), report)
    _begin(config, tmp_path, code="any")


def test_a_run_does_not_go_on_with_another_state_of_the_backbones_file(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text("one")
    config, before = _write(tmp_path / "x.tsv", SPLITS), identify_code(f"{file}:Net")
    _begin(config, tmp_path, before)
    file.write_text("two")
    with pytest.raises(RunError, match="the file of the backbone has changed since this run began"):
        _begin(config, tmp_path, identify_code(f"{file}:Net"))
    assert identify_code("deepstarr") is None


def test_a_run_does_not_go_on_with_another_pool_nor_is_it_taken_for_finished(tmp_path: Path) -> None:
    config, pool, folder = _write(tmp_path / "x.tsv", SPLITS), tmp_path / "pool.fa", tmp_path / "run"
    config = config.model_copy(update={"distill": config.distill.model_copy(update={"pool": pool})})
    pool.write_text(">a\nACGT\n")
    folder.mkdir()
    before = describe(prepare(config)) | {"teachers": None, "code": None}
    RunFolder(folder).begin(dump(config), before)  # by an earlier version, which recorded no pool
    RunFolder(folder).begin(dump(config), before | {"sources": source_hashes(config)})
    with pool.open("a") as file:
        file.write(">b\nTTTT\n")
    with pytest.raises(RunError, match=r"run: the file of distill\.pool has changed since this run began"):
        RunFolder(folder).begin(dump(config), before | {"sources": source_hashes(config)})
    (folder / "results").mkdir()
    (folder / "results" / "complete.json").write_text("{}")
    with pytest.raises(RunError, match=r"run: the file of distill\.pool has changed since this run began"):
        run_experiment(config, folder)
    pool.unlink()  # what is no longer there is not asked for
    RunFolder(folder).refuse_changed({"sources": source_hashes(config)})


def test_files_in_a_folder_of_data_are_known_by_what_they_hold(tmp_path: Path) -> None:
    release, run = tmp_path / "release", tmp_path / "run"
    for folder in (release, run):
        folder.mkdir()
    for name in ("Sequences_Train.fa", ".DS_Store", "sweep.log"):
        (release / name).write_text("one")
    config = resolve({"data": {"format": "deepstarr", "path": str(release)}})
    (run / "data.json").write_text(json.dumps({"sources": source_hashes(config)}))
    for name in (".DS_Store", "sweep.log", "notes.txt"):  # none is read
        (release / name).write_text("two")
    RunFolder(run).refuse_changed({"sources": source_hashes(config)})
    (release / "Sequences_Train.fa").write_text("two")
    with pytest.raises(RunError, match=r"the file of data\.path \(Sequences_Train\.fa\) has changed"):
        RunFolder(run).refuse_changed({"sources": source_hashes(config)})


def test_a_calibration_method_that_did_not_fit_may_be_changed_until_the_run_is_finished(
    tmp_path: Path,
) -> None:
    config, folder = _write(tmp_path / "x.tsv", SPLITS), tmp_path / "run"
    folder.mkdir()
    _begin(config, folder)

    def changed(**calibrate: Any) -> str:
        return dump(config.model_copy(update={"calibrate": config.calibrate.model_copy(update=calibrate)}))

    for allowed in ({"method": "scaling"}, {"level": 0.8}):
        with claim(folder, changed(**allowed)):
            pass
    for refused in ({"method": "none"}, {"fraction_of_valid": 0.4}):
        with pytest.raises(RunError, match="another configuration"), claim(folder, changed(**refused)):
            pass
    (folder / "results").mkdir()
    (folder / "results" / "complete.json").write_text("{}")
    with pytest.raises(RunError, match="another configuration"), claim(folder, changed(method="scaling")):
        pass


@pytest.mark.parametrize("left", ["config.toml", "results/complete.json"])
def test_a_sweep_does_not_write_over_the_metrics_of_a_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, left: str
) -> None:
    run = write_run(tmp_path / "run", n=20)
    for mark in {"config.toml", "results/complete.json"} - {left}:
        (run / mark).unlink()
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    monkeypatch.setattr("octodon.experiment.sweep.run_experiment", lambda *_, **__: pytest.fail("it runs"))
    with pytest.raises(
        RunError, match=r"--out .*run: holds a run; choose another folder, nothing is written"
    ):
        run_sweep(_write(tmp_path / "x.tsv", SPLITS), [0.5, 1.0], run)
    after = {path: path.read_bytes() for path in run.rglob("*") if path.is_file() and path.name != ".lock"}
    assert after == before
