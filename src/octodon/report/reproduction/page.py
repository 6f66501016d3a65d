"""The page of a reproduction, from its parts."""

from __future__ import annotations

from octodon.report.findings import claims
from octodon.report.page import render
from octodon.report.reproduction.attribution import attribution_section
from octodon.report.reproduction.calibration import calibration_section
from octodon.report.reproduction.findings import findings_section, headline
from octodon.report.reproduction.glance import glance
from octodon.report.reproduction.made import made_section
from octodon.report.reproduction.performance import performance_section
from octodon.report.reproduction.record import Reproduction
from octodon.report.reproduction.shift import shift_section
from octodon.report.reproduction.words import summary


def reproduction_html(one: Reproduction) -> str:
    """Return the page."""
    table = one.table()
    found = claims(table, one.published_as)
    sections = [
        findings_section(found),
        performance_section(one, table),
        shift_section(one, table),
        attribution_section(one, table),
        calibration_section(one, table),
        made_section(one),
    ]
    return render(
        "sections.html",
        title=f"octodon: {one.title} reproduced",
        kicker="octodon reproduce",
        name=f"{one.title}, {one.scale} scale, preset {one.preset}",
        headline=headline(found),
        summary=summary(one),
        beside=glance(one, table),
        sections=[section for section in sections if section is not None],
    )
