"""How long two threads of one network take, alone on the machine and beside other work, by how they wait for each other.

    python benchmarks/waiting.py --out benchmarks/results/waiting.md

Each cell is an epoch of a DeepSTARR student (144 bp, batch 128, float32) in a process of its own, the second of two. "Beside"
are processes that each keep one core busy. A cell that takes longer than --most-seconds is given up. About two minutes.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

from machine import describe

from octodon.atomic import write_text
from octodon.metrics.summary import markdown_table

POLICIES = {
    "OpenMP's default": {},
    "10,000 turns (octodon)": {"GOMP_SPINCOUNT": "10000"},
    "none (PASSIVE)": {"OMP_WAIT_POLICY": "PASSIVE"},
}
BUSY = "while True: pass"
EPOCH = """
import sys, torch
torch.set_num_threads(2)
from octodon.models.model import ModelConfig, build_model
from octodon.training.config import TrainingConfig
from octodon.training.loop import LabelledCodes, fit
rows = int(sys.argv[1])
codes = torch.randint(0, 4, (rows, 144), dtype=torch.uint8)
data = LabelledCodes(codes=codes, labels={"activity": torch.randn(rows, 2), "epistemic_std": torch.rand(rows, 2)})
few = LabelledCodes(codes=codes[:128], labels={name: label[:128] for name, label in data.labels.items()})
model = build_model(ModelConfig(backbone="deepstarr", length=144, n_targets=2, head="distilled"), 0)
print(fit(model, data, few, TrainingConfig(epochs=2, precision="float32"), 0)[-1].seconds)
"""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True, help="Markdown table to write")
    parser.add_argument("--rows", type=int, default=2048, help="of an epoch")
    parser.add_argument("--beside", type=int, nargs="+", default=[0, 1, 2, 4], help="busy processes")
    parser.add_argument("--most-seconds", type=float, default=90)
    given = parser.parse_args()
    load = f"{os.getloadavg()[0]:.1f}"
    lines = [["busy processes beside", *POLICIES, "default / octodon"]]
    for beside in given.beside:
        seconds = [
            epoch_seconds(given.rows, beside, policy, given.most_seconds) for policy in POLICIES.values()
        ]
        cells = [f"> {given.most_seconds:.0f}" if s is None else f"{s:.2f}" for s in seconds]
        slow, fast = (given.most_seconds if s is None else s for s in seconds[:2])
        lines.append([str(beside), *cells, f"{'> ' if seconds[0] is None else ''}{slow / fast:.2f}"])
        sys.stderr.write(f"{lines[-1]}\n")
    text = (
        f"# Threads that wait\n\n{describe()}; load average before the start {load}.\n\n"
        f"Seconds of an epoch of {given.rows:,} sequences of 144 bp, one DeepSTARR network in two threads, each cell one process "
        f"(`python benchmarks/waiting.py`).\n\n{markdown_table(lines)}"
    )
    write_text(given.out, text)
    sys.stdout.write(text)


def epoch_seconds(rows: int, beside: int, policy: dict[str, str], most_seconds: float) -> float | None:
    """Return the seconds of an epoch, None where it was given up."""
    own = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")  # torch is loaded before octodon, and finds what is set here
    environment = {name: value for name, value in os.environ.items() if name not in own} | policy
    with ExitStack() as stack:
        for _ in range(beside):
            busy = subprocess.Popen([sys.executable, "-c", BUSY])
            stack.callback(busy.wait)
            stack.callback(busy.kill)
        time.sleep(0.5)
        command = [sys.executable, "-c", EPOCH, str(rows)]
        try:
            done = subprocess.run(
                command, env=environment, capture_output=True, text=True, timeout=most_seconds, check=True
            )
        except subprocess.TimeoutExpired:
            return None
    return float(done.stdout)


if __name__ == "__main__":
    main()
