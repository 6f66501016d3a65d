"""One finding made of parts: of the targets that a check can judge, and of those that it cannot."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from octodon.report.verdict.facts import RunFacts, TargetFacts
from octodon.report.verdict.record import Finding, warned
from octodon.report.verdict.status import worst


def measured(name: str, facts: RunFacts) -> tuple[list[TargetFacts], list[Finding]]:
    """Return the targets with a measured value in the test split, and what the check ``name`` says of the others."""
    step = "split so that the test sequences have measurements of every target"
    said = warned(name, "not measured in the test split", step)
    return [t for t in facts.targets if t.n_test], about(
        [t for t in facts.targets if not t.n_test], facts, said
    )


def about(targets: Sequence[TargetFacts], facts: RunFacts, finding: Finding) -> list[Finding]:
    """Return the finding as one about these targets, which are named unless it is about all; nothing of none."""
    if not targets or len(targets) == len(facts.targets):
        return [finding] * bool(targets)
    names = ", ".join(t.target for t in targets)
    return [replace(finding, says=f"{names}: {finding.says}")]


def together(parts: Sequence[Finding]) -> Finding:
    """Return one finding of several about some of the targets each: as good as the worst, with all that they say."""
    steps = dict.fromkeys(part.next_step for part in parts if part.next_step)
    return Finding(
        name=parts[0].name,
        status=worst(part.status for part in parts),
        says="; ".join(part.says for part in parts),
        next_step="; ".join(steps),
    )
