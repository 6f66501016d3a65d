"""A calibration reaches the model, its bundle, the command line and any tool's table, and can be taken back."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from tiny import TinyBackbone, ensemble, examples, student
from typer.testing import CliRunner

import octodon
import octodon.atomic
from octodon.artifact.bundle import load, save, save_calibration
from octodon.artifact.seen import SEEN, save_seen
from octodon.cli.main import app
from octodon.data.examples import Examples
from octodon.errors import BundleError, ConfigError, DataError, OctodonError
from octodon.seq.codes import decode


def unseen(n: int = 200, seed: int = 9) -> Examples:
    return replace(examples(n, seed), splits=None)


def run(*arguments: object) -> tuple[OctodonError | None, str]:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exception is None or isinstance(result.exception, OctodonError), result.exception
    return result.exception, result.output


@pytest.mark.parametrize("make", [student, ensemble])
def test_a_calibrated_model_answers_with_intervals_and_its_own_stds_stay(make):
    model = make()
    done = octodon.calibrate(model, unseen())
    assert model.calibration is None
    new = unseen(300, 10)
    before, after = model.predict(new.codes), done.predict(new.codes)
    assert before.lower is None
    assert_array_equal(after.mean, before.mean)
    assert_array_equal(after.epistemic_std, before.epistemic_std)
    inside = np.mean((after.lower <= new.targets) & (new.targets <= after.upper))
    assert inside == pytest.approx(0.9, abs=0.06)
    assert after.interval == "normalised, level 0.9, as measured"
    assert done.predict(new.codes, level=0.5).level == 0.5
    assert_array_equal(done.predict(new.codes, calibrated=False).mean, before.mean)
    assert done.predict(new.codes, calibrated=False).calibrated_std is None


def test_a_level_without_calibration_is_refused_or_that_of_the_models_own_std():
    model, codes = student(), unseen(5).codes
    with pytest.raises(DataError, match=r"the model is not calibrated.*octodon calibrate"):
        model.predict(codes, level=0.9)
    promised = model.predict(codes, level=0.95, calibrated=False)
    assert_allclose(promised.upper - promised.mean, 1.959964 * promised.epistemic_std, rtol=1e-5)
    assert promised.interval.startswith("gaussian, not calibrated")
    with pytest.raises(ConfigError, match="above 0 and below 1"):
        model.predict(codes, level=95.0, calibrated=False)


def test_only_calibration_rows_are_used_and_rows_that_stopped_training_are_refused():
    data = examples(600)
    with pytest.raises(
        DataError, match=r"no rows in the split 'calibration' .*valid stopped the training early"
    ):
        octodon.calibrate(student(), data)
    splits = data.splits.astype(object)
    splits[data.splits == "test"] = "calibration"
    own = replace(data, splits=splits)
    done = octodon.calibrate(student(), own)
    assert done.calibration.n_rows == (120, 120)
    codes = data.codes.copy()
    codes[data.splits == "test"] = codes[data.splits == "valid"]
    with pytest.raises(DataError, match="120 of 120 rows are copies, reverse complements or partners"):
        octodon.calibrate(student(), replace(own, codes=codes))


def test_replicates_are_counted():
    data = unseen()
    rng = np.random.default_rng(0)
    replicates = data.targets[:, :, None] + rng.normal(size=(200, 2, 3)).astype(np.float32)
    data = replace(data, replicates=replicates, targets=replicates.mean(axis=2))
    assert octodon.calibrate(student(), data).calibration.replicates == (3, 3)


def test_what_does_not_fit_is_refused():
    with pytest.raises(DataError, match="the model predicts"):
        octodon.calibrate(student(), replace(unseen(), target_names=("tata", "gc")))
    with pytest.raises(ConfigError, match="'mondrian_ood' needs an out-of-distribution score"):
        octodon.calibrate(student(), unseen(), method="mondrian_ood")
    able = octodon.fit_ood(student(), unseen(seed=3).codes, device="cpu")
    done = octodon.calibrate(able, unseen(), method="mondrian_ood", options={"bins": 2}, device="cpu")
    said = done.predict(unseen().codes[:5], device="cpu")
    assert said.lower is not None
    with pytest.raises(DataError, match="no out-of-distribution score"):
        replace(done, detector=None).predict(unseen().codes[:5], device="cpu")
    with pytest.raises(ConfigError, match="did you mean 'split'"):
        octodon.calibrate(student(), unseen(), method="splitt")


@pytest.mark.parametrize("make", [student, ensemble])
def test_a_bundle_keeps_its_calibration(make, tmp_path):
    done = octodon.calibrate(make(), unseen(), level=0.8)
    save(done, tmp_path / "bundle")
    loaded = load(tmp_path / "bundle", backbone=TinyBackbone)
    codes = unseen(20, 3).codes
    first, second = done.predict(codes), loaded.predict(codes)
    assert_array_equal(first.lower, second.lower)
    assert second.level == 0.8
    # an older octodon ignores the file: the rest of the bundle is as without it
    save(replace(done, calibration=None), tmp_path / "plain")
    files = [json.loads((tmp_path / name / "config.json").read_text()) for name in ("bundle", "plain")]
    assert files[0] == files[1]
    (tmp_path / "bundle" / "calibration.json").unlink()
    assert load(tmp_path / "bundle", backbone=TinyBackbone).calibration is None


def test_a_damaged_calibration_is_one_line(tmp_path):
    done = octodon.calibrate(student(), unseen())
    path = save(done, tmp_path / "b") / "calibration.json"
    text = path.read_text()
    for damage in (text[:100], "[]", text.replace("tata", "other")):
        path.write_text(damage)
        with pytest.raises(BundleError, match=r"calibration.json: ") as caught:
            load(tmp_path / "b")
        assert "\n" not in str(caught.value)
    path.unlink()
    other = replace(done.calibration, target_names=("a", "b"))
    with pytest.raises(BundleError, match=r"has targets \('gc', 'tata'\)"):
        save_calibration(tmp_path / "b", other)


def write_rows(path: Path, data: Examples, split: str | None = None) -> None:
    frame = pd.DataFrame({"name": data.ids, "sequence": decode(data.codes)})
    frame["gc_1"], frame["gc_2"] = data.targets[:, 0] + 0.1, data.targets[:, 0] - 0.1
    frame["tata"] = data.targets[:, 1]
    if split is not None:
        frame["fold"] = split
    frame.to_csv(path, sep="\t", index=False)


def test_the_command_calibrates_a_bundle_and_predict_applies_it(tmp_path):
    save(student(), tmp_path / "student", {"seed": 7})
    write_rows(tmp_path / "rows.tsv", unseen())
    common = ("--data", tmp_path / "rows.tsv", "--id", "name", "--target", "gc=gc_1,gc_2")
    error, _ = run(
        "calibrate", tmp_path / "student", *common, "--out", tmp_path / "copy", "--method", "split"
    )
    assert error is None
    assert load(tmp_path / "student").calibration is None
    made = load(tmp_path / "copy").calibration
    assert (made.method, made.replicates) == ("split", (2, 1))
    assert json.loads((tmp_path / "copy" / "provenance.json").read_text())["seed"] == 7
    error, output = run("calibrate", tmp_path / "student", *common)
    assert error is None
    assert "learnt on 200 rows" in output

    out = tmp_path / "out.tsv"
    for options, level in (((), "0.9"), (("--level", "0.5"), "0.5")):
        assert (
            run("predict", tmp_path / "student", tmp_path / "rows.tsv", "--out", out, "--quiet", *options)[0]
            is None
        )
        frame = pd.read_csv(out, sep="\t")
        assert set(frame["interval"]) == {f"normalised, level {level}, mean of 1 or 2 replicates"}
        assert (frame["gc_lower"] < frame["gc_upper"]).all()
    calibrated = load(tmp_path / "student").predict(unseen().codes, level=0.5)
    assert_allclose(frame["tata_upper"], calibrated.upper[:, 1], rtol=1e-4, atol=1e-5)
    assert (
        run(
            "predict", tmp_path / "student", tmp_path / "rows.tsv", "--out", out, "--quiet", "--uncalibrated"
        )[0]
        is None
    )
    assert list(pd.read_csv(out, sep="\t").columns) == [
        "id", "gc_mean", "gc_epistemic_std", "tata_mean", "tata_epistemic_std"
    ]  # fmt: skip
    assert isinstance(
        run("predict", tmp_path / "student", tmp_path / "rows.tsv", "--out", out, "--level", "90")[0],
        ConfigError,
    )


def test_a_bundle_calibrated_onto_itself_keeps_its_guard_and_its_other_files(tmp_path):
    bundle = save(student(), tmp_path / "student")
    save_seen(bundle, examples(50).codes)
    (bundle / "history.parquet").write_bytes(b"history")
    (tmp_path / "link").symlink_to(bundle)
    before = {file.name: file.read_bytes() for file in bundle.iterdir()}
    write_rows(tmp_path / "rows.tsv", unseen())
    write_rows(tmp_path / "known.tsv", replace(examples(50), splits=None))
    for out in (bundle, bundle / ".." / "student", tmp_path / "link"):
        common = ("--target", "gc=gc_1", "--id", "name", "--out", out)
        assert run("calibrate", bundle, "--data", tmp_path / "rows.tsv", *common)[0] is None
        assert {SEEN, "history.parquet", *before} <= {file.name for file in bundle.iterdir()}
        for name in (SEEN, "history.parquet", "weights.safetensors"):
            assert (bundle / name).read_bytes() == before[name]
        assert load(bundle).calibration is not None
        error, _ = run("calibrate", bundle, "--data", tmp_path / "known.tsv", *common)
        assert "50 of 50 sequences trained the networks" in str(error)


def test_a_calibrated_copy_never_stands_without_its_guard(tmp_path, monkeypatch):
    bundle, copy = save(student(), tmp_path / "student"), tmp_path / "copy"
    save_seen(bundle, examples(50).codes)
    write_rows(tmp_path / "rows.tsv", unseen())
    command = ("calibrate", bundle, "--data", tmp_path / "rows.tsv", "--target", "gc=gc_1", "--out", copy)
    appeared = []
    put = octodon.atomic._put_in_place

    def watched(partial, path):
        put(partial, path)
        appeared.append({file.name for file in path.iterdir()})

    monkeypatch.setattr("octodon.atomic._put_in_place", watched)
    assert run(*command)[0] is None
    assert SEEN in appeared[0]
    assert (copy / SEEN).read_bytes() == (bundle / SEEN).read_bytes()


def test_the_command_refuses_what_cannot_be_meant(tmp_path):
    save(student(), tmp_path / "student")
    write_rows(tmp_path / "rows.tsv", unseen(), split="valid")
    bundle, rows = tmp_path / "student", tmp_path / "rows.tsv"
    gc = ("--target", "gc=gc_1")
    fasta = tmp_path / "rows.fa"
    fasta.write_text(">a\nACGT\n")
    for arguments, words in (
        ((bundle,), "--data is missing"),
        ((bundle, "--data", fasta, *gc), "no column 'sequence'"),
        ((bundle, "--data", rows, *gc, "--split", "fold"), "no rows in the split 'calibration'"),
        ((bundle, "--data", rows, "--target", "cg=gc_1"), "with a target of the model: gc, tata"),
        ((bundle, "--data", rows, *gc, "--replicates", 3), "replicates are counted there"),
        ((bundle, "--data", rows, *gc, "--option", "bins"), "expected NAME=VALUE"),
        ((bundle, "--data", rows, *gc, "--option", "bins=3"), "no option 'bins'"),
        ((rows,), "--out is missing"),
        ((rows, "--out", tmp_path / "x.tsv", "--data", rows, *gc), "--data, --target: for a bundle"),
        ((rows, "--out", tmp_path / "x.tsv", "--sequence", "sequence"), "--sequence: for a bundle"),
        ((rows, "--out", tmp_path / "x.tsv", "--id", "name"), "--id: for a bundle"),
        ((rows, "--out", tmp_path / "x.tsv", "--device", "auto"), "--device: for a bundle"),
        ((rows, "--out", tmp_path / "x.tsv", "--backbone", "x.py:X"), "--backbone: for a bundle"),
        ((rows, "--out", tmp_path / "x.tsv"), "no column T_mean"),
        ((rows, "--out", tmp_path / "x.txt"), r"expected a name ending in"),
        ((rows, "--out", rows), "this is the input"),
        ((tmp_path / "none.tsv", "--out", tmp_path / "x.tsv"), "no such file"),
        (
            (tmp_path / "studnt", "--data", rows, *gc),
            "studnt: no such file or folder; give the folder of a student",
        ),
    ):
        error, _ = run("calibrate", *arguments)
        assert error is not None
        assert words in str(error)
        assert "\n" not in str(error)
    assert load(bundle).calibration is None


@pytest.fixture
def table(tmp_path) -> Path:
    """Predictions of some tool: stds half as large as they should be, the first 300 of 1000 rows for calibration."""
    rng = np.random.default_rng(0)
    mean, std = rng.normal(size=1000), rng.uniform(0.5, 2, 1000)
    frame = pd.DataFrame({"id": [f"s{i}" for i in range(1000)], "A_mean": mean, "A_std": std / 2})
    frame["A_measured"] = mean + std * rng.normal(size=1000)
    frame.loc[5, "A_measured"] = np.nan
    frame["split"] = np.where(np.arange(1000) < 300, "calibration", "test")
    frame["note"] = "kept"
    frame.to_csv(tmp_path / "t.tsv", sep="\t", index=False)
    return tmp_path / "t.tsv"


@pytest.mark.parametrize("suffix", [".tsv", ".csv", ".parquet"])
def test_a_table_of_any_tool_is_calibrated(table, suffix):
    out = table.with_name(f"out{suffix}")
    error, output = run(
        "calibrate", table, "--out", out, "--method", "scaling", "--replicates", 3, "--level", 0.8
    )
    assert error is None
    assert "learnt on 299 of 1,000 rows" in output
    assert "judge the intervals on other rows" not in output
    given = pd.read_csv(table, sep="\t")
    done = {".tsv": lambda p: pd.read_csv(p, sep="\t"), ".csv": pd.read_csv, ".parquet": pd.read_parquet}[
        suffix
    ](out)
    pd.testing.assert_frame_equal(done[list(given.columns)], given, check_dtype=False)
    assert done["calibrated_on"].sum() == 299
    assert set(done["interval"]) == {"scaling, level 0.8, mean of 3 replicates"}
    assert_allclose(done["A_calibrated_std"] / done["A_std"], 2, rtol=0.15)
    test = done[done["split"] == "test"]
    assert np.mean(test["A_measured"].between(test["A_lower"], test["A_upper"])) == pytest.approx(
        0.8, abs=0.06
    )
    assert json.loads(Path(f"{out}.calibration.json").read_text())["method"] == "scaling"


def test_a_target_that_was_measured_in_fewer_rows_is_not_hidden_behind_the_others(table):
    frame = pd.read_csv(table, sep="\t")
    for part in ("mean", "std", "measured"):
        frame[f"B_{part}"] = frame[f"A_{part}"]
    frame.loc[61:, "B_measured"] = np.nan  # 62 rows, of which row 5 was not measured
    frame.to_csv(table, sep="\t", index=False)
    error, output = run("calibrate", table, "--out", table.with_name("o.tsv"), "--method", "split")
    assert error is None
    assert "learnt on 299 of 1,000 rows (A 299, B 60)" in " ".join(output.split())


def test_a_table_without_splits_is_used_whole_and_it_is_said(table):
    pd.read_csv(table, sep="\t").drop(columns="split").to_csv(table, sep="\t", index=False)
    _, output = run("calibrate", table, "--out", table.with_name("o.tsv"))
    assert "judge the intervals on other rows" in output


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda f: f.assign(split="test"), "no row of column 'split' is called 'calibration'"),
        (lambda f: f.assign(split="valid"), "valid stopped the training early"),
        (lambda f: f.drop(columns="A_measured"), "no column A_measured"),
        (lambda f: f.drop(columns="id"), "no column id"),
        (lambda f: f.assign(id="x"), "rows 1 and 2 have the same id 'x'"),
        (lambda f: f.assign(id=[None, *f["id"][1:]]), "row 1 has an empty id"),
        (
            lambda f: f.assign(A_std=[0.5, "wide", *f["A_std"][2:]]),
            "row 2, column 'A_std': 'wide' is no number",
        ),
        (lambda f: f.assign(A_std=-1.0), "epistemic_std is -1.0 at row 0"),
        (lambda f: f.assign(A_epistemic_std=1.0), "both A_std and A_epistemic_std"),
        (lambda f: f.assign(A_aleatoric_std=0.1), "both A_std and A_aleatoric_std"),
        (lambda f: f.assign(B_mean=1.0, B_measured=2.0), "no column B_std, which other targets have"),
        (lambda f: f.assign(A_lower=1.0), "column 'A_lower' is in the table already"),
    ],
)
def test_a_table_that_cannot_be_calibrated_is_one_line(table, change, words):
    change(pd.read_csv(table, sep="\t")).to_csv(table, sep="\t", index=False)
    out = table.with_name("o.tsv")
    error, _ = run("calibrate", table, "--out", out)
    assert isinstance(error, DataError)
    assert words in str(error)
    assert not out.exists()


def test_columns_that_are_not_calibrated_come_out_as_they_went_in(table):
    frame = pd.read_csv(table, sep="\t", dtype=str, keep_default_na=False)
    frame.loc[7, "id"] = "NA"  # a gene may be called so
    frame = frame.assign(barcode="0012", flag="TRUE", empty="", big="12345678901234567890", gene="null")
    frame.to_csv(table, sep="\t", index=False)
    out = table.with_name("o.tsv")
    error, _ = run("calibrate", table, "--out", out)
    assert error is None
    done = pd.read_csv(out, sep="\t", dtype=str, keep_default_na=False)
    kept = ["id", "barcode", "flag", "empty", "big", "gene", "note", "split"]
    pd.testing.assert_frame_equal(done[kept], frame[kept])
    numbers = ["A_mean", "A_std", "A_measured"]
    for name in numbers:
        assert_array_equal(pd.to_numeric(done[name]), pd.to_numeric(frame[name]))


def test_a_parquet_table_keeps_the_types_of_its_columns(table):
    frame = pd.read_csv(table, sep="\t").assign(count=np.arange(1000), known=True)
    frame.set_index("id").to_parquet(table.with_name("t.parquet"))
    out = table.with_name("o.parquet")
    error, _ = run("calibrate", table.with_name("t.parquet"), "--out", out)
    assert error is None
    done = pd.read_parquet(out)
    assert list(done["id"][:2]) == ["s0", "s1"]
    assert done["count"].dtype == np.int64
    assert done["known"].dtype == bool


def test_a_table_with_an_ood_score(table):
    frame = pd.read_csv(table, sep="\t").assign(ood_score=np.random.default_rng(1).uniform(size=1000))
    frame.to_csv(table, sep="\t", index=False)
    out = table.with_name("o.parquet")
    error, _ = run("calibrate", table, "--out", out, "--method", "mondrian_ood", "--option", "bins=2")
    assert error is None
    learnt = json.loads(Path(f"{out}.calibration.json").read_text())["targets"][0]["learnt"]
    assert len(learnt["scores"]) == 2


@pytest.mark.parametrize(("row", "value"), [(7, np.nan), (400, np.nan), (400, np.inf)])
def test_a_row_without_an_ood_score_has_no_cell_to_be_calibrated_in(table, row, value):
    """Row 7 is one of the calibration rows, row 400 is only asked for."""
    frame = pd.read_csv(table, sep="\t").drop(index=5)  # the one that was not measured
    frame["ood_score"] = np.random.default_rng(1).uniform(size=999)
    frame.loc[row, "ood_score"] = value
    frame.to_csv(table, sep="\t", index=False, na_rep="")
    out = table.with_name("o.tsv")
    error, _ = run("calibrate", table, "--out", out, "--method", "mondrian_ood", "--option", "bins=2")
    assert isinstance(error, DataError)
    assert f"ood_score is {value} at row {row - 1} (1 such of" in str(error)
    assert not out.exists()
    error, _ = run("calibrate", table, "--out", out, "--method", "normalised")  # which does not look at it
    assert error is None
