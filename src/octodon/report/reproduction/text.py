"""A reproduction in words and tables, without its figures: for a file and for a terminal."""

from __future__ import annotations

from octodon.metrics.summary import markdown_table
from octodon.report.findings import claims
from octodon.report.reproduction.findings import CLAIM_HEADER, claim_rows, headline
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
    found = claims(table)
    parts += [headline(found) + "\n", markdown_table([[*CLAIM_HEADER], *claim_rows(found)])]
    for panel, words in _PANELS.items():
        header, rows = cells(rows_where(table, panel=panel))
        if rows:
            parts += [f"## {words}\n", markdown_table([header, *rows])]
    differs = [["what", "published", "here"], *([*line] for line in one.differs)]
    parts += ["## What is different from the published experiment\n", markdown_table(differs)]
    return "\n".join(parts)


def reproduction_lines(one: Reproduction) -> list[str]:
    """Return what ``octodon reproduce`` prints: the findings."""
    found = claims(one.table())
    lines = [headline(found)]
    for claim in found:
        verdict = "yes" if claim.holds else "NO "
        lines += [
            f"  {verdict} {claim.target}: {claim.text}",
            f"      ours: {claim.ours}; published: {claim.published}",
        ]
    return [*lines, f"Note: {one.stand_in}."] if one.stand_in else lines
