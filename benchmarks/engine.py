"""How fast octodon trains and predicts on this machine's processor, ways side by side, beside Keras and the machine's own ceiling.

    python benchmarks/engine.py --keras-python .venv-keras/bin/python      # everything but accuracy: under 12 minutes on 2 cores
    python benchmarks/engine.py --sections training,prediction            # only these; the others keep their last results
    python benchmarks/engine.py --sections accuracy --data TABLE.tsv.gz    # float32 and bfloat16 on the promoter set: 10 minutes

DeepSTARR with two targets, 249 bp, batch 128, simulated sequences. Every cell runs in a fresh process, warms up, then is timed for
``--seconds``; memory is the peak of the process tree's proportional set size (shared pages counted once). Results of all sections
are kept in ``benchmarks/results/engine.json``, each with its date and the load of the machine before it; the table is made from
them. Timings need a quiet machine: other work makes every number too small, and those with several threads most of all.

Keras has an environment of its own, see ``keras_reference.py``; without ``--keras-python`` its cells keep their last results.

Sections: ceiling (matrix products), keras, training, prediction, stacked (members as one computation), compiled (torch.compile),
members, sequences, length (growth), memory (octodon run on a table of DeepSTARR's size, stopped after a few steps), accuracy.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
from engine_parts.memory import run_on_a_large_table
from engine_parts.precision import accuracy_of_precisions
from engine_parts.report import report
from engine_parts.watched import watched
from machine import describe

from octodon.atomic import write_json, write_text
from octodon.ensemble.workers import cpu_count

Row = dict[str, Any]
PARTS = Path(__file__).resolve().parent / "engine_parts"
MEMBERS = (1, 2, 5, 10, 20)
SEQUENCES = (10_000, 100_000, 400_000)
LENGTHS_BP = (150, 249, 250, 1000)
CELL_LIMIT_S = 120


class Bench:
    """Runs cells, each in a process of its own."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self.arguments = arguments
        self.cores = cpu_count()

    def cell(self, name: str, what: str, **spec: Any) -> Row:
        """Return one row: its name, what was measured, and the peak memory; or why it could not be."""
        spec = self._spec(what, spec)
        command = [sys.executable, str(PARTS / "cells.py"), json.dumps(spec)]
        return self._row(name, spec, command)

    def keras(self, name: str, what: str, **spec: Any) -> Row:
        """Return the same of a cell that runs in Keras' environment."""
        spec = self._spec(what, spec)
        command = [str(self.arguments.keras_python), str(PARTS / "keras_rates.py"), json.dumps(spec)]
        return self._row(name, spec, command)

    def _spec(self, what: str, given: Row) -> Row:
        spec = {"length": 249, "batch": 128, "seconds": self.arguments.seconds, "what": what} | given
        if not self.arguments.small:
            return spec
        small = {"rows": 300, "members": 2, "threads": 1, "steps": 2, "batch": 16}
        return spec | {"seconds": 0.0} | {key: small[key] for key in small.keys() & spec.keys()}

    def _row(self, name: str, spec: Row, command: list[str]) -> Row:
        row = {"name": name, "spec": spec} | watched(command, self.environment(), CELL_LIMIT_S)
        measured = {key: value for key, value in row.items() if key not in ("name", "spec")}
        print(f"  {name}: {measured}", file=sys.stderr, flush=True)
        return row

    def environment(self) -> dict[str, str]:
        """Return the environment of a cell: threads are what the cell says, packages those of this process."""
        kept = {k: v for k, v in os.environ.items() if k not in ("OMP_NUM_THREADS", "MKL_NUM_THREADS")}
        return kept | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}

    # ------------------------------------------------------------------------------------------------ sections

    def ceiling(self) -> list[Row]:
        """Matrix products alone."""
        return [self.cell("matrix products, every core", "ceiling", threads=self.cores)]

    def keras_section(self) -> list[Row]:
        """Measure the reference's way, at every length."""
        rows = []
        for length in LENGTHS_BP:
            rows.append(self.keras(f"training {length} bp", "train", length=length))
            rows.append(self.keras(f"student {length} bp", "student", length=length))
        rows.append(self.keras("student 249 bp", "student", batch=512))
        rows += [self.keras("ensemble 249 bp", "ensemble", members=10, batch=b) for b in (128, 512)]
        return rows

    def training(self) -> list[Row]:
        """Two threads of one process against one process a core, plain against lowered, float32 against bfloat16."""
        cores, rows = self.cores, []
        for name, network, precision in (
            ("plain Conv1d, float32", "plain", "float32"),
            ("plain Conv1d, bfloat16", "plain", "bfloat16"),
            ("octodon's layers, float32", "octodon", "float32"),
            ("octodon's layers, bfloat16", "octodon", "bfloat16"),
        ):
            how = {"network": network, "precision": precision, "rows": 20_000}
            together = {"processes": 0, "threads": cores, "members": 1}
            each = {"processes": cores, "threads": 1, "members": cores}
            rows.append(self.cell(f"{name}, one process, every core", "train", **how, **together))
            rows.append(self.cell(f"{name}, a process per core", "train", **how, **each))
        chosen = {"processes": cores, "precision": "auto", "members": 10, "rows": 20_000}
        rows.append(self.cell("as octodon chooses (auto), 10 members", "train", **chosen))
        return rows

    def prediction(self) -> list[Row]:
        """Ways to answer, from the plainest to octodon's, and those that octodon leaves out."""
        cores = self.cores
        all_threads = {"threads": cores, "rows": 4096}
        each = {"cores": cores, "batch": 64, "rows": 8192}
        half = {"precision": "bfloat16"}
        plain = {"network": "plain"}
        rows = [
            self.cell(
                "plain Conv1d, float32, every thread", "predict", way="as trained", **plain, **all_threads
            ),
            self.cell(
                "the same, batch 512", "predict", way="as trained", **plain, **(all_threads | {"batch": 512})
            ),
            self.cell("octodon's layers, float32, every thread", "predict", way="as trained", **all_threads),
            self.cell(
                "octodon's layers, float32, a batch of 64 per core", "predict", way="as trained", **each
            ),
            self.cell("the same, bfloat16", "predict", way="as trained", **each, **half),
            self.cell("BatchNorm folded, pooled first, float32", "predict", way="folded", **each),
            self.cell("the same, bfloat16", "predict", way="folded", **each, **half),
            self.cell("int8 (PyTorch's quantiser)", "predict", way="int8", **each, **plain),
            self.cell("look-up table for the first two layers, float32", "predict", way="table", **each),
            self.cell("the same, the rest in bfloat16", "predict", way="table", **each, **half),
            self.cell("student, as octodon answers", "student", rows=40_000, threads=cores),
        ]
        ten = {"members": 10, "rows": 8192}
        rows.append(
            self.cell("10 members, as octodon answers", "ensemble", processes=0, threads=cores, **ten)
        )
        rows.append(self.cell("10 members, worker processes", "ensemble", processes=cores, **ten))
        return rows

    def stacked(self) -> list[Row]:
        """Members as one computation."""
        how = {"members": 4, "threads": self.cores}
        return [self.cell(f"stack of 4, {p}", "stacked", precision=p, **how) for p in ("float32", "bfloat16")]

    def compiled(self) -> list[Row]:
        """Through torch.compile, which takes its time before the clock starts."""
        train = {"network": "compiled", "rows": 20_000, "processes": 0, "members": 1, "threads": 1}
        each = {"way": "compiled", "cores": self.cores, "batch": 64, "rows": 8192}
        return [
            self.cell(
                "training, bfloat16, one thread, torch.compile", "train", precision="bfloat16", **train
            ),
            self.cell(
                "training, bfloat16, one thread, not compiled",
                "train",
                precision="bfloat16",
                **(train | {"network": "octodon"}),
            ),
            self.cell("prediction, folded, float32, torch.compile", "predict", **each),
            self.cell("prediction, folded, bfloat16, torch.compile", "predict", precision="bfloat16", **each),
        ]

    def members(self) -> list[Row]:
        """Growth with members."""
        rows = []
        for count in MEMBERS:
            how = {"processes": self.cores, "precision": "auto", "rows": 20_000, "steps": 24}
            rows.append(self.cell(f"train {count}", "train", members=count, **how))
            rows.append(
                self.cell(
                    f"predict {count}",
                    "ensemble",
                    members=count,
                    processes=0,
                    threads=self.cores,
                    rows=8192,
                    seconds=0,
                )
            )
        return rows

    def sequences(self) -> list[Row]:
        """Growth with sequences."""
        rows = []
        for count in SEQUENCES:
            how = {"processes": self.cores, "precision": "auto", "members": self.cores}
            rows.append(self.cell(f"train {count}", "train", rows=count, **how))
            rows.append(self.cell(f"predict {count}", "student", rows=count, threads=self.cores, seconds=0))
        return rows

    def length(self) -> list[Row]:
        """Growth with length."""
        rows = []
        for length in LENGTHS_BP:
            how = {"processes": self.cores, "precision": "auto", "members": self.cores, "rows": 10_000}
            rows.append(self.cell(f"train {length}", "train", length=length, **how))
            rows.append(
                self.cell(f"predict {length}", "student", length=length, rows=20_000, threads=self.cores)
            )
        return rows

    def memory(self) -> list[Row]:
        """Watch the memory of a whole run."""
        return [run_on_a_large_table(self.environment(), shrink=200 if self.arguments.small else 1)]

    def accuracy(self) -> list[Row]:
        """float32 against bfloat16 on measured data."""
        return accuracy_of_precisions(
            self.arguments.data, self.arguments.accuracy_members, self.environment()
        )


