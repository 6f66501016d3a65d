"""Two runs side by side: scores against other libraries, the better one named only when chance cannot explain it."""

import re
import shutil

import numpy as np
import pandas as pd
import pytest
from finished_run import TARGETS, write_run
from scipy import stats
from typer.testing import CliRunner

from octodon.cli.main import app
from octodon.errors import ConfigError, DataError, RunError
from octodon.metrics.bootstrap import mean_difference, spearman_difference
from octodon.report.comparison import compare_runs
from octodon.report.comparison_page import comparison_html, headline, write_comparison


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A run, and one of half its skill on the same sequences."""
    folder = tmp_path_factory.mktemp("compare")
    return write_run(folder / "good"), write_run(folder / "poor", seed=1, skill=0.5)


@pytest.fixture(scope="module")
def found(runs):
    return compare_runs(*runs)


def row(found, model, metric, target=TARGETS[0]):
    table = found.table
    return table.loc[
        (table["target"] == target) & (table["model"] == model) & (table["metric"] == metric)
    ].iloc[0]


def copy_of(run, folder, change):
    """Copy a run and change its table of predictions."""
    shutil.copytree(run, folder)
    path = folder / "results" / "predictions_test.parquet"
    change(pd.read_parquet(path)).to_parquet(path)
    return folder


def test_every_score_is_that_of_scipy(runs, found):
    for side, run in zip(("a", "b"), runs, strict=True):
        said = pd.read_parquet(run / "results" / "predictions_test.parquet")
        y, mean = said[f"{TARGETS[0]}_measured"], said[f"{TARGETS[0]}_mean"]
        assert row(found, "student", "pearson")[side] == pytest.approx(stats.pearsonr(mean, y).statistic)
        assert row(found, "student", "spearman")[side] == pytest.approx(stats.spearmanr(mean, y).statistic)
        assert row(found, "student", "mse")[side] == pytest.approx(np.mean((mean - y) ** 2))
        logpdf = stats.norm.logpdf(y, mean, said[f"{TARGETS[0]}_calibrated_std"])
        assert row(found, "calibrated", "nll")[side] == pytest.approx(-logpdf.mean())
        inside = y.between(said[f"{TARGETS[0]}_lower"], said[f"{TARGETS[0]}_upper"]).mean()
        assert row(found, "calibrated", "coverage, 90% level")[side] == pytest.approx(inside)
        taught = pd.read_parquet(run / "results" / "ensemble_test.parquet")
        name = f"{TARGETS[0]}_epistemic_std"
        r = stats.pearsonr(said[name], taught[name]).statistic
        assert row(found, "student", "epistemic pearson")[side] == pytest.approx(r)


def test_the_better_run_is_named_and_the_headline_says_by_how_much(found):
    one = row(found, "student", "pearson")
    assert one["better"] == "good"
    assert one["low"] < one["difference"] < one["high"] < 0
    assert row(found, "student", "mse")["better"] == "good"
    assert row(found, "student", "mse")["difference"] > 0
    assert f"good has the better student, in r by {-one['difference']:.3f} ({TARGETS[0]})" in headline(found)
    assert row(found, "calibrated", "width, 90% level")["better"] == ""


def test_individual_members_are_the_means_of_the_results_table(runs, found):
    metrics = pd.read_csv(runs[0] / "results" / "metrics.tsv", sep="\t")
    chosen = metrics.query("model == 'individual' and metric == 'mse' and target == @TARGETS[1]")
    assert row(found, "individual", "mse", TARGETS[1])["a"] == pytest.approx(chosen["value"].mean())


def test_a_run_and_its_copy_differ_by_nothing(runs, tmp_path):
    found = compare_runs(runs[0], copy_of(runs[0], tmp_path / "again", lambda table: table))
    known = found.table.dropna()
    assert (known[["difference", "low", "high"]] == 0).all(axis=None)
    assert set(found.table["better"]) == {""}
    assert "No difference in r that 120 sequences can show: Dev <1>, Hk & co." in headline(found)


def test_a_run_whose_student_says_one_value_is_not_called_equal(runs, tmp_path):
    flat = copy_of(runs[0], tmp_path / "flat", lambda table: table.assign(**{f"{TARGETS[0]}_mean": 1.0}))
    found = compare_runs(runs[0], flat)
    said = headline(found)
    assert (
        f"In one of the runs r is undefined (one value predicted for all, or too few measured): {TARGETS[0]}."
        in said
    )
    assert f"show: {TARGETS[0]}" not in said
    page = re.sub(r'href="data:[^"]*"', "", comparison_html(found))
    assert re.findall(r".{0,80}\bnan\b", page, re.IGNORECASE) == []
    assert "r undefined" in page


def test_rows_are_joined_by_id_whatever_their_order(runs, found, tmp_path):
    other = copy_of(runs[1], tmp_path / "poor", lambda table: table.sample(frac=1, random_state=1))
    pd.testing.assert_frame_equal(compare_runs(runs[0], other).table, found.table)


def test_only_shared_rows_count(runs, tmp_path):
    other = copy_of(runs[1], tmp_path / "poor", lambda table: table.iloc[30:])
    found = compare_runs(runs[0], other)
    assert found.n == 90
    said = pd.read_parquet(runs[0] / "results" / "predictions_test.parquet").iloc[30:]
    r = stats.pearsonr(said[f"{TARGETS[0]}_mean"], said[f"{TARGETS[0]}_measured"]).statistic
    assert row(found, "student", "pearson")["a"] == pytest.approx(r)
    assert np.isnan(row(found, "individual", "pearson")["a"])
    assert "90 test sequences that both have, of 120 and 90" in found.lines()[0]


def test_what_cannot_be_compared_is_refused_in_one_line(runs, tmp_path):
    good, poor = runs
    strangers = copy_of(poor, tmp_path / "strangers", lambda table: table.assign(id="x" + table["id"]))
    with pytest.raises(DataError, match=r"none of its 120 test sequences is among the 120 of .*'chr1:0'"):
        compare_runs(good, strangers)
    twice = copy_of(poor, tmp_path / "twice", lambda table: table.assign(id="x"))
    with pytest.raises(DataError, match="'x' stands more than once"):
        compare_runs(good, twice)
    name = f"{TARGETS[0]}_measured"
    others = copy_of(poor, tmp_path / "others", lambda table: table.assign(**{name: table[name] + 1}))
    with pytest.raises(DataError, match=r"the measured Dev <1> of 120 of 120 shared sequences"):
        compare_runs(good, others)
    shutil.copytree(poor, tmp_path / "targets")
    data = tmp_path / "targets" / "data.json"
    data.write_text(data.read_text().replace("Hk & co", "Hk"))
    with pytest.raises(DataError, match=r"its targets are Dev <1>, Hk, those of"):
        compare_runs(good, tmp_path / "targets")
    with pytest.raises(ConfigError, match="are the same folder"):
        compare_runs(good, good)
    with pytest.raises(RunError, match="not the folder of a run"):
        compare_runs(good, tmp_path)


def test_the_command_prints_a_table_and_leaves_page_figure_and_numbers(runs, tmp_path):
    shown = CliRunner().invoke(app, ["compare", *map(str, runs), "--out", str(tmp_path / "out")])
    assert shown.exit_code == 0, shown.output
    assert "student pearson" in shown.stdout
    assert max(map(len, shown.stdout.splitlines()[:14])) <= 100
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "comparison.html",
        "comparison.tsv",
        "students.svg",
        "students.tsv",
    }


def test_the_points_of_a_figure_too_large_for_the_page_lie_beside_it(found, tmp_path, monkeypatch):
    monkeypatch.setattr("octodon.report.blocks.MOST_BYTES_INSIDE", 10)
    write_comparison(found, tmp_path)
    assert 'href="students.tsv"' in (tmp_path / "comparison.html").read_text(encoding="utf-8")
    drawn = pd.read_csv(tmp_path / "students.tsv", sep="\t")
    np.testing.assert_allclose(
        drawn[f"{TARGETS[1]}_mean poor"], found.rows_b[f"{TARGETS[1]}_mean"], rtol=1e-5
    )


def test_the_page_is_whole_and_escaped(found, tmp_path):
    text = comparison_html(found)
    assert "Dev &lt;1&gt;" in text
    assert "<1>" not in text
    assert "What was different" in text
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(RunError, match="cannot make the folder"):
        write_comparison(found, blocked)


def test_the_interval_of_spearman_is_that_of_a_loop_over_drawn_rows():
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 12, 60).astype(float)  # with ties
    a, b = truth + rng.normal(0, 3, 60), np.round(truth + rng.normal(0, 6, 60))
    again = np.random.default_rng(5)
    drawn = []
    for _ in range(100):
        rows = again.integers(60, size=60)
        rho = [stats.spearmanr(x[rows], truth[rows]).statistic for x in (a, b)]
        drawn.append(rho[0] - rho[1])
    sure = spearman_difference(a, b, truth, seed=5, draws=100)
    np.testing.assert_allclose((sure.low, sure.high), np.quantile(drawn, (0.025, 0.975)), rtol=1e-9)
    expected = stats.spearmanr(a, truth).statistic - stats.spearmanr(b, truth).statistic
    assert sure.value == pytest.approx(expected)
    assert np.isnan(spearman_difference(a[:0], b[:0], truth[:0]).value)
    assert np.isnan(mean_difference(a[:0], b[:0]).value)
