"""The published findings, asked of our numbers: which of them hold here."""

from __future__ import annotations

from collections.abc import Sequence

from octodon.report.blocks import Section, Table
from octodon.report.findings import Claim

CLAIM_HEADER = ("published finding", "target", "holds here", "ours", "published")


def headline(found: Sequence[Claim]) -> str:
    """Return how many of the published findings hold."""
    holding = sum(claim.holds for claim in found)
    return f"{holding} of {len(found)} published findings hold here."


def claim_rows(found: Sequence[Claim]) -> list[list[str]]:
    """Return the findings as rows under `CLAIM_HEADER`."""
    return [
        [claim.text, claim.target, "yes" if claim.holds else "NO", claim.ours, claim.published]
        for claim in found
    ]


def findings_section(found: Sequence[Claim]) -> Section:
    """Return the section."""
    table = Table(
        caption="Published findings, asked of our numbers",
        header=CLAIM_HEADER,
        rows=claim_rows(found),
        words=True,
    )
    return Section(
        anchor="findings",
        title="Do the findings hold?",
        lead="Each compares models with each other, so that it can hold at any size of the data; no test is applied to these differences.",
        blocks=[table],
    )
