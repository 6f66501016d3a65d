"""Whether the student says of a sequence that it is unlike anything it was trained on."""

from __future__ import annotations

import json
import shlex

from octodon.report.blocks import Block, Commands, Section, Table, Text
from octodon.report.facts import metric_of
from octodon.report.results import RunResults


def ood_section(run: RunResults) -> Section:
    """Return the section."""
    card = run.folder / "student" / "ood.json"
    blocks: list[Block] = []
    if card.is_file():
        fitted = json.loads(card.read_text(encoding="utf-8"))
        blocks.append(
            Text(
                text=f"The student carries a detector ({fitted['score']}): octodon predict adds ood_score, a percentile among the training "
                f"sequences, and flags a sequence beyond the {fitted['threshold_percentile']:g}th percentile (ood)."
            )
        )
    else:
        folder = shlex.quote(str(run.folder))
        command = f"octodon ood {folder}/student {folder}/config.toml"
        blocks.append(
            Commands(rows=[(command, "teach the student to flag sequences unlike its training set")])
        )
    others = _other_splits(run)
    if others is not None:
        blocks.append(others)
    return Section(
        anchor="ood",
        title="Out of distribution",
        lead="Every std above is learnt from sequences like the training set. Far from it a network may be wrong and sure.",
        blocks=blocks,
    )


def _other_splits(run: RunResults) -> Table | None:
    """Return accuracy and coverage on splits that were kept aside, beside the test split."""
    known = ("train", "valid", "calibration")
    splits = [name for name in dict.fromkeys(run.metrics["split"]) if name not in known]
    if len(splits) < 2:
        return None
    rows = []
    for split in splits:
        for target in run.targets:
            cells = []
            for model, quantity, metric in (
                ("ensemble", "activity", "pearson"),
                ("student", "activity", "pearson"),
                ("kmer_ridge", "activity", "pearson"),
                ("student", "activity", "mse"),
                ("student", "epistemic", "sharpness"),
                ("student", "calibrated", "coverage_0.9"),
            ):
                index = run.student if model == "student" else 0
                value = metric_of(run.metrics, model, target, quantity, metric, index=index, split=split)
                cells.append(
                    "-" if value is None else f"{value:.0%}" if "coverage" in metric else f"{value:.3f}"
                )
            rows.append([split, target, *cells])
    return Table(
        caption="Splits that were kept aside, beside the test split",
        header=["split", "target", "r ensemble", "r student", "r k-mer ridge", "squared error", "epistemic std", "inside 90 %"],
        rows=rows,
        n_names=2,
        note="Epistemic std: root of the mean variance. Does it rise where the error does? Do intervals still hold?",
    )  # fmt: skip
