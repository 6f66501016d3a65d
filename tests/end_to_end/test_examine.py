"""What a run examines beyond its test set is what the commands would find, and nothing that fails there ends it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from octodon.errors import DataError
from octodon.experiment.examine import examine

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


INTEGERS_INSIDE = """\
import torch


class Table(torch.nn.Module):
    def __init__(self, length, channels=8):
        super().__init__()
        self.table = torch.nn.Embedding(4 * length, channels)
        self.register_buffer("start", 4 * torch.arange(length))
        self.n_features = channels

    def forward(self, x):
        return self.table(x.argmax(dim=1) + self.start).sum(dim=1)
"""


@pytest.mark.usefixtures("no_figures")
def test_a_backbone_without_gradients_ends_its_run(
    cli: Cli, experiment: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("octodon.experiment.run.examine", examine)  # what the fixture has taken away
    (experiment.parent / "mine.py").write_text(INTEGERS_INSIDE)
    text = experiment.read_text().replace('"deepstarr"', '"mine.py:Table"').replace("width = 0.05", "")
    experiment.write_text(text)
    settings = ("--set", "ensemble.members=3", "--set", "examine.shift=0")
    code, _, err = cli("run", experiment, "--out", tmp_path / "run", *settings)
    assert code == 0, err
    assert "no gradient reaches the sequence" in err
    assert events_of(tmp_path / "run")[-2:] == ["attribution not examined", "finished"]


@pytest.mark.usefixtures("no_figures")
def test_what_is_examined_may_change_between_two_calls(cli: Cli, experiment: Path, tmp_path: Path) -> None:
    """It changes no network; the last fraction of a sweep is examined, and another call makes it the last but one."""
    for fractions in ("0.5", "0.5,1", "0.5"):
        code, _, err = cli("sweep", experiment, "--fractions", fractions, "--out", tmp_path / "s", "--quiet")
        assert code == 0, err
    assert "finished already" in err
