"""A run teaches its bundles what is unlike their training sequences; calibration by that score works with one setting."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import octodon
from octodon.ensemble.ensemble import Ensemble
from octodon.seq.codes import decode, random_codes

Cli = Callable[..., tuple[int, str, str]]
QUICK = ["distill.copies=0", "ensemble.training.epochs=1", "distill.training.epochs=1"]


def options(settings: list[str]) -> list[str]:
    return [word for setting in settings for word in ("--set", setting)]


def test_bundles_of_a_run_flag_what_is_unlike_and_intervals_follow_the_score(
    cli: Cli, experiment: Path, tiny_table: Callable[..., None], tmp_path: Path
) -> None:
    tiny_table(experiment.parent / "tiny.tsv", rows=520)
    run = tmp_path / "run"
    settings = ["calibrate.method=mondrian_ood", "calibrate.options.bins=2", *QUICK]
    code, _, err = cli("run", experiment, "--out", run, "--quiet", *options(settings))
    assert code == 0, err
    student, ensemble = octodon.load(run / "student"), octodon.load(run / "ensemble")
    assert isinstance(ensemble, Ensemble)
    rng = np.random.default_rng(3)
    far, near = np.zeros((50, 32), dtype=np.uint8), random_codes((50, 32), rng)
    for model in (student, ensemble):
        unlike, alike = model.predict(far, device="cpu"), model.predict(near, device="cpu")
        assert unlike.ood is not None
        assert alike.ood is not None
        assert unlike.ood.mean() > 0.9
        assert alike.ood.mean() < 0.1
        # two cells of the score, each with one factor of its own
        assert unlike.interval is not None
        assert unlike.interval.startswith("mondrian_ood")
    table = pd.read_parquet(run / "results" / "predictions_test.parquet")
    assert {"ood_score", "ood"} <= set(table.columns)
    (tmp_path / "far.fa").write_text("".join(f">{i}\n{text}\n" for i, text in enumerate(decode(far))))
    code, _, err = cli(
        "predict", run / "student", tmp_path / "far.fa", "--out", tmp_path / "p.tsv", "--quiet"
    )
    assert code == 0, err
    assert pd.read_csv(tmp_path / "p.tsv", sep="\t")["ood"].mean() > 0.9
    code, _, err = cli("ood", run / "student", run / "config.toml")
    assert code == 2
    assert "calibrated by the score of its detector" in err


@pytest.mark.parametrize(
    ("option", "said"),
    [("ood.score=none", 'no out-of-distribution detector: ood.score is "none"'), ("ood.score=epistemic", "")],
)
@pytest.mark.usefixtures("no_figures")
def test_the_score_is_a_setting(cli: Cli, experiment: Path, tmp_path: Path, option: str, said: str) -> None:
    run = tmp_path / "run"
    code, _, err = cli("run", experiment, "--out", run, "--quiet", *options([option, *QUICK]))
    assert code == 0, err
    assert said in err
    cards = [path / "ood.json" for path in (run / "student", run / "ensemble")]
    assert [card.is_file() for card in cards] == [not said] * 2
    if not said:
        assert json.loads(cards[0].read_text()) == {"score": "epistemic", "threshold_percentile": 99.0}


def test_a_wrong_score_is_refused_before_training(cli: Cli, experiment: Path, tmp_path: Path) -> None:
    code, _, err = cli("run", experiment, "--out", tmp_path / "run", "--quiet", "--set", "ood.score=markow")
    assert code == 2
    assert "did you mean 'markov'" in err
    assert not (tmp_path / "run" / "ensemble").exists()
