"""What commands add to a finished run stands in its report, drawn from the files that they write."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from conftest import Cli


def section(text: str, anchor: str) -> str:
    """Return one section of a report."""
    found = re.search(rf'<section[^>]*id="{anchor}".*?</section>', text, flags=re.S)
    assert found, f"no section {anchor}"
    return found[0]


@pytest.mark.usefixtures("no_figures")  # of the run; the report draws all
def test_shift_attribution_and_baselines_stand_in_the_report(
    cli: Cli, experiment: Path, tmp_path: Path
) -> None:
    out, page = tmp_path / "run", tmp_path / "run" / "report.html"
    settings = [
        "ensemble.members=3", "ensemble.training.epochs=1", "distill.training.epochs=1", "distill.copies=1"
    ]  # fmt: skip
    code, _, err = cli(
        "run", experiment, "--out", out, "--quiet", *(w for s in settings for w in ("--set", s))
    )
    assert code == 0, err
    for command in (
        ("shift", out, "--shift", "shuffle"),
        ("attribution-study", out, "--method", "saliency", "--sequences", 4, "--target", "A"),
        ("baseline", "heteroscedastic", out),
    ):
        code, _, err = cli(*command, "--quiet")
        assert code == 0, err
    assert not page.exists()
    assert cli("report", out)[0] == 0
    text = page.read_text()
    assert "shuffle" in section(text, "shift")
    attribution = section(text, "attribution")
    logos = re.findall(r"A, s\d+: (?:ensemble|student)", attribution)
    assert len(set(logos)) == 6  # three sequences
    uncertainty = section(text, "uncertainty")
    table = uncertainty[uncertainty.index("Beside other ways to an uncertainty") :]
    for model in ("heteroscedastic", "k-mer ridge", "ensemble", "student"):
        assert model in table
    assert "results/attribution_logos.parquet" in section(text, "files")
