"""The published findings, asked of our numbers: which of them hold here; and what else was asked."""

from __future__ import annotations

from collections.abc import Sequence

from octodon.report.blocks import Section, Table
from octodon.report.findings import Claim

OTHERS = "Also asked here, not published for these data"
_HEADERS = {
    "Published findings, asked of our numbers": (
        "published finding",
        "target",
        "holds here",
        "ours",
        "published",
    ),
    OTHERS: ("also asked", "target", "holds here", "ours"),
}


def headline(found: Sequence[Claim]) -> str:
    """Return how many of the published findings hold; what was not published for these targets does not count."""
    published = [claim for claim in found if claim.is_published]
    holding = sum(claim.holds for claim in published)
    return f"{holding} of {len(published)} published findings hold here."


def claim_tables(found: Sequence[Claim]) -> dict[str, list[list[str]]]:
    """Return tables by caption, the header first: published findings, then what else was asked, if anything was."""
    tables: dict[str, list[list[str]]] = {}
    for (caption, header), is_published in zip(_HEADERS.items(), (True, False), strict=True):
        rows = [
            [claim.text, claim.target, "yes" if claim.holds else "NO", claim.ours, claim.published]
            for claim in found
            if claim.is_published == is_published
        ]
        if rows:
            tables[caption] = [[*header], *(row[: len(header)] for row in rows)]
    return tables


def findings_section(found: Sequence[Claim]) -> Section:
    """Return the section."""
    tables = [
        Table(caption=caption, header=header, rows=rows, words=True)
        for caption, (header, *rows) in claim_tables(found).items()
    ]
    return Section(
        anchor="findings",
        title="Do the findings hold?",
        lead="Each compares models with each other, so that it can hold at any size of the data; no test is applied to these differences.",
        blocks=tables,
    )
