"""What lies in the folder, and the commands that repeat it or go on from it."""

from __future__ import annotations

import shlex
from pathlib import Path

from octodon.report.blocks import Commands, Section, Table
from octodon.report.results import RunResults

_FILES = (
    ("student/", "the network to keep: weights, calibration, what it was trained on"),
    ("ensemble/", "its teachers"),
    ("results/metrics.tsv", "every number: model, split, target, quantity, metric, value"),
    ("results/predictions_test.parquet", "what was measured and what the student says, sequence by sequence"),
    ("results/ensemble_test.parquet", "the same from the ensemble"),
    ("results/kmer_ridge_test.parquet", "the same from the k-mer ridge"),
    ("results/coverage.tsv", "coverage of intervals, corner by corner"),
    ("results/intervals_test.tsv", "coverage and size along the level, all models"),
    ("results/baselines.tsv", "the same numbers of the baselines"),
    ("results/shift.tsv", "shifted sequences"),
    ("results/attribution_similarity.tsv", "the attribution study"),
    (
        "results/attribution_logos.parquet",
        "contributions base by base, of the sequences that are drawn above",
    ),
    ("baselines/", "the baselines: a bundle each"),
    ("figures/", "figures for papers and slides (SVG)"),
    ("config.toml", "every setting, defaults spelled out"),
    ("data.json", "rows, drops, leaks, agreement, hashes of the data"),
    ("events.jsonl", "what happened and when"),
)


def files_section(run: RunResults) -> Section:
    """Return the section."""
    quoted = shlex.quote(str(run.folder))
    backbone = str(run.config["model"]["backbone"])
    option = f" --backbone {shlex.quote(backbone)}" if ".py:" in backbone else ""
    commands = [
        (
            _again(run, quoted),
            "repeat the whole run: the same bits on the same CPU and versions, about the same numbers elsewhere",
        ),
        *_added(run, quoted),
        (f"octodon predict {quoted}/student sequences.fa{option} --out predictions.tsv", "ask the student"),
        (
            f"octodon attribute {quoted}/student sequences.fa{option} --method ism --logos 4 --out maps.h5",
            "which bases explain it",
        ),
        (f"octodon report {quoted}", "make this page again"),
    ]
    there = [(name, what) for name, what in _FILES if (run.folder / Path(name)).exists()]
    made = run.provenance
    names = ("octodon", "torch", "python", "platform", "created")
    versions = [[name, str(made[name])] for name in names if name in made]
    blocks = [
        Commands(rows=commands),
        Table(caption="Files in the folder of the run", header=["file", "what"], rows=there, words=True),
    ]
    if versions:
        hashes = run.data["sha256"]
        versions += [[f"sha256 of {name}", str(value)[:16] + "…"] for name, value in hashes.items() if value]
        blocks.append(
            Table(caption="Made with", header=["what", "which"], rows=versions, folded=True, words=True)
        )
    return Section(
        anchor="files",
        title="Files and commands",
        lead="Everything needed to check, repeat or go on.",
        blocks=blocks,
    )


def _again(run: RunResults, quoted: str) -> str:
    if run.data.get("teachers"):
        return f"octodon distill {quoted}/config.toml --teachers YOUR_TEACHERS --out again"
    return f"octodon run {quoted}/config.toml --out again"


def _added(run: RunResults, quoted: str) -> list[tuple[str, str]]:
    """Return the commands of results that the configuration does not make by itself."""
    rows = []
    study = run.attribution_settings
    if study is not None:
        chosen = "".join(f" --target {shlex.quote(name)}" for name in study["targets"] or ())
        rows.append(
            (
                f"octodon attribution-study {quoted} --method {study['method']} --sequences {study['sequences']} "
                f"--background {study['background']} --seed {study['seed']}{chosen}",
                "the attribution study of this page",
            )
        )
    scored = [] if run.baselines is None else dict.fromkeys(run.baselines["model"])
    added = [name for name in scored if name not in run.config.get("baselines", {})]
    rows += [(f"octodon baseline {name} {quoted}", f"the baseline {name}") for name in added]
    return rows
