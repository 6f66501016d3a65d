"""Stream millions of sequences from FASTA through a student, and watch memory and output grow.

    python benchmarks/stream.py --out benchmarks/results/stream.md

A small student of 60 bp (deepstarr, width 0.1, trained for one epoch: what it says does not matter here) answers for five million
random sequences through ``octodon predict``, a command of its own. The memory of its whole process tree (proportional set size, so
that shared pages count once) and the bytes of the unfinished output are sampled. Exit code 1 where memory reaches 1 GB, or
grows by more than a tenth from the first million to the last.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import psutil
from machine import describe

import octodon
from octodon.metrics.summary import markdown_table

LENGTH = 60
LIMIT_MB = 1000
GROWTH = 1.1
_BLOCK = 100_000


@dataclass(frozen=True, kw_only=True)
class Sample:
    """What the process tree held, and what was on disk, at an instant."""

    seconds: float
    memory_mb: float
    written_mb: float


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--out", type=Path, required=True, help="Markdown table to write; JSON goes beside it"
    )
    parser.add_argument("--millions", type=float, default=5)
    arguments = parser.parse_args()
    rows = int(arguments.millions * 1e6)
    with tempfile.TemporaryDirectory(prefix="octodon-stream-") as temporary:
        folder = Path(temporary)
        save_student(folder / "student")
        write_fasta(folder / "in.fa", rows)
        (folder / "out").mkdir()
        samples, seconds = watch(folder)
        in_order, output_mb = check(folder / "out" / "out.tsv", rows)
    flat = write(arguments.out, rows, samples, seconds, in_order, output_mb)
    sys.exit(0 if in_order and flat else 1)


def save_student(path: Path) -> None:
    """Save a student that answers with activity and epistemic std."""
    rng = np.random.default_rng(0)
    codes = rng.integers(0, 4, (256, LENGTH), dtype=np.uint8)
    members = octodon.MemberPredictions(
        ids=np.array([str(i) for i in range(256)], dtype=object),
        target_names=("a",),
        mean=rng.standard_normal((3, 256, 1)),
    )
    data = octodon.Examples(
        codes=codes,
        ids=members.ids,
        targets=members.mean[0].astype(np.float32),
        target_names=("a",),
        splits=np.repeat(["train", "valid"], 128),
    )
    training = {"epochs": 1}
    student = octodon.distill(
        members, data, options={"width": 0.1}, training=training, processes=0, progress=False
    )
    octodon.save(student, path)


def write_fasta(path: Path, rows: int) -> None:
    """Write random sequences called s0, s1, ..."""
    rng = np.random.default_rng(1)
    with path.open("wb") as file:
        for start in range(0, rows, _BLOCK):
            n = min(_BLOCK, rows - start)
            letters = np.frombuffer(b"ACGT", np.uint8)[rng.integers(0, 4, (n, LENGTH), dtype=np.uint8)]
            lines = (b">s%d\n%b\n" % (start + i, row.tobytes()) for i, row in enumerate(letters))
            file.write(b"".join(lines))


def watch(folder: Path) -> tuple[list[Sample], float]:
    """Predict the file in a process, sampling twice a second."""
    command = [
        sys.executable,
        "-m",
        "octodon.cli.main",
        "predict",
        str(folder / "student"),
        str(folder / "in.fa"),
    ]
    command += ["--out", str(folder / "out" / "out.tsv"), "--device", "cpu", "--quiet"]
    start = time.perf_counter()
    process = psutil.Popen(command, stderr=subprocess.PIPE)
    samples = []
    while process.poll() is None:
        written = sum(path.stat().st_size for path in (folder / "out").glob("*") if path.is_file())
        written += sum(path.stat().st_size for path in (folder / "out").glob(".*"))
        sample = Sample(
            seconds=time.perf_counter() - start, memory_mb=memory_of(process) / 1e6, written_mb=written / 1e6
        )
        samples.append(sample)
        time.sleep(0.5)
    if process.returncode != 0:
        assert process.stderr is not None
        sys.exit(f"octodon predict ended with {process.returncode}:\n{process.stderr.read().decode()}")
    return samples, time.perf_counter() - start


def memory_of(process: psutil.Process) -> int:
    """Return the proportional set size of a process and all that it started."""
    total = 0
    with suppress(psutil.NoSuchProcess):
        for one in [process, *process.children(recursive=True)]:
            with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
                total += one.memory_full_info().pss
    return total


def check(path: Path, rows: int) -> tuple[bool, float]:
    """Return whether the output holds every id in order, and its size in MB."""
    with path.open("rb") as file:
        next(file)
        in_order, n = True, 0
        for n, line in enumerate(file, start=1):
            in_order &= line.startswith(b"s%d\t" % (n - 1))
    return in_order and n == rows, path.stat().st_size / 1e6


def peaks(samples: list[Sample], output_mb: float, parts: int) -> list[tuple[Sample, float]]:
    """Return for each of ``parts`` equal parts of the output its last sample and the most memory in it."""
    found = []
    for part in range(parts):
        low, high = part / parts * output_mb, (part + 1) / parts * output_mb
        inside = [sample for sample in samples if low < sample.written_mb <= high * 1.0001]
        if inside:
            found.append((inside[-1], max(sample.memory_mb for sample in inside)))
    return found


def write(
    out: Path, rows: int, samples: list[Sample], seconds: float, in_order: bool, output_mb: float
) -> bool:
    """Write the table and the samples; return whether memory was flat and below the limit."""
    parts = peaks(samples, output_mb, 5)
    table = [["sequences written", "after, s", "peak memory since the row above, MB", "output on disk, MB"]]
    for number, (last, peak) in enumerate(parts, start=1):
        share = number / 5 * rows
        table.append([f"{share:,.0f}", f"{last.seconds:.0f}", f"{peak:.0f}", f"{last.written_mb:.0f}"])
    most = max(sample.memory_mb for sample in samples)
    growth = parts[-1][1] / parts[0][1]
    flat = most < LIMIT_MB and growth < GROWTH
    text = (
        f"# {rows:,} sequences from FASTA through a student\n\n{describe()}. `python benchmarks/stream.py`: `octodon predict` of "
        f"{LENGTH} bp with a deepstarr student of width 0.1, in one process on the CPU; memory is that of the process tree. "
        f"Other work ran on the machine: times are upper bounds.\n\n**Peak memory {most:.0f} MB (limit {LIMIT_MB}); the last fifth took "
        f"{growth:.2f} times the memory of the first (limit {GROWTH}). {seconds:.0f} s, {rows / seconds:,.0f} sequences/s. All ids in "
        f"order: {'yes' if in_order else 'NO'}.**\n\n{markdown_table(table)}"
    )
    out.write_text(text)
    record = {"machine": describe(), "rows": rows, "seconds": round(seconds, 1), "in_order": in_order}
    kept = samples[:: max(1, len(samples) // 200)]
    record["samples"] = [{name: round(value, 1) for name, value in asdict(sample).items()} for sample in kept]
    out.with_suffix(".json").write_text(json.dumps(record, indent=1) + "\n")
    sys.stdout.write(text)
    return flat


if __name__ == "__main__":
    main()
