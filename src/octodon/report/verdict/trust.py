"""How far to trust it? Data, errors, training, and sequences of another kind."""

from __future__ import annotations

import math

from octodon.report.verdict.facts import RunFacts, TargetFacts
from octodon.report.verdict.parts import about, measured, together
from octodon.report.verdict.record import Check, Finding, judged, warned
from octodon.report.verdict.status import Status, worst
from octodon.report.verdict.thresholds import TEST_ROWS, UNFINISHED_WARN, Z95
from octodon.report.verdict.words import as_r, each, or_nan


def _data(facts: RunFacts) -> Finding:
    fewest = min(facts.targets, key=lambda t: t.n_test)
    if facts.leaking_rows:
        says = f"{facts.leaking_rows:,} rows are copies, reverse complements or partners of rows in another split"
        step = '[split] on_leak = "drop", or split by group; every number here flatters the model till then'
        return judged("Data", Status.FAIL, says, step)
    if fewest.n_test < TEST_ROWS:
        count = f"{fewest.n_test:,} test sequence{' has' if fewest.n_test == 1 else 's have'}"
        says = (
            f"no leak between splits, but only {count} a measured {fewest.target}: its numbers are uncertain"
        )
        return judged("Data", Status.WARN, says, f"at least {TEST_ROWS} test sequences")
    says = f"no leak between splits; {fewest.n_test:,} test sequences"
    return Finding(name="Data", status=Status.PASS, says=says)


def _errors(facts: RunFacts) -> Finding:
    name = "Does a larger std mean a larger error?"
    targets, others = measured(name, facts)
    known = [t for t in targets if t.error_spearman is not None]
    absent = warned(name, "the student gives no std", "at least 2 members")
    others = [*about([t for t in targets if t.error_spearman is None], facts, absent), *others]
    if not known:
        return together(others)

    def of(t: TargetFacts) -> Status:
        chance = Z95 / math.sqrt(max(t.n_test, 1))
        rho = or_nan(t.error_spearman)
        return Status.PASS if rho > chance else Status.FAIL if rho < -chance else Status.WARN

    status = worst(of(t) for t in known)
    says = each(known, lambda t: f"Spearman {as_r(t.error_spearman)}")
    step = "do not rank or filter sequences by the std; more members, or a head that learns noise from replicates"
    return together([judged(name, status, says, step), *others])


def _training(facts: RunFacts) -> Finding:
    name = "Training"
    ended = facts.endings
    if not ended.networks:
        return Finding(name=name, status=Status.PASS, says="members came from elsewhere")
    many = ended.stop_early > 0 and ended.unfinished / ended.stop_early >= UNFINISHED_WARN
    status = Status.WARN if many else Status.PASS
    return judged(
        name, status, ended.words(), "raise [ensemble.training] epochs, or [distill.training] epochs"
    )


def _elsewhere(facts: RunFacts) -> Finding:
    name = "Sequences of another kind"
    flags = "the student flags what is unlike its training set"
    missing = {}
    if not facts.knows_shift and facts.has_ensemble:
        missing["shifted sequences"] = f"octodon shift {facts.folder}"
    if not facts.knows_ood:
        missing["a flag for them"] = f"octodon ood {facts.folder}/student {facts.folder}/config.toml"
    if missing:
        says, step = f"not examined: {' and '.join(missing)}", "; ".join(missing.values())
        return Finding(name=name, status=Status.WARN, says=says, next_step=step)
    shifted = "shifted sequences were examined (below)"
    if not facts.knows_shift:
        shifted = "shifted sequences can only be examined with the teachers, which are elsewhere"
    return Finding(name=name, status=Status.PASS, says=f"{shifted}, and {flags}")


CHECKS: tuple[Check, ...] = (_data, _errors, _training, _elsewhere)
