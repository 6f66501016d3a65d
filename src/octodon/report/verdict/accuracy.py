"""How good? Accuracy against what is possible, against a simple model, and against the ensemble."""

from __future__ import annotations

import math

from octodon.report.verdict.facts import RunFacts, TargetFacts
from octodon.report.verdict.record import Check, Finding, judged
from octodon.report.verdict.status import Status, at_least, worst
from octodon.report.verdict.thresholds import (
    CEILING_PASS,
    CEILING_WARN,
    KEPT_PASS,
    RIDGE_GAIN,
    SMALLEST_GAIN,
)
from octodon.report.verdict.words import as_r, each, or_nan, signed


def _ceiling(facts: RunFacts) -> Finding:
    name = "Accuracy against the noise ceiling"
    if any(t.ceiling is None for t in facts.targets):
        return Finding(
            name=name,
            status=Status.WARN,
            says=f"r {each(facts.targets, lambda t: as_r(t.student))}; without replicates that agree nobody knows how much is possible",
            next_step='name the replicate columns in [data] targets = { T = ["rep1", "rep2"] }',
        )
    status = worst(at_least(_repeatable(t), CEILING_PASS, CEILING_WARN) for t in facts.targets)
    says = each(
        facts.targets, lambda t: f"r {as_r(t.student)} of at most {as_r(t.ceiling)}: {_repeatable(t):.0%}"
    )
    step = (
        "octodon sweep: if accuracy still rises at 100 % of the data, more data help; if not, another backbone "
        "(octodon list backbones) or augmentation ([ensemble.training] augment)"
    )
    return judged(name, status, f"{says} of the repeatable variance", step)


def _repeatable(t: TargetFacts) -> float:
    """Return the share of the repeatable variance that is explained; below 0 where the correlation is."""
    return math.copysign((t.student / t.ceiling) ** 2, t.student) if t.ceiling else math.nan


def _ridge(facts: RunFacts) -> Finding:
    name = "Gain over k-mer ridge"
    unmeasured = [t.target for t in facts.targets if t.n_test == 0]
    if unmeasured:
        says = f"{', '.join(unmeasured)}: not measured in any test sequence, so that nothing is known of it"
        return judged(
            name, Status.WARN, says, "split so that the test sequences have measurements of every target"
        )
    constant = [t.target for t in facts.targets if math.isnan(t.student)]
    if constant:
        says = f"{', '.join(constant)}: the student predicts one value for every test sequence, so that r is undefined"
        step = "train longer, or with another backbone (octodon list backbones)"
        return judged(name, Status.FAIL, says, step)
    if any(t.ridge is None or t.gain_low is None or t.gain_high is None for t in facts.targets):
        says = "this run has no k-mer ridge to compare with"
        return judged(name, Status.WARN, says, "repeat the run with this version of octodon")
    status = worst(_gain(t) for t in facts.targets)
    says = each(
        facts.targets,
        lambda t: f"{signed(t.student - or_nan(t.ridge))} r ({signed(t.gain_low)} to {signed(t.gain_high)})",
    )
    steps = {
        Status.PASS: "",
        Status.WARN: "the network finds little that counts of six-letter words do not: train longer, augment, or more data",
        Status.FAIL: "counts of six-letter words predict better than the network: use more members, augmentation or another "
        "backbone; until then rank sequences by the ridge",
    }
    return Finding(name=name, status=status, says=says, next_step=steps[status])


def _gain(t: TargetFacts) -> Status:
    """Return how the gain over the ridge comes out: large enough, and more than chance."""
    if or_nan(t.gain_high) < 0:
        return Status.FAIL
    is_clear = or_nan(t.gain_low) > 0 and t.student - or_nan(t.ridge) >= RIDGE_GAIN
    return Status.PASS if is_clear else Status.WARN


def _kept(facts: RunFacts) -> Finding:
    name = "What the student keeps of the ensemble"
    known = [t for t in facts.targets if t.individual is not None and t.ensemble is not None]
    if not known:
        says = "no ensemble was scored beside the student"
        return judged(name, Status.WARN, says, "repeat the run with members that cover the test split")
    said, statuses = [], []
    for t in known:
        gain = or_nan(t.ensemble) - or_nan(t.individual)
        if math.isnan(or_nan(t.individual)):
            said.append(f"{t.target}: a member predicts one value for every test sequence")
            statuses.append(Status.WARN)
            continue
        if (
            gain < SMALLEST_GAIN
        ):  # an ensemble that gains nothing leaves nothing to lose, but what its members have
            lost = t.student - or_nan(t.individual)
            statuses.append(at_least(lost, -SMALLEST_GAIN, -RIDGE_GAIN))
            of = "undefined" if math.isnan(lost) else f"{signed(lost)} r"
            said.append(
                f"{t.target}: the ensemble gains less than {SMALLEST_GAIN} r over its members, the student {of}"
            )
            continue
        share = (t.student - or_nan(t.individual)) / gain
        statuses.append(at_least(share, KEPT_PASS, 0.0))
        kept = "an undefined share" if math.isnan(share) else f"{share:.0%}"
        said.append(f"{t.target} {kept} of {signed(gain)} r")
    step = "more labelled copies ([distill] copies), an unlabelled pool ([distill] pool), or more epochs"
    return judged(name, worst(statuses), "; ".join(said), step)


CHECKS: tuple[Check, ...] = (_ceiling, _ridge, _kept)
