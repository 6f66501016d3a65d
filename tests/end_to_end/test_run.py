"""``octodon run`` and what follows it, on a table of 160 sequences."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from filelock import FileLock

import octodon
from octodon.data.read import read
from octodon.metrics.pearson import pearson

Cli = Callable[..., tuple[int, str, str]]


def test_run_leaves_the_files_of_the_design(cli: Cli, experiment: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    code, printed, err = cli("run", experiment, "--out", out, "--quiet")
    assert code == 0, err
    assert "ensemble" in printed
    assert "octodon predict" in printed
    assert {path.name for path in out.iterdir()} - {".lock"} == {
        "config.toml", "data.json", "ensemble", "student", "results", "figures", "events.jsonl", "report.html"
    }  # fmt: skip
    metrics = pd.read_csv(out / "results" / "metrics.tsv", sep="\t")
    assert list(metrics.columns) == ["model", "index", "split", "target", "quantity", "metric", "value"]
    assert set(metrics["model"]) == {"individual", "ensemble", "student", "kmer_ridge"}
    config = tomllib.loads((out / "config.toml").read_text())
    assert config["ensemble"]["training"]["learning_rate"] == 3e-3  # every default is spelled out
    data = json.loads((out / "data.json").read_text())
    assert data["splits"] == {"train": 96, "valid": 32, "test": 32}
    events = [json.loads(line)["event"] for line in (out / "events.jsonl").read_text().splitlines()]
    assert events[0] == "start"
    assert events[-1] == "finished"
    assert events[-3:-1] == [
        "shift examined",
        "attribution not examined",
    ]  # two members have no leave-one-out average
    assert set(pd.read_csv(out / "results" / "shift.tsv", sep="\t")["split"]) > {"test"}
    _a_run_of_an_earlier_version_gets_its_ridge(cli, out, metrics)


def _a_run_of_an_earlier_version_gets_its_ridge(cli: Cli, out: Path, metrics: pd.DataFrame) -> None:
    results = out / "results"
    before = [pd.read_parquet(results / f"{name}_test.parquet") for name in ("kmer_ridge", "ensemble")]
    for name in ("kmer_ridge", "ensemble"):
        (results / f"{name}_test.parquet").unlink()
    old = metrics.query("model != 'kmer_ridge'")
    old.to_csv(results / "metrics.tsv", sep="\t", index=False)
    code, printed, err = cli("report", out)
    assert code == 0, err
    assert "fitting it" in err
    assert "How good?" in printed
    again = pd.read_csv(results / "metrics.tsv", sep="\t")
    keys = ["model", "index", "split", "target", "quantity", "metric"]
    pd.testing.assert_frame_equal(*(t.sort_values(keys, ignore_index=True) for t in (again, metrics)))
    for name, table in zip(("kmer_ridge", "ensemble"), before, strict=True):
        pd.testing.assert_frame_equal(pd.read_parquet(results / f"{name}_test.parquet"), table, atol=1e-5)


@pytest.mark.usefixtures("no_figures")
def test_the_metrics_are_those_of_the_written_predictions(cli: Cli, experiment: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    cli("run", experiment, "--out", out, "--quiet")
    written = pd.read_parquet(out / "results" / "predictions_test.parquet")
    table = pd.read_csv(experiment.parent / "tiny.tsv", sep="\t").query("split == 'test'")
    assert list(written["id"]) == list(table["id"])
    np.testing.assert_allclose(written["A_measured"], table[["A_rep1", "A_rep2"]].mean(axis=1), rtol=1e-5)
    metrics = pd.read_csv(out / "results" / "metrics.tsv", sep="\t")
    row = metrics.query("model == 'student' and split == 'test' and target == 'A' and metric == 'pearson'")
    expected = np.corrcoef(written["A_mean"], written["A_measured"])[0, 1]
    assert row.query("quantity == 'activity'")["value"].item() == pytest.approx(expected, abs=1e-6)
    assert (written["A_epistemic_std"] >= 0).all()


@pytest.mark.usefixtures("no_figures")
def test_the_same_seed_gives_identical_metrics_and_another_seed_does_not(
    cli: Cli, experiment: Path, tmp_path: Path
) -> None:
    texts = []
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        assert cli("run", experiment, "--out", tmp_path / name, "--quiet", "--set", f"seed={seed}")[0] == 0
        texts.append((tmp_path / name / "results" / "metrics.tsv").read_text())
    assert texts[0] == texts[1] != texts[2]


def test_a_finished_run_is_left_alone_and_an_interrupted_one_goes_on(
    cli: Cli, experiment: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    cli("run", experiment, "--out", whole, "--quiet")
    before = {path: path.stat().st_mtime_ns for path in whole.rglob("*") if path.name != ".lock"}
    code, _, err = cli("run", experiment, "--out", whole, "--quiet")
    assert (code, err) == (0, f"{whole} is finished already; nothing to do\n")
    assert {path: path.stat().st_mtime_ns for path in whole.rglob("*") if path.name != ".lock"} == before

    table = experiment.parent / "tiny.tsv"
    text = table.read_text()
    table.write_text(text + "\n")  # one file for two runs of two tables
    code, _, err = cli("run", experiment, "--out", whole, "--quiet")
    assert (code, "the file of data.path has changed since this run began" in err) == (2, True)
    table.write_text(text)

    interrupted(cli, experiment, broken, monkeypatch)
    code, _, err = cli("run", experiment, "--out", broken, "--quiet")
    assert code == 0
    assert "ensemble: kept" in err
    assert (broken / "results" / "metrics.tsv").read_text() == (whole / "results" / "metrics.tsv").read_text()


@pytest.mark.usefixtures("no_figures")
def test_predict_equals_the_python_call_for_every_format(cli: Cli, experiment: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    cli("run", experiment, "--out", out, "--quiet")
    table = pd.read_csv(experiment.parent / "tiny.tsv", sep="\t")
    (tmp_path / "s.fa").write_text(
        "".join(f">{i}\n{s}\n" for i, s in zip(table["id"], table["sequence"], strict=True))
    )
    table.to_parquet(tmp_path / "s.parquet")
    expected = octodon.load(out / "student").predict(list(table["sequence"]))
    for source, written in (("s.fa", "a.tsv"), ("s.parquet", "b.parquet"), ("tiny.tsv", "c.csv")):
        path = experiment.parent / source
        options = [] if source == "s.fa" else ["--id", "id"]
        code, _, err = cli("predict", out / "student", path, "--out", tmp_path / written, "--quiet", *options)
        assert code == 0, err
        if written.endswith(".parquet"):
            got = pd.read_parquet(tmp_path / written)
        else:
            got = pd.read_csv(tmp_path / written, sep="\t" if written.endswith(".tsv") else ",")
        assert list(got["id"]) == list(table["id"])
        np.testing.assert_allclose(got["A_mean"], expected.mean[:, 0], rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(got["B_epistemic_std"], expected.epistemic_std[:, 1], rtol=1e-5, atol=1e-6)


@pytest.mark.usefixtures("no_figures")
def test_distilling_a_table_of_member_predictions(cli: Cli, experiment: Path, tmp_path: Path) -> None:
    examples = read(
        {"path": str(experiment.parent / "tiny.tsv"), "id": "id", "targets": {"A": "A_rep1", "B": "B"}}
    )
    rng = np.random.default_rng(1)
    members = [
        pd.DataFrame({"id": examples.ids, "member": m}).assign(
            **{
                name: examples.targets[:, t] + rng.normal(0, 0.1, len(examples))
                for t, name in enumerate("AB")
            }
        )
        for m in range(3)
    ]
    # shuffled rows: the join is by id
    pd.concat(members).sample(frac=1, random_state=0).to_parquet(tmp_path / "teachers.parquet")
    out = tmp_path / "run"
    code, _, err = cli(
        "distill", experiment, "--teachers", tmp_path / "teachers.parquet", "--out", out, "--quiet"
    )
    assert code == 0, err
    assert not (out / "ensemble").exists()
    table = pd.read_csv(out / "results" / "metrics.tsv", sep="\t")
    ensemble = table.query(
        "model == 'ensemble' and split == 'test' and target == 'B' and metric == 'pearson'"
    )
    said = np.mean([m.set_index("id").loc[examples.ids, "B"].to_numpy() for m in members], axis=0)
    rows = np.flatnonzero(np.arange(len(examples)) % 5 == 0)
    expected = pearson(said[rows, None], examples.targets[rows, 1:2].astype(float))
    assert ensemble["value"].item() == pytest.approx(expected[0], abs=1e-5)


def test_sweep_draws_the_curves(cli: Cli, experiment: Path, tmp_path: Path) -> None:
    code, _, err = cli("sweep", experiment, "--fractions", "0.5,1", "--out", tmp_path / "sweep", "--quiet")
    assert code == 0, err
    metrics = pd.read_csv(tmp_path / "sweep" / "results" / "metrics.tsv", sep="\t")
    assert set(metrics["fraction"]) == {0.5, 1.0}
    assert (tmp_path / "sweep" / "figures" / "sweep.svg").read_text().startswith("<?xml")
    assert 'id="low-data"' in (tmp_path / "sweep" / "fraction_1" / "report.html").read_text()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (["--set", "ensemble.member=3"], "did you mean 'members'"),
        (["--set", "data.path=absent.tsv"], "absent.tsv"),
        (["--set", "data.sequence=seq"], "'seq'"),
        (["--set", "model.backbone=deepstar"], "did you mean 'deepstarr'"),
        (["--set", "model.options.widht=2"], "did you mean 'width'"),
        (["--set", "ensemble.members=1"], "at least two members"),
        (["--set", "run.device=cuda"], "sees no GPU"),
        (["--set", "distill.copies=-1"], "distill.copies"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(
    cli: Cli, experiment: Path, tmp_path: Path, change: list[str], message: str
) -> None:
    code, out, err = cli("run", experiment, "--out", tmp_path / "run", "--quiet", *change)
    assert code == 2
    assert message in err
    last = err.strip().splitlines()[-1]
    assert last.startswith("error: ")
    assert "Traceback" not in out + err


@pytest.mark.usefixtures("no_figures")
def test_a_folder_in_use_or_with_other_content_is_refused(cli: Cli, experiment: Path, tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.jpg").write_text("meow")
    code, _, err = cli("run", experiment, "--out", tmp_path / "photos", "--quiet")
    assert (code, "not empty" in err) == (2, True)
    assert {path.name for path in (tmp_path / "photos").iterdir()} - {".lock"} == {"cat.jpg"}
    (tmp_path / "busy").mkdir()
    with FileLock(tmp_path / "busy" / ".lock"):
        code, _, err = cli("run", experiment, "--out", tmp_path / "busy", "--quiet")
    assert (code, "in use by another run" in err) == (2, True)
    cli("run", experiment, "--out", tmp_path / "run", "--quiet")
    code, _, err = cli("run", experiment, "--out", tmp_path / "run", "--quiet", "--set", "seed=5")
    assert (code, "another configuration" in err) == (2, True)


@pytest.mark.usefixtures("no_figures")
def test_a_leaking_split_is_refused_unless_told_otherwise(cli: Cli, experiment: Path, tmp_path: Path) -> None:
    table = pd.read_csv(experiment.parent / "tiny.tsv", sep="\t")
    table.loc[2, "sequence"] = table.loc[0, "sequence"]  # a training copy of a test sequence
    table.to_csv(experiment.parent / "tiny.tsv", sep="\t", index=False)
    code, _, err = cli("run", experiment, "--out", tmp_path / "run", "--quiet")
    assert (code, "straddle" in err) == (2, True)
    assert "leak" in cli("check", experiment)[1]
    code, _, err = cli(
        "run", experiment, "--out", tmp_path / "run2", "--quiet", "--set", "split.on_leak=drop"
    )
    assert code == 0, err
    assert json.loads((tmp_path / "run2" / "data.json").read_text())["splits"]["train"] == 95


@pytest.mark.usefixtures("no_figures")
def test_missing_activity_is_refused_dropped_or_masked(cli: Cli, experiment: Path, tmp_path: Path) -> None:
    table = pd.read_csv(experiment.parent / "tiny.tsv", sep="\t")
    table.loc[[2, 3], "B"] = np.nan
    table.to_csv(experiment.parent / "tiny.tsv", sep="\t", index=False)
    assert cli("run", experiment, "--out", tmp_path / "a", "--quiet")[0] == 2
    for missing, rows in (("drop", 94), ("mask", 96)):
        out = tmp_path / missing
        code, _, err = cli("run", experiment, "--out", out, "--quiet", "--set", f"data.missing={missing}")
        assert code == 0, err
        assert json.loads((out / "data.json").read_text())["splits"]["train"] == rows


def test_list_doctor_and_help(cli: Cli) -> None:
    assert "deepstarr" in cli("list", "backbones")[1]
    assert "Drosophila melanogaster" in cli("list", "sets")[1]
    code, _, err = cli("list", "backbone")
    assert (code, "did you mean 'backbones'" in err) == (2, True)
    for command in ("run", "predict", "check", "distill", "sweep", "simulate", "demo", "doctor", "list"):
        code, out, _ = cli(command, "--help")
        assert code == 0
        assert "Example: octodon" in out, f"{command} --help shows no example"


OWN_BACKBONE = """
from torch import nn

