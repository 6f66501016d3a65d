"""How calibrated? Coverage of the intervals, their worst corner, and the epistemic std against the ensemble's."""

from __future__ import annotations

import math

from octodon.metrics.strata import FEWEST_ROWS
from octodon.report.style import as_percent
from octodon.report.verdict.facts import RunFacts, TargetFacts
from octodon.report.verdict.parts import about, measured, together
from octodon.report.verdict.record import Check, Finding, judged, warned
from octodon.report.verdict.status import Status, at_least, at_most, worst
from octodon.report.verdict.thresholds import (
    CELL_PASS,
    CELL_WARN,
    COVERAGE_PASS,
    COVERAGE_WARN,
    EPISTEMIC_PASS,
    EPISTEMIC_WARN,
    RATIO_PASS,
    RATIO_WARN,
    Z95,
)
from octodon.report.verdict.words import as_r, each, or_nan


def _coverage(facts: RunFacts) -> Finding:
    name = f"Coverage of {as_percent(facts.level)} intervals"
    targets, others = measured(name, facts)
    known = [t for t in targets if t.coverage is not None]
    why = "" if facts.uncalibrated is None else f": {facts.uncalibrated}"
    step = "mend that and run again, or calibrate on rows that no network has seen: octodon calibrate"
    absent = warned(name, f"the student has no calibrated intervals{why}", step)
    others = [*about([t for t in targets if t.coverage is None], facts, absent), *others]
    if not known:
        return together(others)

    def of(t: TargetFacts) -> Status:
        distance = abs(or_nan(t.coverage) - facts.level) - chance(facts.level, t.n_test, t.n_calibration)
        return at_most(distance, COVERAGE_PASS, COVERAGE_WARN)

    status = worst(of(t) for t in known)
    says = each(known, lambda t: f"{or_nan(t.coverage):.1%}") + " of test values inside"
    step = (
        "calibration rows and test rows differ in kind: split by the same rule, set more rows aside ([calibrate] "
        "fraction_of_valid), or calibrate on rows like those you will ask about (octodon calibrate)"
    )
    return together([judged(name, status, says, step), *others])


def _worst_cell(facts: RunFacts) -> Finding:
    name = "Worst corner of the coverage"
    targets, others = measured(name, facts)
    known = [t for t in targets if t.worst_coverage is not None and t.worst_n]
    small = [t for t in targets if t.worst_n == 0]
    without = [t for t in targets if t not in known and t not in small]
    few = warned(
        name, f"no cell has {FEWEST_ROWS} sequences", "more test sequences: smaller cells are not judged"
    )
    absent = warned(name, "no coverage by cell", "see above")
    others = [*about(small, facts, few), *about(without, facts, absent), *others]
    if not known:
        return together(others)

    def of(t: TargetFacts) -> Status:
        by_chance = chance(facts.level, t.worst_n or 1, t.worst_n_calibration)
        return at_most(facts.level - or_nan(t.worst_coverage) - by_chance, CELL_PASS, CELL_WARN)

    status = worst(of(t) for t in known)
    says = each(known, lambda t: f"{or_nan(t.worst_coverage):.0%} where {t.worst_cell}")
    step = (
        "[calibrate] method = mondrian_activity gives each quarter of predicted activity a width of its own, mondrian_ood each of "
        "unlikeness to the training set; till then take intervals there with care"
    )
    return together([judged(name, status, says, step), *others])


def _epistemic(facts: RunFacts) -> Finding:
    name = "Epistemic std against the ensemble's"
    known = [t for t in facts.targets if t.epistemic is not None]
    says = "the student gives no epistemic std, or no ensemble was scored"
    absent = warned(name, says, "at least 2 members, and a distilled head")
    others = about([t for t in facts.targets if t.epistemic is None], facts, absent)
    if not known:
        return together(others)

    def of(t: TargetFacts) -> Status:
        by_r = at_least(or_nan(t.epistemic), EPISTEMIC_PASS, EPISTEMIC_WARN)
        if t.std_ratio is None or not t.std_ratio > 0:
            return by_r
        return worst((by_r, at_most(max(t.std_ratio, 1 / t.std_ratio), RATIO_PASS, RATIO_WARN)))

    status = worst(of(t) for t in known)
    says = each(
        known,
        lambda t: f"r {as_r(t.epistemic)}" + (f", {t.std_ratio:.2f} times its size" if t.std_ratio else ""),
    )
    step = "more labelled copies ([distill] copies) sharpen the student's std most; more members steady the ensemble's"
    return together([judged(name, status, says, step), *others])


def chance(level: float, n: int, n_calibration: int | None) -> float:
    """Return how far coverage of n rows lies from its level by chance: half the 95 % interval.

    Two draws add up: the rows that are counted, level (1 - level) / n, and those of the calibration, whose quantile covers a
    share that varies as a beta distribution, level (1 - level) / (k + 2) for k rows (Vovk 2012, ACML, section 2).
    """
    of_calibration = 0.0 if n_calibration is None else 1 / (n_calibration + 2)
    return Z95 * math.sqrt(level * (1 - level) * (1 / max(n, 1) + of_calibration))


CHECKS: tuple[Check, ...] = (_coverage, _worst_cell, _epistemic)
