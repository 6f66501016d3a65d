"""``octodon reproduce`` from a table to its page, everything tiny, and once more when it is finished."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from documents import TINY_NETWORK
from typer.testing import CliRunner

from octodon.cli.main import app
from octodon.seq.codes import decode, random_codes

TINY = (
    "ensemble.members=3",
    "ensemble.training.epochs=1",
    "distill.training.epochs=1",
    f"model.options={{width={TINY_NETWORK['width']}}}",
    "run.processes=0",
)


@pytest.fixture
def promoters(tmp_path: Path) -> Path:
    """A folder with a table like that of the promoters, 500 rows of 40 bp."""
    rng = np.random.default_rng(0)
    codes = random_codes((500, 40), rng)
    table = pd.DataFrame({"name": [f"t{i}" for i in range(500)], "sequence": decode(codes)})
    for name in ("rep1", "rep2", "rep3"):
        table[f"log2_HUES64_{name}"] = np.isin(codes, (1, 2)).mean(1) * 4 + rng.normal(0, 0.3, 500)
    table["split"] = np.repeat(["train", "valid", "test"], [200, 220, 80])
    with gzip.open(tmp_path / "promoter_mpra_mattioli2020.tsv.gz", "wt") as file:
        table.to_csv(file, sep="\t", index=False)
    return tmp_path


@pytest.fixture
def reports(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Let the reports of runs be written without their forty drawings, which other tests look at; return those written."""
    written: list[Path] = []

    def write(folder: Path) -> None:
        written.append(folder)
        (folder / "report.html").write_text("")

    monkeypatch.setattr("octodon.experiment.run.write_report", write)
    monkeypatch.setattr("octodon.experiment.reproduce.write_report", write)
    return written


def _explained(out: Path) -> set[int]:
    study = pd.read_csv(out / "fraction_1" / "results" / "attribution_similarity.tsv", sep="\t")
    return set(study["n_sequences"])


def test_three_stages_end_in_a_page_and_a_second_call_keeps_them(
    promoters: Path, reports: list[Path]
) -> None:
    out = promoters / "out"
    arguments = [
        "reproduce",
        "lentimpra",
        "--cell",
        "K562",
        "--preset",
        "paper",
        "--data",
        str(promoters),
        "--quiet",
    ]
    arguments += ["--out", str(out), "--fractions", "1", "--sequences", "6"]
    for setting in TINY:
        arguments += ["--set", setting]
    first = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert first.exit_code == 0, first.output
    page = (out / "reproduction.html").read_text()
    for anchor in ("findings", "performance", "shift", "attribution", "calibration", "made"):
        assert f'id="{anchor}"' in page
    assert page.index('id="performance"') < page.index('id="shift"') < page.index('id="attribution"')
    table = pd.read_csv(out / "reproduction.tsv", sep="\t", dtype={"condition": str})
    assert set(table["panel"]) == {"performance", "shift", "attribution", "calibration"}
    known = table.query(
        "model == 'student' and quantity == 'epistemic' and metric == 'pearson' and panel == 'performance' and condition == '1'"
    )
    assert known["published"].tolist() == [0.767]
    assert (out / "fraction_1" / "ensemble_activity").is_dir()
    assert reports == [out / "fraction_1"] * 2  # of the run, and again with shift and study
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*.safetensors")}
    again = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert again.exit_code == 0
    assert "kept: " in again.stderr
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*.safetensors")} == before
    assert (out / "reproduction.html").read_text() == page
    assert len(reports) == 2
    assert _explained(out) == {6}
    fewer = CliRunner().invoke(app, [*arguments, "--sequences", "4"], catch_exceptions=False)
    assert "attribution: saliency, 4 sequences, anew" in fewer.stderr
    assert _explained(out) == {4}
    assert "up to 4" in (out / "reproduction.html").read_text()
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*.safetensors")} == before
    assert len(reports) == 3
    # a figure that was deleted is made again
    figure = out / "fraction_1" / "figures" / "attribution_variability.svg"
    figure.unlink()
    drawn = CliRunner().invoke(app, [*arguments, "--sequences", "4"], catch_exceptions=False)
    assert "attribution: saliency, 4 sequences\n" in drawn.stderr
    assert figure.is_file()
