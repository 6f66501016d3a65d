"""The verdict on numbers made by hand: which side of each threshold they lie on is known without the code."""

import math
from dataclasses import replace

import numpy as np
import pytest

from octodon.report.verdict import Endings, RunFacts, Status, TargetFacts, judge, worst
from octodon.report.verdict.calibration import chance

# Everything well: 0.64 of the repeatable variance, clearly above the ridge, 9 of 10 inside, stds that agree.
TARGET = TargetFacts(
    target="K562",
    n_test=2000,
    student=0.76,
    individual=0.70,
    ensemble=0.78,
    ridge=0.60,
    ceiling=0.95,
    gain_low=0.13,
    gain_high=0.19,
    coverage=0.90,
    worst_cell="GC content is 60-70 %",
    worst_coverage=0.85,
    worst_n=200,
    epistemic=0.85,
    std_ratio=0.95,
    error_spearman=0.25,
)
FACTS = RunFacts(
    folder="run",
    targets=(TARGET,),
    level=0.9,
    leaking_rows=0,
    endings=Endings(networks=11, unfinished=1),
    knows_ood=True,
    knows_shift=True,
)


def finding(name, facts=FACTS, **changes):
    """The one finding whose name begins so, after changes of the target."""
    changed = replace(facts, targets=(replace(TARGET, **changes), *facts.targets[1:]))
    (found,) = [one for one in judge(changed).findings if one.name.startswith(name)]
    return found


def test_where_all_is_well_nothing_is_left_to_try():
    verdict = judge(FACTS)
    assert verdict.status is Status.PASS
    assert all(finding.next_step == "" for finding in verdict.findings)
    assert verdict.headline == "Fit for use on sequences like those it was tested on."


@pytest.mark.parametrize(
    ("name", "changes", "status"),
    [
        ("Accuracy", {"student": 0.68, "ceiling": 0.95}, Status.PASS),  # (0.68/0.95)^2 = 0.512
        ("Accuracy", {"student": 0.67, "ceiling": 0.95}, Status.WARN),  # 0.497
        ("Accuracy", {"student": 0.48, "ceiling": 0.95}, Status.WARN),  # 0.255
        ("Accuracy", {"student": 0.47, "ceiling": 0.95}, Status.FAIL),  # 0.245
        ("Accuracy", {"student": -0.9, "ceiling": 0.95}, Status.FAIL),  # wrong way round
        ("Accuracy", {"ceiling": None}, Status.WARN),
        ("Gain", {"student": 0.63, "gain_low": 0.01, "gain_high": 0.05}, Status.PASS),
        ("Gain", {"student": 0.61, "gain_low": 0.005, "gain_high": 0.02}, Status.WARN),  # sure, but tiny
        ("Gain", {"student": 0.65, "gain_low": -0.01, "gain_high": 0.11}, Status.WARN),  # large, not sure
        ("Gain", {"student": 0.50, "gain_low": -0.14, "gain_high": -0.06}, Status.FAIL),
        ("Gain", {"ridge": None}, Status.WARN),
        ("Gain", {"ridge": math.nan, "gain_low": None, "gain_high": None}, Status.WARN),  # one value for all
        ("What the student keeps", {"student": 0.74}, Status.PASS),  # 0.04 of 0.08
        ("What the student keeps", {"student": 0.73}, Status.WARN),
        ("What the student keeps", {"student": 0.69}, Status.FAIL),  # below a single member
        ("What the student keeps", {"ensemble": 0.70, "student": 0.70}, Status.PASS),  # nothing to keep
        ("What the student keeps", {"ensemble": 0.70, "student": 0.69}, Status.WARN),  # but what a member has
        ("What the student keeps", {"ensemble": 0.704, "student": 0.40}, Status.FAIL),
        ("What the student keeps", {"individual": math.nan}, Status.WARN),  # a member collapsed
        ("Coverage", {"coverage": 0.87}, Status.PASS),  # chance allows 0.013 for 2,000, tolerance 0.02
        ("Coverage", {"coverage": 0.86}, Status.WARN),
        ("Coverage", {"coverage": 0.94}, Status.WARN),  # too wide is no virtue
        ("Coverage", {"coverage": 0.80}, Status.FAIL),
        ("Coverage", {"coverage": 0.82, "n_test": 50}, Status.PASS),  # 0.083 by chance
        # Of 50 calibration rows, too: 1.96 sqrt(0.09 (1 / 2000 + 1 / 52)) = 0.083
        ("Coverage", {"coverage": 0.80, "n_calibration": 50}, Status.PASS),
        ("Coverage", {"coverage": 0.79, "n_calibration": 50}, Status.WARN),
        ("Coverage", {"coverage": 0.86, "n_calibration": 100_000}, Status.WARN),
        ("Coverage", {"coverage": None}, Status.WARN),
        ("Worst corner", {"worst_coverage": 0.70}, Status.WARN),  # 0.2 below, chance 0.042
        ("Worst corner", {"worst_coverage": 0.60}, Status.FAIL),
        ("Worst corner", {"worst_coverage": 0.70, "worst_n": 20}, Status.PASS),  # chance 0.131
        # Of a cell calibrated on 25 rows: 1.96 sqrt(0.09 (1 / 200 + 1 / 27)) = 0.121
        ("Worst corner", {"worst_coverage": 0.68, "worst_n_calibration": 25}, Status.PASS),
        ("Worst corner", {"worst_coverage": 0.67, "worst_n_calibration": 25}, Status.WARN),
        ("Worst corner", {"worst_coverage": 0.68, "worst_n_calibration": 1000}, Status.WARN),
        ("Worst corner", {"worst_coverage": None}, Status.WARN),
        ("Epistemic", {"epistemic": 0.69}, Status.WARN),
        ("Epistemic", {"epistemic": 0.39}, Status.FAIL),
        ("Epistemic", {"std_ratio": 0.79}, Status.WARN),  # 1 / 0.79 = 1.27
        ("Epistemic", {"std_ratio": 2.1}, Status.FAIL),
        ("Epistemic", {"epistemic": None}, Status.WARN),
        ("Epistemic", {"epistemic": math.nan}, Status.FAIL),  # the student says one std for all
        ("Data", {"n_test": 249}, Status.WARN),
        ("Does a larger std", {"error_spearman": 0.04}, Status.WARN),  # chance: 1.96 / sqrt(2000) = 0.044
        ("Does a larger std", {"error_spearman": 0.05}, Status.PASS),
        ("Does a larger std", {"error_spearman": -0.05}, Status.FAIL),
    ],
)
def test_thresholds(name, changes, status):
    found = finding(name, **changes)
    assert found.status is status
    assert (found.next_step == "") == (status is Status.PASS)


