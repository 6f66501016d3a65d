"""The E. coli genome: training from BED and FASTA against training from the table, and a scan of all 4.64 Mb.

    python benchmarks/genome_scan.py --out benchmarks/results/genome_scan
    python benchmarks/genome_scan.py --small --out scan      # the same steps in seconds, on 100 kb

Trained twice: three narrow members and their student on ecoli_tss_promoter_urtecho2020, once read from the table, once as
intervals cut from the genome. The scan is of a DeepSTARR student of full size with untrained weights (how well it predicts
does not change how long it takes), as the command line does it, on two cores.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from machine import describe
from scipy.stats import spearmanr

import octodon
from octodon.artifact.bundle import save
from octodon.atomic import write_json, write_text
from octodon.data.examples import Examples
from octodon.data.formats.bed import read_bed
from octodon.data.formats.table import read_table
from octodon.data.genome import open_genome
from octodon.data.splits import refuse_leaks
from octodon.distillation.student import Student
from octodon.ensemble.network import FittedNetwork
from octodon.metrics.summary import markdown_table
from octodon.models.model import ModelConfig, build_model
from octodon.seq.codes import decode

GOAL_SECONDS = 120
CORES = 2
TARGET = "expression"
SPLITS = ["train"] * 8 + ["valid", "test"]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("OCTODON_DATA", "../shared/data")))
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--out", type=Path, required=True, help="writes OUT.json and OUT.md")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        scanned = timed_scan(given.data / "ecoli_U00096.2.fa.gz", Path(folder), given.small)
        table, bed = ecoli(given.data, Path(folder))
        result = {"machine": describe(), "scan": scanned, "training": compare(table, bed, given.small)}
    write_json(given.out.with_suffix(".json"), result)
    text = report(result)
    write_text(given.out.with_suffix(".md"), text)
    sys.stdout.write(text + "\n")


def ecoli(data: Path, folder: Path) -> tuple[Examples, Examples]:
    """Return the measured intervals from the table and from BED and FASTA, in one order, split by pieces of 100 kb.

    Left out: copies of test rows elsewhere on the genome; 96 synthetic sequences of other lengths, which have no place on the genome, and 2 whose bases in the table are
    not those of the genome.
    """
    raw = pd.read_csv(data / "ecoli_tss_promoter_urtecho2020.tsv.gz", sep="\t")
    raw = raw[raw["sequence"].str.len() == 150]
    raw.to_csv(folder / "table.tsv", sep="\t", index=False)
    columns = {"id": "name", "repeated_ids": "number"}
    place = ["genome_start0", "genome_strand", "name"]
    table = read_table(folder / "table.tsv", targets={TARGET: "expression"}, columns=place, **columns)
    place = ["start", "strand", "name"]
    bed = read_bed(
        data / "ecoli_tss_promoter_urtecho2020.bed.gz",
        data / "ecoli_U00096.2.fa.gz",
        targets={TARGET: "score"},
        columns=place,
        **columns,
    )
    rows = [rows_by_place(table, "genome_start0", "genome_strand"), rows_by_place(bed, "start", "strand")]
    shared = sorted(rows[0].keys() & rows[1].keys())
    splits = np.array([SPLITS[start // 100_000 % 10] for start, *_ in shared])
    return tuple(
        refuse_leaks(
            replace(
                examples.take(np.array([row[key] for key in shared])),
                ids=np.arange(len(shared)).astype(str).astype(object),
                splits=splits,
            ),
            "drop",
        )
        for examples, row in zip((table, bed), rows, strict=True)
    )  # type: ignore[return-value]


def rows_by_place(examples: Examples, start: str, strand: str) -> dict[Any, int]:
    """Return the row of every (start, strand, name, bases)."""
    starts = [int(float(text)) for text in examples.columns[start]]
    bases = [codes.tobytes() for codes in examples.codes]
    keys = zip(starts, examples.columns[strand], examples.columns["name"], bases, strict=True)
    return {key: row for row, key in enumerate(keys)}


def compare(table: Examples, bed: Examples, small: bool) -> dict[str, Any]:
    """Return whether everything trained on the two is equal bit for bit, and how well it predicts test rows."""
    one, other = (narrow_student(examples, small) for examples in (table, bed))
    weights = one.fitted.weights
    test = table.subset("test")
    predicted = one.predict(test.codes).mean[:, 0]
    return {
        "rows": len(table),
        "on the minus strand": int((bed.columns["strand"] == "-").sum()),
        "inputs are equal": np.array_equal(table.codes, bed.codes)
        and np.array_equal(table.targets, bed.targets),
        "weights are equal": all(torch.equal(weights[name], other.fitted.weights[name]) for name in weights),
        "test Spearman": float(spearmanr(predicted, test.targets[:, 0])[0]),
    }


def narrow_student(examples: Examples, small: bool) -> Student:
    """Return the student of three narrow members."""
    training = {"epochs": 1 if small else 10}
    ensemble = octodon.train(
        examples, backbone="deepstarr", members=3, seed=0, options={"width": 0.1}, training=training
    )
    student = octodon.distill(ensemble, examples, copies=1, training={"epochs": 1 if small else 10})
    assert isinstance(student, Student)
    return student


def untrained_student() -> Student:
    """Return a DeepSTARR student of full size with its first weights."""
    config = ModelConfig(backbone="deepstarr", length=150, n_targets=1, head="distilled")
    network = build_model(config, seed=0)
    fitted = FittedNetwork(index=0, attempt=0, seed=0, weights=network.state_dict(), history=[])
    return Student(model=config, target_names=(TARGET,), units="any", fitted=fitted)


def timed_scan(genome: Path, folder: Path, small: bool) -> dict[str, Any]:
    """Return how long everything that ``octodon scan`` does takes, and its files."""
    save(untrained_student(), folder / "student")
    if small:
        genome = first_bases(genome, folder / "first.fa", 100_000)
    start = time.perf_counter()
    command = ["scan", folder / "student", "--fasta", genome, "--stride", "50", "--device", "cpu", "--quiet"]
    environment = os.environ | {"OMP_NUM_THREADS": str(CORES)}
    done = subprocess.run(
        [sys.executable, "-m", "octodon.cli.main", *map(str, command), "--out", str(folder / "scan")],
        check=True,
        env=environment,
        capture_output=True,
        text=True,
    )
    seconds = time.perf_counter() - start
    table = pd.read_parquet(folder / "scan.parquet", columns=["start"])
    return {
        "seconds": seconds,
        "goal_seconds": GOAL_SECONDS,
        "windows": len(table) // 2,
        "predictions": len(table),
        "peak_MiB": resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024,
        "files_MiB": {path.name: path.stat().st_size / 2**20 for path in sorted(folder.glob("scan.*"))},
        "said": done.stderr.splitlines()[:3],
    }


def first_bases(genome: Path, out: Path, n: int) -> Path:
    with open_genome(genome) as opened:
        (name,) = opened.lengths_bp
        out.write_text(f">{name}\n{decode(opened.fetch(name, 0, n)[None])[0]}\n")
    return out


def report(result: dict[str, Any]) -> str:
    """Return both results as Markdown."""
    scanned, trained = result["scan"], result["training"]
    files = ", ".join(f"{name} {size:.1f} MiB" for name, size in scanned["files_MiB"].items())
    return "\n".join(
        [
            "# E. coli: a genome as training input, and scanned",
            "",
            f"{result['machine']}. Other work ran on the machine: times are upper bounds.",
            "",
            "## Training from BED and FASTA, and from the table",
            "",
            markdown_table(
                [
                    list(trained),
                    [
                        str(round(v, 3))
                        if isinstance(v, float)
                        else f"{v:,}"
                        if type(v) is int
                        else "yes"
                        if v
                        else "NO"
                        for v in trained.values()
                    ],
                ]
            ),
            "",
            "Three members of a narrow DeepSTARR and their student, a few epochs: equality is the point, not accuracy.",
            "",
            "## `octodon scan`, windows of 150 bp every 50 bp, both strands",
            "",
            f"{scanned['windows']:,} windows, {scanned['predictions']:,} predictions in {scanned['seconds']:.0f} s "
            f"(goal: {scanned['goal_seconds']} s), all included: start, reading, prediction, Parquet and bigWig; "
            f"{scanned['predictions'] / scanned['seconds']:,.0f} predictions/s on {CORES} cores; peak memory "
            f"{scanned['peak_MiB']:,.0f} MiB. Files: {files}.",
        ]
    )


if __name__ == "__main__":
    main()
