"""Runs on replicates: heads that choose themselves, and the published three stages on one split."""

import json
import tomllib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import Cli
from safetensors.numpy import load_file

from octodon.errors import RunError
from octodon.experiment.config import dump, load_config
from octodon.experiment.folder import claim
from octodon.experiment.heads import with_heads
from octodon.experiment.prepare import prepare

REPLICATED = 'targets = { A = ["A_rep1", "A_rep2"] }'


@pytest.fixture
def replicated(experiment: Path) -> Path:
    """The tiny experiment without the target that was measured once."""
    text = experiment.read_text().replace('targets = { A = ["A_rep1", "A_rep2"], B = "B" }', REPLICATED)
    assert REPLICATED in text
    experiment.write_text(text)
    return experiment


def test_with_replicates_of_every_target_the_noise_is_learnt_and_scored(
    cli: Cli, replicated: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    assert cli("run", replicated, "--out", out)[0] == 0
    resolved = tomllib.loads((out / "config.toml").read_text())
    assert resolved["ensemble"]["head"] == "replicate_variance_apart"
    assert resolved["distill"]["head"] == "distilled_aleatoric"
    assert json.loads((out / "student" / "config.json").read_text())["head"] == "distilled_aleatoric"
    metrics = pd.read_csv(out / "results" / "metrics.tsv", sep="\t")
    noise = metrics[(metrics["quantity"] == "aleatoric") & (metrics["split"] == "test")]
    for model in ("individual", "ensemble", "student"):
        found = set(noise.loc[noise["model"] == model, "metric"])
        assert {"pearson", "pearson_ceiling", "noise_nll", "noise_ratio", "n_clipped"} <= found
    table = pd.read_parquet(out / "results" / "predictions_test.parquet")
    assert (table["A_aleatoric_std"] > 0).all()
    # The same command again finds the folder finished, although its own heads read "auto".
    assert "finished already" in cli("run", replicated, "--out", out)[2]


def test_a_target_measured_once_switches_the_noise_off(experiment: Path) -> None:
    config = load_config(experiment)
    assert config.ensemble.head == config.distill.head == "auto"
    named = with_heads(config, prepare(config), None)
    assert (named.ensemble.head, named.distill.head) == ("standardised_mean", "distilled")


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        ("ensemble.head=replicate_variance", "target 'B': at most 1 replicate a row, expected at least 2"),
        ("preset=paper-lentimpra", "target 'B': at most 1 replicate a row, expected at least 2"),
        (
            "distill.head=distilled_aleatoric",
            "learns activity, epistemic_std, aleatoric_std; the teachers give",
        ),
        ("activity_ensemble=distilled", "expected a head that learns the activity alone"),
    ],
)
def test_noise_that_cannot_be_learnt_is_refused_in_one_line(
    cli: Cli, experiment: Path, tmp_path: Path, settings: str, line: str
) -> None:
    code, _, error = cli("run", experiment, "--out", tmp_path / "run", "--set", settings)
    assert code == 2
    assert line in error
    assert len(error.strip().splitlines()) == 1


def test_auto_goes_on_with_a_run_only_if_it_means_the_same_heads(replicated: Path, tmp_path: Path) -> None:
    config = load_config(replicated)
    data = {"sha256": {}, "teachers": None}
    for head in ("replicate_variance_apart", "mean"):
        with claim(tmp_path / head, "") as folder:
            named = config.ensemble.model_copy(update={"head": head})
            folder.begin(dump(config.model_copy(update={"ensemble": named})), data)
        with claim(tmp_path / head, dump(config)) as folder:
            resolved = dump(with_heads(config, prepare(config), None))
            if head == "mean":
                with pytest.raises(RunError, match="holds a run with another configuration"):
                    folder.begin(resolved, data)


@pytest.mark.usefixtures("no_figures")
def test_three_stages_on_one_split_and_no_network_sees_a_test_row(
    cli: Cli, replicated: Path, tmp_path: Path
) -> None:
    table = tmp_path / "tiny.tsv"
    measured = pd.read_csv(table, sep="\t")
    measured["A_rep2"] += 1.0  # a deeper library: in the published noise, which is what these networks learn
    measured.to_csv(table, sep="\t", index=False)
    options = ("--set", "preset=paper-lentimpra")
    assert cli("run", replicated, "--out", tmp_path / "one", *options)[0] == 0
    said = pd.read_parquet(tmp_path / "one" / "results" / "predictions_test.parquet")
    replicates = measured.set_index("id").loc[said["id"], ["A_rep1", "A_rep2"]]
    as_they_are = np.square(
        said["A_aleatoric_std"].to_numpy() - replicates.std(axis=1, ddof=1).to_numpy()
    ).mean()
    scores = pd.read_csv(tmp_path / "one" / "results" / "metrics.tsv", sep="\t").set_index(
        ["model", "index", "split", "quantity", "metric"]
    )["value"]
    assert scores["student", 0, "test", "aleatoric", "mse"] == pytest.approx(as_they_are, rel=1e-4)
    # Everything about the test rows is made up anew: had any stage read them, its weights would differ.
    data = pd.read_csv(table, sep="\t")
    test = data["split"] == "test"
    data.loc[test, "sequence"] = data.loc[test, "sequence"].str[::-1]
    data.loc[test, ["A_rep1", "A_rep2"]] = np.random.default_rng(7).normal(50, 9, (int(test.sum()), 2))
    data.to_csv(table, sep="\t", index=False)
    assert cli("run", replicated, "--out", tmp_path / "other", *options)[0] == 0
    heads = {
        "ensemble_activity": "mean",
        "ensemble": "paper_aleatoric",
        "student": "distilled_linear_aleatoric",
    }
    for stage, head in heads.items():
        one, other = (load_file(tmp_path / run / stage / "weights.safetensors") for run in ("one", "other"))
        assert all(np.array_equal(one[name], other[name]) for name in one), stage
        assert json.loads((tmp_path / "one" / stage / "config.json").read_text())["head"] == head
    metrics = pd.read_csv(tmp_path / "one" / "results" / "metrics.tsv", sep="\t")
    assert set(metrics["model"]) == {
        "individual",
        "ensemble",
        "student",
        "activity_individual",
        "activity_ensemble",
        "kmer_ridge",
    }
    # stages 1 and 2 are independent draws
    stage_1, stage_2 = (
        load_file(tmp_path / "one" / s / "weights.safetensors") for s in ("ensemble_activity", "ensemble")
    )
    name = next(name for name in stage_1 if name.startswith("backbone") and name.endswith("weight"))
    assert not np.array_equal(stage_1[name][0], stage_2[name][0])
