"""How long reading takes and how much memory: 400,000 sequences of 249 bp from TSV, gzipped TSV, Parquet and FASTA.

    python benchmarks/readers.py [--rows 400000] [--out benchmarks/results/readers.md]

Every reading is a fresh process; its peak memory is that of the whole process, imports included.
"""

from __future__ import annotations

import argparse
import datetime
import gzip
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

LENGTH_BP = 249
BLOCK = 20_000
TARGETS = {"Dev": "Dev_log2_enrichment", "Hk": "Hk_log2_enrichment"}


def blocks(rows: int) -> Iterator[tuple[list[str], list[str], np.ndarray]]:
    rng = np.random.default_rng(0)
    for start in range(0, rows, BLOCK):
        n = min(BLOCK, rows - start)
        letters = np.frombuffer(b"ACGT", np.uint8)[rng.integers(0, 4, (n, LENGTH_BP))].tobytes().decode()
        sequences = [letters[i : i + LENGTH_BP] for i in range(0, len(letters), LENGTH_BP)]
        yield [f"chr2L_{start + i}_+_region" for i in range(n)], sequences, rng.normal(size=(n, 2))


def write_inputs(folder: Path, rows: int) -> None:
    """Write the same rows in every format."""
    schema = pa.schema(
        [("ID", pa.string()), ("sequence", pa.string())] + [(c, pa.float64()) for c in TARGETS.values()]
    )
    with (
        (folder / "x.tsv").open("w") as tsv,
        gzip.open(folder / "x.tsv.gz", "wt", compresslevel=4) as zipped,
        (folder / "x.fa").open("w") as fasta,
        pq.ParquetWriter(folder / "x.parquet", schema) as parquet,
    ):
        header = "\t".join(["ID", "sequence", *TARGETS.values()]) + "\n"
        tsv.write(header)
        zipped.write(header)
        for ids, sequences, values in blocks(rows):
            text = "".join(
                f"{i}\t{s}\t{a:.12f}\t{b:.12f}\n" for i, s, (a, b) in zip(ids, sequences, values, strict=True)
            )
            tsv.write(text)
            zipped.write(text)
            fasta.write("".join(f">{i}\n{s}\n" for i, s in zip(ids, sequences, strict=True)))
            parquet.write_table(pa.table([ids, sequences, values[:, 0], values[:, 1]], schema=schema))


def read_one(path: Path, how: str) -> None:
    """Read one file in this process and print seconds, rows and peak memory as JSON."""
    begun = time.perf_counter()
    if how == "read":
        from octodon.data.read import read

        options = {} if path.suffix == ".fa" else {"targets": TARGETS, "id": "ID"}
        ready = time.perf_counter()
        rows = len(read({"path": str(path), **options}))
    else:
        from octodon.data.stream import stream_sequences

        ready = time.perf_counter()
        rows = sum(len(ids) for ids, _ in stream_sequences(path))
    done = time.perf_counter()
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"rows": rows, "seconds": done - ready, "import_s": ready - begun, "peak_mb": peak_mb}))


def machine() -> str:
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        names = [
            line.split(":", 1)[1].strip() for line in cpuinfo.read_text().splitlines() if "model name" in line
        ]
        model = names[0] if names else model
    return f"{model}, {os.cpu_count()} cores, Python {platform.python_version()}, pyarrow {pa.__version__}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=400_000)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "readers.md")
    parser.add_argument("--one", nargs=2, metavar=("FILE", "HOW"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        read_one(Path(arguments.one[0]), arguments.one[1])
        return
    lines = [
        f"# Reading {arguments.rows:,} sequences of {LENGTH_BP} bp",
        "",
        f"{datetime.date.today().isoformat()}; {machine()}. `python benchmarks/readers.py`. Limit for the TSV: 10 s, 1 GB.",
        "",
        "| input | how | seconds | peak memory (MB) | file (MB) |",
        "|---|---|---|---|---|",
    ]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_inputs(folder, arguments.rows)
        for file in ("x.tsv", "x.tsv.gz", "x.parquet", "x.fa"):
            for how in ("read", "stream"):
                done = subprocess.run(
                    [sys.executable, __file__, "--one", str(folder / file), how],
                    check=True,
                    capture_output=True,
                    text=True,
                )
                got = json.loads(done.stdout)
                assert got["rows"] == arguments.rows
                size_mb = (folder / file).stat().st_size / 2**20
                lines.append(
                    f"| {file.removeprefix('x.')} | {how} | {got['seconds']:.2f} | {got['peak_mb']:.0f} | {size_mb:.0f} |"
                )
    text = "\n".join(lines) + "\n"
    print(text)
    arguments.out.write_text(text)


if __name__ == "__main__":
    main()
