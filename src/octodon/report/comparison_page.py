"""The page of two runs side by side, and its figures."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from octodon.atomic import atomic_file, write_text
from octodon.errors import RunError
from octodon.metrics.pearson import correlation
from octodon.report.blocks import Block, Figure, Key, Panel, Section, Table, Text, data_file, links
from octodon.report.comparison import Comparison, cells_of
from octodon.report.inline import draw
from octodon.report.page import render
from octodon.report.scatter import draw_points, write_r
from octodon.report.style import (
    COLOURS,
    GREY,
    MARKERS,
    NAMES,
    as_number,
    panels,
    rows_where,
    save_figure,
    styled,
)

_SHOWN = ("student", "ensemble")


def write_comparison(found: Comparison, out: str | Path) -> list[Path]:
    """Write ``comparison.html``, ``comparison.tsv``, ``students.tsv`` and ``students.svg`` into a folder; return their paths.

    Raises
    ------
    RunError
        A file cannot be written.
    """
    folder = Path(out)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(f"--out {folder}: cannot make the folder: {error.strerror}") from None
    names = ("comparison.html", "comparison.tsv", "students.tsv", "students.svg")
    page, table, students, figure = paths = [folder / name for name in names]
    write_text(page, comparison_html(found))
    for path, frame in ((table, found.table), (students, _both(found))):
        with atomic_file(path) as partial:
            frame.to_csv(
                partial, sep="\t", index=False, float_format="%.6g", na_rep="NaN", lineterminator="\n"
            )
    students_figure(found, figure)
    return paths


def students_figure(found: Comparison, out: Path) -> None:
    """Draw the predictions of one student against those of the other, one panel per target."""
    with styled():
        figure, grid = panels(1, len(found.targets), size=(3.2, 3.2))
        for axes, target in zip(grid[0], found.targets, strict=True):
            _students(axes, found, target)
            axes.set_title(target)
        save_figure(figure, out)


def comparison_html(found: Comparison) -> str:
    """Return the page."""
    name = " and ".join(found.names)
    return render(
        "sections.html",
        title=f"octodon: {name}",
        kicker="octodon compare",
        name=name,
        headline=headline(found),
        summary=f"Scores on {found.shared_in_words()}; intervals are 95 % of 1,000 paired bootstrap draws of these sequences.",
        beside=_differences(found),
        sections=[_scores(found), _points(found), _settings(found)],
    )


def headline(found: Comparison) -> str:
    """Return whose student correlates better with the measurement, by how much and of which targets."""
    gains: dict[str, list[str]] = {}
    undefined: list[str] = []
    for target in found.targets:
        row = rows_where(found.table, target=target, model="student", metric="pearson").iloc[0]
        if np.isnan(row["difference"]):
            undefined.append(target)
            continue
        gain = f"{abs(row['difference']):.3f} ({target})" if row["better"] else target
        gains.setdefault(row["better"], []).append(gain)
    sentences = [
        f"{name} has the better student, in r by {', '.join(by)}." for name, by in gains.items() if name
    ]
    if "" in gains:
        sentences.append(f"No difference in r that {found.n:,} sequences can show: {', '.join(gains[''])}.")
    if undefined:
        sentences.append(
            f"In one of the runs r is undefined (one value predicted for all, or too few measured): {', '.join(undefined)}."
        )
    return " ".join(sentences)


def _differences(found: Comparison) -> Figure:
    rows = rows_where(found.table, metric="pearson")
    rows = rows.loc[rows["model"].isin(_SHOWN)]

    def paint(axes: Axes) -> None:
        axes.axvline(0, color=GREY, linestyle="--", linewidth=1, zorder=1)
        for place, target in enumerate(found.targets):
            for model, lift in zip(_SHOWN, (-0.14, 0.14), strict=True):
                row = rows_where(rows, target=target, model=model).iloc[0]
                axes.plot([row["low"], row["high"]], [place + lift] * 2, color=COLOURS[model], linewidth=1.6)
                axes.plot(row["difference"], place + lift, MARKERS[model], color=COLOURS[model], markersize=7)
        axes.set_yticks(range(len(found.targets)), found.targets, fontweight="bold")
        axes.set_ylim(len(found.targets) - 0.45, -0.55)
        axes.set_xlabel(f"test r: {found.names[1]} minus {found.names[0]}")
        axes.spines["left"].set_visible(False)
        axes.tick_params(axis="y", length=0)

    words = "; ".join(
        f"{row['target']}, {row['model']}: {as_number(row['difference'], '+.3f')}"
        + ("" if np.isnan(row["low"]) else f" ({row['low']:+.3f} to {row['high']:+.3f})")
        for row in rows.to_dict("records")
    )
    svg = draw(
        "differences",
        f"Difference of test Pearson r. {words}",
        paint,
        (5.0, 0.75 + 0.45 * len(found.targets)),
    )
    return Figure(
        title="Difference in r",
        panels=[Panel(title="", svg=svg)],
        caption=f"Right of the dashed line {found.names[1]} is better. A bar that reaches across it: chance may have made the difference.",
        legend=[Key(label=NAMES[model], colour=COLOURS[model], marker=MARKERS[model]) for model in _SHOWN],
        data=links(data_file(found.table, "comparison.tsv")),
    )


def _scores(found: Comparison) -> Section:
    header = [
        "model, metric",
        *found.names,
        f"{found.names[1]} - {found.names[0]}",
        "95 % interval",
        "better",
    ]
    blocks: list[Block] = [
        Table(caption=target, header=header, rows=cells_of(found, target)) for target in found.targets
    ]
    if not found.all_shared:
        blocks.append(
            Text(
                text="Individual members: their predictions are not kept, and not every test sequence is shared, so they are left out."
            )
        )
    return Section(
        anchor="scores",
        title="Every score",
        lead="Students and ensembles are scored on the shared sequences alone. mse is in squared units of the target, nll the negative log-likelihood "
        "of the calibrated prediction (lower is better). Coverage should be near the level; of two that are, the smaller width is better.",
        blocks=blocks,
    )


def _points(found: Comparison) -> Section:
    shown = []
    for place, target in enumerate(found.targets):

        def paint(axes: Axes, target: str = target) -> None:
            _students(axes, found, target)

        x, y = (frame[f"{target}_mean"].to_numpy(np.float64) for frame in (found.rows_a, found.rows_b))
        says = f"{target}: the two students' predictions of {found.n} sequences, Pearson r {as_number(correlation(x, y))}"
        shown.append(Panel(title=target, svg=draw(f"students-{place}", says, paint, (3.3, 3.3))))
    figure = Figure(
        title="",
        panels=shown,
        caption="Each point is a shared test sequence; darker = more of them. On the dashed line both students say the same.",
        data=links(data_file(_both(found), "students.tsv", "students.tsv")),
    )
    return Section(
        anchor="students",
        title="Student against student",
        lead="Two students of equal accuracy may still disagree, sequence by sequence.",
        blocks=[figure],
    )


def _students(axes: Axes, found: Comparison, target: str) -> None:
    x, y = (frame[f"{target}_mean"].to_numpy(np.float64) for frame in (found.rows_a, found.rows_b))
    draw_points(axes, x, y, from_zero=False)
    axes.set_xlabel(f"{found.names[0]} ({found.a.units})")
    axes.set_ylabel(f"{found.names[1]} ({found.a.units})")
    write_r(axes, correlation(x, y), f"{len(x):,}")


def _both(found: Comparison) -> pd.DataFrame:
    columns: dict[str, Any] = {"id": found.rows_a.index}
    for target in found.targets:
        columns[f"{target}_measured"] = found.rows_a[f"{target}_measured"].to_numpy()
        for name, frame in zip(found.names, (found.rows_a, found.rows_b), strict=True):
            columns[f"{target}_mean {name}"] = frame[f"{target}_mean"].to_numpy()
    return pd.DataFrame(columns)


def _settings(found: Comparison) -> Section:
    a, b = flat(found.a.config), flat(found.b.config)
    rows = [
        [key, a.get(key, "-"), b.get(key, "-")] for key in dict.fromkeys([*a, *b]) if a.get(key) != b.get(key)
    ]
    minutes = [f"{run.seconds / 60:.1f}" for run in (found.a, found.b)]
    rows.append(["minutes of the call that finished it", *minutes])
    return Section(
        anchor="settings",
        title="What was different",
        lead="Settings of the two configurations that are not equal.",
        blocks=[Table(caption="Settings", header=["setting", *found.names], rows=rows, words=True)],
    )


def flat(values: Mapping[str, Any], before: str = "") -> dict[str, str]:
    """Return settings by their dotted names, as text."""
    found: dict[str, str] = {}
    for key, value in values.items():
        found |= flat(value, f"{before}{key}.") if isinstance(value, dict) else {before + key: str(value)}
    return found
