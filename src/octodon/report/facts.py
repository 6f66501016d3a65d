"""The numbers that a verdict rests on, taken from the result files of a run."""

from __future__ import annotations

import math
import shlex

import numpy as np
import pandas as pd
from jaxtyping import Float64
from numpy import ndarray

from octodon.metrics.bootstrap import pearson_difference
from octodon.metrics.strata import FEWEST_ROWS
from octodon.report.results import RunResults
from octodon.report.style import rows_where
from octodon.report.verdict import Endings, RunFacts, TargetFacts
from octodon.report.verdict.calibration import chance

_TENTHS = {
    "activity": "predicted activity",
    "epistemic": "epistemic std",
    "ood": "unlikeness to the training set",
}


def facts_of(run: RunResults) -> RunFacts:
    """Return the facts of a run about its test split."""
    leaks = run.data["audit"]["leaks"] or {"n_rows": 0}
    return RunFacts(
        folder=shlex.quote(str(run.folder)),
        targets=tuple(_target(run, target) for target in run.targets),
        level=run.level,
        leaking_rows=int(leaks["n_rows"]),
        endings=endings_of(run),
        uncalibrated=run.data.get("uncalibrated"),
        knows_ood=(run.folder / "student" / "ood.json").is_file(),
        knows_shift=run.shift is not None,
        has_ensemble=run.has_ensemble,
    )


def metric_of(
    metrics: pd.DataFrame,
    model: str,
    target: str,
    quantity: str,
    metric: str,
    *,
    index: int | None = None,
    split: str = "test",
    undefined: bool = False,
) -> float | None:
    """Return a value of the results table, the mean over the networks of a kind where no index is given; None without one.

    One that is there but undefined, such as the correlation of a constant, is None, or with ``undefined`` NaN.
    """
    rows = rows_where(metrics, model=model, target=target, quantity=quantity, metric=metric, split=split)
    if index is not None:
        rows = rows_where(rows, index=index)
    if not len(rows):
        return None
    value = float(rows["value"].to_numpy(np.float64).mean())
    return None if math.isnan(value) and not undefined else value


def ceiling_of(run: RunResults, target: str, split: str = "test") -> float | None:
    """Return the noise ceiling that the replicates set; None where it is not known."""
    for one in run.data["audit"]["agreement"]:
        if one["target"] == target and one["split"] == split:
            return one["ceiling_pearson"]
    return None


def judged_std(run: RunResults, target: str) -> tuple[str, Float64[ndarray, " n"]] | None:
    """Return which of the student's stds is asked whether it tells errors, and that std of every test sequence.

    The calibrated one unless it is one for all, as split conformal makes it: a constant orders nothing. Else the total std of a
    mean of as many replicates as test values have on average, of a student that says both parts; else the epistemic one.
    """
    parts = {
        name: run.predictions[f"{target}_{name}_std"].to_numpy(np.float64)
        for name in ("calibrated", "epistemic", "aleatoric")
        if f"{target}_{name}_std" in run.predictions
    }
    if {"epistemic", "aleatoric"} <= parts.keys():
        noise_var = np.square(parts["aleatoric"]) / _replicates_of(run, target)
        parts["total"] = np.sqrt(np.square(parts["epistemic"]) + noise_var)
    given = [name for name in ("calibrated", "total", "epistemic") if name in parts]
    telling = [name for name in given if parts[name].min() < parts[name].max()]
    kind = next(iter([*telling, *given]), None)
    return None if kind is None else (kind, parts[kind])


def _replicates_of(run: RunResults, target: str) -> float:
    """Return of how many replicates a measured test value is the mean, of unequal numbers the harmonic mean; 1 where unknown."""
    for one in run.data["audit"]["agreement"]:
        if one["target"] == target and one["split"] == "test":
            return max(1.0, float(one.get("harmonic_replicates", one["n_replicates"])))  # not in older runs
    return 1.0


def endings_of(run: RunResults) -> Endings:
    """Return how the trainings ended: with a schedule that takes the rate to nothing, or on a plateau of the validation loss."""
    scheduled = best_last = unfinished = 0
    groups = [] if run.history.empty else [one for _, one in run.history.groupby(["network", "index"])]
    sections = {"member": run.config["ensemble"], "student": run.config["distill"]}
    for one in groups:
        network = str(one["network"].iloc[0])
        losses = one.sort_values("epoch")["valid_loss"].to_numpy(np.float64)
        ends_best = bool(np.isfinite(losses).any() and np.nanargmin(losses) == len(losses) - 1)
        is_scheduled = sections[network].get("training", {}).get("schedule") == "cosine"
        scheduled += is_scheduled
        best_last += is_scheduled and ends_best
        unfinished += ends_best and not is_scheduled
    return Endings(
        networks=len(groups), scheduled=scheduled, scheduled_best_last=best_last, unfinished=unfinished
    )


