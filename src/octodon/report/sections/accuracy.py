"""Individual, ensemble, student and k-mer ridge on the test split, between nothing and the noise ceiling."""

from __future__ import annotations

import numpy as np
import pandas as pd
from markupsafe import Markup
from matplotlib.axes import Axes

from octodon.metrics.summary import format_summary, summarise
from octodon.report.blocks import Figure, Key, Panel, Section, Table, data_file, links
from octodon.report.facts import ceiling_of
from octodon.report.inline import draw, draw_against
from octodon.report.results import RunResults
from octodon.report.style import COLOURS, GREY, MARKERS, NAMES, as_number, rows_where

# The table of results holds some two hundred more: its file is linked.
_SHOWN = {
    *(
        f"{quantity} {metric}"
        for quantity in ("activity", "epistemic", "aleatoric")
        for metric in ("pearson", "spearman", "mse")
    ),
    *(
        "activity pairwise_pearson",
        "aleatoric pearson_ceiling",
        "aleatoric noise_nll",
        "aleatoric noise_ratio",
    ),
    *("calibrated nll", "calibrated coverage_0.9", "calibrated width_0.9"),
}
_PLURAL = {"individual": "individual members", "student": "student kept"}


def accuracy_section(run: RunResults) -> Section:
    """Return the section."""
    return Section(
        anchor="accuracy",
        title="How good",
        lead="Test split: sequences that no network has seen, not even to stop its training. r is the Pearson correlation "
        "with the measured activity.",
        blocks=(
            ladder_figure(run),
            _summary(run),
            Figure(
                title="Measured against predicted",
                panels=[scatter_panel(run, target) for target in run.targets],
                caption="Each point is a test sequence; darker = more of them. On the dashed line the student is right.",
                data=links(
                    data_file(run.predictions, "predictions_test.tsv", "results/predictions_test.parquet")
                ),
            ),
        ),
    )


def ladder_figure(run: RunResults) -> Figure:
    """Return one line per target: where each model stands on the way from r = 0 to the noise ceiling."""
    scores = _scores(run)
    shown = [model for model in MARKERS if model in set(scores["model"])]
    return Figure(
        title="Accuracy relative to the noise ceiling",
        panels=[Panel(title="", svg=_ladder(run, scores))],
        caption="The bar ends at the noise ceiling: no model can correlate better with values that are themselves noisy."
        + _no_ceiling(run),
        legend=[
            Key(label=_PLURAL.get(model, NAMES[model]), colour=COLOURS[model], marker=MARKERS[model])
            for model in shown
        ],
        data=links(data_file(scores, "test_pearson.tsv")),
    )


def scatter_panel(run: RunResults, target: str) -> Panel:
    """Return measured against predicted activity of one target."""
    x, y = (run.predictions[f"{target}_{what}"].to_numpy(np.float64) for what in ("measured", "mean"))
    known = np.isfinite(x)
    x, y = x[known], y[known]
    says = f"{target}: measured against predicted activity of {len(x)} test sequences"
    labels = (f"measured ({run.units})", f"student ({run.units})")
    name = f"scatter-{run.targets.index(target)}"
    return Panel(title=target, svg=draw_against(name, says, x, y, labels=labels, from_zero=False))


def _scores(run: RunResults) -> pd.DataFrame:
    """Return target, model, index, r; of the students only the one that was kept."""
    rows = rows_where(run.metrics, split="test", quantity="activity", metric="pearson")
    rows = rows.loc[rows["model"].isin(list(MARKERS))]
    rows = rows.loc[(rows["model"] != "student") | (rows["index"] == run.student)]
    table = rows[["target", "model", "index", "value"]].rename(columns={"value": "pearson"})
    ceilings = [
        {"target": target, "model": "noise_ceiling", "index": 0, "pearson": ceiling_of(run, target)}
        for target in run.targets
        if ceiling_of(run, target) is not None
    ]
    return pd.concat([table, pd.DataFrame(ceilings)], ignore_index=True) if ceilings else table


