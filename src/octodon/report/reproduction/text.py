"""A reproduction in words and tables, without its figures: for a file and for a terminal."""

from __future__ import annotations

from octodon.metrics.summary import markdown_table
from octodon.report.findings import Claim, claims
from octodon.report.reproduction.findings import OTHERS, claim_tables, headline
from octodon.report.reproduction.numbers import cells
from octodon.report.reproduction.record import Reproduction
from octodon.report.reproduction.words import summary
from octodon.report.style import rows_where

_PANELS = {
    "performance": "Against the amount of data",
    "shift": "Under shift",
    "attribution": "Attribution",
    "calibration": "Calibration",
}


def reproduction_markdown(one: Reproduction) -> str:
    """Return what the page says, without its figures."""
    table = one.table()
    parts = [f"# {one.title}, {one.scale} scale, preset {one.preset}\n", summary(one) + "\n"]
    if one.stand_in:
        parts.append(f"Everywhere below, ours: {one.stand_in}.\n")
    found = claims(table, one.published_as)
    parts.append(headline(found) + "\n")
    for caption, lines in claim_tables(found).items():
        parts += ([f"{caption}:\n"] if caption == OTHERS else []) + [markdown_table(lines)]
    for panel, words in _PANELS.items():
        header, rows = cells(rows_where(table, panel=panel))
        if rows:
            parts += [f"## {words}\n", markdown_table([header, *rows])]
    differs = [["what", "published", "here"], *([*line] for line in one.differs)]
    parts += ["## What is different from the published experiment\n", markdown_table(differs)]
    return "\n".join(parts)


def reproduction_lines(one: Reproduction) -> list[str]:
    """Return what ``octodon reproduce`` prints: the findings."""
    found = claims(one.table(), one.published_as)
    lines = [headline(found)]
    for claim in (claim for claim in found if claim.is_published):
        lines += [_line(claim), f"      ours: {claim.ours}; published: {claim.published}"]
    others = [claim for claim in found if not claim.is_published]
    lines += [f"{OTHERS}:"] if others else []
    for claim in others:
        lines += [_line(claim), f"      ours: {claim.ours}"]
    return [*lines, f"Note: {one.stand_in}."] if one.stand_in else lines


def _line(claim: Claim) -> str:
    return f"  {'yes' if claim.holds else 'NO '} {claim.target}: {claim.text}"