def test_chance_in_coverage_is_that_of_both_draws():
    """Split conformal on exchangeable rows: 95 of 100 coverages lie where the verdict says that chance puts them."""
    rng = np.random.default_rng(0)
    level, n_calibration, n_test = 0.8, 99, 200
    reach = np.sort(rng.random((4000, n_calibration)), axis=1)[:, 79]  # rank 100 * 0.8
    covered = (rng.random((4000, n_test)) <= reach[:, None]).mean(axis=1)
    inside = np.abs(covered - level) <= chance(level, n_test, n_calibration)
    assert inside.mean() == pytest.approx(0.95, abs=0.015)
    assert (np.abs(covered - level) <= chance(level, n_test, None)).mean() < 0.80


@pytest.mark.parametrize("place", [0, 1])
def test_a_student_that_predicts_one_value_fails_whichever_target_it_is(place):
    undefined = {"student": math.nan, "is_constant": True, "gain_low": None, "gain_high": None}
    constant = replace(TARGET, target="HepG2", **undefined)
    targets = [TARGET, TARGET]
    targets[place] = constant
    facts = replace(FACTS, targets=tuple(targets))
    for name in ("Accuracy", "Gain", "What the student keeps"):
        (found,) = [one for one in judge(facts).findings if one.name.startswith(name)]
        assert found.status is Status.FAIL
        assert "HepG2" in found.says
        assert "undefined" in found.says


