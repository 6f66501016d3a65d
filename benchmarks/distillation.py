"""What a student keeps of its ensemble against what it costs: one row a way to distil.

    python benchmarks/distillation.py experiments/promoter_mpra.toml --ensemble run/ensemble \
        --out benchmarks/results/distillation_promoter.md
    python benchmarks/distillation.py ... --ways "paper;default" --students 1

Ways are the ``WAYS`` below: sections that are merged over the preset's [distill]. Choose between them by the columns of the
validation split; the test split is there to be reported once. Cost is in members: seconds of labelling and of training
over the mean seconds that a member's training takes at the student's speed (its epochs x training rows). Labels that two
ways share are computed once and charged to both. Finished ways are kept in the JSON and not run again. The figure beside the table
is the curve of quality against cost.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from machine import describe
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from scores import scores

from octodon.artifact.bundle import load
from octodon.atomic import write_json, write_text
from octodon.data.examples import Examples
from octodon.distillation.cached import CachedTeachers
from octodon.distillation.config import DISTILL_PRESETS, DistillConfig
from octodon.distillation.distill import distil_students
from octodon.ensemble.ensemble import Ensemble
from octodon.ensemble.execution import Execution, executing
from octodon.experiment.config import load_config
from octodon.experiment.prepare import prepare
from octodon.metrics.summary import markdown_table
from octodon.report.style import BLACK, BLUE, ORANGE, panels, save_figure, styled
from octodon.settings import checked, merge, preset_of

EVOAUG = {"copies": 0, "training": {"epochs": 40, "augment": [{"name": "evoaug"}], "augment_until": 0.8}}
ADAM = {"training": {"optimiser": "adam", "learning_rate": 3e-3}}
WAYS: dict[str, dict[str, Any]] = {
    "default": {},
    "6 copies, 3 epochs": {"copies": 6, "training": {"epochs": 3}},
    "12 copies, 3 epochs": {"copies": 12, "training": {"epochs": 3}},
    "16 copies, 4 epochs": {"copies": 16, "training": {"epochs": 4}},
    "48 copies, 3 epochs": {"copies": 48, "training": {"epochs": 3}},
    "24 copies once": {"training": {"epochs": 1}},
    "24 copies twice": {"training": {"epochs": 2}},
    "24 copies, 4 epochs": {"training": {"epochs": 4}},
    "12 copies, 4 epochs": {"copies": 12, "training": {"epochs": 4}},
    "48 copies once": {"copies": 48, "training": {"epochs": 1}},
    "default, unshifted": {"training": {"augment": []}},
    "24 copies twice, unshifted": {"training": {"epochs": 2, "augment": []}},
    "default, shifted by 2": {"training": {"augment": [{"name": "shift", "most_bp": 2}]}},
    "default, training rows too": {"labels": "in_sample"},
    "default, by Adam": ADAM,
    "48 copies once, by Adam, training rows too": merge(ADAM, {"labels": "in_sample", "copies": 48}),
    "paper": {"preset": "paper"},
    "EvoAug afresh (replace)": merge(EVOAUG, {"dynamic": "replace"}),
    "EvoAug afresh (append)": merge(EVOAUG, {"dynamic": "append"}),
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("experiment", type=Path)
    parser.add_argument("--ensemble", type=Path, required=True, help="bundle of the teachers")
    parser.add_argument("--out", type=Path, required=True, help="Markdown table to write, and JSON beside it")
    parser.add_argument("--ways", default=";".join(WAYS), help="names, semicolon between")
    parser.add_argument("--students", type=int, default=1)
    parser.add_argument("--set", action="append", default=[], help="of the experiment, e.g. data.path=...")
    arguments = parser.parse_args()
    config = load_config(arguments.experiment, arguments.set)
    examples, teachers = prepare(config), load(arguments.ensemble)
    assert isinstance(teachers, Ensemble)
    wanted = [name.strip() for name in arguments.ways.split(";")]
    results = _known(arguments.out)
    with tempfile.TemporaryDirectory() as folder, executing(progress=False) as execution:
        for name in wanted:
            if name not in results:
                given = merge(WAYS[name], {"students": arguments.students})
                results[name] = measure(
                    given, teachers, examples, Path(folder), execution, arguments.ensemble
                )
                write_json(arguments.out.with_suffix(".json"), {"machine": describe(), "ways": results})
                text = report(arguments.experiment, results)
                write_text(arguments.out, text)
                cost_figure(results, arguments.out.with_suffix(".svg"))
                sys.stdout.write(text + "\n")


def measure(
    way: dict[str, Any],
    teachers: Ensemble,
    examples: Examples,
    folder: Path,
    execution: Execution,
    bundle: Path,
) -> dict[str, float]:
    """Return quality and cost of one way to distil."""
    preset = preset_of(way.get("preset", "default"), DISTILL_PRESETS, "benchmark")
    given = merge(preset, {key: value for key, value in way.items() if key != "preset"})
    config = checked(DistillConfig, given, "benchmark")
    asked = CachedTeachers(teachers=teachers, folder=folder / "answers")
    start = time.perf_counter()
    students = distil_students(
        asked,
        examples,
        teachers.model,
        config,
        seed=0,
        folder=folder / str(len(list(folder.iterdir()))),
        execution=execution,
    )
    seconds = time.perf_counter() - start
    training = np.mean([sum(record["seconds"] for record in s.fitted.history) for s in students])
    n_train = len(examples.subset("train"))
    n_labelled = n_train * (config.copies_of(n_train) + (config.labels_of(n_train) != "augmented"))
    epochs = np.mean([len(s.fitted.history) for s in students])
    per_second = _labelled_per_second(teachers, examples, execution)
    member_seconds = _member_epochs(bundle) * n_train / (n_labelled * epochs / training)
    row = {
        "seconds": seconds,
        "labelled": n_labelled,
        "passes": n_labelled * epochs,
        "members": (n_labelled / per_second + training) / member_seconds,
    }
    return row | scores(teachers, students, examples, execution)


def cost_figure(results: dict[str, dict[str, float]], out: Path) -> None:
    """Draw quality against cost, a column a target: activity above (with the ensemble's own), epistemic std below."""
    ways = sorted(results.items(), key=lambda item: item[1]["members"])
    first = ways[0][1]
    start = "test student activity "
    targets = [name.removeprefix(start) for name in first if name.startswith(start)]
    rows = (("activity", "r with the measurement"), ("epistemic", "r with the ensemble's std"))
    with styled():
        figure, grid = panels(2, len(targets), size=(4.2, 3.0))
        for axes_of_row, (quantity, label) in zip(grid, rows, strict=True):
            for axes, target in zip(axes_of_row, targets, strict=True):
                axes.set_title(f"{target}: {quantity}")
                axes.set_ylabel(label)
                axes.set_xlabel("cost of a student, in members trained")
                _points(axes, [row for _, row in ways], f"student {quantity} {target}")
                if (ensemble := first.get(f"test ensemble {quantity} {target}")) is not None:
                    axes.axhline(ensemble, color=BLACK, linestyle="--", linewidth=1, label="ensemble, test")
        handles, labels = grid[0][0].get_legend_handles_labels()
        numbers = [f"{number}  {name}" for number, (name, _) in enumerate(ways, start=1)]
        empty = [Line2D([], [], linestyle="none") for _ in numbers]
        figure.legend([*handles, *empty], [*labels, *numbers], loc="outside lower center", ncols=2)
        save_figure(figure, out)


def _points(axes: Axes, ways: list[dict[str, float]], column: str) -> None:
    cost = [row["members"] for row in ways]
    for split, colour, marker in (("test", BLUE, "^"), ("valid", ORANGE, "o")):
        words = "student, test" if split == "test" else "student, validation (decides)"
        values = [row[f"{split} {column}"] for row in ways]
        axes.plot(cost, values, color=colour, marker=marker, linewidth=0.8, label=words)
    for number, row in enumerate(ways, start=1):
        place = (row["members"], row[f"test {column}"])
        axes.annotate(str(number), place, xytext=(0, -12), textcoords="offset points", ha="center")
    axes.margins(0.08, 0.2)


def _labelled_per_second(teachers: Ensemble, examples: Examples, execution: Execution) -> float:
    codes = examples.subset("train").codes[:2000]
    start = time.perf_counter()
    teachers.predict_members(codes, execution=execution)
    return len(codes) / (time.perf_counter() - start)


def _member_epochs(bundle: Path) -> float:
    history = pd.read_parquet(bundle / "history.parquet")
    return len(history) / len(set(history["index"]))


def _known(out: Path) -> dict[str, Any]:
    path = out.with_suffix(".json")
    return json.loads(path.read_text())["ways"] if path.is_file() else {}


def report(experiment: Path, results: dict[str, dict[str, float]]) -> str:
    """Return the table, cheapest way first, with the ensemble as the first row."""
    first = next(iter(results.values()))
    columns = [name for name in first if " student " in name]
    heads = [name.replace(" student", "") for name in columns]
    lines = [["", "labelled", "passes", "cost, members", *heads]]
    ensemble = [first.get(name.replace("student", "ensemble")) for name in columns]
    lines.append(["ensemble", "", "", "", *["" if v is None else f"{v:.3f}" for v in ensemble]])
    for name, row in sorted(results.items(), key=lambda item: item[1]["members"]):
        numbers = [f"{row['labelled']:,.0f}", f"{row['passes']:,.0f}", f"{row['members']:.1f}"]
        lines.append([name, *numbers, *[f"{row[column]:.3f}" for column in columns]])
    return "\n".join(
        [
            f"# Distillation: quality against cost ({experiment.stem})",
            "",
            f"Pearson: activity against what was measured, epistemic std against that of the ensemble. {describe()}.",
            "",
            markdown_table(lines),
        ]
    )


if __name__ == "__main__":
    main()
