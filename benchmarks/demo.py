"""What a newcomer waits for: the demonstration, ``--help`` and ``doctor``.

python benchmarks/demo.py --out benchmarks/results/demo.md
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pandas as pd
from machine import describe
from watch import watch

from octodon.metrics.summary import format_summary, markdown_table, summarise


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True, help="Markdown table to write")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        cost = watch(["octodon", "demo", "--out", folder + "/demo", "--quiet"])
        metrics = pd.read_csv(Path(folder) / "demo/run/results/metrics.tsv", sep="\t")
    doctor = subprocess.run([script(), "doctor"], capture_output=True, text=True, check=True).stdout
    rows = [
        ["what", "measured", "goal"],
        ["octodon demo, s", f"{cost['seconds']:.0f}", "180 at most"],
        ["octodon demo, peak memory of all processes, MiB", f"{cost['peak_mib']:.0f}", "1,536 at most"],
        ["octodon --help, s (median of 7)", f"{help_seconds():.2f}", "under 0.3"],
        ["load average before the start", f"{cost['load_before']:.1f}", ""],
    ]
    lines = [f"# The demonstration\n\n{describe()}.\n", markdown_table(rows), "Its test set:\n"]
    lines += [markdown_table(format_summary(summarise(metrics))), f"`octodon doctor`:\n\n```\n{doctor}```\n"]
    text = "\n".join(lines)
    arguments.out.write_text(text)
    sys.stdout.write(text)


def script() -> str:
    return str(Path(sys.executable).with_name("octodon"))


def help_seconds() -> float:
    times = []
    for _ in range(7):
        start = time.perf_counter()
        subprocess.run([script(), "--help"], capture_output=True, check=True)
        times.append(time.perf_counter() - start)
    return statistics.median(times)


if __name__ == "__main__":
    main()