def _ladder(run: RunResults, scores: pd.DataFrame) -> Markup:
    values = scores["pearson"].to_numpy(np.float64)

    def paint(axes: Axes) -> None:
        for place, target in enumerate(run.targets):
            ceiling = ceiling_of(run, target)
            axes.barh(place, 1.0 if ceiling is None else ceiling, height=0.62, color="#DDDDDD", zorder=0)
            if ceiling is not None:
                axes.plot([ceiling] * 2, [place - 0.31, place + 0.31], color=GREY, linewidth=2, zorder=1)
            for model in MARKERS:
                r = rows_where(scores, target=target, model=model)["pearson"].to_numpy(np.float64)
                small = model == "individual"
                axes.plot(
                    r, np.full(len(r), place), MARKERS[model], color=COLOURS[model], markersize=5 if small else 8,
                    alpha=0.7 if small else 1, markeredgecolor="white", markeredgewidth=0.6, zorder=3,
                )  # fmt: skip
        axes.set_yticks(range(len(run.targets)), run.targets, fontweight="bold")
        axes.set_ylim(len(run.targets) - 0.45, -0.55)
        axes.set_xlim(min(0.0, float(values[np.isfinite(values)].min(initial=1.0)) - 0.03), 1.0)
        axes.set_xlabel("Pearson r with measured activity")
        axes.spines["left"].set_visible(False)
        axes.tick_params(axis="y", length=0)

    words = "; ".join(
        f"{target}: "
        + ", ".join(
            f"{NAMES.get(str(model), 'noise ceiling')} {as_number(float(part['pearson'].to_numpy(np.float64).mean()), '.2f')}"
            for model, part in rows_where(scores, target=target).groupby("model", sort=False)
        )
        for target in run.targets
    )
    return draw("ladder", f"Test Pearson r. {words}", paint, (5.0, 0.75 + 0.38 * len(run.targets)))


def _no_ceiling(run: RunResults) -> str:
    missing = [target for target in run.targets if ceiling_of(run, target) is None]
    if not missing:
        return ""
    agreement = run.data["audit"]["agreement"]
    replicated = {one["target"] for one in agreement if one["split"] == "test" and one.get("n_rows", 0) > 0}
    said = ""
    if none := [target for target in missing if target not in replicated]:
        said += f" Of {', '.join(none)} there are no replicates: the bar goes to 1 because its ceiling is not known."
    if few := [target for target in missing if target in replicated]:
        said += f" The replicates of {', '.join(few)} are too few or do not agree: the bar goes to 1 because its ceiling is not known."
    return said


def _summary(run: RunResults) -> Table:
    wanted = [
        f"{quantity} {metric}" in _SHOWN
        for quantity, metric in run.metrics[["quantity", "metric"]].to_numpy()
    ]
    summary = summarise(run.metrics.loc[wanted])
    ridge = rows_where(run.metrics, model="kmer_ridge", split="test")
    known = {
        (row["target"], row["quantity"], row["metric"]): as_number(row["value"])
        for row in ridge.to_dict("records")
    }
    header, *rows = format_summary(summary)
    lines = []
    for row in rows:
        quantity, _, metric = row[1].partition(" ")
        lines.append([*row[:2], known.get((row[0], quantity, metric), "-"), *row[2:]])
    return Table(
        caption="All models on the test split",
        header=[*header[:2], "k-mer ridge", *header[2:]],
        rows=lines,
        n_names=2,
        note="± is the standard deviation over networks. Stds in "
        f"{run.units}, mse in its square; epistemic rows compare the student's std with the ensemble's, not with the error.",
        data=links(
            data_file(
                run.metrics.loc[run.metrics["split"] == "test"], "metrics_test.tsv", "results/metrics.tsv"
            )
        ),
        folded=True,
    )
