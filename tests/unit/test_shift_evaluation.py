"""Models on shifted sequences: what each row of the table says, the given sets, the command and its figure."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import tiny
from tiny import LENGTH, TARGETS, ensemble, examples
from typer.testing import CliRunner

import octodon
from octodon.artifact.bundle import save
from octodon.calibration.fit import fit_calibration
from octodon.cli.main import app
from octodon.data.write import write_table
from octodon.distillation.student import Student
from octodon.ensemble.ensemble import Ensemble
from octodon.ensemble.network import FittedNetwork
from octodon.errors import BundleError, ConfigError, DataError, RunError
from octodon.experiment import reproduce
from octodon.experiment.attribution_study import explain_run, study_run
from octodon.experiment.poster.load import Experiment, load_experiment
from octodon.experiment.shift import evaluate_shift, make_sets, shift_run, shift_settings, write_shift
from octodon.experiment.shift_sets import parse_sets, read_set
from octodon.metrics.shift_summary import shift_lines
from octodon.metrics.tables import read_metrics
from octodon.models.model import ModelConfig, build_model
from octodon.predict.ood import fit_ood
from octodon.seq.codes import decode, random_codes
from octodon.shifts.shift import DEFAULT_SHIFTS, Shift

SHUFFLE = Shift(name="shuffle")


def students(count: int = 2) -> list[Student]:
    config = ModelConfig(
        backbone="deepstarr",
        length=LENGTH,
        n_targets=2,
        head="distilled_log_variance",
        options={"width": 0.05},
    )
    made = []
    for index in range(count):
        weights = build_model(config, seed=index).state_dict()
        fitted = FittedNetwork(index=index, attempt=0, seed=0, weights=weights, history=[])
        made.append(Student(model=config, target_names=TARGETS, units="log2", fitted=fitted))
    return made


def calibrated(student: Student, data: octodon.Examples) -> Student:
    said = student.predict(data.codes, device="cpu")
    return replace(
        student, calibration=fit_calibration(said, data.targets.astype(np.float64), method="split")
    )


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    test = examples(400).subset("test")
    first, second = students()
    judged = [fit_ood(calibrated(first, test), examples(200), device="cpu"), second]
    others = {"far": replace(test, codes=np.zeros_like(test.codes))}
    return evaluate_shift(ensemble(), judged, test, shifts=[SHUFFLE], others=others, device="cpu")


def value(table: pd.DataFrame, *key: object) -> float:
    names = ["split", "model", "index", "target", "quantity", "metric", "truth"]
    found = table
    for name, wanted in zip(names, key, strict=True):
        found = found.loc[found[name] == wanted]
    return found["value"].item()


def test_errors_are_those_of_predictions_of_the_same_shifted_sequences(table: pd.DataFrame) -> None:
    test = examples(400).subset("test")
    members = ensemble().predict_members(SHUFFLE.of(test.codes, 0))
    mean = members.mean.astype(np.float64).mean(axis=0)
    said = students()[1].predict(SHUFFLE.of(test.codes, 0), device="cpu")
    assert said.epistemic_std is not None
    for t, target in enumerate(TARGETS):
        expected = np.mean(np.square(members.mean[2, :, t] - mean[:, t]))
        key = ("shuffle", "individual", 2, target, "activity", "mse", "ensemble")
        assert value(table, *key) == pytest.approx(expected, rel=1e-5)
        expected = np.corrcoef(said.mean[:, t], mean[:, t])[0, 1]
        key = ("shuffle", "student", 1, target, "activity", "pearson", "ensemble")
        assert value(table, *key) == pytest.approx(expected, abs=1e-5)
        spread = np.std(members.mean[:, :, t], axis=0).mean()
        key = ("shuffle", "ensemble", 0, target, "epistemic", "mean", "")
        assert value(table, *key) == pytest.approx(spread, rel=1e-5)
        ratio = np.sqrt(
            np.mean(said.epistemic_std[:, t] ** 2) / np.mean(np.var(members.mean[:, :, t], axis=0))
        )
        key = ("shuffle", "student", 1, target, "epistemic", "std_ratio", "ensemble")
        assert value(table, *key) == pytest.approx(ratio, rel=1e-4)


def test_what_was_measured_is_compared_with_where_it_exists_and_only_there(table: pd.DataFrame) -> None:
    test = examples(400).subset("test")
    mean = ensemble().predict_members(test.codes).mean.mean(axis=0)
    key = ("test", "ensemble", 0, "gc", "activity", "mse", "measured")
    assert value(table, *key) == pytest.approx(np.mean((mean[:, 0] - test.targets[:, 0]) ** 2), rel=1e-4)
    measured = table.loc[table["truth"] == "measured"]
    assert set(measured["split"]) == {"test", "far"}
    assert set(table["split"]) == {"test", "shuffle", "far"}
    # the calibrated student covers its own calibration rows; another has no calibrated interval
    covered = value(table, "test", "student", 0, "gc", "calibrated", "coverage_0.9", "measured")
    assert 0.9 <= covered <= 0.95
    calibrated_rows = table.loc[table["quantity"] == "calibrated"]
    assert set(zip(calibrated_rows["model"], calibrated_rows["index"], strict=True)) == {("student", 0)}
    assert value(table, "far", "student", 0, "all", "ood", "flagged", "") == 1.0
    assert value(table, "test", "student", 0, "all", "ood", "flagged", "") < 0.2
    assert value(table, "far", "ensemble", 0, "all", "sequences", "count", "") == 80


def test_the_table_is_tidy_and_read_back(table: pd.DataFrame, tmp_path: Path) -> None:
    assert not table.duplicated([name for name in table if name != "value"]).any()
    paths = write_shift(table, tmp_path, "log2")
    back = read_metrics(paths[0])
    pd.testing.assert_frame_equal(back, table, check_dtype=False)
    text = paths[1].read_text()
    for word in ("shuffle", "width of 90% interval", "flagged", "log2", "gc: error"):
        assert word in text
    lines = shift_lines(table, "log2").splitlines()
    assert sum(line.startswith("far ") for line in lines) == 4


def test_the_students_own_interval_is_shown_where_only_the_ensemble_knows_the_noise(
    table: pd.DataFrame,
) -> None:
    of_noise = table.loc[(table["model"] == "ensemble") & (table["quantity"] == "epistemic")]
    noisy = pd.concat([table, of_noise.assign(quantity="total")])
    assert "total" not in set(table["quantity"])
    assert shift_lines(noisy) == shift_lines(table)


def test_sets_carry_the_replicates_that_intervals_are_for() -> None:
    data = examples(50)
    replicates = np.repeat(data.targets[:, :, None], 4, axis=2)
    replicates[0, 0, 0] = np.nan
    test = replace(data, replicates=replicates, splits=None)
    bare = replace(test, targets=np.zeros((50, 0), np.float32), target_names=(), replicates=None)
    found = {one.name: one for one in make_sets(test, [SHUFFLE], {"bare": bare}, 0)}
    for name in ("test", "shuffle"):
        assert np.asarray(found[name].n_replicates)[0].tolist() == [3, 4]
    assert np.unique(np.asarray(found["bare"].n_replicates)).tolist() == [4]
    assert found["bare"].measured is found["shuffle"].measured is None
    with pytest.raises(ConfigError, match="two sets are called 'shuffle'"):
        make_sets(test, [SHUFFLE], {"shuffle": bare}, 0)


def test_given_files(tmp_path: Path) -> None:
    data, rng = examples(20), np.random.default_rng(0)
    section = {"path": "gone.tsv", "targets": {"gc": ["g1", "g2"], "tata": "t"}, "split": "split"}
    frame = pd.DataFrame(
        {"sequence": decode(data.codes), "g1": 1.0 + np.arange(20), "g2": 3.0, "t": rng.normal(size=20)}
    )
    frame.loc[3, "g2"] = np.nan
    frame.to_csv(tmp_path / "all.csv", index=False)
    found = read_set(tmp_path / "all.csv", section, data)
    np.testing.assert_allclose(found.targets[:5, 0], [2, 2.5, 3, 4, 4])
    assert found.n_replicates is not None
    assert found.n_replicates[2:4, 0].tolist() == [2, 1]
    frame[["sequence"]].to_csv(tmp_path / "none.tsv", sep="\t", index=False)
    assert read_set(tmp_path / "none.tsv", section, data).targets.shape == (20, 0)
    frame.drop(columns="t").to_csv(tmp_path / "some.csv", index=False)
    with pytest.raises(DataError, match="no column 't' of the run's targets, but others of them"):
        read_set(tmp_path / "some.csv", section, data)
    long = random_codes((2, LENGTH + 6), rng)
    (tmp_path / "long.fa").write_text("".join(f">{i}\n{s}\n" for i, s in enumerate(decode(long))))
    np.testing.assert_array_equal(
        read_set(tmp_path / "long.fa", section, data, crop=True).codes, long[:, 3:-3]
    )
    with pytest.raises(DataError, match=f"{LENGTH + 6} bases, expected {LENGTH}.*--length crop"):
        read_set(tmp_path / "long.fa", section, data)
    with pytest.raises(ConfigError, match="expected FASTA"):
        read_set(tmp_path / "x.bed", section, data)
    assert parse_sets(["a=b.fa", "c = d=e.tsv"]) == {"a": Path("b.fa"), "c": Path("d=e.tsv")}
    for texts, message in ((["b.fa"], "expected NAME=FILE"), (["a=b", "a=c"], "'a' is given twice")):
        with pytest.raises(ConfigError, match=message):
            parse_sets(texts)


def run_folder(path: Path, backbone: str = "deepstarr") -> Path:
    """Return what a run leaves, with networks of this file and a split that was kept aside."""
    data = examples(160)
    splits = np.array(data.splits, dtype=object)
    splits[np.flatnonzero(splits == "train")[:20]] = "random"
    splits[np.flatnonzero(splits == "valid")[:4]] = "train"  # as many rows in no two splits
    write_table(replace(data, splits=splits), path / "data.tsv")
    (path / "config.toml").write_text(
        '[data]\npath = "data.tsv"\nid = "id"\nsplit = "split"\ntargets = { gc = "gc", tata = "tata" }\n'
        f'[model]\nbackbone = "{backbone}"\n'
    )
    (path / "data.json").write_text('{"sha256": {}}')
    (path / "results").mkdir()
    (path / "results" / "complete.json").write_text('{"seconds": 1.0}')
    options = {"width": 0.05} if backbone == "deepstarr" else {}
    one = ModelConfig(
        backbone=backbone, length=LENGTH, n_targets=2, head="distilled_log_variance", options=options
    )
    model = replace(one, head="mean")
    members = tuple(fitted(model, i) for i in range(3))
    common = {"target_names": TARGETS, "units": "log2"}
    save(Student(model=one, **common, fitted=fitted(one, 0)), path / "student")
    save(Ensemble(model=model, **common, members=members), path / "ensemble")
    return path


def fitted(model: ModelConfig, index: int) -> FittedNetwork:
    weights = build_model(model, seed=index).state_dict()
    return FittedNetwork(index=index, attempt=0, seed=0, weights=weights, history=[])


@pytest.mark.parametrize("targets", [["gc", "tata"], {"gc": 0, "tata": 1}, None])
def test_a_run_from_another_format_names_the_columns_of_a_table_by_its_targets(
    tmp_path: Path, targets: Any
) -> None:
    data = examples(20)
    frame = pd.DataFrame(
        {"sequence": decode(data.codes), "gc": 1.0 + np.arange(20), "tata": -np.arange(20.0)}
    )
    frame.to_csv(tmp_path / "all.csv", index=False)
    found = read_set(tmp_path / "all.csv", {"path": "gone.h5", "targets": targets}, data)
    assert found.targets[2].tolist() == [3, -2]


def test_the_command_writes_table_and_figure(tmp_path: Path) -> None:
    run = run_folder(tmp_path)
    (tmp_path / "more.fa").write_text("".join(f">{i}\n{'ACGT' * (LENGTH // 4)}\n" for i in range(12)))
    command = ["shift", str(run), "--device", "cpu", "--quiet"]
    result = CliRunner().invoke(
        app,
        [*command, "--shift", "shuffle", "--shift", "gc:by=0.1", "--also", f"more={tmp_path / 'more.fa'}"],
    )
    assert result.exception is None, result.output
    table = read_metrics(run / "results" / "shift.tsv")
    assert list(dict.fromkeys(table["split"])) == ["test", "shuffle", "gc_0.1", "random", "more"]
    assert (run / "figures" / "shift.svg").is_file()
    assert "gc_0.1" in result.output
    again = CliRunner().invoke(app, [*command, "--shift", "shuffle", "--of", "valid"])
    assert again.exception is None, again.output
    table = read_metrics(run / "results" / "shift.tsv")
    assert list(dict.fromkeys(table["split"])) == ["valid", "shuffle", "random", "test"]
    assert shift_settings(run) == {
        "shifts": [{"name": "shuffle", "options": {}}], "given": {}, "split": "valid", "crop": False, "seed": 0,
    }  # fmt: skip
    for name, expected in (("valid", 28), ("shuffle", 28), ("random", 20), ("test", 32)):
        assert value(table, name, "ensemble", 0, "all", "sequences", "count", "") == expected
    for wrong, kind, message in (
        (["--shift", "schuffle"], ConfigError, "did you mean 'shuffle'"),
        (["--of", "vallid"], DataError, "split 'vallid' has no rows"),
        (["--also", "x=gone.fa"], DataError, "no such file"),
        (
            ["--also", "random=gone.fa"],
            ConfigError,
            "--also random=gone.fa: the run has a split of that name",
        ),
        (["--also", "valid=gone.fa"], ConfigError, "has a split of that name"),
    ):
        with pytest.raises(kind, match=message):
            raise CliRunner().invoke(app, [*command, *wrong]).exception or AssertionError("no error")
    with pytest.raises(RunError, match=r"no config\.toml here"):
        raise CliRunner().invoke(app, ["shift", str(tmp_path / "none")]).exception or AssertionError(
            "no error"
        )


def test_a_run_that_cannot_be_added_to_is_refused_before_it_is_evaluated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("octodon.experiment.shift.shift_run", lambda *_, **__: pytest.fail("it computes"))
    for part in ("ensemble", "student"):
        (tmp_path / part).mkdir()
    (tmp_path / "config.toml").touch()
    said = CliRunner().invoke(app, ["shift", str(tmp_path)])
    assert isinstance(said.exception, RunError)
    assert "this run is not finished; go on with it: octodon run" in str(said.exception)
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "complete.json").touch()
    (tmp_path / "figures").touch()
    said = CliRunner().invoke(app, ["shift", str(tmp_path)])
    assert isinstance(said.exception, RunError)
    assert f"cannot make the folder {tmp_path / 'figures'}" in str(said.exception)
    (tmp_path / "figures").unlink()

    def forbidden(**_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("octodon.atomic.tempfile.TemporaryFile", forbidden)
    said = CliRunner().invoke(app, ["shift", str(tmp_path)])
    assert isinstance(said.exception, RunError)
    assert f"cannot write into {tmp_path / 'results'}: Permission denied" in str(said.exception)


def test_a_folder_that_became_read_only_meanwhile_is_one_line(
    table: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_shift(table, tmp_path)

    def forbidden(path: Path, **_: object) -> None:
        raise OSError(30, "Read-only file system", str(path))

    monkeypatch.setattr(Path, "unlink", forbidden)
    with pytest.raises(
        RunError, match=r"cannot write .*shift\.json: Read-only file system; check folder"
    ) as caught:
        write_shift(table, tmp_path)
    assert "\n" not in str(caught.value)


def reproduced(folder: Path, backbone: str = "deepstarr") -> Experiment:
    """Return an experiment of the poster; its data are not read."""
    (folder / "deepstarr_3k.tsv.gz").touch()
    overrides = [f"model.backbone={backbone}", "run.device=cpu"]
    return load_experiment("deepstarr", data=folder, sequences=6, overrides=overrides)


def test_a_reproduction_keeps_only_the_shifts_that_it_asks_for(tmp_path: Path) -> None:
    run, said = run_folder(tmp_path), list[str]()
    reproduce._examine_shift(reproduced(tmp_path), run, said.append)
    published = ["test", *(shift.label for shift in reproduce.PUBLISHED_SHIFTS)]
    table = read_metrics(run / "results" / "shift.tsv")
    assert list(dict.fromkeys(table["split"])) == [*published, "random"]
    reproduce._examine_shift(reproduced(tmp_path), run, said.append)
    assert said == ["shift: three shifts of the test set", f"kept: {run / 'figures' / 'shift.svg'}"]
    other = ["shift", str(run), "--shift", "shuffle", "--of", "valid", "--device", "cpu", "--quiet"]
    assert CliRunner().invoke(app, other).exception is None
    reproduce._examine_shift(reproduced(tmp_path), run, said.append)
    assert said[2:] == [
        "shift: three shifts of the test set, anew: the one that is there was asked for something else"
    ]
    pd.testing.assert_frame_equal(read_metrics(run / "results" / "shift.tsv"), table)
    write_shift(table, run)  # by whoever does not say what for
    assert shift_settings(run) is None


def test_a_run_of_an_own_backbone_is_judged_by_the_code_that_the_caller_names(tmp_path: Path) -> None:
    code = tmp_path / "mine.py"
    code.write_text(Path(tiny.__file__).read_text())
    run, backbone = run_folder(tmp_path, f"{code}:TinyBackbone"), f"{code}:TinyBackbone"
    how = {"method": "saliency", "sequences": 3, "backbone": backbone, "device": "cpu"}
    assert len(shift_run(run, shifts=[SHUFFLE], backbone=backbone, device="cpu").table) > 100
    assert len(study_run(run, **how).table) > 0
    assert explain_run(run, target="gc", **how).maps.shape[0] == 3
    for judge in (reproduce._examine_shift, reproduce._explain):
        judge(reproduced(tmp_path, backbone), run, lambda line: None)
    for command in (
        shift_run,
        study_run,
        explain_run,
    ):  # the folder names a file, too: that is no leave to run it
        with pytest.raises(BundleError, match="backbone"):
            command(run)


def test_defaults_hold_the_published_shifts() -> None:
    labels = {shift.label for shift in DEFAULT_SHIFTS}
    assert {"mutagenesis_0.05", "evoaug_2", "shuffle"} <= labels