@pytest.mark.parametrize(
    ("name", "bad", "unknown", "words"),
    [
        ("Accuracy", {"student": 0.3}, {"ceiling": None}, "without replicates"),
        ("Gain", {"gain_low": -0.2, "gain_high": -0.1}, {"ridge": None}, "no k-mer ridge"),
        ("What the student keeps", {"student": 0.6}, {"ensemble": None}, "no ensemble was scored"),
        ("Coverage", {"coverage": 0.5}, {"coverage": None}, "no calibrated intervals"),
        ("Worst corner", {"worst_coverage": 0.3}, {"worst_coverage": None}, "no coverage by cell"),
        ("Epistemic", {"epistemic": 0.1}, {"epistemic": None}, "no epistemic std"),
        ("Does a larger std", {"error_spearman": -0.3}, {"error_spearman": None}, "gives no std"),
    ],
)
def test_a_target_without_an_answer_hides_none_that_fails_and_does_not_pass(name, bad, unknown, words):
    """Whichever comes first; and beside a target that passes it still asks for attention."""
    failing, silent = replace(TARGET, **bad), replace(TARGET, target="HepG2", **unknown)
    for targets, status in (
        ((failing, silent), Status.FAIL),
        ((silent, failing), Status.FAIL),
        ((TARGET, silent), Status.WARN),
    ):
        (found,) = [
            one for one in judge(replace(FACTS, targets=targets)).findings if one.name.startswith(name)
        ]
        assert found.status is status
        assert "K562" in found.says
        assert "HepG2" in found.says
        assert words in found.says
        assert found.next_step


@pytest.mark.parametrize("changes", [{"n_test": 1}, {"n_test": 2, "student": 1.0}, {"n_test": 300}])
def test_a_target_with_too_few_or_equal_measurements_is_not_called_a_collapsed_student(changes):
    few = replace(
        TARGET, **({"target": "C", "student": math.nan, "gain_low": None, "gain_high": None} | changes)
    )
    verdict = judge(replace(FACTS, targets=(TARGET, few)))
    for one in verdict.answers[0].findings:
        assert one.status is Status.WARN
        assert one.says.endswith(
            "; C: too few or equal measurements in the test split, so that r is undefined"
        )
        assert "predicts one value" not in one.says
        assert "nan" not in one.says
    (data,) = [one for one in verdict.findings if one.name == "Data"]
    if few.n_test < 250:
        count = {1: "1 test sequence has", 2: "2 test sequences have"}[few.n_test]
        assert f"only {count} a measured C" in data.says


def test_a_target_that_was_not_measured_in_the_test_split_is_not_said_to_be_uncalibrated():
    nothing = dict.fromkeys(("coverage", "worst_coverage", "individual", "ensemble", "gain_low", "gain_high"))
    silent = replace(TARGET, target="HepG2", n_test=0, student=math.nan, error_spearman=math.nan, **nothing)
    for one in judge(replace(FACTS, targets=(TARGET, silent))).findings:
        if one.name.startswith(("Accuracy", "Gain", "What the", "Coverage", "Worst", "Does a larger")):
            assert one.status is Status.WARN
            assert one.says.endswith("; HepG2: not measured in the test split")
    alone = judge(replace(FACTS, targets=(silent,)))
    assert [one.says for one in alone.answers[0].findings] == ["not measured in the test split"] * 3


def test_a_leak_fails_whatever_the_numbers():
    verdict = judge(replace(FACTS, leaking_rows=3))
    assert verdict.status is Status.FAIL
    assert verdict.headline == "Not to be trusted yet: 1 check failed."
    assert verdict.findings[0].name == "Data"


def test_networks_that_had_not_finished_ask_for_more_epochs():
    found = finding("Training", replace(FACTS, endings=Endings(networks=11, unfinished=6)))
    assert found.status is Status.WARN
    assert "epochs" in found.next_step


@pytest.mark.parametrize(
    ("endings", "status"),
    [
        (Endings(networks=11, scheduled=10, unfinished=1), Status.WARN),  # the only one that stops early
        (Endings(networks=11, scheduled=8, unfinished=1), Status.PASS),  # 1 of 3
        (Endings(networks=11, scheduled=11, scheduled_best_last=11), Status.PASS),
    ],
)
def test_of_the_networks_that_stop_early_alone_is_asked_whether_they_had_finished(endings, status):
    assert finding("Training", replace(FACTS, endings=endings)).status is status


def test_what_was_not_examined_comes_with_its_command():
    found = finding("Sequences of another kind", replace(FACTS, knows_shift=False))
    assert found.status is Status.WARN
    assert found.next_step == "octodon shift run"


def test_the_worst_target_decides_and_all_are_named():
    bad = replace(TARGET, target="HepG2", student=0.3)
    found = finding("Accuracy", replace(FACTS, targets=(TARGET, bad)))
    assert found.status is Status.FAIL
    assert "K562" in found.says
    assert "HepG2" in found.says


def test_worst_of_nothing_is_a_pass():
    assert worst([]) is Status.PASS
    assert worst([Status.WARN, Status.FAIL, Status.PASS]) is Status.FAIL
