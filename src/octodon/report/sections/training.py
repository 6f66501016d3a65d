"""How every network was trained."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from octodon.report.blocks import Block, Figure, Key, Panel, Section, Text, data_files
from octodon.report.facts import endings_of
from octodon.report.history import draw_losses
from octodon.report.inline import draw
from octodon.report.results import RunResults, history_files
from octodon.report.style import BLUE, ORANGE, rows_where


def training_section(run: RunResults) -> Section:
    """Return the section."""
    if run.history.empty:
        blocks: list[Block] = [
            Text(text="The networks were trained elsewhere; no history came with their predictions.")
        ]
    else:
        blocks = [_curves(run)]
    ensemble, distill = run.config["ensemble"], run.config["distill"]
    members = f"{ensemble['members']} members" if not run.data.get("teachers") else "teachers from elsewhere"
    return Section(
        anchor="training",
        title="Training",
        lead=f"Backbone {run.config['model']['backbone']}; {members} ({ensemble['head']}), distilled into "
        f"{distill.get('students', 1)} student{'s' if distill.get('students', 1) != 1 else ''} ({distill['head']}).",
        blocks=blocks,
    )


def _curves(run: RunResults) -> Figure:
    panels, history = [], run.history
    for network in dict.fromkeys(history["network"]):
        part = rows_where(history, network=network)
        count = len(set(part["index"]))
        title = f"{count} {network}{'s' if count > 1 else ''}"

        def paint(axes: Axes, part: pd.DataFrame = part) -> None:
            draw_losses(axes, part)
            axes.set_xlabel("epoch")
            axes.set_ylabel("loss (as optimised)")
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))

        best = part.loc[part.groupby("index")["valid_loss"].idxmin(), "epoch"]
        says = f"Loss of {title} along {part['epoch'].max()} epochs; kept weights are of epochs {best.min()} to {best.max()}"
        panels.append(Panel(title=title, svg=draw(f"losses-{network}", says, paint, (4.2, 2.8))))
    return Figure(
        title="Loss along the epochs",
        panels=panels,
        caption="One thin line per network and loss. Members and students learn different labels, so their losses have "
        f"different scales. Of their endings: {endings_of(run).words()}.",
        legend=[
            Key(label="training", colour=ORANGE, line="-"),
            Key(label="validation", colour=BLUE, line="-"),
            Key(label="weights kept", colour=BLUE, marker="o"),
        ],
        data=data_files(history, "history.tsv", history_files(run.folder)),
    )
