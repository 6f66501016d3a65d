"""What a run needs for its calibration is known before it trains; every model is then scored on every split."""

from dataclasses import replace

import numpy as np
import pytest
from tiny import examples

from octodon.calibration.fit import fit_calibration
from octodon.errors import ConfigError, DataError
from octodon.experiment.calibrate_config import CalibrateSection
from octodon.experiment.uncertainty import (
    calibrate_all,
    calibrated_for,
    check_calibration,
    evaluate_uncertainty,
    named_predictions,
    replicate_counts,
    typical_counts,
)
from octodon.metrics.spread import LEVELS
from octodon.records import MemberPredictions, Prediction


def with_calibration(n_rows: int, n: int = 1000):
    data = examples(n)
    splits = data.splits.astype(object)
    splits[np.flatnonzero(splits == "valid")[:n_rows]] = "calibration"
    return replace(data, splits=splits)


def test_why_there_is_no_calibration():
    assert check_calibration(CalibrateSection(), with_calibration(60)) is None
    assert (
        check_calibration(CalibrateSection(method="none"), with_calibration(60))
        == 'calibrate.method is "none"'
    )
    assert "80 validation rows, at least 100" in check_calibration(CalibrateSection(), examples(400))
    # 200 rows were enough, but related: set_aside_calibration left them where they are
    assert "none of 200 validation rows could be set aside" in check_calibration(
        CalibrateSection(), examples(1000)
    )
    assert "40 calibration rows with a measured 'gc'" in check_calibration(
        CalibrateSection(), with_calibration(40)
    )
    gaps = with_calibration(60)
    targets = gaps.targets.copy()
    targets[np.flatnonzero(gaps.splits == "calibration")[:20], 1] = np.nan
    assert "40 calibration rows with a measured 'tata'" in check_calibration(
        CalibrateSection(), replace(gaps, targets=targets)
    )


def test_what_would_fail_after_training_is_refused_before():
    data = with_calibration(60)
    with pytest.raises(ConfigError, match="did you mean 'scaling'"):
        check_calibration(CalibrateSection(method="scalin"), data)
    with pytest.raises(ConfigError, match="no option 'bins'"):
        check_calibration(CalibrateSection(method="split", options={"bins": 3}), data)
    with pytest.raises(ConfigError, match="'mondrian_ood' needs an out-of-distribution score"):
        check_calibration(CalibrateSection(method="mondrian_ood"), data)
    by_score = CalibrateSection(method="mondrian_ood", options={"bins": 2})
    assert check_calibration(by_score, data, detects=True) is None
    # 60 rows in 4 cells: 15 each, too few for the level 0.95 that is evaluated
    with pytest.raises(DataError, match=r"calibrate: .*15 calibration rows in cell . of 4"):
        check_calibration(CalibrateSection(method="mondrian_activity"), data)


def models(data, split, seed):
    rows = data.subset(split)
    rng = np.random.default_rng(seed)
    truth = rows.targets.astype(np.float64)
    members = MemberPredictions(
        ids=rows.ids, target_names=rows.target_names, mean=truth + rng.normal(size=(3, *truth.shape)),
        aleatoric_std=rng.uniform(0.5, 1, (3, *truth.shape)),
    )  # fmt: skip
    ensemble = members.combine()
    student = Prediction(ids=rows.ids, target_names=rows.target_names, mean=ensemble.mean,
                         epistemic_std=0.5 * ensemble.epistemic_std)  # fmt: skip
    return rows, named_predictions(members, [student])


@pytest.mark.parametrize(
    ("method", "options"), [("scaling", {}), ("isotonic", {}), ("normalised", {"scale": "total"})]
)
def test_members_without_a_std_are_left_out_where_a_std_is_scaled(method, options):
    data = with_calibration(150)
    rows, named = models(data, "calibration", 0)
    named = [
        (m, i, replace(p, aleatoric_std=None)) for m, i, p in named
    ]  # a head that learns the activity alone
    config = CalibrateSection(method=method, options=options)
    assert check_calibration(config, data) is None
    made = calibrate_all(named, rows, config, seed=0)
    assert set(made.by_model) == {("ensemble", 0), ("student", 0)}
    found = evaluate_uncertainty("test", rows, named, made)
    assert set(found.metrics["model"]) == {"ensemble", "student"}


