"""Which bases explain a prediction, and whether the student explains as the ensemble does."""

from __future__ import annotations

import shlex

import numpy as np
import pandas as pd
from jaxtyping import Float64, UInt8
from matplotlib.axes import Axes
from numpy import ndarray

from octodon.report.attribution import LABELS, draw_boxes
from octodon.report.blocks import Block, Commands, Figure, Key, Panel, Section, Table, data_file, links
from octodon.report.inline import draw
from octodon.report.logo import draw_logo
from octodon.report.results import RunResults
from octodon.report.style import COLOURS, GREY, as_number, rows_where
from octodon.seq.codes import ALPHABET

_WINDOW_BP = 80
"""What a logo shows: as many letters as can be read across a page; the stretch of the largest contributions."""


def attribution_section(run: RunResults) -> Section:
    """Return the section; without a study, the command that makes one."""
    title, anchor = "Attribution", "attribution"
    lead = "Which bases explain a prediction. A student that learnt what the ensemble knows explains as the ensemble does, more steadily than a single member."
    if run.attribution is None or run.attribution_per_sequence is None:
        command = (
            f"octodon attribution-study {shlex.quote(str(run.folder))}",
            "compare maps of members and student, then: octodon report",
        )
        return Section(anchor=anchor, title=title, lead=lead, blocks=[Commands(rows=[command])])
    blocks: list[Block] = []
    if run.logos is not None and not run.logos.empty:
        blocks.append(_logos(run, run.logos))
    blocks += [_boxes(run, run.attribution_per_sequence), _numbers(run.attribution)]
    return Section(anchor=anchor, title=title, lead=lead, blocks=blocks)


def _boxes(run: RunResults, per_sequence: pd.DataFrame) -> Figure:
    panels = []
    for place, target in enumerate(run.targets):
        for measure in ("cosine", "pearson", "rmse"):
            rows = rows_where(per_sequence, target=target, measure=measure)
            if rows.empty:
                continue

            def paint(axes: Axes, rows: pd.DataFrame = rows, measure: str = measure) -> None:
                draw_boxes(axes, rows)
                axes.set_ylabel(LABELS[measure])

            whole = rows_where(rows, reference="ensemble")
            says = f"{target}, {LABELS[measure]}: median of individual members {whole['individual'].median():.3f}, of students {whole['student'].median():.3f}"
            panels.append(Panel(title=target, svg=draw(f"maps-{measure}-{place}", says, paint)))
    asked = run.attribution_settings
    by = f"Maps by {asked['method']} (octodon list methods). " if asked else ""
    if asked and asked.get("notes"):
        by += f"It did not fit everywhere ({'; '.join(asked['notes'])}). "
    return Figure(
        title="Likeness to the ensemble's map",
        panels=panels,
        caption=f"{by}Boxes over test sequences of highest measured activity; whiskers at the 5th and 95th percentile. Cosine and Pearson: higher is "
        "more alike; RMSE: lower is. Leave-one-out: a member is compared with the average of the others.",
        legend=[Key(label=m, colour=COLOURS[m], marker="bar") for m in ("individual", "student")],
        data=links(
            data_file(
                per_sequence, "attribution_per_sequence.tsv", "results/attribution_per_sequence.parquet"
            )
        ),
    )


def _numbers(table: pd.DataFrame) -> Table:
    rows = [
        [
            row["target"],
            f"{LABELS.get(row['measure'], row['measure'])} ({row['reference']})",
            as_number(row["individual_mean"], ".4g"),
            as_number(row["student_mean"], ".4g"),
            "student" if str(row["student_is_better"]) == "True" else "individual",
            as_number(row["wilcoxon_p"], ".1e"),
        ]
        for row in table.to_dict("records")
    ]
    return Table(
        caption="Means over sequences",
        header=["target", "measure", "individual", "student", "better", "p (Wilcoxon)"],
        rows=rows,
        n_names=2,
        data=links(data_file(table, "attribution_similarity.tsv", "results/attribution_similarity.tsv")),
        folded=True,
    )


def _logos(run: RunResults, logos: pd.DataFrame) -> Figure:
    panels = []
    shown = logos[["target", "id"]].drop_duplicates().itertuples(index=False, name=None)
    for place, (target, name) in enumerate(shown):
        rows = rows_where(logos, target=target, id=name).sort_values("position")
        first = _window(rows["ensemble"].to_numpy(np.float64))
        part = rows.iloc[first : first + _WINDOW_BP]
        codes = np.array([ALPHABET.find(base) for base in part["base"]])
        codes = np.where(codes < 0, len(ALPHABET), codes).astype(np.uint8)
        reach = max((part["ensemble"].abs() + part["ensemble_std"]).max(), part["student"].abs().max())
        top = float(reach) or 1.0
        for model in ("ensemble", "student"):
            heights = part[model].to_numpy(np.float64)
            std = part["ensemble_std"].to_numpy(np.float64) if model == "ensemble" else None

            def paint(
                axes: Axes,
                codes: UInt8[ndarray, " l"] = codes,
                heights: Float64[ndarray, " l"] = heights,
                std: Float64[ndarray, " l"] | None = std,
                start: int = int(part["position"].iloc[0]),
                top: float = top,
            ) -> None:
                draw_logo(axes, codes, heights)
                if std is not None:
                    axes.errorbar(
                        np.arange(len(heights)),
                        heights,
                        std,
                        fmt="none",
                        ecolor=GREY,
                        elinewidth=0.7,
                        zorder=3,
                    )
                axes.set_ylim(-1.15 * top, 1.15 * top)
                ticks = np.arange(0, len(heights), 10)
                axes.set_xticks(ticks, [str(start + tick + 1) for tick in ticks])
                axes.set_xlabel("position (bp)")
                axes.set_ylabel(f"contribution\n({run.units})")

            strongest = "".join(part["base"].iloc[max(0, int(np.abs(heights).argmax()) - 3) :][:7])
            says = f"{model}: contributions of bases {part['position'].iloc[0] + 1} to {part['position'].iloc[-1] + 1} of {name}, strongest around {strongest}"
            svg = draw(f"logo-{place}-{model}", says, paint, (8.6, 1.7))
            panels.append(Panel(title=f"{target}, {name}: {model}", svg=svg, wide=True))
    return Figure(
        title="Sequences of highest measured activity",
        panels=panels,
        caption="Letters as tall as the contribution of the base that is there; below the line it lowers the prediction. Grey whiskers: std over "
        "members, where they explain it differently. The 80 bp of the largest contributions are shown.",
        data=links(data_file(logos, "attribution_logos.tsv", "results/attribution_logos.parquet")),
    )


def _window(contributions: Float64[ndarray, " l"]) -> int:
    """Return where the window of the largest summed contributions starts."""
    if len(contributions) <= _WINDOW_BP:
        return 0
    sums = np.convolve(np.abs(contributions), np.ones(_WINDOW_BP), mode="valid")
    return int(sums.argmax())
