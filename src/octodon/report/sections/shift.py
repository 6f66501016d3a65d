"""Sequences that are less and less like the training set, where they were examined."""

from __future__ import annotations

import shlex

from octodon.report.blocks import Commands, Figure, Panel, Section, Text, data_file, links
from octodon.report.inline import inline_svg
from octodon.report.results import RunResults


def shift_section(run: RunResults) -> Section:
    """Return the section; without results, the command that makes them."""
    title, anchor = "Under shift", "shift"
    lead = "What happens to error, std and intervals on sequences that differ from the training set: mutated, shuffled, of other GC content."
    figure = run.folder / "figures" / "shift.svg"
    if run.shift is None or not figure.is_file():
        if not run.has_ensemble:
            text = "Not examined: the students' teachers are not part of this run."
            return Section(anchor=anchor, title=title, lead=lead, blocks=[Text(text=text)])
        command = (f"octodon shift {shlex.quote(str(run.folder))}", "examine this, then: octodon report")
        return Section(anchor=anchor, title=title, lead=lead, blocks=[Commands(rows=[command])])
    says = f"Error, epistemic std and interval coverage on {run.shift['split'].nunique()} sets of shifted sequences"
    block = Figure(
        panels=[
            Panel(title="", svg=inline_svg(figure.read_text(encoding="utf-8"), "shift", says), wide=True)
        ],
        caption="One line per set of sequences. A model that knows its limits doubts more where it errs more.",
        data=links(data_file(run.shift, "shift.tsv", "results/shift.tsv")),
    )
    return Section(anchor=anchor, title=title, lead=lead, blocks=[block])
