"""The last part of the page: what is different from the published experiment, and how to make it again."""

from __future__ import annotations

from octodon.report.blocks import Commands, Section, Table
from octodon.report.reproduction.record import Reproduction


def made_section(one: Reproduction) -> Section:
    """Return the section."""
    table = Table(
        caption="Published, and here", header=["what", "published", "here"], rows=one.differs, words=True
    )
    commands = Commands(
        rows=[
            (one.command, "make or go on with it; what is finished is kept"),
            (
                f"open {one.run.folder}/report.html",
                "the report of the run with the largest share of the training set",
            ),
        ]
    )
    return Section(
        anchor="made",
        title="How it was made",
        lead="What is different from the published experiment, and how to make it again.",
        blocks=[table, commands],
    )
