"""What a Ray cluster costs beside worker processes: starting it, a task, an ensemble of 1, 2 and 4 members, a file of sequences.

    python benchmarks/cluster.py --out benchmarks/results/cluster.md

Each row is measured on this machine in a fresh set of processes, and given twice: wall time, which other work on the machine
lengthens, and processor time of the whole process tree (Ray's own processes included), which it does not. The weights of both
ensembles and both outputs must be equal to the last bit; exit code 1 if not.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import psutil
import torch
from machine import describe
from stream import LENGTH, save_student, write_fasta

import octodon
from octodon.ensemble.config import EnsembleConfig
from octodon.ensemble.ensemble import Ensemble
from octodon.ensemble.execution import Execution, executing
from octodon.ensemble.network import read_fitted
from octodon.ensemble.train import train_ensemble
from octodon.metrics.summary import markdown_table
from octodon.models.model import ModelConfig
from octodon.predict.stream import predict_file
from octodon.training.config import TrainingConfig

CORES = 2


@dataclass(frozen=True, kw_only=True)
class Row:
    """What ``n`` of something took."""

    what: str
    executor: str
    n: int
    wall_s: float
    cpu_s: float


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--out", type=Path, required=True, help="Markdown table to write; JSON goes beside it"
    )
    parser.add_argument("--tasks", type=int, default=200)
    parser.add_argument("--rows", type=int, default=4000, help="training sequences")
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--sequences", type=int, default=400_000, help="to predict")
    arguments = parser.parse_args()
    rows, equal = [], True
    with tempfile.TemporaryDirectory(prefix="octodon-cluster-") as temporary:
        folder = Path(temporary)
        save_student(folder / "student")
        write_fasta(folder / "in.fa", arguments.sequences)
        for executor in ("local", "ray"):
            with measured(rows, "start and end", executor, 1), open_executor(executor):
                pass
            with open_executor(executor) as execution:
                execution.workers.run(nothing, range(2))  # processes begin with their first job
                with measured(rows, "task that does nothing", executor, arguments.tasks):
                    execution.workers.run(nothing, range(arguments.tasks))
                for members in (1, 2, 4):
                    with measured(rows, f"{members} members", executor, members):
                        train(
                            folder / f"{executor}_{members}",
                            arguments.rows,
                            arguments.epochs,
                            members,
                            execution,
                        )
                with measured(rows, "predict", executor, arguments.sequences):
                    predict(folder, executor, execution)
        equal &= (folder / "local.tsv").read_bytes() == (folder / "ray.tsv").read_bytes()
        for members in (1, 2, 4):
            a, b = (
                torch.cat([w.flatten() for w in load(folder / f"{executor}_{members}", members)])
                for executor in ("local", "ray")
            )
            equal &= torch.equal(a, b)
    write(arguments.out, rows, equal)
    sys.exit(0 if equal else 1)


@contextmanager
def open_executor(executor: str) -> Iterator[Execution]:
    """Give processes on two cores: of this machine, or of a cluster of it."""
    with executing(executor=executor, processes=CORES, device="cpu", progress=False) as execution:
        yield execution


@contextmanager
def measured(rows: list[Row], what: str, executor: str, n: int) -> Iterator[None]:
    """Append what the block took, in this process and all that it started."""
    wall, cpu = time.perf_counter(), cpu_seconds()
    yield
    row = Row(
        what=what,
        executor=executor,
        n=n,
        wall_s=time.perf_counter() - wall,
        cpu_s=cpu_seconds() - cpu,
    )
    sys.stderr.write(f"{row}\n")
    rows.append(row)


def cpu_seconds() -> float:
    """Return the processor time of this process and its children, those that have ended included."""
    me = psutil.Process()
    own = me.cpu_times()
    total = own.user + own.system + own.children_user + own.children_system
    for child in me.children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            times = child.cpu_times()
            total += times.user + times.system + times.children_user + times.children_system
    return total


def nothing(number: int) -> int:
    """Return the number: what is left is the cost of asking."""
    return number


def train(folder: Path, rows: int, epochs: int, members: int, execution: Execution) -> Ensemble:
    """Train members of 60 bp on random labels for a fixed number of epochs."""
    rng = np.random.default_rng(0)
    data = octodon.Examples(
        codes=rng.integers(0, 4, (rows, LENGTH), dtype=np.uint8),
        ids=np.array([str(i) for i in range(rows)], dtype=object),
        targets=rng.standard_normal((rows, 1)).astype(np.float32),
        target_names=("a",),
        splits=np.repeat(["train", "valid"], [rows - rows // 8, rows // 8]),
    )
    return train_ensemble(
        data,
        ModelConfig(backbone="deepstarr", length=LENGTH, n_targets=1, options={"width": 0.25}),
        EnsembleConfig(
            members=members, head="mean", training=TrainingConfig(epochs=epochs, stop_patience=epochs)
        ),
        seed=0,
        folder=folder,
        execution=execution,
    )


def load(folder: Path, members: int) -> list[torch.Tensor]:
    """Return all weights of an ensemble that ``train`` left."""
    networks = [read_fitted(folder / f"member_{index:03d}", index) for index in range(members)]
    return [value.float() for network in networks for _, value in sorted(network.weights.items())]


def predict(folder: Path, executor: str, execution: Execution) -> None:
    """Predict the file."""
    student = octodon.load(folder / "student")
    predict_file(
        student, folder / "in.fa", folder / f"{executor}.tsv", device="cpu", workers=execution.workers
    )


def write(out: Path, rows: list[Row], equal: bool) -> None:
    """Write the table and the numbers."""
    by = {(row.what, row.executor): row for row in rows}
    table = [
        [
            "what",
            "n",
            "local: wall, s",
            "CPU, s",
            "CPU for each, ms",
            "ray: wall, s",
            "CPU, s",
            "CPU for each, ms",
        ]
    ]
    for what in dict.fromkeys(row.what for row in rows):
        line = [what, f"{by[what, 'local'].n:,}"]
        for executor in ("local", "ray"):
            row = by[what, executor]
            line += [f"{row.wall_s:.1f}", f"{row.cpu_s:.1f}", f"{1000 * row.cpu_s / row.n:.3g}"]
        table.append(line)
    text = (
        f"# Worker processes and a Ray cluster of one machine\n\n{describe()}; {CORES} processes. `python benchmarks/cluster.py`. Other "
        f"work ran on the machine: wall times are upper bounds, CPU times (of the whole process tree) are not affected.\n\n"
        f"**Weights and predictions of both are equal to the last bit: {'yes' if equal else 'NO'}.**\n\n{markdown_table(table)}"
    )
    out.write_text(text)
    record = {"machine": describe(), "equal": equal, "rows": [asdict(row) for row in rows]}
    out.with_suffix(".json").write_text(json.dumps(record, indent=1) + "\n")
    sys.stdout.write(text)


if __name__ == "__main__":
    main()
