"""What lies in the folder, and the commands that repeat it or go on from it."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

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
        *_added(run, quoted, option),
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


def _added(run: RunResults, quoted: str, option: str) -> list[tuple[str, str]]:
    """Return the commands of results that the configuration does not make by itself, as far as commands can say them."""
    study, shift = run.attribution_settings, run.shift_settings
    rows = []
    if shift is not None and "rows" not in shift:  # with rows: what [examine] made
        rows.append(
            (f"octodon shift {quoted}{_of_shift(shift)}{option}", "the shifted sequences of this page")
        )
    by_run = {"method": "saliency"} | run.config.get("examine", {})
    is_own = study is not None and (study["method"], study["sequences"]) == (
        by_run["method"],
        by_run.get("attribution"),
    )
    if study is not None and not is_own and study.get("ensemble", "ensemble") == "ensemble":
        chosen = "".join(f" --target {shlex.quote(name)}" for name in study["targets"] or ())
        truth = " --truth NAME_truth.parquet" if study.get("truth") else ""
        rows.append(
            (
                f"octodon attribution-study {quoted} --method {study['method']} --sequences {study['sequences']} "
                f"--background {study['background']} --seed {study['seed']}{chosen}{truth}{option}",
                "the attribution study of this page",
            )
        )
    scored = [] if run.baselines is None else dict.fromkeys(run.baselines["model"])
    added = [name for name in scored if name not in run.config.get("baselines", {})]
    return rows + [
        (f"octodon baseline {name} {quoted}{_of_baseline(run, name)}{option}", f"the baseline {name}")
        for name in added
    ]


def _of_shift(asked: dict[str, Any]) -> str:
    """Return the options of ``octodon shift`` that ask for the same."""
    words = [f"--of {shlex.quote(asked['split'])}", f"--seed {asked['seed']}"]
    for one in asked["shifts"]:
        options = ",".join(f"{name}={value}" for name, value in one["options"].items())
        words.append(f"--shift {one['name']}{':' + options if options else ''}")
    words += [f"--also {shlex.quote(f'{name}={file}')}" for name, file in asked["given"].items()]
    return "".join(f" {word}" for word in [*words, *(["--length crop"] if asked["crop"] else [])])


def _of_baseline(run: RunResults, name: str) -> str:
    """Return the options that a baseline beside the run was made with."""
    file = run.folder / "baselines" / name / "provenance.json"
    made = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    settings = made.get("baseline", {}).get("settings", {})
    return "".join(
        f" --option {shlex.quote(f'{key}={json.dumps(value)}')}" for key, value in settings.items()
    )
