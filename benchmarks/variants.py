"""How sure is a student of a difference? Held-out variants, measured saturation mutagenesis, and a million SNVs.

    python benchmarks/variants.py experiments/promoter_mpra.toml --ensemble run/ensemble --student run/student \
        --out benchmarks/results/variants

Held-out variants: of each test sequence two random SNVs and two random indels of 1 to 5 bp (the model's length kept, as
``octodon variants`` does: the flanks give or take what the alleles differ by), and all SNVs of every 200th sequence. The truth is
what the ensemble says: the std over members (correction=0) of their own differences alt - ref. Three ways to that std:

    learnt    the student alone, as it learnt it from pairs that its members labelled (``effect_epistemic_std``)
    sum       the student alone, as if the errors of both alleles were unrelated: sqrt(var_ref + var_alt)
    ensemble's sum   the same from the ensemble's own stds: what the mistake costs where each std is exact

NLL is that of the members' differences under N(the student's effect, std^2), per member and variant; the ensemble's own
effect and std give the least that a normal can reach.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from machine import describe
from numpy import ndarray

from octodon.artifact.bundle import load, save
from octodon.atomic import write_json, write_text
from octodon.data.genome import open_genome
from octodon.distillation.student import Student
from octodon.ensemble.ensemble import Ensemble
from octodon.ensemble.network import FittedNetwork
from octodon.experiment.config import load_config
from octodon.experiment.prepare import prepare
from octodon.metrics.summary import markdown_table
from octodon.models.model import ModelConfig, build_model
from octodon.seeds import derive_seed
from octodon.variants.effects import effects_of

MOST_INDEL_BP = 5
SATURATED_EVERY = 200
LEAST_BARCODES = 10


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("experiment", type=Path)
    parser.add_argument("--ensemble", type=Path, required=True, help="bundle of the teachers")
    parser.add_argument("--student", type=Path, required=True, help="bundle of their student")
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("OCTODON_DATA", "../shared/data")))
    parser.add_argument("--most", type=int, default=None, help="test sequences (default: all)")
    parser.add_argument("--snvs", type=int, default=1_000_000, help="of the memory test")
    parser.add_argument("--parts", default=",".join(PARTS), help="others keep what OUT.json says of them")
    parser.add_argument("--set", action="append", default=[], help="of the experiment, e.g. data.path=...")
    parser.add_argument("--out", type=Path, required=True, help="writes OUT.json and OUT.md")
    given = parser.parse_args()
    known = given.out.with_suffix(".json")
    result: dict[str, Any] = json.loads(known.read_text()) if known.is_file() else {}
    result["machine"] = describe()
    for part in given.parts.split(","):
        result[part] = PARTS[part](given)
    write_json(given.out.with_suffix(".json"), result)
    text = report(result)
    write_text(given.out.with_suffix(".md"), text)
    sys.stdout.write(text + "\n")


def of_held_out(given: argparse.Namespace) -> dict[str, Any]:
    test = prepare(load_config(given.experiment, given.set)).subset("test")
    teachers, student = load(given.ensemble), load(given.student)
    assert isinstance(teachers, Ensemble)
    assert isinstance(student, Student)
    return differences(teachers, student, *held_out(test.codes[: given.most], seed=0))


def held_out(codes: ndarray, seed: int) -> tuple[ndarray, ndarray, ndarray]:
    """Return kind, reference and alternative of variants of the sequences."""
    rng = np.random.default_rng(derive_seed(seed, "benchmark", "variants"))
    snvs = [substituted(codes, rng) for _ in range(2)]
    indels = [longer_or_shorter(codes, rng) for _ in range(2)]
    chosen = codes[::SATURATED_EVERY]
    saturated = [all_substitutions(sequence) for sequence in chosen]
    pairs = {
        "SNV": (np.tile(codes, (2, 1)), np.concatenate(snvs)),
        "indel": tuple(np.concatenate(side) for side in zip(*indels, strict=True)),
        "saturation": (
            np.repeat(chosen, 3 * codes.shape[1], axis=0),
            np.concatenate(saturated),
        ),
    }
    kinds = np.repeat(list(pairs), [len(ref) for ref, _ in pairs.values()])
    return kinds, *(np.concatenate([pair[side] for pair in pairs.values()]) for side in (0, 1))


def substituted(codes: ndarray, rng: np.random.Generator) -> ndarray:
    out, rows = codes.copy(), np.arange(len(codes))
    at = rng.integers(0, codes.shape[1], len(codes))
    out[rows, at] = (out[rows, at] + rng.integers(1, 4, len(codes))) % 4
    return out


def all_substitutions(sequence: ndarray) -> ndarray:
    length = len(sequence)
    out = np.tile(sequence, (3 * length, 1))
    at = np.repeat(np.arange(length), 3)
    out[np.arange(3 * length), at] = (sequence[at] + np.tile([1, 2, 3], length)) % 4
    return out


def longer_or_shorter(codes: ndarray, rng: np.random.Generator) -> tuple[ndarray, ndarray]:
    """Return pairs of which one has 1 to 5 random bases more inside, and as many less at its ends; either may be the reference."""
    length, longer = codes.shape[1], np.empty_like(codes)
    for row, sequence in enumerate(codes):
        size = int(rng.integers(1, MOST_INDEL_BP + 1))
        left = size // 2
        at = int(rng.integers(left, length - (size - left)))
        bases = rng.integers(0, 4, size, dtype=np.uint8)
        longer[row] = np.concatenate([sequence[left:at], bases, sequence[at : length - (size - left)]])
    inserted = rng.random(len(codes)) < 0.5
    return np.where(inserted[:, None], codes, longer), np.where(inserted[:, None], longer, codes)


def differences(
    teachers: Ensemble, student: Student, kinds: ndarray, ref: ndarray, alt: ndarray
) -> dict[str, Any]:
    """Return how well each way finds the ensemble's std of the effects."""
    members = teachers.predict_members(alt).mean.astype(np.float64) - teachers.predict_members(ref).mean
    truth, mean = members.std(axis=0), members.mean(axis=0)
    said = effects_of(student, ref[:, None], alt[:, None])
    alleles = [[model.predict(codes).epistemic_std for codes in (ref, alt)] for model in (student, teachers)]
    sums = [None if one is None or other is None else np.hypot(one, other) for one, other in alleles]
    ways = {
        "ensemble itself": (mean, truth),
        "student, learnt": (said.effect, said.epistemic_std),
        "student, sum": (said.effect, sums[0]),
        "ensemble's sum": (mean, sums[1]),
    }
    rows = []
    for target, name in enumerate(student.target_names):
        for kind in ("SNV", "indel", "saturation", "all"):
            chosen = np.ones(len(kinds), dtype=bool) if kind == "all" else kinds == kind
            for way, (effect, std) in ways.items():
                if std is None:
                    continue
                at = (chosen, target)
                found = agreement(effect[at], std[at], truth[at], mean[at], members[:, chosen, target])
                rows.append(
                    {"target": name, "variants": kind, "n": int(chosen.sum()), "std from": way} | found
                )
    return {"members": len(teachers.members), "head": student.model.head, "rows": rows}


