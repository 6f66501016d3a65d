"""Each model of a run and its baselines in one line: accuracy, and how good the spread is that it gives."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from octodon.metrics.summary import mean_of_all

_COMPARED = {
    "pearson": "Pearson",
    "nll": "NLL",
    "crps": "CRPS",
    "ence": "ENCE",
    "error_spearman": "rho(std, error)",
    "coverage_0.9": "coverage 0.9",
    "width_0.9": "width 0.9",
}
_SPREADS = ("calibrated", "total", "epistemic", "aleatoric")


def baseline_table(run: pd.DataFrame, baselines: pd.DataFrame, split: str = "test") -> list[list[str]]:
    """Return header and lines of a table, target by target, the run's own models before its baselines.

    A baseline that is called as one of the run's own models ("ensemble") is called "baseline NAME".
    Pearson is of the activity. Scores of stds are those after calibration where there is one, else of the model's own total.
    Means over the networks of a kind; "-" = not known. Stage 1 of the lentiMPRA protocol is left out.
    """
    names = {model: f"baseline {model}" for model in set(run["model"])}
    metrics = pd.concat([run, baselines.assign(model=baselines["model"].replace(names))])
    rows = metrics.loc[(metrics["split"] == split) & (metrics["index"] >= 0)]
    rows = rows.loc[~rows["model"].str.startswith("activity_")]
    lines = [["target", "model", *_COMPARED.values()]]
    for key, own in rows.groupby(["target", "model"], sort=False):
        target, model = (str(part) for part in list(key))  # type: ignore[call-overload]  # a pair
        means = pd.Series(own.groupby(["quantity", "metric"])["value"].agg(mean_of_all))
        values: dict[Any, float] = {key: float(mean) for key, mean in means.items()}
        spread = next((name for name in _SPREADS if (name, "nll") in values), "")
        wanted = [("activity" if metric == "pearson" else spread, metric) for metric in _COMPARED]
        lines.append([target, model, *(_shown(values.get(key)) for key in wanted)])
    order = list(dict.fromkeys(rows["target"]))
    return [lines[0], *sorted(lines[1:], key=lambda line: order.index(line[0]))]


def _shown(value: float | None) -> str:
    return "-" if value is None or np.isnan(value) else f"{value:.3f}"
