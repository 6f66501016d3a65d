"""How well every out-of-distribution score tells shifted and foreign sequences from the test set of a run: AUROC.

    python benchmarks/ood.py RUN --data ../shared/data --out benchmarks/results/ood

RUN is a finished `octodon run experiments/promoter_mpra.toml`. Outside are shuffled, mutated and GC-shifted copies of its test
rows, its real `random` rows, and E. coli promoters cropped to the models' length. Scores are fitted on training rows. The second
table has the models' own stds along the shift, the third what was chosen for the default score, and on what: validation or
held-out rows of several assays, never test rows. Networks are asked once for at most `--rows` sequences of each set.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from machine import describe

from octodon.artifact.bundle import load
from octodon.data.read import read
from octodon.data.simulate import SimulationConfig, simulate
from octodon.distillation.student import Student
from octodon.ensemble.ensemble import Ensemble
from octodon.experiment.config import load_config
from octodon.experiment.prepare import prepare
from octodon.metrics.summary import markdown_table
from octodon.models.observe import features_in_batches
from octodon.ood import Observed, markov, scores
from octodon.ood.auroc import auroc
from octodon.ood.detector import DEFAULT_SCORE, fit_detector
from octodon.records import Prediction
from octodon.seq.codes import encode, random_codes
from octodon.shifts.shift import Shift

SHIFTS = {
    "full shuffle": Shift(name="shuffle"),
    "dinucleotide shuffle": Shift(name="dinucleotide_shuffle"),
    "GC +15 %": Shift(name="gc", options={"by": 0.15}),
    "GC -15 %": Shift(name="gc", options={"by": -0.15}),
    "mutated 5 %": Shift(name="mutagenesis", options={"fraction": 0.05}),
}
GC = ("GC +15 %", "GC -15 %")
REPLICATES = 3
Score = Callable[[str], np.ndarray]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path, help="folder of a finished run on the promoter set")
    parser.add_argument("--data", type=Path, required=True, help="folder of the shared data")
    parser.add_argument("--rows", type=int, default=2000, help="sequences of each set, at most")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--out", type=Path, help="writes OUT.json and OUT.md")
    given = parser.parse_args()
    found = measure(given.run, given.data, given.rows, given.device)
    found["choice"] = choice(given.data)
    text = report(found)
    print(text)
    if given.out is not None:
        given.out.with_suffix(".json").write_text(json.dumps(found, indent=1) + "\n")
        given.out.with_suffix(".md").write_text(text)


def measure(run: Path, data: Path, rows: int, device: str) -> dict:
    """Return AUROC of every score, and mean stds and flagged shares, by set."""
    examples = prepare(load_config(run / "config.toml"))
    rng = np.random.default_rng(0)
    train, test = examples.subset("train").codes, some(examples.subset("test").codes, rows, rng)
    sets = {"test": test} | {name: shift.of(test, 0) for name, shift in SHIFTS.items()}
    sets["random DNA, measured"] = some(examples.subset("random").codes, rows, rng)
    sets["E. coli"] = some(e_coli(data, examples.length), rows, rng)
    models = {name: load(run / name) for name in ("student", "ensemble")}
    seen = {name: see(model, sets, train, rng, device) for name, model in models.items()}
    found = {"rows": {name: len(codes) for name, codes in sets.items()}, "training_rows": len(train)}
    found["auroc"] = auroc_table(all_scores(seen, train), list(sets))
    detector = fit_detector(Observed(codes=train), DEFAULT_SCORE)
    flagged = {
        name: float(detector.flag(detector.percentile(Observed(codes=c))).mean()) for name, c in sets.items()
    }
    found["stds"] = std_table(seen, list(sets)) | {f"flagged by {DEFAULT_SCORE}": flagged}
    return found


class Seen:
    """What one model says and sees of every set, and of the training rows."""

    def __init__(self) -> None:
        self.said: dict[str, Prediction] = {}
        self.observed: dict[str, Observed] = {}


def see(
    model: Student | Ensemble,
    sets: dict[str, np.ndarray],
    train: np.ndarray,
    rng: np.random.Generator,
    device: str,
) -> Seen:
    seen = Seen()
    network = model.network if isinstance(model, Student) else model.network(0)
    for name, codes in (sets | {"train": some(train, 2000, rng)}).items():
        said = model.predict(codes, device=device, calibrated=False)
        seen.said[name] = said
        features = features_in_batches(network, codes)
        seen.observed[name] = Observed(codes=codes, features=features, epistemic_std=said.epistemic_std)
    whole = features_in_batches(network, train)
    seen.observed["all train"] = Observed(codes=train, features=whole)
    return seen


def all_scores(seen: dict[str, Seen], train: np.ndarray) -> dict[str, Score]:
    """Return every score as a function of the name of a set."""
    found: dict[str, Score] = {}
    for name in scores:
        part = scores[name]
        if part.needs == "codes":
            learnt = part.fit(Observed(codes=train), 0)
            found[name] = lambda s, p=part, a=learnt: p.score(a, seen["student"].observed[s])
            continue
        reference = "all train" if part.needs == "features" else "train"
        for who, what in seen.items():
            learnt = part.fit(what.observed[reference], 0)
            label = f"{name}, {who}" + (
                "'s first member" if (who, part.needs) == ("ensemble", "features") else ""
            )
            found[label] = lambda s, p=part, a=learnt, w=what: p.score(a, w.observed[s])
    for who, what in seen.items():
        for kind, std in stds(what).items():
            if kind != "epistemic":
                median = np.median(std("train"), axis=0)
                found[f"{kind} std, {who}"] = lambda s, f=std, m=median: (f(s) / m).max(axis=1)
    return found


def stds(seen: Seen) -> dict[str, Score]:
    """Return the stds of a model as functions of the name of a set; the total is that of a mean of three replicates."""
    found: dict[str, Score] = {"epistemic": lambda s: present(seen.said[s].epistemic_std)}
    if seen.said["test"].aleatoric_std is not None:
        found["aleatoric"] = lambda s: present(seen.said[s].aleatoric_std)
        found["total"] = lambda s: present(seen.said[s].total_std_of_mean(REPLICATES))
    return found


def present(values: np.ndarray | None) -> np.ndarray:
    assert values is not None
    return values


def auroc_table(functions: dict[str, Score], sets: list[str]) -> dict[str, dict[str, float]]:
    found = {}
    for name, function in functions.items():
        inside = function("test")
        found[name] = with_average({s: auroc(inside, function(s)) for s in sets if s != "test"})
    return dict(sorted(found.items(), key=lambda item: -item[1]["average"]))


def with_average(values: dict[str, float]) -> dict[str, float]:
    """Add the mean over the six kinds, both directions of GC counting as one."""
    kinds = [value for name, value in values.items() if name not in GC]
    kinds.append(float(np.mean([values[name] for name in GC])))
    return {name: float(value) for name, value in values.items()} | {"average": float(np.mean(kinds))}


def std_table(seen: dict[str, Seen], sets: list[str]) -> dict[str, dict[str, float]]:
    """Return the mean std over rows and targets of each set."""
    return {
        f"{kind} std, {who}": {s: float(std(s).mean()) for s in sets}
        for who, what in seen.items()
        for kind, std in stds(what).items()
    }


def choice(data: Path) -> dict[str, dict[str, dict[str, float]]]:
    """Return AUROC of sequence scores on validation or held-out rows of several assays, by how much composition is taken off."""
    found = {}
    for name, (train, held_out, foreign) in assays(data).items():
        rng, length = np.random.default_rng(0), train.shape[1]
        sets = {label: shift.of(held_out, 1) for label, shift in SHIFTS.items()}
        sets |= {"random DNA": random_codes((2000, length), rng), "other species": foreign}
        arrays = markov.MarkovScore.fit(Observed(codes=train), 0)
        parts = {
            s: (markov.own_log_likelihood(c), markov.mean_log_probability(arrays["log_probability"], c))
            for s, c in (sets | {"held out": held_out}).items()
        }
        rows = {}
        for share in (0.0, 0.25, 0.5, 0.75, 1.0):
            value = {s: share * own - chain for s, (own, chain) in parts.items()}
            rows[f"markov, share {share:g}"] = {s: auroc(value["held out"], value[s]) for s in sets}
        kmer = scores["kmer"]
        learnt = kmer.fit(Observed(codes=train), 0)
        inside = kmer.score(learnt, Observed(codes=held_out))
        rows["kmer"] = {s: auroc(inside, kmer.score(learnt, Observed(codes=c))) for s, c in sets.items()}
        found[name] = {label: with_average(row) for label, row in rows.items()}
    return found


def assays(data: Path) -> dict[str, tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Return training rows, held-out rows and sequences of another organism, for each assay."""
    rng = np.random.default_rng(1)
    promoter = read({"path": str(data / "promoter_mpra_mattioli2020.tsv.gz"), "split": "split"})
    fly = read({"path": str(data / "deepstarr_3k.tsv.gz"), "sequence": "Sequence", "split": "split"})
    library = read({"path": str(data / "lentimpra_joint_library_60k_unlabelled.fa.gz")}).codes
    library = library[rng.permutation(len(library))]
    bacterial = e_coli(data, 144)
    made = simulate(6000, 120, seed=2)
    other = simulate(2000, 120, seed=3, config=SimulationConfig(gc_low=0.55, gc_high=0.7, max_sites=8))
    return {
        "promoter, 144 bp": (promoter.subset("train").codes, promoter.subset("valid").codes, bacterial[:2000]),
        "DeepSTARR, 249 bp": (
            fly.subset("train").codes, fly.subset("valid").codes, windows(data / "ecoli_U00096.2.fa.gz", 249, rng),
        ),
        "lentiMPRA library, 230 bp": (
            library[:20_000], library[-2000:], windows(data / "ecoli_U00096.2.fa.gz", 230, rng),
        ),
        "E. coli promoters, 144 bp": (bacterial[2000:], bacterial[:2000], promoter.subset("valid").codes),
        "simulated, 120 bp": (
            made.examples.subset("train").codes, made.examples.subset("valid").codes, other.examples.codes,
        ),
    }  # fmt: skip