def agreement(
    effect: ndarray, std: ndarray, truth: ndarray, mean: ndarray, members: ndarray
) -> dict[str, float]:
    """Return Pearson, ratio and NLL of a std against the ensemble's, and Pearson of the effect itself."""
    log_density = -0.5 * np.square((members - effect) / std) - np.log(std) - 0.5 * np.log(2 * np.pi)
    return {
        "Pearson of std": float(np.corrcoef(std, truth)[0, 1]),
        "ratio": float(std.mean() / truth.mean()),
        "NLL": float(-log_density.mean()),
        "Pearson of effect": float(np.corrcoef(effect, mean)[0, 1]),
    }


def saturation(student: Path, data: Path) -> dict[str, Any]:
    """Return what ``octodon variants`` says of the saturation mutagenesis of Kircher et al. 2019, as a user runs it."""
    vcf, fasta = data / "satmut_kircher2019.vcf.gz", data / "satmut_kircher2019_elements.fa"
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "effects.parquet"
        options = ["--vcf", vcf, "--fasta", fasta, "--out", out, "--edge", "shift", "--both-strands"]
        said, _, _ = command("variants", student, *options)
        table = pd.read_parquet(out)
    found = table.merge(measured_effects(vcf), on=["chrom", "pos", "ref", "alt"], validate="one_to_one")
    found = found.loc[found["barcodes"] >= LEAST_BARCODES]
    targets = [name.removesuffix("_effect") for name in table if name.endswith("_effect")]
    rows = []
    for element, part in found.groupby("chrom", sort=False):
        is_indel = part["ref"].str.len() != part["alt"].str.len()
        row: dict[str, Any] = {"element": element, "variants": len(part), "indels": int(is_indel.sum())}
        for target in targets:
            for name, chosen in (("all", is_indel | True), ("SNV", ~is_indel)):
                columns = part.loc[chosen, [f"{target}_effect", "measured"]]
                row[f"{target}, {name}"] = float(columns.corr().iloc[0, 1])
        rows.append(row)
    agreement_line = next(line for line in said.splitlines() if line.startswith("REF agrees"))
    return {"reference": agreement_line, "scored": len(table), "rows": rows}