class Tiny(nn.Module):
    def __init__(self, length, channels=4):
        super().__init__()
        self.net = nn.Sequential(nn.Conv1d(4, channels, 5), nn.ReLU(), nn.Flatten())

    def forward(self, x):
        return self.net(x)
"""


@pytest.mark.usefixtures("no_figures")
def test_a_backbone_of_ones_own_is_one_file(cli: Cli, experiment: Path, tmp_path: Path) -> None:
    (experiment.parent / "mine.py").write_text(OWN_BACKBONE)  # relative to the TOML file
    text = (
        experiment.read_text()
        .replace('"deepstarr"', '"mine.py:Tiny"')
        .replace("width = 0.05", "channels = 3")
    )
    experiment.write_text(text)
    out = tmp_path / "run"
    code, _, err = cli("run", experiment, "--out", out, "--quiet")
    assert code == 0, err
    table, predictions = experiment.parent / "tiny.tsv", tmp_path / "p.tsv"
    # the bundle brings no code: who predicts names it
    code, _, err = cli("predict", out / "student", table, "--out", predictions, "--quiet")
    assert (code, "--backbone" in err) == (2, True)
    backbone = f"{experiment.parent / 'mine.py'}:Tiny"
    code, _, err = cli(
        "predict", out / "student", table, "--out", predictions, "--quiet", "--backbone", backbone
    )
    assert code == 0, err
    assert len(predictions.read_text().splitlines()) == 161


@pytest.mark.usefixtures("no_figures")
def test_after_a_refusal_the_mended_command_may_use_the_same_folder(
    cli: Cli, experiment: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    assert cli("run", experiment, "--out", out, "--quiet", "--set", "data.sequence=seq")[0] == 2
    (out / ".config.7.partial.toml").touch()  # as if killed then
    code, _, err = cli("run", experiment, "--out", out, "--quiet", "--restart")
    assert code == 0, err


def interrupted(cli: Cli, experiment: Path, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave a run that was stopped between ensemble and student."""

    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("octodon.experiment.stages.distil_students", stop)
        code, _, err = cli("run", experiment, "--out", out, "--quiet")
    assert (code, "To go on: octodon run" in err) == (130, True)


