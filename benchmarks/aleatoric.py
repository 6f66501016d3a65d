"""Predicted against TRUE noise of one measurement on a simulated MPRA, for every head that learns it from replicates.

    python benchmarks/aleatoric.py --out benchmarks/results/aleatoric.md
    python benchmarks/aleatoric.py --rows 2000 --members 1 --heads replicate_variance --set training.epochs=3 --out a.md

The simulator knows the noise std of every sequence; networks see three replicates. Goal: Pearson of at least 0.9 with 20,000
sequences. Heads that are measured already with as many members (in the JSON beside the table) are not trained again.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from machine import describe

from octodon.atomic import write_json, write_text
from octodon.data.noise import without_offsets
from octodon.data.simulate import Simulation, simulate
from octodon.ensemble.train import train
from octodon.experiment.config import parse_override
from octodon.metrics import metrics
from octodon.metrics.aleatoric import noise_nll, noise_ratio, std_ceiling
from octodon.metrics.summary import markdown_table
from octodon.records import Prediction

HEADS = (
    "replicate_variance_apart",
    "replicate_variance_joint",
    "gaussian_replicates",
    "shrunken_aleatoric",
    "replicate_variance",
    "paper_aleatoric",
)
COLUMNS = {
    "r_true": "r with the true std",
    "ratio": "true / predicted std (rms)",
    "nll_excess": "nats above the truth",
    "r_measured": "r with replicate stds",
    "ceiling": "its ceiling",
    "activity_true": "r of the activity with its truth",
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True, help="Markdown table; JSON beside it")
    parser.add_argument("--rows", type=int, default=20_000, help="sequences, 80 %% of them for training")
    parser.add_argument("--length", type=int, default=64, help="bp")
    parser.add_argument("--replicates", type=int, default=3)
    parser.add_argument("--members", type=int, default=2)
    parser.add_argument("--width", type=float, default=0.35, help="of the DeepSTARR backbone")
    parser.add_argument("--heads", default=",".join(HEADS))
    parser.add_argument("--set", action="append", default=[], help="of the training, e.g. training.epochs=10")
    given = parser.parse_args()
    simulated = simulate(given.rows, given.length, replicates=given.replicates, seed=0)
    known = (
        json.loads(given.out.with_suffix(".json").read_text())
        if given.out.with_suffix(".json").is_file()
        else {}
    )
    facts = {name: getattr(given, name) for name in ("rows", "length", "replicates", "width", "set")}
    results = known.get("heads", {}) if known.get("facts") == facts else {}
    training: dict[str, Any] = {}
    for override in given.set:
        training |= parse_override(override)["training"]
    for head in given.heads.split(","):
        if results.get(head, {}).get("members", 0) < given.members:
            results[head] = measure(simulated, head, given.members, given.width, training)
            write_json(
                given.out.with_suffix(".json"), {"facts": facts, "machine": describe(), "heads": results}
            )
            sys.stderr.write(f"{head}: {results[head]}\n")
    text = report(results, facts, simulated)
    write_text(given.out, text)
    sys.stdout.write(text)


def measure(
    simulated: Simulation, head: str, members: int, width: float, training: dict[str, Any]
) -> dict[str, Any]:
    """Return what members with this head reach on the test split: the mean of the members alone, and all together."""
    start = time.perf_counter()
    ensemble = train(
        simulated.examples,
        members=members,
        head=head,
        options={"width": width},
        training=training,
        progress=False,
    )
    seconds = time.perf_counter() - start
    rows = simulated.examples.subset("test")
    said = ensemble.predict_members(rows.codes)
    alone = [score(said.member(index), simulated) for index in range(members)]
    found: dict[str, Any] = {
        "members": members,
        "seconds": round(seconds, 1),
        "epochs": [len(m.history) for m in ensemble.members],
    }
    found["one"] = {name: np.mean([one[name] for one in alone], axis=0).round(4).tolist() for name in COLUMNS}
    found["all"] = {
        name: values.round(4).tolist() for name, values in score(said.combine(), simulated).items()
    }
    return found


def score(said: Prediction, simulated: Simulation) -> dict[str, np.ndarray]:
    """Return every column, one value a target."""
    test = simulated.examples.splits == "test"
    rows = without_offsets(simulated.examples).subset("test")
    true_std, true_activity = simulated.truth.noise_std[test], simulated.truth.activity[test]
    std, measured, count = said.aleatoric_std, rows.replicate_std, rows.n_replicates
    assert std is not None
    assert measured is not None
    assert count is not None
    return {
        "r_true": metrics["pearson"](std, true_std),
        "ratio": noise_ratio(std, true_std, count),
        "nll_excess": noise_nll(std, measured, count) - noise_nll(true_std, measured, count),
        "r_measured": metrics["pearson"](std, measured),
        "ceiling": std_ceiling(measured, count),
        "activity_true": metrics["pearson"](said.mean, true_activity),
    }


def report(results: dict[str, Any], facts: dict[str, Any], simulated: Simulation) -> str:
    """Return the table with machine, date and what was simulated."""
    sizes = {str(s): int((simulated.examples.splits == s).sum()) for s in ("train", "valid", "test")}
    lines = [["head", "networks", *COLUMNS.values(), "seconds"]]
    for head, found in results.items():
        for key, count in (("one", "one of them (mean)"), ("all", str(found["members"]))):
            if key == "one" and found["members"] == 1:
                continue
            values = [" / ".join(f"{v:.3f}" for v in found[key][name]) for name in COLUMNS]
            lines.append([head, count, *values, f"{found['seconds']:.0f}" if key == "all" else ""])
    return (
        f"# Noise of one measurement against its truth\n\n{describe()}; other work ran on the machine.\n\n"
        f"{facts['rows']:,} simulated sequences of {facts['length']} bp ({sizes['train']:,} train, {sizes['test']:,} test), "
        f"{facts['replicates']} replicates, two targets; DeepSTARR of width {facts['width']:g}, "
        f"defaults otherwise{' but ' + ', '.join(facts['set']) if facts['set'] else ''}. Each cell: target A / B.\n\n"
        f"{markdown_table(lines)}\n"
        "`nats above the truth`: negative log-likelihood of the replicates around their mean per degree of freedom, less that "
        "of the true std: 0 is perfect. `true / predicted`: 1 is the right size; a std learnt from sample stds of three "
        "replicates (`paper_aleatoric`) is too small by 0.886 on average. `its ceiling`: the correlation with replicate stds "
        "that the true std itself would be expected to reach.\n"
    )


if __name__ == "__main__":
    main()
