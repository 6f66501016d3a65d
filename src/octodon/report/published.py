"""What is published, number by number, and what a reproduction found beside it."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from octodon.metrics.summary import mean_of_all, median_of_all
from octodon.report.results import RunResults
from octodon.report.style import rows_where

KEYS = ("panel", "target", "model", "quantity", "metric", "condition")
COMPARED = (*KEYS, "ours", "published", "to", "basis", "note")
FILE = Path(__file__).parent / "published.tsv"

SHIFTS = {
    "test": "none",
    "mutagenesis_0.05": "small",
    "evoaug_2": "intermediate without noise",
    "shuffle": "large",
}
"""Sets of ``octodon shift`` by their published names: no shift, and three, each further from the training set. The published
intermediate one may add noise to the one-hot, ours does not: it has a name of its own, and so no published value beside it."""
LEVEL = 0.95
"""Of the intervals, as published."""
PUBLISHED_NETWORKS = 10
"""Members, and students."""

CLIPPED = "n_clipped"
"""Metric: test sequences whose std was cut at 0."""

_ORDER = (
    *("performance", "shift", "attribution", "calibration"),
    *("activity", "epistemic", "aleatoric", "total", "calibrated", "constant"),
    *("kmer_ridge", "individual", "ensemble", "student"),
)
_STAGE_1 = {"activity_individual": "individual", "activity_ensemble": "ensemble"}
_MODELS = ("individual", "student")
_FALLBACK = "integrated_gradients"
# The published variance over 10 models is divided by 10, ours by their number less one.
_LIKE_PUBLISHED_STD = math.sqrt((PUBLISHED_NETWORKS - 1) / PUBLISHED_NETWORKS)


def read_published() -> pd.DataFrame:
    """Return the published numbers: the columns of `KEYS`, then value, to, basis, note.

    ``condition`` is the share of the training set, the size of the shift, the attribution method or the level of the
    interval. ``value`` to ``to`` is a range, where there is one. ``basis``: printed (in a notebook, log or table), figure
    (read off a vector figure, good to about four decimals) or figure ±.002 (read off pixels). Correlations and squared errors
    are of the test split, of the full data sets; attributions in units of the activity.
    """
    words: dict[Hashable, Any] = dict.fromkeys((*KEYS, "basis", "note"), "str")
    return pd.read_csv(FILE, sep="\t", dtype=words, keep_default_na=False, na_values={"to": [""]})


def against_published(
    run: RunResults, sweep: pd.DataFrame, published_as: Mapping[str, str], method: str
) -> pd.DataFrame:
    """Return every number of a reproduction, with the published one of the same meaning where there is one.

    Parameters
    ----------
    run : RunResults
        Of the largest share of the training set.
    sweep : DataFrame
        Metrics of all shares, with a column ``fraction``.
    published_as : mapping of str to str
        Ours to published names of targets: of the target itself, or of the one that ours stands in for.
    method : str
        Of the attribution study.

    Returns
    -------
    DataFrame
        `COMPARED`; ``published`` is NaN where no such number is known.
    """
    parts = [_performance(sweep), _shift(run), _attribution(run, method), _calibration(run)]
    ours = pd.concat([part for part in parts if not part.empty], ignore_index=True)
    published = read_published().rename(columns={"value": "published", "target": "as"})
    ours = ours.assign(**{"as": [published_as.get(target, "") for target in ours["target"]]})
    keys = ["as" if key == "target" else key for key in KEYS]
    both = ours.merge(published, on=keys, how="left").reindex(columns=list(COMPARED))
    both = both.assign(**{name: both[name].fillna("") for name in ("basis", "note")})
    return both.sort_values(
        ["panel", "target", "quantity", "model"], key=_reading_order, kind="stable", ignore_index=True
    )


def _reading_order(column: pd.Series) -> pd.Series:
    """Return the place of each value: panels as on the poster, models from the single network to the student."""
    order = {name: place for place, name in enumerate(dict.fromkeys((*_ORDER, *column)))}
    return pd.Series([order[name] for name in column], index=column.index)


def _performance(sweep: pd.DataFrame) -> pd.DataFrame:
    """Return means over networks; individuals and ensemble of stage 1, where there is one, stand for the activity.

    Beside r, `CLIPPED` where it is not 0: so many stds of a linear column were below it and cut there, which r does not tell.
    """
    rows = rows_where(sweep, split="test")
    rows = rows.loc[rows["quantity"].isin(("activity", "epistemic", "aleatoric"))]
    rows = performance_rows(rows.loc[rows["metric"].isin(("pearson", CLIPPED))])
    means = _grouped(rows, ["target", "model", "quantity", "metric", "fraction"], "mean")
    means = means.loc[(means["metric"] != CLIPPED) | (means["value"] > 0)]
    condition = [f"{fraction:g}" for fraction in means["fraction"]]
    return _named(means.assign(condition=condition), "performance")


def performance_rows(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of a sweep with the models of stage 1 under the names that they are published by."""
    if not set(_STAGE_1) & set(rows["model"]):
        return rows
    of_stage_2 = rows["model"].isin(list(_STAGE_1.values())) & (rows["quantity"] == "activity")
    rows = rows.loc[~of_stage_2]
    return rows.assign(model=rows["model"].replace(_STAGE_1))


