"""What the model does not know and what nobody can: the two stds of the student, against the ensemble's and the errors."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from jaxtyping import Float64
from matplotlib.axes import Axes
from numpy import ndarray

from octodon.metrics.baseline_table import baseline_table
from octodon.report.blocks import Block, Figure, Panel, Section, Table, Text, data_file, data_files, links
from octodon.report.facts import judged_std, metric_of
from octodon.report.inline import draw, draw_against
from octodon.report.results import RunResults
from octodon.report.style import BLUE, GREY, NAMES

_TENTHS = 10
_FEWEST = 50
"""Rows below which tenths would be of fewer than five sequences."""


def uncertainty_section(run: RunResults) -> Section:
    """Return the section."""
    blocks: list[Block] = []
    for quantity in ("epistemic", "aleatoric"):
        panels = [
            panel for target in run.targets if (panel := _against_ensemble(run, target, quantity)) is not None
        ]
        if panels:
            blocks.append(_stds(run, quantity, panels))
    blocks += [block for block in (_numbers(run), _errors(run), _beside_baselines(run)) if block is not None]
    if not blocks:
        blocks.append(Text(text="The student of this run gives no std: a single member has none to teach."))
    return Section(
        anchor="uncertainty",
        title="Epistemic and aleatoric",
        lead="Epistemic: independently trained networks disagree, the model does not know, more data of that kind would help. "
        "Aleatoric: two replicates of one sequence differ, nobody can know better.",
        blocks=blocks,
    )


def _stds(run: RunResults, quantity: str, panels: Sequence[Panel]) -> Figure:
    captions = {
        "epistemic": "The student's std against that of the whole ensemble, which it was taught and which costs one pass per member. "
        "On the dashed line both are the same.",
        "aleatoric": "Predicted noise of one measurement: the student against the ensemble.",
    }
    return Figure(
        title=f"{quantity.capitalize()} std, student against ensemble",
        panels=panels,
        caption=captions[quantity],
        data=data_files(
            _paired(run, quantity),
            f"{quantity}_test.tsv",
            ("results/ensemble_test.parquet", "results/predictions_test.parquet"),
        ),
    )


def _paired(run: RunResults, quantity: str) -> pd.DataFrame:
    assert run.ensemble is not None
    columns: dict[str, object] = {"id": run.predictions["id"]}
    for target in run.targets:
        name = f"{target}_{quantity}_std"
        if name in run.predictions and name in run.ensemble:
            columns |= {f"{name}_student": run.predictions[name], f"{name}_ensemble": run.ensemble[name]}
    return pd.DataFrame(columns)


def _against_ensemble(run: RunResults, target: str, quantity: str) -> Panel | None:
    name = f"{target}_{quantity}_std"
    if run.ensemble is None or name not in run.ensemble or name not in run.predictions:
        return None
    x, y = (table[name].to_numpy(np.float64) for table in (run.ensemble, run.predictions))
    says = f"{target}: {quantity} std of the student against the ensemble's, {len(x)} test sequences"
    labels = (f"ensemble ({run.units})", f"student ({run.units})")
    key = f"{quantity}-{run.targets.index(target)}"
    return Panel(title=target, svg=draw_against(key, says, x, y, labels=labels, from_zero=True))


def _numbers(run: RunResults) -> Table | None:
    wanted = [
        ("epistemic", "pearson", "epistemic std: r with the ensemble's", "1"),
        ("epistemic", "std_ratio", "epistemic std: size over the ensemble's", "1"),
        ("epistemic", "binned_std_error", "the same in ten bins: mean error of the size", "0"),
        ("aleatoric", "pearson", "aleatoric std: r with the replicates' std", "the ceiling"),
        ("aleatoric", "pearson_ceiling", "its ceiling: a std of few replicates is noisy", "-"),
        ("aleatoric", "noise_ratio", "measured noise over predicted noise", "1"),
        ("epistemic", "error_spearman", "epistemic std: Spearman with the absolute error", "above 0"),
        ("total", "error_spearman", "total std: Spearman with the absolute error", "above 0"),
    ]
    rows = []
    for quantity, metric, label, right in wanted:
        values = [
            metric_of(run.metrics, "student", t, quantity, metric, index=run.student) for t in run.targets
        ]
        if any(value is not None for value in values):
            rows.append([label, *("-" if value is None else f"{value:.3f}" for value in values), right])
    if not rows:
        return None
    return Table(
        caption="The student's stds in numbers (test)",
        header=["what", *run.targets, "best"],
        rows=rows,
    )


def _beside_baselines(run: RunResults) -> Table | None:
    """Return the models of the run and its baselines; None where it has none."""
    if run.baselines is None:
        return None
    own = run.metrics.loc[(run.metrics["model"] != "student") | (run.metrics["index"] == run.student)]
    header, *rows = baseline_table(own, run.baselines)
    return Table(
        caption="Beside other ways to an uncertainty (test)",
        header=header,
        rows=[[target, NAMES.get(model, model), *numbers] for target, model, *numbers in rows],
        n_names=2,
        note="Trained on the same rows and calibrated on the same rows (octodon baseline). Scores of a std are those after calibration "
        "where there is one. NLL, CRPS, ENCE: lower is better; of two intervals that hold, the narrower is.",
        data=links(data_file(run.baselines, "baselines.tsv", "results/baselines.tsv")),
    )


def _errors(run: RunResults) -> Figure | None:
    tables, panels, kinds = [], [], set()
    for target in run.targets:
        table = error_by_std(run, target)
        if table is None:
            continue
        tables.append(table.assign(target=target))
        kind = str(table["std"].iloc[0])
        kinds.add(kind)

        def paint(axes: Axes, table: pd.DataFrame = table, kind: str = kind) -> None:
            x, y = table["mean_std"].to_numpy(np.float64), table["rmse"].to_numpy(np.float64)
            top = 1.08 * max(x.max(), y.max())
            # an epistemic std alone leaves the noise out: of its size errors say nothing
            has_size = kind != "epistemic"
            if has_size:
                axes.axline((0, 0), slope=1, color=GREY, linestyle="--", linewidth=1, zorder=1)
            axes.vlines(x, table["rmse_low"], table["rmse_high"], color=BLUE, linewidth=1.2, zorder=2)
            axes.plot(x, y, "^", color=BLUE, markersize=6, zorder=3)
            axes.set(
                xlim=(0, top if has_size else 1.08 * x.max()),
                ylim=(0, max(top, 1.03 * float(table["rmse_high"].to_numpy(np.float64).max()))),
            )
            axes.set_xlabel(f"mean {kind} std ({run.units})")
            axes.set_ylabel(f"root mean squared error ({run.units})")

        says = f"{target}: root mean squared error in tenths of the {kind} std, from {table['rmse'].iloc[0]:.2f} to {table['rmse'].iloc[-1]:.2f}"
        panels.append(
            Panel(title=target, svg=draw(f"errors-{run.targets.index(target)}", says, paint, (3.3, 3.0)))
        )
    if not panels:
        return None
    return Figure(
        title="Does a larger std mean a larger error?",
        panels=panels,
        caption="Test sequences in ten groups of equal size by their std. A rising line: the std tells which predictions to "
        f"doubt.{' On the dashed line its size is right too.' if kinds - {'epistemic'} else ''} Bars: 95 % bootstrap interval."
        + (" Total: epistemic and aleatoric, of a mean of replicates." if "total" in kinds else ""),
        data=links(data_file(pd.concat(tables, ignore_index=True), "error_by_std.tsv")),
    )


def error_by_std(run: RunResults, target: str) -> pd.DataFrame | None:
    """Return tenths of the std that is judged with mean std, error and its 95 % bootstrap interval."""
    asked = judged_std(run, target)
    if asked is None:
        return None
    kind, std = asked
    mean, measured = (
        run.predictions[f"{target}_{name}"].to_numpy(np.float64) for name in ("mean", "measured")
    )
    known = np.isfinite(measured)
    std, error = std[known], np.square(mean[known] - measured[known])
    if len(std) < _FEWEST or std.min() == std.max():
        return None
    rows = []
    for number, part in enumerate(np.array_split(np.argsort(std, kind="stable"), _TENTHS), start=1):
        low, high = _bootstrap(error[part])
        rows.append((number, kind, len(part), std[part].mean(), np.sqrt(error[part].mean()), low, high))
    names = ["tenth", "std", "n", "mean_std", "rmse", "rmse_low", "rmse_high"]
    return pd.DataFrame(rows, columns=names)


def _bootstrap(squares: Float64[ndarray, " n"], draws: int = 400) -> tuple[float, float]:
    rng = np.random.default_rng(0)
    means = [squares[rng.integers(len(squares), size=len(squares))].mean() for _ in range(draws)]
    low, high = np.sqrt(np.quantile(means, (0.025, 0.975)))
    return float(low), float(high)