def test_members_whose_std_is_zero_somewhere_are_left_out_where_a_std_is_scaled():
    data = with_calibration(150)
    rows, named = models(data, "calibration", 0)
    cut = [(m, i, replace(p, aleatoric_std=np.where(np.arange(len(p.ids))[:, None] == 3, 0.0, p.aleatoric_std))
            if m == "individual" else p) for m, i, p in named]  # fmt: skip
    made = calibrate_all(cut, rows, CalibrateSection(method="scaling"), seed=0)
    assert set(made.by_model) == {("ensemble", 0), ("student", 0)}


def test_the_level_that_was_asked_for_is_judged_cell_by_cell_too():
    data = with_calibration(150)
    rows, named = models(data, "calibration", 0)
    made = calibrate_all(named, rows, CalibrateSection(level=0.85), seed=0)
    found = evaluate_uncertainty("test", *models(data, "test", 1), made)
    assert set(found.coverage["level"]) == {*LEVELS, 0.85}
    assert found.coverage.query("level == 0.85 and stratum == 'all'")["coverage"].between(0.7, 0.97).all()


def test_predictions_of_a_run_have_intervals_for_as_many_replicates_as_each_row_has():
    rng, data = np.random.default_rng(0), examples(4000)
    counts = np.where(np.arange(4000)[:, None] % 2, 1, 3) * np.ones((1, 2), dtype=int)
    replicates = rng.normal(size=(4000, 2, 3)).astype(np.float32)
    replicates[np.arange(3) >= counts[:, :, None]] = np.nan
    rows = replace(data, targets=np.nanmean(replicates, axis=2), replicates=replicates)
    said = Prediction(ids=data.ids, target_names=data.target_names, mean=np.zeros((4000, 2)),
                      epistemic_std=rng.uniform(0.05, 0.1, (4000, 2)), aleatoric_std=np.ones((4000, 2)))  # fmt: skip
    truth = rows.targets.astype(np.float64)
    calibration = fit_calibration(said, truth, method="components", replicates=counts)
    found = calibrated_for(said, calibration, rows)
    inside = (found.lower <= truth) & (truth <= found.upper)
    for n in (1, 3):
        assert inside[counts == n].mean() == pytest.approx(calibration.level, abs=0.02)
    assert calibrated_for(said, None, rows) is said


def test_values_that_were_not_measured_count_as_what_their_target_has_typically():
    data = examples(10)
    counts = np.tile([[3, 1]], (10, 1))
    targets = data.targets.copy()
    targets[:6, 0] = np.nan
    counts[:6, 0] = 0
    rows = replace(
        data,
        targets=targets,
        replicates=np.where(np.arange(3) < counts[:, :, None], 1.0, np.nan).astype(np.float32),
    )
    assert rows.n_replicates is not None
    assert typical_counts(rows).tolist() == [3, 1]
    assert replicate_counts(rows).tolist() == [[3, 1]] * 10


def test_every_model_is_calibrated_and_scored():
    data = with_calibration(150)
    rows, calibration_models = models(data, "calibration", 0)
    made = calibrate_all(calibration_models, rows, CalibrateSection(), seed=0)
    assert set(made.by_model) == {*(("individual", i) for i in range(3)), ("ensemble", 0), ("student", 0)}
    assert set(made.constant) == {("student", 0)}
    rows, test_models = models(data, "test", 1)
    found = evaluate_uncertainty("test", rows, test_models, made, train_codes=data.subset("train").codes)
    quantities = found.metrics.groupby("model")["quantity"].unique().map(set)
    assert quantities["individual"] == {"aleatoric", "calibrated"}
    assert quantities["ensemble"] == {"epistemic", "aleatoric", "total", "calibrated"}
    assert quantities["student"] == {"epistemic", "calibrated"}
    ratio = found.metrics.query("metric == 'std_ratio'")["value"]
    assert np.allclose(ratio, 0.5)
    covered = found.metrics.query("metric == 'coverage_0.9' and quantity == 'calibrated'")["value"]
    assert covered.between(0.8, 0.99).all()
    assert set(found.coverage["stratum"]) == {"all", "activity", "GC content", "epistemic", "ood"}
    assert set(found.coverage["level"]) == set(LEVELS)
    assert found.coverage.groupby(["model", "target", "level"])["worst"].sum().eq(1).all()
    assert set(found.curves.query("model == 'student'")["quantity"]) == {
        "epistemic",
        "calibrated",
        "constant",
    }
