"""How good? Accuracy against what is possible, against a simple model, and against the ensemble."""

from __future__ import annotations

import math

from octodon.report.verdict.facts import RunFacts, TargetFacts
from octodon.report.verdict.parts import about, measured, together
from octodon.report.verdict.record import Check, Finding, judged, warned
from octodon.report.verdict.status import Status, at_least, worst
from octodon.report.verdict.thresholds import (
    CEILING_PASS,
    CEILING_WARN,
    FEWEST_OF_R,
    KEPT_PASS,
    RIDGE_GAIN,
    SMALLEST_GAIN,
)
from octodon.report.verdict.words import as_r, each, or_nan, signed


def _ceiling(facts: RunFacts) -> Finding:
    name = "Accuracy against the noise ceiling"
    targets, others = _with_r(name, facts)
    known, unlimited = [t for t in targets if t.ceiling], [t for t in targets if not t.ceiling]
    found = []
    if known:
        status = worst(at_least(_repeatable(t), CEILING_PASS, CEILING_WARN) for t in known)
        says = each(
            known, lambda t: f"r {as_r(t.student)} of at most {as_r(t.ceiling)}: {_repeatable(t):.0%}"
        )
        step = (
            "octodon sweep: if accuracy still rises at 100 % of the data, more data help; if not, another backbone "
            "(octodon list backbones) or augmentation ([ensemble.training] augment)"
        )
        found.append(judged(name, status, f"{says} of the repeatable variance", step))
    if unlimited:
        says = each(unlimited, lambda t: f"r {as_r(t.student)}")
        says += "; without replicates that agree nobody knows how much is possible"
        step = 'name the replicate columns in [data] targets = { T = ["rep1", "rep2"] }'
        found.append(warned(name, says, step))
    return together([*found, *others])


def _repeatable(t: TargetFacts) -> float:
    """Return the share of the repeatable variance that is explained; below 0 where the correlation is."""
    return math.copysign((t.student / t.ceiling) ** 2, t.student) if t.ceiling else math.nan


def _ridge(facts: RunFacts) -> Finding:
    name = "Gain over k-mer ridge"
    targets, others = _with_r(name, facts)
    flat = [t for t in targets if t.ridge is not None and math.isnan(t.ridge)]
    known = [t for t in targets if t not in flat and None not in (t.ridge, t.gain_low, t.gain_high)]
    without = [t for t in targets if t not in known and t not in flat]
    absent = warned(
        name, "this run has no k-mer ridge to compare with", "repeat the run with this version of octodon"
    )
    says = "the k-mer ridge predicts one value for every test sequence, so that nothing can be compared"
    constant = warned(name, says, "judge it by the noise ceiling")
    others = [*about(flat, facts, constant), *about(without, facts, absent), *others]
    if not known:
        return together(others)
    status = worst(_gain(t) for t in known)
    says = each(
        known,
        lambda t: f"{signed(t.student - or_nan(t.ridge))} r ({signed(t.gain_low)} to {signed(t.gain_high)})",
    )
    steps = {
        Status.PASS: "",
        Status.WARN: "the network finds little that counts of six-letter words do not: train longer, augment, or more data",
        Status.FAIL: "counts of six-letter words predict better than the network: use more members, augmentation or another "
        "backbone; until then rank sequences by the ridge",
    }
    return together([Finding(name=name, status=status, says=says, next_step=steps[status]), *others])


def _gain(t: TargetFacts) -> Status:
    """Return how the gain over the ridge comes out: large enough, and more than chance."""
    if or_nan(t.gain_high) < 0:
        return Status.FAIL
    is_clear = or_nan(t.gain_low) > 0 and t.student - or_nan(t.ridge) >= RIDGE_GAIN
    return Status.PASS if is_clear else Status.WARN


def _kept(facts: RunFacts) -> Finding:
    name = "What the student keeps of the ensemble"
    targets, others = _with_r(name, facts)
    known = [t for t in targets if None not in (t.individual, t.ensemble)]
    without = [t for t in targets if t not in known]
    absent = warned(
        name,
        "no ensemble was scored beside the student",
        "repeat the run with members that cover the test split",
    )
    others = [*about(without, facts, absent), *others]
    if not known:
        return together(others)
    statuses, said = zip(*map(_kept_of, known), strict=True)
    step = "more labelled copies ([distill] copies), an unlabelled pool ([distill] pool), or more epochs"
    return together([judged(name, worst(statuses), "; ".join(said), step), *others])


def _kept_of(t: TargetFacts) -> tuple[Status, str]:
    """Return how much of the ensemble's gain the student keeps, and that in words."""
    individual, ensemble = or_nan(t.individual), or_nan(t.ensemble)
    for r, who in ((individual, "a member"), (ensemble, "the ensemble")):
        if math.isnan(r):
            return Status.WARN, f"{t.target}: {who} predicts one value for every test sequence"
    gain, more = ensemble - individual, t.student - individual
    # an ensemble that gains nothing leaves nothing to lose, but what its members have
    if gain < SMALLEST_GAIN:
        says = f"{t.target}: the ensemble gains less than {SMALLEST_GAIN} r over its members, the student {signed(more)} r"
        return at_least(more, -SMALLEST_GAIN, -RIDGE_GAIN), says
    share = more / gain
    return at_least(share, KEPT_PASS, 0.0), f"{t.target} {share:.0%} of {signed(gain)} r"


def _with_r(name: str, facts: RunFacts) -> tuple[list[TargetFacts], list[Finding]]:
    """Return the targets whose r is known, and what the check ``name`` says of the others."""
    targets, others = measured(name, facts)
    constant = Finding(
        name=name,
        status=Status.FAIL,
        says="the student predicts one value for every test sequence, so that r is undefined",
        next_step="train longer, or with another backbone (octodon list backbones)",
    )
    few = warned(
        name, "too few or equal measurements in the test split, so that r is undefined", "more of them"
    )
    collapsed = [t for t in targets if t.is_constant]
    rest = [t for t in targets if not t.is_constant]
    known = [t for t in rest if t.n_test >= FEWEST_OF_R and not math.isnan(t.student)]
    unknown = [t for t in rest if t not in known]
    return known, [*about(collapsed, facts, constant), *about(unknown, facts, few), *others]


CHECKS: tuple[Check, ...] = (_ceiling, _ridge, _kept)
