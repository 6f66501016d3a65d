"""Uncertainty in the results table, in tables of cells and as points of curves."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import stats

from octodon.calibration.fit import fit_calibration
from octodon.errors import DataError
from octodon.metrics.curves import at_levels, interval_curves
from octodon.metrics.spread import LEVELS, Scored, evaluate_spread, student_spread
from octodon.metrics.std_agreement import binned_std_error, std_ratio
from octodon.metrics.strata import class_cells, coverage_by_cell, gc_cells, quantile_cells, worst_cells
from octodon.metrics.tables import predictions_frame
from octodon.records import Prediction
from octodon.seq.codes import encode

N, R = 300, 3


@pytest.fixture
def case():
    rng = np.random.default_rng(0)
    mean, epistemic = rng.normal(size=(N, 2)), rng.uniform(0.1, 1, size=(N, 2))
    noise = rng.uniform(0.5, 1, size=(N, 2))
    ids = np.array([f"s{i}" for i in range(N)], dtype=object)
    prediction = Prediction(
        ids=ids, target_names=("Dev", "Hk"), mean=mean, epistemic_std=epistemic, aleatoric_std=noise
    )
    return prediction, mean + prediction.total_std_of_mean(R) * rng.normal(size=(N, 2))


def pick(frame, **where):
    for name, value in where.items():
        frame = frame[frame[name] == value]
    return frame["value"].to_numpy()


def test_each_std_is_scored_as_that_of_a_mean_of_replicates(case):
    prediction, measured = case
    frame = evaluate_spread([Scored(model="ensemble", index=0, prediction=prediction)], split="test",
                            measured=measured, n_replicates=R)  # fmt: skip
    stds = {
        "epistemic": prediction.epistemic_std,
        "aleatoric": prediction.aleatoric_std / 3**0.5,
        "total": (prediction.epistemic_std**2 + prediction.aleatoric_std**2 / 3) ** 0.5,
    }
    assert set(frame["quantity"]) == set(stds)
    for quantity, std in stds.items():
        for t, target in enumerate(("Dev", "Hk")):
            where = {"quantity": quantity, "target": target, "model": "ensemble"}
            expected = -stats.norm.logpdf(measured, prediction.mean, std)[:, t].mean()
            assert_allclose(pick(frame, metric="nll", **where), [expected])
            reach = 1.6448536 * std[:, t]
            inside = np.abs(measured - prediction.mean)[:, t] <= reach
            assert_allclose(pick(frame, metric="coverage_0.9", **where), [inside.mean()])
            assert_allclose(pick(frame, metric="width_0.9", **where), [2 * reach.mean()])


def test_a_model_with_one_std_has_no_second_row_for_its_total(case):
    prediction, measured = case
    alone = replace(prediction, aleatoric_std=None)
    frame = evaluate_spread(
        [Scored(model="student", index=0, prediction=alone)], split="test", measured=measured
    )
    assert set(frame["quantity"]) == {"epistemic"}
    bare = replace(alone, epistemic_std=None)
    assert evaluate_spread(
        [Scored(model="student", index=0, prediction=bare)], split="t", measured=measured
    ).empty


def test_calibrated_intervals_are_those_of_the_calibration(case):
    prediction, measured = case
    calibration = fit_calibration(prediction, measured, method="split", replicates=R)
    calibrated = at_levels(calibration.apply, prediction, LEVELS)
    one = Scored(model="student", index=1, prediction=prediction, calibrated=calibrated)
    frame = evaluate_spread([one], split="test", measured=measured, n_replicates=R)
    where = {"quantity": "calibrated", "index": 1}
    for level in LEVELS:
        # in-sample split conformal: exactly its rank
        expected = np.ceil((N + 1) * level) / N
        assert_allclose(pick(frame, metric=f"coverage_{level:g}", **where), expected)
    assert_array_equal(pick(frame, metric="error_spearman", target="Dev", **where), [np.nan])
    with pytest.raises(DataError, match=r"test: student 1, calibrated: no calibrated .* level 0\.7"):
        evaluate_spread([one], split="test", measured=measured, levels=[0.7])


def test_a_std_that_is_no_number_names_its_model(case):
    prediction, measured = case
    broken = prediction.epistemic_std.copy()
    broken[3, 1] = np.nan
    wrong = replace(prediction, epistemic_std=broken)
    with pytest.raises(DataError, match=r"test: student 2, epistemic: .* row 3, target 1"):
        evaluate_spread([Scored(model="student", index=2, prediction=wrong)], split="test", measured=measured)


def test_the_size_of_a_students_std_beside_the_ensembles(case):
    ensemble = case[0]
    student = replace(ensemble, epistemic_std=ensemble.epistemic_std / 2)
    frame = student_spread([student], ensemble, split="test")
    assert_allclose(pick(frame, metric="std_ratio"), [0.5, 0.5])
    assert_allclose(
        pick(frame, metric="binned_std_error"), [1, 1]
    )  # the ensemble's is twice as large: |1 - 2|
    true = np.repeat([1.0, 2.0], 50)[:, None]
    assert binned_std_error(true, true) == 0
    # right on average, but small where large is meant: in each bin the ratio is 2 or 1 / 2
    assert std_ratio(3 - true, true) == 1
    assert_allclose(binned_std_error(3 - true, true), [(1 + 0.5) / 2])
    assert np.isnan(binned_std_error(true[:9], true[:9])).all()


def test_coverage_in_cells_and_the_worst_of_them():
    n = 400
    mean = np.arange(n, dtype=float)[:, None]
    prediction = Prediction(ids=np.arange(n).astype(str), target_names=("t",), mean=mean, lower=mean - 1,
                            upper=mean + 1, level=0.9, interval="by hand")  # fmt: skip
    measured = mean.copy()
    measured[:40:2] += 5  # half of the lowest tenth is outside
    measured[399] = np.nan
    kind = np.where(np.arange(n) % 2, "odd", "even").astype(object)
    frame = coverage_by_cell([("student", 0, prediction)], measured, {"kind": kind}, split="test")
    tenths = frame[frame["stratum"] == "activity"]
    assert list(tenths["cell"]) == [str(i) for i in range(1, 11)]
    assert_allclose(tenths["coverage"], [0.5] + [1] * 9)
    assert tenths["n"].sum() == 399
    assert_allclose(frame[frame["stratum"] == "all"]["coverage"], (399 - 20) / 399)
    assert_allclose(frame[frame["cell"] == "even"]["coverage"], 1 - 20 / 200)
    assert_allclose(frame["width"], 2)
    worst = frame[frame["worst"]]
    assert (worst["stratum"].item(), worst["cell"].item()) == ("activity", "1")
    assert worst_cells(frame) == ["student 0, t, level 0.9: coverage 0.500 of 40 rows where activity is 1"]
    low, high = stats.binom(200, 0.9).interval(0.95)
    even = frame[frame["cell"] == "even"]
    assert_allclose([even["band_low"].item(), even["band_high"].item()], [low / 200, high / 200])
    with pytest.raises(DataError, match="stratum 'kind' has 3 rows, expected 400"):
        coverage_by_cell([("student", 0, prediction)], measured, {"kind": kind[:3]}, split="test")
    bare = replace(prediction, lower=None, upper=None, level=None, interval=None)
    with pytest.raises(DataError, match="student 0: the prediction has no interval"):
        coverage_by_cell([("student", 0, bare)], measured, {}, split="test")


def test_cells_by_epistemic_std_are_those_of_the_target_and_of_its_measured_rows():
    n = 200
    std = np.stack([np.arange(n), n - np.arange(n)], axis=1) / n  # B's stds fall where A's rise
    mean = np.zeros((n, 2))
    prediction = Prediction(ids=np.arange(n).astype(str), target_names=("A", "B"), mean=mean, epistemic_std=std,
                            lower=mean - 1, upper=mean + 1, level=0.9, interval="by hand")  # fmt: skip
    measured = mean.copy()
    measured[100:, 1] = np.nan  # of B the rows of std 0.505 to 1 are left, ten to a tenth
    measured[:10, 1] = 5  # outside where B is least certain, and A most
    frame = coverage_by_cell([("student", 0, prediction)], measured, {}, split="test")
    cells = frame[frame["stratum"] == "epistemic"].set_index(["target", "cell"])
    assert_allclose(cells.loc["A", "coverage"], 1)
    assert set(cells.loc["A", "n"]) == {20}
    assert set(cells.loc["B", "n"]) == {10}
    assert_allclose(cells.loc["B", "coverage"], [1] * 9 + [0])
    assert cells.loc["B"].index[-1] == "10"
    bare = replace(prediction, epistemic_std=None)
    assert "epistemic" not in set(
        coverage_by_cell([("student", 0, bare)], measured, {}, split="test")["stratum"]
    )


def test_cells_of_gc_classes_and_quantiles():
    codes = encode(["ACGTACGTAC", "GGGGGGGGGG", "ATTTTTTTTG", "NNNNNNNNNN", "NNNNNNAAAC"])
    assert gc_cells(codes).tolist() == ["50-60 %", "90-100 %", "10-20 %", "", "20-30 %"]
    columns = {
        "class": np.array(["a", "b", None, "a"], dtype=object),
        "name": np.array(["w", "w", "w", "w"], dtype=object),
        "fold": np.array([0, 1, 2, 0]),
    }
    found = class_cells(columns)
    assert {name: values.tolist() for name, values in found.items()} == {
        "class": ["a", "b", "", "a"], "fold": ["0", "1", "2", "0"]
    }  # fmt: skip
    assert class_cells({"id": np.arange(31)}) == {}
    missing = np.array(["a", "b", "none", "NaN", "NA", None, float("nan"), ""], dtype=object)
    assert class_cells({"kind": missing})["kind"].tolist() == ["a", "b", "none", "", "", "", "", ""]


def test_a_class_column_does_not_take_the_place_of_a_stratum():
    words = np.array(["high", "low"])
    assert set(class_cells({"activity": words, "all": words, "kind": words})) == {
        "column activity",
        "column all",
        "kind",
    }
    assert quantile_cells(np.array([3.0, 1, 2, np.nan]), cells=3).tolist() == ["3", "1", "2", ""]
    assert quantile_cells(np.zeros(5)).tolist() == ["2"] * 5


def test_curves_of_coverage_and_width(case):
    prediction, measured = case
    calibration = fit_calibration(prediction, measured, method="components", replicates=R)
    levels = (0.5, 0.9)
    one = Scored(model="student", index=0, prediction=prediction,
                 calibrated=at_levels(calibration.apply, prediction, levels))  # fmt: skip
    frame = interval_curves([one], measured, R, levels)
    assert set(frame["quantity"]) == {"epistemic", "aleatoric", "total", "calibrated"}
    assert len(frame) == 4 * 2 * 2
    hk = frame[(frame["target"] == "Hk") & (frame["level"] == 0.9)].set_index("quantity")
    assert_allclose(hk["pearson"], np.corrcoef(prediction.mean[:, 1], measured[:, 1])[0, 1])
    std = calibration.apply(prediction).calibrated_std[:, 1]
    assert_allclose(hk.loc["calibrated", "width"], 2 * 1.6448536 * std.mean())
    assert hk.loc["calibrated", "method"] == "components"
    assert hk.loc["total", "width"] > max(hk.loc["epistemic", "width"], hk.loc["aleatoric", "width"])


def test_the_predictions_table_names_the_method_of_its_interval(case):
    prediction, measured = case
    done = fit_calibration(prediction, measured, replicates=R).apply(prediction, 0.8)
    frame = predictions_frame(done)
    assert list(frame.columns[-4:]) == ["Hk_calibrated_std", "Hk_lower", "Hk_upper", "interval"]
    assert set(frame["interval"]) == {"normalised, level 0.8, mean of 3 replicates"}
    assert_array_equal(frame["Dev_upper"], done.upper[:, 0])
    assert isinstance(frame, pd.DataFrame)