def _shift(run: RunResults) -> pd.DataFrame:
    if run.shift is None:
        return pd.DataFrame()
    rows = rows_where(run.shift, quantity="activity", metric="mse", truth="ensemble")
    rows = rows.loc[rows["split"].isin(list(SHIFTS))]
    medians = _grouped(rows, ["target", "model", "split"], "median")
    condition = [SHIFTS[name] for name in medians["split"]]
    return _named(medians.assign(condition=condition, quantity="activity", metric="mse"), "shift")


def _attribution(run: RunResults, method: str) -> pd.DataFrame:
    """Return likeness and variability of maps, each averaged as the published value is."""
    if run.attribution is None:
        return pd.DataFrame()
    rows = run.attribution.loc[run.attribution["measure"] != "pearson"]
    notes = fallback_notes(run)  # each begins with target and kind of model
    fallen = {
        name
        for name in rows["target"]
        for note in notes
        if note.startswith((f"{name}, members:", f"{name}, students:"))
    }
    found = [
        {
            "target": row["target"],
            "model": model,
            # A network is part of the ensemble: against the others alone it is compared as the students are.
            "quantity": row["measure"] + (" (leave-one-out)" if row["reference"] == "leave-one-out" else ""),
            "metric": metric,
            "condition": _FALLBACK if row["target"] in fallen else method,
            "value": value,
        }
        for row in rows.to_dict("records")
        for metric, values in _averages(row).items()
        for model, value in zip(_MODELS, values, strict=True)
    ]
    return _named(pd.DataFrame(found), "attribution")


def fallback_notes(run: RunResults) -> list[str]:
    """Return where the method of the attribution study did not fit, and why; maps of that target are by another."""
    return list((run.attribution_settings or {}).get("notes", []))


def _averages(row: Mapping[Hashable, Any]) -> dict[str, list[float]]:
    """Return mean and median of individual and student; no median of likeness from a study that did not keep it.

    Variability is published per sequence, likeness per network: the mean over its sequences, of which the median over networks.
    """
    is_variability = str(row["measure"]).startswith("variability")
    scale = _LIKE_PUBLISHED_STD if row["measure"] == "variability" else 1.0
    medians = "median" if is_variability else "median_of_models"
    columns = {
        metric: [f"{model}_{name}" for model in _MODELS]
        for metric, name in (("mean", "mean"), ("median", medians))
    }
    return {
        metric: [scale * float(row[name]) for name in names]
        for metric, names in columns.items()
        if set(names) <= row.keys()
    }


def _calibration(run: RunResults) -> pd.DataFrame:
    if run.curves is None or run.curves.empty:
        return pd.DataFrame()
    rows = rows_where(run.curves, model="student", index=run.student, level=LEVEL)
    long = rows.melt(
        id_vars=["target", "model", "quantity"], value_vars=["coverage", "width"], var_name="metric"
    )
    return _named(long.assign(condition=f"{LEVEL:g}"), "calibration")


def _named(rows: pd.DataFrame, panel: str) -> pd.DataFrame:
    rows = rows.assign(panel=panel, ours=rows["value"].astype(np.float64))
    return rows.reindex(columns=[*KEYS, "ours"])


def _grouped(rows: pd.DataFrame, keys: list[str], how: str) -> pd.DataFrame:
    """Return mean or median of the values over networks."""
    return (
        rows.groupby(keys, sort=False)
        .agg({"value": mean_of_all if how == "mean" else median_of_all})
        .reset_index()
    )