def measured_effects(vcf: Path) -> pd.DataFrame:
    names = ["chrom", "pos", "id", "ref", "alt", "qual", "filter", "info"]
    table = pd.read_csv(vcf, sep="\t", comment="#", names=names, dtype={"chrom": str})
    info = table["info"].str.extract(r"EFFECT=(?P<measured>[^;]+);.*BC=(?P<barcodes>\d+)").astype(float)
    return pd.concat([table[["chrom", "pos", "ref", "alt"]], info], axis=1)


def memory(data: Path, most: int) -> dict[str, Any]:
    """Return time and peak memory of ``octodon variants`` for random SNVs of the E. coli genome, by a narrow student."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        save(narrow_student(), Path(folder) / "student")
        for count in (most // 100, most // 10, most):
            write_snvs(data / "ecoli_U00096.2.fa.gz", Path(folder) / "x.vcf", count)
            out = Path(folder) / "effects.parquet"
            options = [
                "--vcf",
                Path(folder) / "x.vcf",
                "--fasta",
                data / "ecoli_U00096.2.fa.gz",
                "--out",
                out,
            ]
            _, seconds, peak_mib = command("variants", Path(folder) / "student", *options)
            rows.append({"SNVs": count, "seconds": round(seconds, 1), "peak MiB": round(peak_mib)})
    return {"rows": rows}


def narrow_student() -> Student:
    options = {"width": 0.05}
    model = ModelConfig(backbone="deepstarr", length=144, n_targets=1, head="distilled", options=options)
    weights = build_model(model, seed=0).state_dict()
    fitted = FittedNetwork(index=0, attempt=0, seed=0, weights=weights, history=[])
    return Student(model=model, target_names=("any",), units="any", fitted=fitted)


def write_snvs(genome: Path, out: Path, count: int) -> None:
    rng = np.random.default_rng(derive_seed(0, "benchmark", "snvs"))
    with open_genome(genome) as opened, out.open("w") as file:
        ((contig, length),) = opened.lengths_bp.items()
        bases = opened.fetch(contig, 0, length)
        at = np.sort(rng.integers(200, length - 200, count))
        alt = (bases[at] + rng.integers(1, 4, count)) % 4
        file.write("##fileformat=VCFv4.2\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n")
        for position, ref, new in zip(at.tolist(), bases[at].tolist(), alt.tolist(), strict=True):
            file.write(f"{contig}\t{position + 1}\t.\t{'ACGT'[ref]}\t{'ACGT'[new]}\t.\t.\t.\n")


def command(*words: str | Path) -> tuple[str, float, float]:
    """Return what a command of octodon says, how long it takes (s) and the most memory that it holds (MiB)."""
    start = time.perf_counter()
    line = [sys.executable, "-m", "octodon.cli.main", *map(str, words), "--quiet", "--device", "cpu"]
    with subprocess.Popen(line, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        said = process.stderr.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(said)
    return said, time.perf_counter() - start, usage.ru_maxrss / 1024


def report(result: dict[str, Any]) -> str:
    """Return all tables as Markdown."""
    parts = [
        "# Variants",
        "",
        f"{result['machine']}. Other work ran on the machine: times are upper bounds.",
    ]
    if "held out" in result:
        held = result["held out"]
        parts += ["", "## The std of a difference, held-out variants", "", __doc__.split("\n\n")[2], ""]
        parts += [
            f"Ensemble of {held['members']} members; student with the head `{held['head']}`.",
            "",
            table_of(held["rows"]),
        ]
    if "measured" in result:
        measured = result["measured"]
        parts += ["", "## Measured saturation mutagenesis (Kircher et al. 2019)", ""]
        parts += [
            f"{measured['scored']:,} variants scored, deletions included (`--edge shift --both-strands`). "
            f"{measured['reference']}. Pearson of predicted and measured log2 effects of variants with at least "
            f"{LEAST_BARCODES} barcodes. The model learnt promoter tiles in embryonic stem cells; F9, LDLR and SORT1 were measured in "
            "HepG2 and PKLR in K562, and SORT1 is an enhancer: a promoter model of stem cells is not a HepG2 model, and these "
            "numbers say so.",
            "",
            table_of(measured["rows"]),
        ]
    if "memory" in result:
        parts += [
            "",
            "## Memory",
            "",
            "Random SNVs of the E. coli genome, a narrow student (width 0.05), Parquet out.",
            "",
        ]
        parts += [table_of(result["memory"]["rows"])]
    return "\n".join(parts) + "\n"


def table_of(rows: list[dict[str, Any]]) -> str:
    def cell(value: Any) -> str:
        return (
            f"{value:.3f}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else value
        )

    return markdown_table([list(rows[0]), *([cell(value) for value in row.values()] for row in rows)])


PARTS: dict[str, Callable[[argparse.Namespace], dict[str, Any]]] = {
    "held out": of_held_out,
    "measured": lambda given: saturation(given.student, given.data),
    "memory": lambda given: memory(given.data, given.snvs),
}


if __name__ == "__main__":
    main()
