"""The attribution study on a finished run, or on a simulation whose planted motifs are the truth.

    python benchmarks/attribution.py --run RUN --out benchmarks/results/attribution_promoter
    python benchmarks/attribution.py --simulate 20000 --work FOLDER --out benchmarks/results/attribution_simulated

The simulation trains members and students (DeepSTARR at half width, 120 bp) in FOLDER, and goes on where it was stopped.
Beside the methods' tables, the time that the maps took.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

import pandas as pd
from machine import describe

from octodon.experiment.attribution_study import MOST_SEQUENCES, study_run, write_study
from octodon.experiment.config import load_config
from octodon.experiment.run import run_experiment
from octodon.experiment.simulated import write_simulation

LENGTH = 120
SIMULATED = """\
[data]
path = "simulated.parquet"
id = "id"
targets = {{ A = ["A_rep1", "A_rep2", "A_rep3"], B = ["B_rep1", "B_rep2", "B_rep3"] }}
units = "log2(RNA/DNA)"
split = "split"
[model]
backbone = "deepstarr"
options = {{ width = 0.5 }}
[ensemble]
members = {members}
[distill]
students = {students}
"""
COLUMNS = [
    "individual_mean",
    "student_mean",
    "student_over_individual",
    "student_is_better",
    "wilcoxon_p",
    "models_t_p",
]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--run", type=Path, help="a finished run")
    parser.add_argument("--truth", type=Path, help="of a simulated run")
    parser.add_argument("--simulate", type=int, metavar="ROWS", help="simulate and train first")
    parser.add_argument(
        "--work", type=Path, default=Path("attribution-work"), help="folder of the simulation"
    )
    parser.add_argument("--members", type=int, default=10, help="of the simulation")
    parser.add_argument("--students", type=int, default=5, help="of the simulation")
    parser.add_argument("--methods", nargs="+", default=["deep_lift_shap", "saliency"])
    parser.add_argument("--sequences", type=int, default=MOST_SEQUENCES)
    parser.add_argument("--background", type=int, default=20)
    parser.add_argument("--out", type=Path, help="where to write .md and .json")
    arguments = parser.parse_args()
    run, truth = arguments.run, arguments.truth
    if arguments.simulate:
        run, truth = simulated_run(arguments)
    if run is None:
        parser.error("give --run or --simulate")
    tables, seconds, notes = {}, {}, {}
    for method in arguments.methods:
        start = time.perf_counter()
        found = study_run(
            run, method=method, sequences=arguments.sequences, background=arguments.background, truth=truth
        )
        seconds[method], tables[method], notes[method] = time.perf_counter() - start, found.table, found.notes
        if method == arguments.methods[0]:
            write_study(found, run)
    text = report(tables, seconds, notes, arguments)
    sys.stdout.write(text)
    if arguments.out:
        arguments.out.with_suffix(".md").write_text(text)
        content: dict[str, Any] = {
            "machine": describe(),
            "seconds": seconds,
            "tables": {
                method: json.loads(table.to_json(orient="records")) for method, table in tables.items()
            },
        }
        arguments.out.with_suffix(".json").write_text(json.dumps(content, indent=2) + "\n")


def simulated_run(arguments: argparse.Namespace) -> tuple[Path, Path]:
    """Return the folder of a run on a simulation, and the truth."""
    work = arguments.work
    table = work / "simulated.parquet"
    truth = work / "simulated_truth.parquet"
    if not truth.is_file():
        work.mkdir(parents=True, exist_ok=True)
        truth = write_simulation(table, rows=arguments.simulate, length=LENGTH)
        toml = SIMULATED.format(members=arguments.members, students=arguments.students)
        (work / "experiment.toml").write_text(toml)
    run_experiment(load_config(work / "experiment.toml"), work / "run")
    return work / "run", truth


def report(
    tables: dict[str, pd.DataFrame],
    seconds: dict[str, float],
    notes: dict[str, tuple[str, ...]],
    arguments: argparse.Namespace,
) -> str:
    what = (
        f"simulation of {arguments.simulate:,} sequences" if arguments.simulate else str(arguments.run.name)
    )
    lines = [
        f"# Attribution study: {what}",
        "",
        f"{describe()}. `python benchmarks/attribution.py`; the test sequences of highest measured activity (at most "
        f"{arguments.sequences:,}), {arguments.background} dinucleotide shuffles each. Likeness to the ensemble's average map, with and "
        "without leaving out the member (leave-one-out); rmse: less is better, and it shrinks with the maps; cosine and pearson: "
        "more is better, whatever the scale. P-values: Wilcoxon over sequences; Welch's t over models where there are several "
        "students.",
        "",
    ]
    for method, table in tables.items():
        lines += [
            f"## {method} ({seconds[method]:.0f} s)",
            "",
            *(f"Note: {note}" for note in notes[method]),
            "",
        ]
        names = ["target", "measure", "reference", *COLUMNS]
        if "ensemble_mean" in table:
            names.append("ensemble_mean")
        lines += [f"| {' | '.join(names)} |", f"|{'---|' * len(names)}"]
        for row in table[names].itertuples(index=False):
            cells = [f"{value:.4g}" if isinstance(value, float) else str(value) for value in row]
            lines.append(f"| {' | '.join(cells)} |")
        lines.append("")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