def e_coli(data: Path, length: int) -> np.ndarray:
    """Return E. coli promoters cropped to their centre, in random order, those that are shorter left out."""
    table = pd.read_csv(data / "ecoli_tss_promoter_urtecho2020.tsv.gz", sep="\t")
    texts = [t for t in dict.fromkeys(table["sequence"]) if len(t) >= length]
    codes = encode([t[(len(t) - length) // 2 :][:length] for t in texts])
    return codes[np.random.default_rng(0).permutation(len(codes))]


def windows(genome: Path, length: int, rng: np.random.Generator, count: int = 2000) -> np.ndarray:
    codes = read({"path": str(genome), "format": "fasta"}).codes[0]
    starts = rng.integers(0, len(codes) - length, count)
    return codes[starts[:, None] + np.arange(length)]


def some(codes: np.ndarray, most: int, rng: np.random.Generator) -> np.ndarray:
    return codes[np.sort(rng.permutation(len(codes))[:most])]


def report(found: dict) -> str:
    sizes = ", ".join(f"{name} {count:,}" for name, count in found["rows"].items())
    lines = [
        "# Out-of-distribution scores",
        "",
        f"{describe()}. `python benchmarks/ood.py`; fitted on {found['training_rows']:,} training rows of the promoter run. Rows: {sizes}.",
        "",
        "AUROC against the test rows: the chance that a sequence of the set scores above a test sequence. Average over six kinds (both "
        "directions of GC count as one). Stds are scored as the largest over targets of std / median std on training rows.",
        "",
        table(found["auroc"], "score", 3),
        "Mean stds of the models along the shift (log2(RNA/DNA), mean over rows and targets; total: of a mean of three replicates), and "
        "the share of rows that the default detector flags at the 99th percentile of the training rows:",
        "",
        table(found["stds"], "", 3),
        "What the default was chosen by: validation (promoter, DeepSTARR, simulated) or held-out rows, AUROC as above. The share is that of "
        "the likelihood under the sequence's own composition which is taken off: 0 = likelihood alone, 1 = likelihood ratio.",
        "",
    ]
    for name, rows in found["choice"].items():
        lines += [f"{name}:", "", table(rows, "score", 3)]
    return "\n".join(lines)


def table(rows: dict[str, dict[str, float]], corner: str, decimals: int) -> str:
    names = list(dict.fromkeys(name for row in rows.values() for name in row))
    body = [
        [label, *(f"{row[n]:.{decimals}f}" if n in row else "-" for n in names)]
        for label, row in rows.items()
    ]
    return markdown_table([[corner, *names], *body])


if __name__ == "__main__":
    main()
