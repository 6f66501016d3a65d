"""The results table against numbers computed here by other means."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import stats
from sklearn.metrics import mean_squared_error

from octodon.errors import ConfigError, DataError
from octodon.metrics.agreement import mean_over_pairs, pairwise_pearson
from octodon.metrics.evaluate import evaluate_split
from octodon.records import MemberPredictions, Prediction

TARGETS = ("Dev", "Hk")
N, M, S = 40, 4, 2


@pytest.fixture
def case():
    rng = np.random.default_rng(11)
    measured = rng.normal(size=(N, 2))
    ids = np.array([f"s{i}" for i in range(N)])
    members = MemberPredictions(
        ids=ids,
        target_names=TARGETS,
        mean=measured + rng.normal(size=(M, N, 2)),
        aleatoric_std=rng.uniform(0.1, 1, size=(M, N, 2)),
    )
    students = [
        Prediction(
            ids=ids,
            target_names=TARGETS,
            mean=measured + rng.normal(size=(N, 2)),
            epistemic_std=rng.uniform(0.1, 1, size=(N, 2)),
            aleatoric_std=rng.uniform(0.1, 1, size=(N, 2)),
        )
        for _ in range(S)
    ]
    return members, students, measured


def evaluate(case, **changes):
    members, students, measured = case
    return evaluate_split(
        **({"split": "test", "members": members, "students": students, "measured": measured} | changes)
    )


def pick(frame, **where):
    for name, value in where.items():
        frame = frame[frame[name] == value]
    return frame["value"].to_numpy()


def altered(prediction, **changes):
    fields = ("ids", "target_names", "mean", "epistemic_std", "aleatoric_std")
    return Prediction(**({name: getattr(prediction, name) for name in fields} | changes))


def test_activity_of_members_ensemble_and_students(case):
    members, students, measured = case
    frame = evaluate(case)
    assert list(frame.columns) == ["model", "index", "split", "target", "quantity", "metric", "value"]
    assert set(frame["split"]) == {"test"}
    models = [("individual", i, members.mean[i]) for i in range(M)]
    models += [("ensemble", 0, sum(members.mean) / M)]
    models += [("student", i, student.mean) for i, student in enumerate(students)]
    for model, index, predicted in models:
        for t, target in enumerate(TARGETS):
            x, y = predicted[:, t], measured[:, t]
            where = {"model": model, "index": index, "target": target, "quantity": "activity"}
            assert_allclose(pick(frame, metric="mse", **where), [mean_squared_error(y, x)])
            assert_allclose(pick(frame, metric="pearson", **where), [stats.pearsonr(x, y).statistic])
            assert_allclose(pick(frame, metric="spearman", **where), [stats.spearmanr(x, y).statistic])


def test_epistemic_is_scored_against_the_spread_of_the_members_not_the_error(case):
    members, students, _ = case
    frame = evaluate(case)
    deviation = members.mean - sum(members.mean) / M
    spread = np.sqrt(sum(deviation**2) / M)  # divided by M, not by M - 1
    for index, student in enumerate(students):
        for t, target in enumerate(TARGETS):
            x, y = student.epistemic_std[:, t], spread[:, t]
            where = {"model": "student", "index": index, "target": target, "quantity": "epistemic"}
            assert_allclose(pick(frame, metric="pearson", **where), [stats.pearsonr(x, y).statistic])
            assert_allclose(pick(frame, metric="mse", **where), [mean_squared_error(y, x)])
    assert set(frame.loc[frame["quantity"] == "epistemic", "model"]) == {"student"}


def test_epistemic_scores_do_not_depend_on_what_was_measured(case):
    frames = [evaluate(case, measured=m) for m in (case[2], np.full_like(case[2], np.nan))]
    first, second = (frame[frame["quantity"] == "epistemic"]["value"].to_numpy() for frame in frames)
    assert_array_equal(first, second)


def test_stds_cut_at_zero_are_counted(case):
    students = case[1]
    std = students[1].epistemic_std.copy()
    std[[2, 5, 9], 0] = 0.0
    frame = evaluate(case, students=[students[0], altered(students[1], epistemic_std=std)])
    assert_array_equal(pick(frame, metric="n_clipped", index=0), [0, 0])
    assert_array_equal(pick(frame, metric="n_clipped", index=1), [3, 0])


def test_aleatoric_is_scored_where_replicates_are_given(case):
    assert "aleatoric" not in set(evaluate(case)["quantity"])
    members, _, measured = case
    truth = np.random.default_rng(2).uniform(size=measured.shape)
    truth[:4] = np.nan
    frame = evaluate(case, replicate_std=truth)
    where = {"quantity": "aleatoric", "target": "Hk", "metric": "pearson"}
    expected = stats.pearsonr(members.aleatoric_std[2][4:, 1], truth[4:, 1]).statistic
    assert_allclose(pick(frame, model="individual", index=2, **where), [expected])
    assert len(pick(frame, **where)) == M + 1 + S


def test_members_agree_as_numpy_says(case):
    members = case[0]
    matrix = pairwise_pearson(members)
    for t in range(2):
        assert_allclose(matrix[t], np.corrcoef(members.mean[:, :, t]), atol=1e-12)
    pairs = [[matrix[t, i, j] for i in range(M) for j in range(i)] for t in range(2)]
    assert_allclose(mean_over_pairs(matrix), np.mean(pairs, axis=1))
    row = pick(evaluate(case), model="individual", index=-1, metric="pairwise_pearson", quantity="activity")
    assert_allclose(row, np.mean(pairs, axis=1))


def test_a_member_that_predicts_a_constant_makes_agreement_undefined(case):
    mean = case[0].mean.copy()
    mean[1, :, 0] = 0.3
    members = MemberPredictions(ids=case[0].ids, target_names=TARGETS, mean=mean)
    assert_array_equal(np.isnan(pairwise_pearson(members)[0]).sum(axis=1), [1, M, 1, 1])
    row = pick(evaluate(case, members=members), metric="pairwise_pearson")
    assert_array_equal(np.isnan(row), [True, False])


def test_one_member_has_no_spread_to_compare_with(case):
    members = MemberPredictions(ids=case[0].ids, target_names=TARGETS, mean=case[0].mean[:1])
    frame = evaluate(case, members=members)
    assert set(frame["quantity"]) == {"activity"}
    assert "pairwise_pearson" not in set(frame["metric"])


def test_one_network_that_says_itself_what_it_does_not_know_is_what_students_are_compared_with(case):
    rng = np.random.default_rng(3)
    own = rng.uniform(0.1, 1, size=(1, N, 2))
    members = MemberPredictions(
        ids=case[0].ids, target_names=TARGETS, mean=case[0].mean[:1], epistemic_std=own
    )
    frame = evaluate(case, members=members)
    found = pick(frame, model="student", index=1, target="Hk", quantity="epistemic", metric="pearson")
    assert_allclose(found, [stats.pearsonr(case[1][1].epistemic_std[:, 1], own[0, :, 1]).statistic])
    assert "pairwise_pearson" not in set(frame["metric"])


def test_students_alone_and_members_alone(case):
    assert set(evaluate(case, members=None)["model"]) == {"student"}
    assert set(evaluate(case, students=[])["model"]) == {"individual", "ensemble"}
    with pytest.raises(DataError, match="test: neither members nor students"):
        evaluate(case, members=None, students=[])


def test_metrics_by_name(case):
    frame = evaluate(case, metric_names=["mse"], students=[])
    assert set(frame["metric"]) == {"mse", "pairwise_pearson"}
    with pytest.raises(ConfigError, match="did you mean 'pearson'"):
        evaluate(case, metric_names=["pearsn"])


def test_what_does_not_match_is_refused(case):
    members, students, measured = case
    with pytest.raises(DataError, match=r"measured has shape \(39, 2\), predictions \(40, 2\)"):
        evaluate(case, measured=measured[:-1])
    with pytest.raises(DataError, match="test: student 1: its 40 ids are not the 40 ids of individual 0"):
        evaluate(case, students=[students[0], altered(students[1], ids=members.ids[::-1])])
    with pytest.raises(DataError, match="student 0 predicts targets"):
        evaluate(case, students=[altered(students[0], target_names=("Hk", "Dev"))])
    std = students[0].epistemic_std.copy()
    std[3, 1] = -0.1
    with pytest.raises(DataError, match="student 0: 1 of 80 values of epistemic_std are negative"):
        evaluate(case, students=[altered(students[0], epistemic_std=std)])


def test_a_prediction_that_is_not_finite_names_its_model(case):
    mean = case[1][1].mean.copy()
    mean[3, 0] = np.nan
    with pytest.raises(DataError, match=r"test: student 1, activity: .* row 3, target 0"):
        evaluate(case, students=[case[1][0], altered(case[1][1], mean=mean)])
    broken = case[0].mean.copy()
    broken[2, 5, 1] = np.inf
    members = MemberPredictions(ids=case[0].ids, target_names=TARGETS, mean=broken)
    with pytest.raises(DataError, match=r"prediction of member 2 is not finite .* row 5, target 'Hk'"):
        pairwise_pearson(members)