def n_members(run: RunResults) -> int:
    """Return how many members the students were distilled from; of given teachers the configuration does not know."""
    rows = rows_where(run.metrics, model="individual", quantity="activity", metric="mse")
    counted = len(set(rows["index"]))
    return counted or int(run.config["ensemble"]["members"])


def cell_in_words(stratum: str, cell: str) -> str:
    """Return "predicted activity is in its highest tenth" for ("activity", "10")."""
    if stratum not in _TENTHS:
        return f"{stratum} is {cell}"
    nth = {"1": "lowest tenth", "10": "highest tenth"}.get(cell, f"{cell}{_ORDINAL.get(cell, 'th')} tenth")
    return f"{_TENTHS[stratum]} is in its {nth}"


_ORDINAL = {"2": "nd", "3": "rd"}


def _target(run: RunResults, target: str) -> TargetFacts:
    def of(
        model: str, quantity: str, metric: str, index: int | None = None, undefined: bool = False
    ) -> float | None:
        return metric_of(run.metrics, model, target, quantity, metric, index=index, undefined=undefined)

    measured, mean = (run.predictions[f"{target}_{of}"].to_numpy(np.float64) for of in ("measured", "mean"))
    kept = run.student
    student = of("student", "activity", "pearson", kept)
    low, high = _gain_over_ridge(run, target, measured)
    level = f"coverage_{run.level:g}"
    asked = judged_std(run, target)
    worst = _worst_cell(run, target)
    return TargetFacts(
        target=target,
        n_test=int(np.isfinite(measured).sum()),
        student=math.nan if student is None else student,
        is_constant=len(mean) > 1 and bool(mean.min() == mean.max()),
        individual=of("individual", "activity", "pearson", undefined=True),
        ensemble=of("ensemble", "activity", "pearson", undefined=True),
        ridge=of("kmer_ridge", "activity", "pearson", undefined=True),
        ceiling=ceiling_of(run, target),
        gain_low=low,
        gain_high=high,
        coverage=_coverage(run, target, of("student", "calibrated", level, kept)),
        n_calibration=_calibration_rows(run, target),
        worst_cell=worst[0],
        worst_coverage=worst[1],
        worst_n=worst[2],
        worst_n_calibration=_rows_of_a_width(run, target),
        epistemic=of("student", "epistemic", "pearson", kept, True),
        std_ratio=of("student", "epistemic", "std_ratio", kept),
        error_spearman=None if asked is None else of("student", asked[0], "error_spearman", kept, True),
    )


def _gain_over_ridge(run: RunResults, target: str, measured: ndarray) -> tuple[float | None, float | None]:
    if run.kmer_ridge is None:
        return None, None
    student, ridge = (table[f"{target}_mean"].to_numpy() for table in (run.predictions, run.kmer_ridge))
    gain = pearson_difference(student, ridge, measured)
    return (None, None) if math.isnan(gain.low) else (gain.low, gain.high)


def _coverage(run: RunResults, target: str, scored: float | None) -> float | None:
    """Return the coverage at the run's level: as scored, or counted where that level is not among the scored ones."""
    if scored is not None:
        return scored
    names = [f"{target}_{end}" for end in ("lower", "measured", "upper")]
    if any(name not in run.predictions for name in names):
        return None
    lower, measured, upper = (run.predictions[name].to_numpy(np.float64) for name in names)
    known = np.isfinite(measured)
    return float(((lower <= measured) & (measured <= upper))[known].mean()) if known.any() else None


def _calibration_rows(run: RunResults, target: str) -> int | None:
    """Return how many rows the interval was calibrated on; None where it was not."""
    return next((int(one["n_rows"]) for one in run.calibration["targets"] if one["name"] == target), None)


def _rows_of_a_width(run: RunResults, target: str) -> int | None:
    """Return how many calibration rows one width rests on: a Mondrian method ranks the scores of each cell apart."""
    for one in run.calibration["targets"]:
        scores = one["learnt"].get("scores")
        if one["name"] == target and scores and isinstance(scores[0], list):
            return min(map(len, scores))
    return _calibration_rows(run, target)


def _worst_cell(run: RunResults, target: str) -> tuple[str | None, float | None, int | None]:
    if run.coverage is None:
        return None, None, None
    rows = rows_where(
        run.coverage, model="student", index=run.student, split="test", target=target, level=run.level
    )
    if rows.empty:
        return None, None, None
    # Too wide an interval is a nuisance, too narrow a danger: the worst cell is the one that falls short furthest, beyond
    # what chance allows a cell of its size, as the verdict judges it.
    rows = rows.loc[(rows["stratum"] != "all") & (rows["n"] >= FEWEST_ROWS)]
    if rows.empty:
        return None, None, 0
    learnt_on = _rows_of_a_width(run, target)
    cells = zip(rows["coverage"], rows["n"], strict=True)
    beyond = [run.level - covered - chance(run.level, int(n), learnt_on) for covered, n in cells]
    row = rows.iloc[int(np.argmax(beyond))]
    return cell_in_words(str(row["stratum"]), str(row["cell"])), float(row["coverage"]), int(row["n"])
