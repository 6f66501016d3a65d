"""Every calibration method on the predictions of a finished run: coverage, width, NLL, CRPS, ENCE on test.

    python benchmarks/calibration.py run --replicates 3 --out benchmarks/results/calibration_promoter

Methods learn from results/predictions_calibration.parquet and are judged once on results/predictions_test.parquet (the best
student of the run). Nothing is trained: seconds. ``--fit valid`` learns from the validation rows instead, which stopped the
training early, to show what that costs.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from machine import describe

from octodon.calibration.fit import fit_calibration
from octodon.calibration.gaussian import gaussian_interval
from octodon.metrics.intervals import interval_metrics
from octodon.metrics.spread import LEVELS
from octodon.metrics.summary import markdown_table
from octodon.metrics.uncertainty import uncertainty_metrics
from octodon.records import Prediction

METHODS = {
    "scaling": {},
    "components": {},
    "isotonic": {"scale": "total"},
    "isotonic, components": {"scale": "components"},
    "split": {},
    "normalised, total": {"scale": "total"},
    "normalised (default)": {"scale": "components"},
    "mondrian_activity": {},
}
STD_METRICS = ("nll", "crps", "ence", "miscalibration_area", "error_spearman")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path, help="folder of a finished run")
    parser.add_argument("--fit", default="calibration", help="split whose predictions the methods learn from")
    parser.add_argument("--replicates", type=int, default=None, help="replicates behind each measured mean")
    parser.add_argument("--out", type=Path, default=None, help="writes OUT.json and OUT.md")
    given = parser.parse_args()
    learn, learn_truth = read_predictions(given.run / "results" / f"predictions_{given.fit}.parquet")
    test, truth = read_predictions(given.run / "results" / "predictions_test.parquet")
    test = replace(test, calibrated_std=None)  # the run's own, which the first row would take for the model's
    rows = []
    for name, options in METHODS.items():
        calibration = fit_calibration(
            learn,
            learn_truth,
            method=name.split()[0].rstrip(","),
            replicates=given.replicates,
            options=options,
        )
        rows.append(score(name, test, truth, [calibration.apply(test, level) for level in LEVELS]))
    own = [gaussian_interval(test, level, replicates=given.replicates or 1) for level in LEVELS]
    rows.insert(0, score("none: the model's total std", test, truth, own, given.replicates or 1))
    table = markdown_table(cells(rows))
    facts = f"learnt on {len(learn.ids):,} rows ({given.fit}), judged on {len(test.ids):,} test rows"
    text = (
        f"# Calibration methods\n\n{describe()}; {facts}; targets {', '.join(test.target_names)}\n\n{table}"
    )
    print(text)
    if given.out is not None:
        given.out.with_suffix(".json").write_text(json.dumps({"facts": facts, "rows": rows}, indent=1) + "\n")
        given.out.with_suffix(".md").write_text(text)


def read_predictions(path: Path) -> tuple[Prediction, np.ndarray]:
    frame = pd.read_parquet(path)
    targets = [name.removesuffix("_mean") for name in frame if name.endswith("_mean")]

    def stack(suffix: str) -> np.ndarray | None:
        names = [f"{target}_{suffix}" for target in targets]
        return frame[names].to_numpy(np.float64) if names[0] in frame else None

    prediction = Prediction(
        ids=frame["id"].to_numpy(),
        target_names=tuple(targets),
        mean=stack("mean"),
        epistemic_std=stack("epistemic_std"),
        aleatoric_std=stack("aleatoric_std"),
        calibrated_std=stack("calibrated_std"),
    )
    return prediction, stack("measured")


def score(
    name: str, test: Prediction, truth: np.ndarray, done: list[Prediction], replicates: int = 1
) -> dict:
    std = done[0].calibrated_std
    if std is None:
        std = test.total_std_of_mean(replicates)
    row: dict = {"method": name}
    for metric in STD_METRICS:
        row[metric] = uncertainty_metrics[metric](test.mean, std, truth).round(4).tolist()
    for prediction, level in zip(done, LEVELS, strict=True):
        for metric in ("coverage", "width"):
            values = interval_metrics[metric](prediction.lower, prediction.upper, truth, level)
            row[f"{metric}_{level:g}"] = values.round(4).tolist()
    return row


def cells(rows: list[dict]) -> list[list[str]]:
    """Return the header and one line per method; targets are separated by a slash."""
    names = list(rows[0])
    lines = [[row["method"], *(" / ".join(f"{v:.3f}" for v in row[n]) for n in names[1:])] for row in rows]
    return [names, *lines]


if __name__ == "__main__":
    main()
