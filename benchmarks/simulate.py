"""How long a simulation of DeepSTARR's size takes, with its related groups, audit and files, and how much memory.

    python benchmarks/simulate.py [--rows 402296] [--length 249] [--out benchmarks/results/simulate.md]

Steps run one after the other in this process; the memory is its peak so far, imports included.
"""

from __future__ import annotations

import argparse
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from machine import describe

from octodon.data.audit import audit
from octodon.data.related import related_groups
from octodon.data.simulate import simulate
from octodon.data.splits import find_leaks
from octodon.data.write import write_table, write_truth

LIMIT_SECONDS, LIMIT_GB = 30, 1.5


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=402_296)
    parser.add_argument("--length", type=int, default=249)
    parser.add_argument("--out", type=Path, help="Markdown table to write")
    arguments = parser.parse_args()
    lines: list[str] = []

    def timed(name: str, step: Callable[[], Any]) -> Any:
        start = time.perf_counter()
        result = step()
        seconds = time.perf_counter() - start
        peak_gb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9
        lines.append(f"| {name} | {seconds:.1f} | {peak_gb:.2f} |")
        return result

    simulation = timed("simulate", lambda: simulate(arguments.rows, arguments.length))
    examples = simulation.examples
    timed("related_groups", lambda: related_groups(examples.codes, examples.ids))
    timed("find_leaks", lambda: find_leaks(examples))
    report = timed("audit (what `octodon check` prints)", lambda: audit(examples))
    with tempfile.TemporaryDirectory() as folder:
        timed("write_table .parquet", lambda: write_table(examples, Path(folder) / "x.parquet"))
        timed("write_table .tsv.gz", lambda: write_table(examples, Path(folder) / "x.tsv.gz"))
        timed("write_truth .parquet", lambda: write_truth(simulation, Path(folder) / "t.parquet"))
    text = "\n".join(
        [
            f"# Simulating {arguments.rows:,} sequences of {arguments.length} bp",
            "",
            f"{describe()}. `python benchmarks/simulate.py`. Limit for the simulation: {LIMIT_SECONDS} s, {LIMIT_GB} GB.",
            "",
            "| step | seconds | peak memory so far (GB) |",
            "|---|---|---|",
            *lines,
            "",
            "What the audit says of it:",
            "",
            *(f"    {line}" for line in report.lines()),
            "",
        ]
    )
    sys.stdout.write(text)
    if arguments.out:
        arguments.out.write_text(text)


if __name__ == "__main__":
    main()