@pytest.mark.usefixtures("no_figures")
def test_a_run_does_not_go_on_with_other_data_but_may_with_fewer_processes(
    cli: Cli, experiment: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, table = tmp_path / "run", experiment.parent / "tiny.tsv"
    interrupted(cli, experiment, out, monkeypatch)
    whole = table.read_text()
    table.write_text("\n".join(whole.splitlines()[:-1]) + "\n")
    code, _, err = cli("run", experiment, "--out", out, "--quiet")
    assert (code, "data have changed" in err) == (2, True)
    table.write_text(whole)
    code, _, err = cli("run", experiment, "--out", out, "--quiet", "--set", "run.processes=1")
    assert code == 0, err


@pytest.mark.usefixtures("no_figures")
def test_a_folder_keeps_to_its_teachers(
    cli: Cli, experiment: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cli("run", experiment, "--out", tmp_path / "first", "--quiet")
    cli("run", experiment, "--out", tmp_path / "second", "--quiet", "--set", "seed=1")
    out = tmp_path / "distilled"
    code, _, err = cli(
        "distill", experiment, "--teachers", tmp_path / "first" / "ensemble", "--out", out, "--quiet"
    )
    assert code == 0, err
    code, _, err = cli(
        "distill", experiment, "--teachers", tmp_path / "second" / "ensemble", "--out", out, "--quiet"
    )
    assert (code, "other teachers" in err) == (2, True)


@pytest.mark.usefixtures("no_figures")
def test_a_run_killed_between_bundle_and_history_gathers_its_members_again(
    cli: Cli, experiment: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, out = tmp_path / "whole", tmp_path / "run"
    cli("run", experiment, "--out", whole, "--quiet")
    interrupted(cli, experiment, out, monkeypatch)
    (out / "ensemble" / "history.parquet").unlink()
    code, _, err = cli("run", experiment, "--out", out, "--quiet")
    assert code == 0, err
    assert (out / "ensemble" / "history.parquet").is_file()
    assert (out / "results" / "metrics.tsv").read_text() == (whole / "results" / "metrics.tsv").read_text()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("run.device=gpu", "expected auto, cpu, cuda"),
        ("ensemble.head=distilled", "members have measurements only"),
        ("distill.head=distiled", "did you mean 'distilled'"),
        ('distill.recipes=[[{name="mutate", rate=0.1}]]', "rate"),
        ('distill.recipes=[[{name="mutat"}]]', "did you mean 'mutate'"),
        ("data.path=.", "data.path"),
    ],
)
def test_what_cannot_end_well_is_refused_before_training(
    cli: Cli, experiment: Path, tmp_path: Path, change: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("octodon.experiment.stages.train_ensemble", lambda *_, **__: pytest.fail("trained"))
    code, _, err = cli("run", experiment, "--out", tmp_path / "run", "--quiet", "--set", change)
    assert (code, message in err) == (2, True), err
    assert err.strip().splitlines()[-1].startswith("error: ")


def test_a_run_with_enough_validation_rows_calibrates_on_rows_set_aside(
    cli: Cli, experiment: Path, tmp_path: Path, tiny_table: Callable[..., None]
) -> None:
    tiny_table(experiment.parent / "tiny.tsv", rows=600)
    out = tmp_path / "run"
    code, printed, err = cli("run", experiment, "--out", out, "--quiet")
    assert code == 0, err
    assert "calibration: normalised, level 0.9" in err
    assert "worst cell of test: " in err
    assert "calibrated coverage_0.9" in printed
    sizes = json.loads((out / "data.json").read_text())["splits"]
    assert sizes == {"train": 360, "valid": 60, "test": 120, "calibration": 60}
    for name in ("ensemble", "student"):
        assert json.loads((out / name / "calibration.json").read_text())["targets"][0]["n_rows"] == 60
    metrics = pd.read_csv(out / "results" / "metrics.tsv", sep="\t")
    assert "calibration" not in set(metrics["split"])  # nothing is judged on the rows that it was made on
    row = metrics.query(
        "model == 'student' and split == 'test' and target == 'A' and quantity == 'calibrated'"
    )
    written = pd.read_parquet(out / "results" / "predictions_test.parquet")
    inside = written["A_measured"].between(written["A_lower"], written["A_upper"]).mean()
    assert row.query("metric == 'coverage_0.9'")["value"].item() == pytest.approx(inside, abs=1e-6)
    assert (out / "figures" / "intervals.svg").is_file()
    coverage = pd.read_csv(out / "results" / "coverage.tsv", sep="\t")
    assert {"activity", "GC content", "ood"} <= set(coverage["stratum"])
    # the loaded student answers with the interval that was evaluated
    table = pd.read_csv(experiment.parent / "tiny.tsv", sep="\t").query("split == 'test'")
    said = octodon.load(out / "student").predict(list(table["sequence"]))
    np.testing.assert_allclose(said.upper[:, 0], written["A_upper"], rtol=1e-4, atol=1e-5)
    # the rows that stopped its training may not calibrate it anew, those of the calibration may
    whole = pd.read_csv(experiment.parent / "tiny.tsv", sep="\t").set_index("id", drop=False)
    used = pd.read_parquet(out / "results" / "predictions_calibration.parquet")["id"]
    common = ("--id", "id", "--target", "A=A_rep1,A_rep2", "--method", "split")
    for rows, expected in ((whole.query("split == 'valid'").drop(index=used), 2), (whole.loc[used], 0)):
        rows.to_csv(tmp_path / "rows.tsv", sep="\t", index=False)
        code, _, err = cli("calibrate", out / "student", "--data", tmp_path / "rows.tsv", *common)
        assert code == expected, err
        assert ("60 of 60 sequences trained the networks" in err) == (expected == 2)


@pytest.mark.usefixtures("no_figures")
def test_too_few_validation_rows_are_said_and_none_can_be_asked_for(
    cli: Cli, experiment: Path, tmp_path: Path
) -> None:
    code, _, err = cli("run", experiment, "--out", tmp_path / "a", "--quiet")
    assert code == 0
    assert "no calibration: 32 validation rows, at least 100 are needed" in err
    assert not (tmp_path / "a" / "student" / "calibration.json").exists()
    why = json.loads((tmp_path / "a" / "data.json").read_text())["uncalibrated"]  # which the report says
    assert why.startswith("32 validation rows, at least 100 are needed")
    code, _, err = cli(
        "run", experiment, "--out", tmp_path / "b", "--quiet", "--set", "calibrate.method=magic"
    )
    assert code == 2
    assert "calibration method: no 'magic'" in err
