"""How members are best trained: the published way, the plateau, Muon, and alterations, on five real tables and a simulation.

    python benchmarks/members.py --data ../shared/data --out benchmarks/results/members.md
    python benchmarks/members.py --data ../shared/data --sets WTC11 --ways published,default --out members.md

Chosen by the rows that are set aside for calibration, which no network sees; test rows are shown beside them. Members learn the
activity alone here: what the noise of replicates adds to the training leaves the activity as it is.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from machine import describe

from octodon.atomic import write_json, write_text
from octodon.data.examples import Examples
from octodon.ensemble.config import EnsembleConfig
from octodon.ensemble.execution import Execution, executing
from octodon.ensemble.train import train_ensemble
from octodon.experiment.config import ExperimentConfig
from octodon.experiment.prepare import prepare
from octodon.metrics.pearson import pearson
from octodon.metrics.summary import markdown_table
from octodon.settings import checked, merge

ECOLI = "ecoli_tss_promoter_urtecho2020.tsv.gz"
PROMOTERS = {
    "path": "promoter_mpra_mattioli2020.tsv.gz",
    "id": "name",
    "repeated_ids": "number",
    "targets": {
        "HUES64": [f"log2_HUES64_rep{i}" for i in (1, 2, 3)],
        "mESC": [f"log2_mESC_rep{i}" for i in (1, 2, 3)],
    },
}
SETS: dict[str, dict[str, Any]] = {
    "promoters": {"data": PROMOTERS, "split": {"by": "column", "column": "split"}},
    "promoters, ResidualBind": {
        "data": PROMOTERS,
        "split": {"by": "column", "column": "split"},
        "model": {"backbone": "residualbind"},
        "train_fraction": 0.1,
    },
    "DeepSTARR sample": {
        "data": {
            "format": "deepstarr",
            "path": "deepstarr_3k.tsv.gz",
            "split": "split",
            "repeated_ids": "number",
        },
        "split": {"on_leak": "drop"},
    },
    "WTC11": {
        "data": {
            "path": "lentimpra_wtc11_3k.tsv.gz",
            "sequence": "seq",
            "id": "seq_id",
            "repeated_ids": "number",
            "targets": {"WTC11": "mean_value"},
        },
        "split": {"by": "column", "column": "split", "on_leak": "drop"},
    },
    "HepG2": {
        "data": {
            "path": "lentimpra_hepg2_inoue2017.tsv.gz",
            "id": "oligo_name",
            "targets": {"HepG2": ["log2_rep1", "log2_rep2", "log2_rep3"]},
        },
        "split": {"by": "fraction", "valid": 0.15, "test": 0.2},
    },
    "E. coli": {
        "data": {"path": ECOLI, "targets": {"E. coli": "log2_expression"}},
        "split": {"by": "fraction", "valid": 0.15, "test": 0.2},
        "train_fraction": 0.3,
    },
    "simulated": {
        "data": {"format": "simulated", "rows": 8000, "length": 120, "replicates": 3},
        "split": {"by": "fraction", "valid": 0.15, "test": 0.25},
        "model": {"backbone": "deepstarr", "options": {"width": 0.5}},
    },
}
PLATEAU: dict[str, Any] = {
    "schedule": "plateau",
    "optimiser": "adam",
    "learning_rate": 1e-3,
    "augment": [],
}
SHIFT, STRAND = {"name": "shift"}, {"name": "reverse_complement", "probability": 0.5}
WAYS: dict[str, dict[str, Any]] = {
    "published": PLATEAU | {"norm_momentum": "backbone", "patience_steps": 0},
    "plateau (default until 2026-11-26)": PLATEAU,
    "plateau + shift": PLATEAU | {"augment": [SHIFT]},
    "Muon": {"augment": []},
    "default (Muon + shift)": {},
    "default + either strand": {"augment": [SHIFT, STRAND]},
    "default + EvoAug then fine-tuning": {"augment": [SHIFT, {"name": "evoaug"}], "augment_until": 0.8},
}
"""Name: what is set in [ensemble.training]."""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder of the tables")
    parser.add_argument("--out", type=Path, required=True, help="Markdown table to write, and JSON beside it")
    parser.add_argument("--sets", default=";".join(SETS), help="names, semicolon between")
    parser.add_argument("--ways", default=",".join(WAYS), help="names, comma between")
    parser.add_argument("--members", type=int, default=4)
    arguments = parser.parse_args()
    rows: list[dict[str, Any]] = []
    with executing() as execution, tempfile.TemporaryDirectory() as folder:
        for name in arguments.sets.split(";"):
            config = experiment(name, arguments.data, Path(folder))
            examples = prepare(config)
            for way in arguments.ways.split(","):
                found = measure(config, examples, WAYS[way], arguments.members, execution)
                rows.append({"set": name, "rows": len(examples.subset("train")), "way": way} | found)
                write_json(arguments.out.with_suffix(".json"), {"machine": describe(), "rows": rows})
                write_text(arguments.out, report(rows, arguments.members))
    sys.stdout.write(arguments.out.read_text())


def experiment(name: str, data: Path, folder: Path) -> ExperimentConfig:
    """Return the configuration of a set, its table in the folder ``data``, or made from it in ``folder``."""
    values = merge({"model": {"backbone": "deepstarr"}}, SETS[name])
    if "path" in values["data"]:
        path = data / values["data"]["path"]
        path = full_length(path, folder) if path.name == ECOLI else path
        values = merge(values, {"data": {"path": str(path)}})
    return checked(ExperimentConfig, values, name)


def full_length(path: Path, folder: Path) -> Path:
    """Return a table of the promoters of 150 bp alone, 96 are shorter, with the logarithm of their expression."""
    table = pd.read_csv(path, sep="\t")
    table = table[(table.sequence.str.len() == 150) & (table.expression > 0)]
    table.assign(log2_expression=np.log2(table.expression)).to_csv(
        folder / "ecoli.tsv", sep="\t", index=False
    )
    return folder / "ecoli.tsv"


def measure(
    config: ExperimentConfig,
    examples: Examples,
    training: dict[str, Any],
    members: int,
    execution: Execution,
) -> dict[str, Any]:
    """Train members in one way; return Pearson by split, single and together, and what it cost."""
    model = replace(config.member(examples), head="mean")
    values = {"members": members, "head": "mean", "training": training}
    settings = checked(EnsembleConfig, values, "benchmark")
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        ensemble = train_ensemble(
            examples, model, settings, seed=config.seed, folder=Path(folder), execution=execution
        )
        seconds = time.perf_counter() - start
        epochs = [len(member.history) for member in ensemble.members]
        found: dict[str, Any] = {"seconds": seconds, "epochs": float(np.mean(epochs))}
        for split in ("calibration", "test"):
            rows = examples.subset(split)
            said = ensemble.predict_members(rows.codes, [str(name) for name in rows.ids], execution)
            activity = said.mean
            found[f"{split} individual"] = [list(pearson(one, rows.targets)) for one in activity]
            found[f"{split} ensemble"] = list(pearson(activity.mean(0), rows.targets))
    return found


def report(rows: list[dict[str, Any]], members: int) -> str:
    """Return the table: Pearson averaged over targets, individual (mean) and ensemble, of rows no network saw."""
    names = [f"{split} {model}" for split in ("calibration", "test") for model in ("individual", "ensemble")]
    lines = [["data", "training rows", "way", *names, "epochs", "seconds"]]
    for row in rows:
        scores = [f"{np.mean(row[name]):.3f}" for name in names]
        count = f"{row['rows']:,}"
        lines.append(
            [row["set"], count, row["way"], *scores, f"{row['epochs']:.0f}", f"{row['seconds']:.0f}"]
        )
    return "\n".join(
        [
            "# How members are trained",
            "",
            f"Pearson with the measured activity, mean over targets; {members} members, their mean and their ensemble, all activity "
            f"alone. {describe()}.",
            "",
            markdown_table(lines),
        ]
    )


if __name__ == "__main__":
    main()