SECTIONS: dict[str, Callable[[Bench], list[Row]]] = {
    "ceiling": Bench.ceiling,
    "keras": Bench.keras_section,
    "training": Bench.training,
    "prediction": Bench.prediction,
    "stacked": Bench.stacked,
    "compiled": Bench.compiled,
    "members": Bench.members,
    "sequences": Bench.sequences,
    "length": Bench.length,
    "memory": Bench.memory,
    "accuracy": Bench.accuracy,
}
DEFAULT = [name for name in SECTIONS if name != "accuracy"]


def main() -> None:
    arguments = parse_arguments()
    path = arguments.out.with_suffix(".json")
    path.parent.mkdir(parents=True, exist_ok=True)
    found = json.loads(path.read_text()) if path.is_file() else {"sections": {}}
    bench = Bench(arguments)
    for name in arguments.sections:
        print(name, file=sys.stderr, flush=True)
        start, load = time.perf_counter(), psutil.getloadavg()[0]
        rows = SECTIONS[name](bench)
        found["machine"], found["cores"] = describe(), bench.cores
        found["sections"][name] = {
            "when": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
            "load_before": round(load, 2),
            "seconds": round(time.perf_counter() - start, 1),
            "rows": rows,
        }
        write_json(path, found)
        write_text(arguments.out.with_suffix(".md"), report(found))
    sys.stdout.write(report(found))


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--sections", default=",".join(DEFAULT), help="comma-separated; default all but accuracy"
    )
    parser.add_argument("--keras-python", type=Path, help="Python of an environment with TensorFlow")
    parser.add_argument("--seconds", type=float, default=3.0, help="about as long is each cell timed")
    parser.add_argument(
        "--out", type=Path, default=Path("benchmarks/results/engine"), help="without .md and .json"
    )
    parser.add_argument(
        "--small", action="store_true", help="a minute's worth of nothing, to see that it runs"
    )
    parser.add_argument(
        "--data", type=Path, help="accuracy: the promoter table, by default that of the experiment"
    )
    parser.add_argument("--accuracy-members", type=int, default=3)
    arguments = parser.parse_args()
    arguments.sections = arguments.sections.split(",")
    unknown = [name for name in arguments.sections if name not in SECTIONS]
    if unknown:
        parser.error(f"--sections: no {unknown[0]!r}; known: {', '.join(SECTIONS)}")
    if "keras" in arguments.sections and arguments.keras_python is None:
        print("keras: left out, no --keras-python", file=sys.stderr)
        arguments.sections.remove("keras")
    return arguments


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as cache:
        os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", cache)  # what was compiled last time must not help
        main()
