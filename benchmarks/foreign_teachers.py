"""Students of teachers that never saw a shifted sequence, with and without shifts of their own batches.

    python benchmarks/foreign_teachers.py --data ../shared/data --out benchmarks/results/foreign_teachers.md

Teachers are members trained without shifts, as networks from elsewhere may be. Their students learn from what the networks say of
altered copies, or from a table of what they said of the data's rows alone; each with the default shift of every batch and without.
Judged on test rows: the student's mean against the teachers' mean and against the measurement, its epistemic std against theirs.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from machine import describe
from members import experiment

import octodon
from octodon.atomic import write_text
from octodon.data.examples import Examples
from octodon.data.subsample import subsample
from octodon.ensemble.ensemble import Ensemble
from octodon.experiment.prepare import prepare
from octodon.metrics.pearson import pearson
from octodon.metrics.summary import markdown_table
from octodon.records import MemberPredictions

SETS: dict[str, dict[str, float]] = {
    "simulated": {"fraction": 0.6, "width": 0.4},
    "promoters": {"fraction": 0.3, "width": 1.0},
}
"""Name in members.py: share of the training rows, width of the DeepSTARR backbone."""
SHIFT: tuple[dict[str, Any], ...] = ({"name": "shift"},)
WAYS: dict[str, tuple[dict[str, Any], ...]] = {"without": (), "shifted (default)": SHIFT}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder of the tables")
    parser.add_argument("--out", type=Path, required=True, help="Markdown table to write")
    parser.add_argument("--sets", default=",".join(SETS), help="names, comma between")
    parser.add_argument("--members", type=int, default=4)
    given = parser.parse_args()
    names = ["mean against teachers'", "activity", "activity of the teachers", "epistemic std"]
    lines = [["data", "students learn from", "batches", *names, "seconds"]]
    with tempfile.TemporaryDirectory() as folder:
        for name in given.sets.split(","):
            how = SETS[name]
            examples = prepare(experiment(name, given.data, Path(folder)))
            examples = subsample(examples, fraction=how["fraction"], seed=0)
            for teachers_are in ("networks", "a table"):
                for way, augment in WAYS.items():
                    options = {"width": how["width"]}
                    teachers = train(examples, options, given.members)
                    lines.append([name, teachers_are, way, *row(teachers, examples, teachers_are, augment)])
                    write_text(given.out, report(lines))
    sys.stdout.write(given.out.read_text())


_KNOWN: dict[int, Ensemble] = {}


def train(examples: Examples, options: dict[str, float], members: int) -> Ensemble:
    """Return members that saw no shift; trained once a set."""
    if id(examples) not in _KNOWN:
        _KNOWN[id(examples)] = octodon.train(
            examples,
            members=members,
            options=options,
            head="mean",
            training={"augment": ()},
            progress=False,
        )
    return _KNOWN[id(examples)]


def row(
    teachers: Ensemble, examples: Examples, teachers_are: str, augment: tuple[dict[str, Any], ...]
) -> list[str]:
    """Return how a student of the teachers does on the test rows, targets separated by a slash."""
    start = time.perf_counter()
    source: Ensemble | MemberPredictions = teachers
    if teachers_are == "a table":
        source = teachers.predict_members(examples.codes, [str(name) for name in examples.ids])
    student = octodon.distill(
        source, examples, training={"augment": augment}, options=teachers.model.options, progress=False
    )
    seconds = time.perf_counter() - start
    assert isinstance(student, octodon.Student)
    test = examples.subset("test")
    together = teachers.predict_members(test.codes).mean
    said = student.predict(test.codes, calibrated=False)
    assert said.epistemic_std is not None
    pairs = [
        (said.mean, together.mean(0)),
        (said.mean, test.targets),
        (together.mean(0), test.targets),
        (said.epistemic_std, together.std(0)),
    ]
    scores = [" / ".join(f"{value:.3f}" for value in pearson(*map(np.asarray, pair))) for pair in pairs]
    return [*scores, f"{seconds:.0f}"]


def report(lines: list[list[str]]) -> str:
    """Return the table."""
    return "\n".join(
        ["# Students of teachers that saw no shifts", "", f"{describe()}.", "", markdown_table(lines)]
    )


if __name__ == "__main__":
    main()
