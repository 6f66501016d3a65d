"""A verdict: three answers, each with what was found and what to try next."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from octodon.report.verdict.facts import RunFacts
from octodon.report.verdict.status import CONCERN, Status, worst


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One check: what was asked, how it came out, the number, and what to try next ("" = nothing)."""

    name: str
    status: Status
    says: str
    next_step: str = ""


Check = Callable[[RunFacts], Finding]


def judged(name: str, status: Status, says: str, step: str) -> Finding:
    """Return the finding, with what to try where it did not pass."""
    return Finding(name=name, status=status, says=says, next_step="" if status is Status.PASS else step)


def warned(name: str, says: str, step: str) -> Finding:
    """Return a finding that asks for attention."""
    return Finding(name=name, status=Status.WARN, says=says, next_step=step)


@dataclass(frozen=True, kw_only=True)
class Answer:
    """One of the three questions: as good as the worst of its findings."""

    question: str
    findings: tuple[Finding, ...]

    @property
    def status(self) -> Status:
        """The worst status of its findings."""
        return worst(finding.status for finding in self.findings)


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """The three answers and a headline."""

    answers: tuple[Answer, ...]

    @property
    def status(self) -> Status:
        """The worst status of all."""
        return worst(answer.status for answer in self.answers)

    @property
    def findings(self) -> list[Finding]:
        """All findings, the worst first."""
        every = [finding for answer in self.answers for finding in answer.findings]
        return sorted(every, key=lambda finding: -CONCERN.index(finding.status))

    @property
    def headline(self) -> str:
        """One sentence."""
        count = {status: sum(f.status == status for f in self.findings) for status in Status}
        if count[Status.FAIL]:
            return f"Not to be trusted yet: {_of(count[Status.FAIL], 'check')} failed."
        if count[Status.WARN]:
            return f"Usable with care: {_of(count[Status.WARN], 'check')} asked for attention."
        return "Fit for use on sequences like those it was tested on."

    def lines(self) -> list[str]:
        """Return the verdict as lines of text for a terminal."""
        lines = [self.headline]
        for answer in self.answers:
            lines.append(f"{answer.question} {answer.status.upper()}")
            for finding in answer.findings:
                lines.append(f"  {finding.status:<4}  {finding.name}: {finding.says}")
                if finding.next_step:
                    lines.append(f"        next: {finding.next_step}")
        return lines


def _of(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"
