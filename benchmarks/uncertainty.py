"""Ensemble, student and baselines of finished runs in one table: accuracy, likelihood, calibration, intervals.

    octodon run experiments/promoter_mpra.toml --out run
    for name in heteroscedastic mc_dropout evidential; do octodon baseline $name run; done
    octodon run experiments/promoter_mpra.toml --out paper --set preset=paper
    python benchmarks/uncertainty.py default=run paper=paper --out benchmarks/results/uncertainty_promoter.md

    octodon run experiments/simulated.toml --out simulated     # with its baselines; here the truth is known
    python benchmarks/uncertainty.py default=simulated --out benchmarks/results/uncertainty_simulated.md

Nothing is trained here: seconds. Every model is calibrated by the run's own method on the same rows, which no network saw;
"constant width" is the first run's student with split conformal intervals of one width. The first run is the one that is
judged against the goals, the second ("paper") what it must not fall behind.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from calibration import read_predictions
from machine import describe
from numpy import ndarray

from octodon.artifact.bundle import load
from octodon.atomic import write_json, write_text
from octodon.calibration.fit import fit_calibration
from octodon.data.examples import Examples
from octodon.data.simulate import simulate
from octodon.ensemble.ensemble import Ensemble
from octodon.experiment.config import ExperimentConfig, load_config
from octodon.metrics.evaluate import read_metrics
from octodon.metrics.intervals import interval_metrics
from octodon.metrics.pearson import pearson
from octodon.metrics.spread import LEVELS
from octodon.metrics.summary import markdown_table
from octodon.metrics.uncertainty import uncertainty_metrics
from octodon.records import Prediction

SCORES = {
    "nll": "NLL",
    "crps": "CRPS",
    "ence": "ENCE",
    "miscalibration_area": "miscal. area",
    "error_spearman": "rho(std, error)",
}
DRAWS = 2000
Scores = dict[str, dict[str, float]]
"""By target, then by metric."""


@dataclass(frozen=True)
class Run:
    """A finished run and what it is called here."""

    label: str
    path: Path

    @property
    def config(self) -> ExperimentConfig:
        """Return what it was made of."""
        return load_config(self.path / "config.toml")

    def metrics(self) -> pd.DataFrame:
        """Return the test rows of its tables of results, those of its baselines included."""
        files = [self.path / "results" / name for name in ("metrics.tsv", "baselines.tsv")]
        rows = pd.concat([read_metrics(file) for file in files if file.is_file()])
        chosen = (rows["split"] == "test") & (rows["index"] >= 0)
        return rows[chosen & ~rows["model"].str.startswith("activity_")]

    def predictions(self, model: str, split: str = "test") -> tuple[Prediction, ndarray] | None:
        """Return what a model said of a split and what was measured, or None where it left no such table."""
        suffix = "" if model == "student" else f"_{model}"
        file = self.path / "results" / f"predictions_{split}{suffix}.parquet"
        return read_predictions(file) if file.is_file() else None


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("runs", nargs="+", help="LABEL=FOLDER of finished runs, the one that is judged first")
    parser.add_argument("--out", type=Path, required=True, help="Markdown; JSON beside it")
    given = parser.parse_args()
    runs = [Run(label, Path(path)) for label, _, path in (text.partition("=") for text in given.runs)]
    scores = {kind: gather(runs, kind) for kind in ("calibrated", "raw")}
    scores["calibrated"][f"{runs[0].label} student, constant width"] = constant_width(runs[0])
    n_test, n_calibration = sizes(runs[0])
    found: dict[str, Any] = {
        "machine": describe(),
        "runs": {run.label: run_facts(run) for run in runs},
        "rows": {"test": n_test, "calibration": n_calibration},
        "calibrated": scores["calibrated"],
        "raw": scores["raw"],
        "differences": differences(runs),
        "widths": widths_at_equal_coverage(runs[0]),
        "truth": against_truth(runs),
    }
    found["chance"] = chance_of_goal(n_test, n_calibration, len(next(iter(scores["raw"].values()))))
    found["goals"] = goals(found, [run.label for run in runs])
    write_json(given.out.with_suffix(".json"), found)
    text = report(found)
    write_text(given.out, text)
    sys.stdout.write(text)


def run_facts(run: Run) -> dict[str, Any]:
    config = run.config
    heads = f"{config.ensemble.head}, {config.distill.head}"
    return {
        "preset": config.preset,
        "members": config.ensemble.members,
        "heads": heads,
        "seed": config.seed,
        "calibration": config.calibrate.method,
        "data": Path(str(config.data.get("path", config.data.get("format", "")))).name,
    }


def sizes(run: Run) -> tuple[int, int]:
    splits = json.loads((run.path / "data.json").read_text())["splits"]
    return splits["test"], splits.get("calibration", 0)


def gather(runs: list[Run], kind: str) -> dict[str, Scores]:
    """Return the scores of every model: the mean over individuals, the rest as they are."""
    table: dict[str, Scores] = {}
    for run in runs:
        rows = run.metrics()
        for (model, target), own in rows.groupby(["model", "target"], sort=False):
            count = own["index"].nunique()
            name = f"{run.label} {model}" + (f" (mean of {count})" if count > 1 else "")
            values: Any = own.groupby(["quantity", "metric"])["value"].mean()
            order = ["calibrated"] if kind == "calibrated" else ["total", "epistemic", "aleatoric"]
            quantity = next((q for q in order if (q, "nll") in values), None)
            entry = {"pearson": float(values["activity", "pearson"])}
            entry |= {m: float(v) for (q, m), v in values.items() if q == quantity and keeps(m, v)}
            table.setdefault(name, {})[str(target)] = entry
    return table


def keeps(metric: str, value: float) -> bool:
    return math.isfinite(value) and (
        metric in SCORES or metric.startswith(("coverage_", "width_", "interval_score_"))
    )


def constant_width(run: Run) -> Scores:
    """Return the scores of the student with intervals of one width, split conformal on the same calibration rows."""
    learn, test = run.predictions("student", "calibration"), run.predictions("student")
    assert learn is not None
    assert test is not None
    fitted = fit_calibration(*learn, method="split")
    done = [fitted.apply(test[0], level) for level in LEVELS]
    std, truth = done[0].calibrated_std, test[1]
    assert std is not None
    # of one width: there is nothing to sort by
    sortless = [metric for metric in SCORES if metric not in ("error_spearman", "ence")]
    values = {metric: uncertainty_metrics[metric](test[0].mean, std, truth) for metric in sortless}
    for said, level in zip(done, LEVELS, strict=True):
        for metric in ("coverage", "width", "interval_score"):
            assert said.lower is not None
            assert said.upper is not None
            values[f"{metric}_{level:g}"] = interval_metrics[metric](said.lower, said.upper, truth, level)
    values["pearson"] = pearson(test[0].mean, truth)
    return {
        target: {metric: float(v[position]) for metric, v in values.items()}
        for position, target in enumerate(test[0].target_names)
    }


def differences(runs: list[Run]) -> dict[str, Any]:
    """Return NLL of the first student less that of others, row by row, with a bootstrap interval over test rows."""
    first = runs[0].predictions("student")
    assert first is not None
    others = {f"{run.label} student": run.predictions("student") for run in runs[1:]}
    for name in sorted(
        p.stem.removeprefix("predictions_test_")
        for p in (runs[0].path / "results").glob("predictions_test_*")
    ):
        others[f"{runs[0].label} {name}"] = runs[0].predictions(name)
    rng, found = np.random.default_rng(0), {}
    for name, other in others.items():
        if other is None or other[0].calibrated_std is None:
            continue
        assert list(other[0].ids) == list(first[0].ids)
        gap = row_nll(*first) - row_nll(*other)
        picks = rng.integers(0, len(gap), (DRAWS, len(gap)))
        means = np.stack([np.nanmean(gap[pick], axis=0) for pick in picks])
        low, high = np.quantile(means, [0.025, 0.975], axis=0)
        found[name] = {
            target: {"nll": float(np.nanmean(gap[:, t])), "low": float(low[t]), "high": float(high[t])}
            for t, target in enumerate(first[0].target_names)
        }
    return found


def row_nll(said: Prediction, truth: ndarray) -> ndarray:
    std = said.calibrated_std
    assert std is not None
    return 0.5 * (np.log(2 * math.pi * std**2) + ((truth - said.mean) / std) ** 2)


def widths_at_equal_coverage(run: Run) -> dict[str, Any]:
    """Return how wide intervals that follow the std are against those of one width, both stretched to cover the level.

    Both are stretched to exactly the level on the test rows themselves, which no method could do: the comparison is of
    their shape alone. Beside it what it would be if these stds were exactly right and errors normal.
    """
    said = run.predictions("student")
    assert said is not None
    assert said[0].calibrated_std is not None
    rng, found = np.random.default_rng(0), {}
    for t, target in enumerate(said[0].target_names):
        error, std = np.abs(said[1] - said[0].mean)[:, t], said[0].calibrated_std[:, t]
        known = np.isfinite(error)
        error, std = error[known], std[known]
        drawn = np.abs(rng.standard_normal((200, len(std)))) * std
        found[target] = {
            f"{level:g}": {"seen": width_ratio(error, std, level), "if_right": width_ratio(drawn, std, level)}
            for level in LEVELS
        }
    return found


def width_ratio(error: ndarray, std: ndarray, level: float) -> float:
    """Return the mean width of intervals in units of the std over one width for all, each covering the level."""
    return float(np.quantile(error / std, level) * std.mean() / np.quantile(error, level))


def against_truth(runs: list[Run]) -> dict[str, Any]:
    """Return agreement with the true activity and noise of a simulated set; empty for measured ones."""
    found: dict[str, Any] = {}
    for run in runs:
        data = dict(run.config.data)
        if data.pop("format", None) != "simulated":
            continue
        simulated = simulate(data.pop("rows", 10_000), data.pop("length", 150), **data)
        position = {str(name): row for row, name in enumerate(simulated.examples.ids)}
        for model, answers in answers_of(run, simulated.examples).items():
            rows = [position[str(name)] for name in answers[0].ids]
            activity, noise = simulated.truth.activity[rows], simulated.truth.noise_std[rows]
            entries = [beside_truth(said, activity, noise) for said in answers]
            count = f" (mean of {len(answers)})" if len(answers) > 1 else ""
            found[f"{run.label} {model}{count}"] = {
                target: {name: float(np.mean([entry[name][t] for entry in entries])) for name in entries[0]}
                for t, target in enumerate(answers[0].target_names)
            }
    return found


def answers_of(run: Run, examples: Examples) -> dict[str, list[Prediction]]:
    """Return what each model of a run said of the test rows: every individual, and the others that left a table."""
    found: dict[str, list[Prediction]] = {}
    ensemble, own = load(run.path / "ensemble"), run.predictions("student")
    assert isinstance(ensemble, Ensemble)
    assert own is not None
    position = {str(name): row for row, name in enumerate(examples.ids)}
    ids = [str(name) for name in own[0].ids]
    members = ensemble.predict_members(examples.codes[[position[name] for name in ids]], ids)
    found["individual"] = [members.member(index) for index in range(members.n_members)]
    found["ensemble"] = [members.combine()]
    for model in ["student", *sorted(p.name for p in (run.path / "baselines").glob("*"))]:
        read = run.predictions(model)
        if read is not None:
            found[model] = [read[0]]
    return found


def beside_truth(said: Prediction, activity: ndarray, noise: ndarray) -> dict[str, ndarray]:
    """Return, target by target, how far what was said agrees with the truth."""
    entry = {"activity": pearson(said.mean, activity)}
    entry["error_of_mean"] = np.sqrt(np.mean((activity - said.mean) ** 2, axis=0))
    if said.aleatoric_std is not None:
        entry["noise"] = pearson(said.aleatoric_std, noise)
        entry["noise_ratio"] = np.sqrt((said.aleatoric_std**2).mean(0) / (noise**2).mean(0))
    if said.epistemic_std is not None:
        inside = np.abs(activity - said.mean) < 1.6449 * said.epistemic_std
        entry["epistemic_rms"] = np.sqrt(np.mean(said.epistemic_std**2, axis=0))
        entry["epistemic_covers_90"] = inside.mean(axis=0)
    return entry


def goals(found: dict[str, Any], labels: list[str]) -> list[dict[str, Any]]:
    """Return each goal with its numbers and whether it is met, target by target."""
    calibrated, first = found["calibrated"], labels[0]
    student = calibrated[f"{first} student"]
    rows = []

    def add(goal: str, target: str, met: bool, numbers: str) -> None:
        rows.append({"goal": goal, "target": target, "met": bool(met), "numbers": numbers})

    for target, own in student.items():
        for label in labels[1:]:
            other = calibrated[f"{label} student"][target]
            add(
                f"student as accurate as {label}'s",
                target,
                own["pearson"] >= other["pearson"],
                f"{own['pearson']:.3f}, {other['pearson']:.3f}",
            )
            for metric in ("nll", "crps", "ence"):
                add(
                    f"{SCORES[metric]} below {label}'s",
                    target,
                    own[metric] < other[metric],
                    f"{own[metric]:.3f}, {other[metric]:.3f}",
                )
        for name in ("heteroscedastic", "mc_dropout"):
            other = calibrated.get(f"{first} {name}", {}).get(target)
            if other is not None:
                add(
                    f"NLL below {name}",
                    target,
                    own["nll"] < other["nll"],
                    f"{own['nll']:.3f}, {other['nll']:.3f}",
                )
        off = {level: own[f"coverage_{level:g}"] - level for level in LEVELS}
        worst = max(off, key=lambda level: abs(off[level]))
        add(
            "coverage within 2 points at all levels",
            target,
            abs(off[worst]) <= 0.02,
            f"worst {off[worst]:+.3f} at {worst:g}",
        )
        ratio = {level: v["seen"] for level, v in found["widths"][target].items()}
        numbers = "ratio " + ", ".join(f"{v:.3f} at {k}" for k, v in ratio.items())
        above = [v for level, v in ratio.items() if float(level) > 0.5]
        add(
            "narrower than constant width at equal coverage, all levels",
            target,
            max(ratio.values()) < 1,
            numbers,
        )
        add("the same without level .5 (see above)", target, max(above) < 1, numbers)
        flat = calibrated[f"{first} student, constant width"][target]
        score = {
            level: own[f"interval_score_{level:g}"] / flat[f"interval_score_{level:g}"] for level in LEVELS
        }
        add(
            "interval score below that of constant width at all levels",
            target,
            max(score.values()) < 1,
            "ratio " + ", ".join(f"{v:.3f} at {k:g}" for k, v in score.items()),
        )
    return rows


def chance_of_goal(n_test: int, n_calibration: int, targets: int) -> float:
    """Return how often coverage within 2 points at all levels and targets would be seen for exchangeable scores.

    Nothing but ranks matters: scores are drawn uniform, thresholds are the conformal order statistics.
    """
    rng, draws = np.random.default_rng(0), 1000
    met = np.ones(draws, dtype=bool)
    for _ in range(targets):
        calibration = np.sort(rng.random((draws, n_calibration)), axis=1)
        for draw in range(draws):
            test = rng.random(n_test)
            for level in LEVELS:
                threshold = calibration[draw, math.ceil((n_calibration + 1) * level) - 1]
                met[draw] &= abs((test <= threshold).mean() - level) <= 0.02
    return float(met.mean())


def report(found: dict[str, Any]) -> str:
    """Return the Markdown of all that was found."""
    n_test, n_calibration = found["rows"]["test"], found["rows"]["calibration"]
    noise = (
        [math.sqrt(p * (1 - p) * (1 / n_test + 1 / n_calibration)) for p in LEVELS] if n_calibration else []
    )
    facts = "; ".join(
        f"{name}: {', '.join(f'{k} {v}' for k, v in run.items())}" for name, run in found["runs"].items()
    )
    parts = [
        "# Uncertainty: ensembles, students and baselines",
        f"{found['machine']}; other work ran on the machine (no time is reported here).",
        f"{facts}. {n_test:,} test rows, {n_calibration:,} calibration rows. By chance alone the coverage of a perfect method "
        f"varies with both: one sd is {', '.join(f'{100 * s:.1f} points at {p:g}' for s, p in zip(noise, LEVELS, strict=True))}; "
        f"within 2 points at all four levels of all targets it would be in {100 * found['chance']:.0f} of 100 draws of these rows.",
        "## Calibrated",
        "Each model by the run's method on the same rows. Coverage, with the mean width in brackets.",
    ]
    parts += tables(found["calibrated"])
    parts += [
        "## As the models say it",
        "Gaussian intervals of the total std of a mean of the replicates (of the one std, where a model gives one).",
    ]
    parts += tables(found["raw"])
    if found["differences"]:
        lines = [
            [
                "student's calibrated NLL less that of",
                "target",
                "difference",
                "95 % of bootstrap draws of test rows",
            ]
        ]
        for name, by_target in found["differences"].items():
            lines += [
                [name, target, f"{d['nll']:+.3f}", f"{d['low']:+.3f} to {d['high']:+.3f}"]
                for target, d in by_target.items()
            ]
        parts += ["## Differences", markdown_table(lines).rstrip()]
    if found["truth"]:
        parts += ["## Against the truth", truth_table(found["truth"]), _TRUTH_NOTE]
    parts += ["## Width at equal coverage", widths_table(found["widths"]), _WIDTH_NOTE]
    lines = [["goal", "target", "met", "numbers (student, other)"]]
    lines += [[g["goal"], g["target"], "yes" if g["met"] else "**no**", g["numbers"]] for g in found["goals"]]
    parts += ["## Goals", markdown_table(lines).rstrip()]
    if any(run["preset"] != "default" for run in found["runs"].values()):
        parts.append(_PAPER_NOTE)
    return "\n\n".join(parts) + "\n"


_TRUTH_NOTE = (
    "`r activity`, `r noise`: Pearson with the true activity and the true noise std of one measurement. `noise ratio`: predicted "
    "over true, root mean square. `error of the mean`: root mean squared error against the TRUE activity; a true epistemic std has "
    "that root mean square, and its 90 % Gaussian interval covers the true activity 90 times in 100. Stds as the models say them."
)


_PAPER_NOTE = (
    "Where the published preset's student lies far below its own individuals, early stopping ended it: BatchNorm's published "
    "momentum lags 100 steps behind, and on few batches an epoch the published patience gives up before the running statistics "
    "arrive. A student that says nearly the same of every sequence has a small ENCE all the same."
)
_WIDTH_NOTE = (
    "Mean width of intervals in units of the student's std over one width for all, both stretched to cover exactly the level on test; "
    "in brackets, if these stds were exactly right and the errors normal. With P the share inside a width w at std s, 2 Phi(w / s) "
    "- 1, one finds d2P/ds2 > 0 where w / s < sqrt 2: below a level of 84 % intervals that follow even the TRUE std are wider on "
    "average than one width for all, which buys its narrowness at .5 by covering too little where errors are large. The interval "
    "score (a proper score) says which is the better interval at every level."
)


def widths_table(widths: dict[str, Any]) -> str:
    lines = [["target", *(f"at {level:g}" for level in LEVELS)]]
    for target, by_level in widths.items():
        lines.append([target, *(f"{v['seen']:.3f} ({v['if_right']:.3f})" for v in by_level.values())])
    return markdown_table(lines).rstrip()


def truth_table(truth: dict[str, Any]) -> str:
    columns = {
        "activity": "r activity",
        "noise": "r noise",
        "noise_ratio": "noise ratio",
        "error_of_mean": "error of the mean",
        "epistemic_rms": "epistemic std (rms)",
        "epistemic_covers_90": "its 90 % interval covers",
    }
    lines = [["model", "target", *columns.values()]]
    for name, by_target in truth.items():
        for target, values in by_target.items():
            lines.append([name, target, *(f"{values[c]:.3f}" if c in values else "-" for c in columns)])
    return markdown_table(lines).rstrip()


def tables(scores: dict[str, Scores]) -> list[str]:
    """Return one table per target."""
    targets = next(iter(scores.values()))
    found = []
    for target in targets:
        lines = [[target, "Pearson", *SCORES.values(), *(f"at {level:g}" for level in LEVELS)]]
        for name, by_target in scores.items():
            own = by_target.get(target, {})
            cells = [number(own.get(metric)) for metric in ("pearson", *SCORES)]
            cells += [
                f"{number(own.get(f'coverage_{level:g}'))} ({own[f'width_{level:g}']:.2f})"
                if f"width_{level:g}" in own
                else "-"
                for level in LEVELS
            ]
            lines.append([name, *cells])
        found.append(markdown_table(lines).rstrip())
    return found


def number(value: float | None) -> str:
    return "-" if value is None or math.isnan(value) else f"{value:.3f}"


if __name__ == "__main__":
    main()
