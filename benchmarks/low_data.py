"""Epistemic uncertainty from few data, by who labels the training sequences and whether altered copies are labelled, too.

    python benchmarks/low_data.py experiments/promoter_mpra.toml --out benchmarks/results/low_data_promoter.md
    python benchmarks/low_data.py ... --fractions 0.1 --members 4 --folds 2 --set ensemble.training.epochs=5

For every share of the training rows two ensembles are trained, one on all of them and one whose members each leave out a fold,
and students of each. "Published" is the published student: labels of the training rows alone, by members fitted to them.
Finished ways are kept in the JSON beside OUT and not run again; give other members, folds or experiments another OUT.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import tempfile
from pathlib import Path
from typing import Any

from machine import describe
from scores import scores

from octodon.atomic import write_json, write_text
from octodon.distillation.config import DISTILL_PRESETS, PASSES, DistillConfig
from octodon.distillation.distill import distil_students
from octodon.ensemble.execution import Execution, executing
from octodon.ensemble.train import train_ensemble
from octodon.experiment.config import ExperimentConfig, load_config
from octodon.experiment.prepare import prepare
from octodon.metrics.summary import markdown_table
from octodon.settings import checked, merge

POOL = "--pool"
"""Stands for the file that is given on the command line."""
_PUBLISHED = DISTILL_PRESETS["paper"]
_EVOAUG: dict[str, Any] = {
    "copies": 0,
    "training": {"epochs": PASSES, "augment": [{"name": "evoaug"}], "augment_until": 0.8},
}
WAYS: dict[str, tuple[bool, dict[str, Any]]] = {
    "published (in sample)": (False, _PUBLISHED),
    "in sample by default training": (False, {"copies": 0, "labels": "in_sample"}),
    "copies alone (default)": (False, {}),
    "in sample + copies": (False, {"labels": "in_sample"}),
    "out of fold": (True, _PUBLISHED | {"labels": "out_of_fold"}),
    "out of fold + copies": (True, {"labels": "out_of_fold"}),
    "EvoAug afresh (replace)": (False, _EVOAUG | {"dynamic": "replace"}),
    "EvoAug afresh (append)": (False, _EVOAUG | {"dynamic": "append"}),
    "copies + unlabelled pool": (False, {"pool": POOL, "pool_lengths": "crop"}),
}
"""Name: whether the teachers left out folds, and what is merged over [distill]."""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("experiment", type=Path)
    parser.add_argument("--out", type=Path, required=True, help="Markdown table to write, and JSON beside it")
    parser.add_argument("--fractions", default="0.1,0.25,1.0")
    parser.add_argument("--members", type=int, default=10)
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--ways", default=",".join(WAYS), help="names, comma between")
    parser.add_argument(
        "--pool", type=Path, help="FASTA of unlabelled sequences; without it that way is left out"
    )
    parser.add_argument("--set", action="append", default=[], help="of the experiment, e.g. data.path=...")
    arguments = parser.parse_args()
    ways = [name.strip() for name in arguments.ways.split(",")]
    if arguments.pool is None:
        ways = [name for name in ways if WAYS[name][1].get("pool") != POOL]
    results = _known(arguments.out)
    with executing() as execution:
        for fraction in map(float, arguments.fractions.split(",")):
            members = [f"ensemble.members={arguments.members}", f"train_fraction={fraction}"]
            config = load_config(arguments.experiment, [*arguments.set, *members])
            missing = [name for name in ways if (fraction, name) not in _done(results)]
            for folds in sorted({arguments.folds if WAYS[name][0] else 1 for name in missing}):
                these = [name for name in missing if WAYS[name][0] == (folds > 1)]
                results += measure(config, folds, these, execution, arguments.pool)
                content = {"machine": describe(), "rows": results}
                write_json(arguments.out.with_suffix(".json"), content)
                write_text(arguments.out, report(arguments, results))
    sys.stdout.write(arguments.out.read_text())


def _known(out: Path) -> list[dict[str, Any]]:
    path = out.with_suffix(".json")
    return json.loads(path.read_text())["rows"] if path.is_file() else []


def _done(results: list[dict[str, Any]]) -> set[tuple[float, str]]:
    return {(row["fraction"], row["way"]) for row in results}


def measure(
    config: ExperimentConfig, folds: int, ways: list[str], execution: Execution, pool: Path | None
) -> list[dict[str, Any]]:
    """Train one ensemble, distil it in several ways, and return the test scores of each."""
    examples = prepare(config)
    model = config.member(examples)
    settings = config.ensemble.model_copy(update={"folds": folds})
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        teachers = train_ensemble(
            examples, model, settings, seed=config.seed, folder=folder / "ensemble", execution=execution
        )
        rows = []
        for number, name in enumerate(ways):
            changes = WAYS[name][1]
            if changes.get("pool") == POOL:
                changes = changes | {"pool": str(pool)}
            distill = merge(config.distill.model_dump(mode="json", exclude_none=True), changes)
            students = distil_students(
                teachers,
                examples,
                model,
                checked(DistillConfig, distill, "benchmark"),
                seed=config.seed,
                folder=folder / str(number),
                execution=execution,
            )
            row = {"fraction": config.train_fraction, "folds": folds, "way": name}
            found = scores(teachers, students, examples, execution)
            # a student that predicts one value has no correlation, and JSON no NaN
            rows.append(row | {key: None if math.isnan(value) else value for key, value in found.items()})
    return rows


def report(arguments: argparse.Namespace, results: list[dict[str, Any]]) -> str:
    """Return the table: test scores, by share of the training rows and way."""
    columns = [name for name in results[0] if name.startswith("test ")]
    lines = [["training rows", "labels", *[name.removeprefix("test ") for name in columns]]]
    for row in sorted(results, key=lambda row: row["fraction"]):
        lines.append(
            [
                f"{row['fraction']:.0%}",
                row["way"],
                *["undefined" if row[name] is None else f"{row[name]:.3f}" for name in columns],
            ]
        )
    return "\n".join(
        [
            f"# Few data: who labels, and what ({arguments.experiment.stem})",
            "",
            f"Test Pearson: activity against what was measured, epistemic std against that of the student's own ensemble "
            f"({arguments.members} members; out of fold: {arguments.folds} folds). {describe()}.",
            "",
            markdown_table(lines),
        ]
    )


if __name__ == "__main__":
    main()
