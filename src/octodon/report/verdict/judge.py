"""From facts to a verdict: which checks answer which question."""

from __future__ import annotations

from octodon.report.verdict import accuracy, calibration, trust
from octodon.report.verdict.facts import RunFacts
from octodon.report.verdict.record import Answer, Check, Verdict

_QUESTIONS: dict[str, tuple[Check, ...]] = {
    "How good?": accuracy.CHECKS,
    "How calibrated?": calibration.CHECKS,
    "How far to trust it?": trust.CHECKS,
}


def judge(facts: RunFacts) -> Verdict:
    """Return the verdict on a run."""
    return Verdict(
        answers=tuple(
            Answer(question=question, findings=tuple(check(facts) for check in checks))
            for question, checks in _QUESTIONS.items()
        )
    )
