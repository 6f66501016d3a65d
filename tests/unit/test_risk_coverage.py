"""Risk against coverage, and whether a student's std tells where the ensemble is wrong: numbers that are solved by hand."""

from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest

from octodon.errors import DataError
from octodon.metrics.curves import risk_curves
from octodon.metrics.spread import RANKING, student_spread
from octodon.metrics.summary import format_summary, summarise
from octodon.metrics.uncertainty import uncertainty_metrics
from octodon.records import Prediction
from octodon.report.risk_coverage import risk_coverage_figure

# errors 1, 2, 3, 4; the std puts 4 before 3, and the missing row nowhere
ERROR = np.array([[1.0], [2.0], [4.0], [3.0], [0.0]])
STD = np.array([[0.1], [0.2], [0.3], [0.4], [0.01]])
TRUTH = np.array([[0.0], [0.0], [0.0], [0.0], [np.nan]])


def said(**parts: np.ndarray) -> Prediction:
    return Prediction(ids=np.arange(5).astype(str), target_names=("A",), mean=ERROR, **parts)


def test_points_are_those_of_the_rows_kept() -> None:
    curves = risk_curves([("student", 0, said(epistemic_std=STD, aleatoric_std=STD[::-1] * 2))], TRUTH, 4)
    by_std = curves.query("order == 'epistemic'")
    np.testing.assert_allclose(by_std["kept"], [0.25, 0.5, 0.75, 1])
    np.testing.assert_allclose(by_std["rmse"] ** 2, [1, 5 / 2, 21 / 3, 30 / 4])
    oracle = curves.query("order == 'error'")
    np.testing.assert_allclose(oracle["rmse"] ** 2, [1, 5 / 2, 14 / 3, 30 / 4])
    assert set(curves["order"]) == {"epistemic", "aleatoric", "total", "error"}
    assert risk_curves([("student", 0, said(epistemic_std=STD))], np.full((5, 1), np.nan)).empty


def test_many_rows_are_drawn_at_a_hundred_points() -> None:
    rng = np.random.default_rng(0)
    mean, std = rng.normal(size=(5003, 1)), rng.uniform(1, 2, (5003, 1))
    prediction = Prediction(ids=np.arange(5003), target_names=("A",), mean=mean, epistemic_std=std)
    curves = risk_curves([("ensemble", 0, prediction)], np.zeros((5003, 1)))
    line = curves.query("order == 'epistemic'")
    assert len(line) == 100
    assert line["kept"].iloc[-1] == 1
    assert line["rmse"].iloc[-1] == pytest.approx(np.sqrt(np.mean(mean**2)))


def test_the_students_std_is_judged_by_the_ensembles_errors() -> None:
    rng = np.random.default_rng(1)
    std = rng.uniform(0.5, 3, (4000, 1))
    truth = std * rng.normal(size=std.shape)
    ids, nought = np.arange(4000), np.zeros_like(std)
    ensemble = Prediction(ids=ids, target_names=("A",), mean=nought, epistemic_std=std)
    # a student whose own mean is far off knows nothing of its own errors, but all of the ensemble's
    student = replace(ensemble, mean=100 * rng.normal(size=std.shape), epistemic_std=0.5 * std)
    found = student_spread([student], ensemble, split="test", measured=truth).set_index("metric")["value"]
    for name in RANKING:
        expected = uncertainty_metrics[name](nought, std, truth)[0]
        assert found[f"ensemble_{name}"] == pytest.approx(expected)
    assert found["ensemble_error_spearman"] > 0.4
    assert found["std_ratio"] == pytest.approx(0.5)
    without = student_spread([student], ensemble, split="test")
    assert not without["metric"].str.startswith("ensemble_").any()


def test_the_summary_does_not_print_them() -> None:
    rows = [("student", 0, "test", "A", "epistemic", name, 0.5) for name in ("pearson", "ensemble_ause")]
    names = ["model", "index", "split", "target", "quantity", "metric", "value"]
    cells = format_summary(summarise(pd.DataFrame(rows, columns=names)))
    assert [row[1] for row in cells[1:]] == ["epistemic pearson"]


def test_the_figure_has_a_panel_for_each_model(tmp_path: Path) -> None:
    models = [("ensemble", 0, said(epistemic_std=STD)), ("student", 1, said(epistemic_std=STD))]
    curves = risk_curves(models, TRUTH)
    risk_coverage_figure(curves, tmp_path / "risk.svg", "log2", student=1)
    root = ElementTree.parse(tmp_path / "risk.svg").getroot()
    texts = ["".join(e.itertext()).strip() for e in root.iter("{http://www.w3.org/2000/svg}text")]
    for word in ("A: ensemble", "A: student", "RMSE (log2)", "by epistemic std"):
        assert word in texts
    assert "by total std" not in texts
    with pytest.raises(DataError, match="no curve of an ensemble or of student 0"):
        risk_coverage_figure(curves.query("model == 'student'"), tmp_path / "x.svg")
