"""What a run examines beyond its test set is what the commands would find, and nothing that fails there ends it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from octodon.errors import DataError

Cli = Callable[..., tuple[int, str, str]]


def events_of(out: Path) -> list[str]:
    return [json.loads(line)["event"] for line in (out / "events.jsonl").read_text().splitlines()]


def test_a_run_of_three_members_has_all_panels(cli: Cli, experiment: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    settings = ("--set", "ensemble.members=3", "--set", "examine.shift=20", "--set", "examine.attribution=8")
    code, _, err = cli("run", experiment, "--out", out, "--quiet", *settings)
    assert code == 0, err
    shift = pd.read_csv(out / "results" / "shift.tsv", sep="\t")
    counts = shift.query("quantity == 'sequences' and split == 'test'")["value"]
    assert set(counts) == {20}
    judged = json.loads((out / "results" / "shift.json").read_text())
    assert (judged["split"], judged["rows"], len(judged["shifts"])) == ("test", 20, 7)
    asked = json.loads((out / "results" / "attribution_study.json").read_text())
    assert (asked["method"], asked["sequences"], asked["ensemble"]) == ("saliency", 8, "ensemble")
    page = (out / "report.html").read_text(encoding="utf-8")
    assert "not examined" not in page
    assert "Likeness to the ensemble" in page
    before = pd.read_csv(out / "results" / "attribution_similarity.tsv", sep="\t")
    command = ("attribution-study", out, "--method", "saliency", "--sequences", "8", "--seed", asked["seed"])
    code, _, err = cli(*command, "--quiet")
    assert code == 0, err
    pd.testing.assert_frame_equal(
        pd.read_csv(out / "results" / "attribution_similarity.tsv", sep="\t"), before
    )


def test_what_cannot_be_examined_is_said_and_ends_no_run(
    cli: Cli, experiment: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise DataError("shift: no such luck")

    monkeypatch.setattr("octodon.experiment.examine.evaluate_shift", refuse)
    code, _, err = cli("run", experiment, "--out", tmp_path / "run")
    assert code == 0
    assert "shift: not examined: shift: no such luck" in err
    assert "attribution: not examined: attribution study: 2 members" in err
    assert events_of(tmp_path / "run")[-3:] == ["shift not examined", "attribution not examined", "finished"]


@pytest.mark.usefixtures("no_figures")
def test_an_unknown_method_is_refused_before_anything_is_trained(
    cli: Cli, experiment: Path, tmp_path: Path
) -> None:
    code, _, err = cli("run", experiment, "--out", tmp_path / "run", "--set", "examine.method=salience")
    assert code == 2
    assert "did you mean 'saliency'" in err
    assert not (tmp_path / "run").exists()
