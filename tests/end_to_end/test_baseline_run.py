"""Baselines beside a run: in its configuration, or added when it is finished."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import Cli

from octodon.artifact.bundle import load
from octodon.artifact.seen import SEEN
from octodon.atomic import is_partial

SECTIONS = """
[baselines.heteroscedastic]
[baselines.mc_dropout]
passes = 4
"""


def test_a_run_trains_its_baselines_and_more_can_be_added(cli: Cli, experiment: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    experiment.write_text(experiment.read_text() + SECTIONS)
    code, _, err = cli("run", experiment, "--out", out)
    assert code == 0, err
    table = pd.read_csv(out / "results" / "baselines.tsv", sep="\t")
    assert set(table["model"]) == {"heteroscedastic", "mc_dropout"}
    assert {"valid", "test"} <= set(table["split"])
    thinned = table[(table["model"] == "mc_dropout") & (table["split"] == "test")]
    assert {"activity", "epistemic"} <= set(thinned["quantity"])
    assert load(out / "baselines" / "mc_dropout").dropout.passes == 4  # type: ignore[union-attr]
    assert not (out / "work").exists()

    code, shown, err = cli("baseline", "evidential", out, "--quiet")
    assert code == 0, err
    for name in ("evidential", "heteroscedastic", "mc_dropout", "ensemble", "student", "individual"):
        assert name in shown
    again = pd.read_csv(out / "results" / "baselines.tsv", sep="\t")
    assert set(again["model"]) == {"heteroscedastic", "mc_dropout", "evidential"}
    before = again[again["model"] != "evidential"].reset_index(drop=True)
    pd.testing.assert_frame_equal(before, table)
    predictions = pd.read_parquet(out / "results" / "predictions_test_evidential.parquet")
    bundle = load(out / "baselines" / "evidential")
    rows = pd.read_csv(experiment.parent / "tiny.tsv", sep="\t").set_index("id").loc[predictions["id"]]
    np.testing.assert_allclose(
        predictions["A_epistemic_std"], bundle.predict(list(rows["sequence"])).epistemic_std[:, 0], rtol=1e-4
    )
    record = out / "baselines" / "evidential" / SEEN
    seen = record.read_bytes()
    record.unlink()  # as if killed between the bundle and the record of what it has seen
    assert "kept" in cli("baseline", "evidential", out, "--quiet")[2]  # trained once
    assert record.read_bytes() == seen
    assert cli("run", experiment, "--out", out)[0] == 0


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (("evidental", "."), "error: .: no finished run here; give the folder of octodon run"),
    ],
)
def test_what_is_no_run_is_refused(cli: Cli, arguments: tuple[str, ...], line: str) -> None:
    code, _, err = cli("baseline", *arguments)
    assert code == 2
    assert err.startswith(line)


@pytest.mark.usefixtures("no_figures")
def test_other_settings_and_unknown_names_are_refused(cli: Cli, experiment: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    experiment.write_text(experiment.read_text() + "[baselines.mc_dropout]\npasses = 3\n")
    assert cli("run", experiment, "--out", out)[0] == 0
    code, _, err = cli("baseline", "mc_dropout", out, "--option", "passes=5")
    assert code == 2
    assert "holds this baseline with other settings" in err
    code, _, err = cli("baseline", "mc_drop", out)
    assert (code, err) == (
        2,
        "error: baseline: no 'mc_drop'; did you mean 'mc_dropout'? Known: ensemble, evidential, heteroscedastic, mc_dropout\n",
    )
    code, _, err = cli("baseline", "mc_dropout", out, "--option", "passes=1")
    assert code == 2
    assert "baseline mc_dropout: passes" in err
    experiment.write_text(experiment.read_text().replace("passes = 3", "pases = 3"))
    code, _, err = cli("run", experiment, "--out", tmp_path / "other")
    assert code == 2
    assert "baselines.mc_dropout: pases: unknown key; did you mean 'passes'?" in err


@pytest.mark.usefixtures("no_figures")
def test_networks_of_other_settings_are_not_taken_up_and_the_two_ensembles_stay_apart(
    cli: Cli, experiment: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "run"
    assert cli("run", experiment, "--out", out, "--quiet")[0] == 0

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:  # the networks are there, the bundle is not
        patch.setattr("octodon.experiment.baselines.save", stop)
        cli("baseline", "ensemble", out, "--quiet", "--option", "members=2", "--option", "head=gaussian")
    (arrays,) = out.glob("work/baselines/*/arrays")
    left = sorted(arrays.parent.rglob("done.json"))
    assert len(left) == 2
    (arrays / ".train.codes.77.partial.npy").write_bytes(b"half")  # as if killed while it was written
    (out / "work" / "codes.npy").touch()
    assert cli("run", experiment, "--out", out, "--quiet")[0] == 0
    code, shown, err = cli("baseline", "ensemble", out, "--quiet", "--option", "members=3")
    assert code == 0, err
    assert sorted((out / "work").rglob("done.json")) == left
    assert not [path for path in (out / "work").rglob("*") if is_partial(path) or path.name == "codes.npy"]
    assert load(out / "baselines" / "ensemble").model.head != "gaussian"
    lines = [line.split() for line in shown.splitlines()]
    own = pd.read_csv(out / "results" / "metrics.tsv", sep="\t")
    r = own.query(
        "model == 'ensemble' and split == 'test' and quantity == 'activity' and metric == 'pearson'"
    )
    for target in ("A", "B"):
        (kept,) = [line for line in lines if line[:2] == [target, "ensemble"]]
        assert float(kept[2]) == pytest.approx(float(r.loc[r["target"] == target, "value"].iloc[0]), abs=6e-4)
        assert [line for line in lines if line[:3] == [target, "baseline", "ensemble"]]


@pytest.mark.usefixtures("no_figures")
def test_a_baseline_that_is_kept_is_calibrated_as_the_run_now_is(
    cli: Cli,
    experiment: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    tiny_table: Callable[..., None],
) -> None:
    """A method that turned out not to fit may be changed until the run is finished."""
    tiny_table(experiment.parent / "tiny.tsv", rows=500)
    text = experiment.read_text().replace("epochs = 2", "epochs = 1").replace("copies = 2", "copies = 0")
    experiment.write_text(text + "[baselines.heteroscedastic]\n")
    out = tmp_path / "run"

    def stop(_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:  # the baseline is there, the run is not finished
        patch.setattr("octodon.experiment.run.examine", stop)
        cli("run", experiment, "--out", out, "--quiet", "--set", "calibrate.method=split")
    bundle = out / "baselines" / "heteroscedastic"
    before, weights = load(bundle), (bundle / "weights.safetensors").read_bytes()
    assert before.calibration is not None
    assert before.calibration.method == "split"
    code, _, err = cli("run", experiment, "--out", out, "--quiet", "--set", "calibrate.method=normalised")
    assert code == 0, err
    after = load(bundle)
    assert after.calibration is not None
    assert after.calibration.method == "normalised"
    assert (bundle / "weights.safetensors").read_bytes() == weights
    shown = pd.read_parquet(out / "results" / "predictions_test_heteroscedastic.parquet")
    assert shown["interval"].str.contains("normalised").all()
