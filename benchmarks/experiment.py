"""Run an experiment as a user would, watch time and memory, and set the Keras reference beside it.

    python benchmarks/experiment.py experiments/promoter_mpra.toml --out benchmarks/results/promoter_mpra.md \
        --keras benchmarks/results/keras_promoter.json

The JSON of the reference comes from ``keras_reference.py``. Memory is the peak over time of the whole process tree's
proportional set size (shared pages counted once). With ``--run`` of a finished run that was measured before, only the table is
made again.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import pandas as pd
from machine import describe
from watch import watch

from octodon.metrics.summary import format_summary, markdown_table, summarise


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("experiment", type=Path)
    parser.add_argument("--out", type=Path, required=True, help="Markdown table to write")
    parser.add_argument("--run", type=Path, help="run folder to keep (default: a temporary one)")
    parser.add_argument("--keras", type=Path, help="JSON of keras_reference.py")
    parser.add_argument("--set", action="append", default=[], help="passed on to octodon run")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        run = arguments.run or Path(temporary) / "run"
        command = ["octodon", "run", str(arguments.experiment), "--out", str(run)]
        cost = _known_cost(arguments.out, run) or watch(
            command + [part for override in arguments.set for part in ("--set", override)]
        )
        reference = json.loads(arguments.keras.read_text()) if arguments.keras else None
        text = report(arguments.experiment, run, cost, reference, arguments.set)
    arguments.out.write_text(text)
    arguments.out.with_suffix(".json").write_text(json.dumps(cost, indent=2) + "\n")
    sys.stdout.write(text)


def _known_cost(out: Path, run: Path) -> dict[str, float] | None:
    """Return what the run cost, if it was measured before: a reference can be set beside it later."""
    known = out.with_suffix(".json")
    if known.is_file() and (run / "results" / "complete.json").is_file():
        return json.loads(known.read_text())
    return None


def report(
    experiment: Path,
    run: Path,
    cost: dict[str, float],
    reference: dict[str, Any] | None,
    overrides: list[str],
) -> str:
    metrics = pd.read_csv(run / "results" / "metrics.tsv", sep="\t")
    changed = f" with `{' '.join(overrides)}`" if overrides else ""
    lines = [
        f"# {experiment.stem}: ensemble, student, and the Keras reference",
        "",
        f"`octodon run {experiment}`{changed}, test split. {describe()}.",
        "",
        markdown_table(format_summary(summarise(metrics))),
        "## Cost",
        "",
        markdown_table(_cost_table(run, cost, reference)),
    ]
    if reference:
        lines += ["## Against the reference's way, same data and split (test Pearson)", ""]
        lines.append(markdown_table(_comparison(metrics, reference)))
        lines.append(
            f"Reference: {reference['machine']['cpu']}, TensorFlow {reference['machine']['versions']['tensorflow']}, "
            f"{reference['date_utc'][:10]}, load average at its start {reference['machine']['load_average_at_start'][0]:.1f}; "
            f"members' epochs {reference['cost']['member_epochs']}.\n"
        )
    return "\n".join(lines)


def _cost_table(run: Path, cost: dict[str, float], reference: dict[str, Any] | None) -> list[list[str]]:
    events = [json.loads(line) for line in (run / "events.jsonl").read_text().splitlines()]
    seconds = {event["event"]: event.get("seconds", float("nan")) for event in events}
    history = pd.read_parquet(run / "ensemble" / "history.parquet")
    epochs = history.groupby("index").size()
    per_network = seconds["ensemble finished"] / len(epochs)
    ours = [
        ("whole run, s", f"{cost['seconds']:.0f}"),
        ("ensemble, s", f"{seconds['ensemble finished']:.0f}"),
        ("ensemble, s per member (wall)", f"{per_network:.0f}"),
        ("epochs per member, mean", f"{epochs.mean():.1f}"),
        ("ensemble, s per member and epoch (wall)", f"{seconds['ensemble finished'] / epochs.sum():.2f}"),
        ("student with labels, s", f"{seconds['student finished']:.0f}"),
        ("peak memory, all processes, MiB", f"{cost['peak_mib']:.0f}"),
        ("load average before the start", f"{cost['load_before']:.1f}"),
    ]
    if not reference:
        return [["", "octodon"], *map(list, ours)]
    theirs_cost = reference["cost"]
    member_epochs = theirs_cost["member_epochs"]
    theirs = [
        f"{theirs_cost['total_seconds']:.0f}",
        f"{theirs_cost['ensemble_seconds']:.0f}",
        f"{theirs_cost['member_seconds_mean']:.0f}",
        f"{sum(member_epochs) / len(member_epochs):.1f}",
        f"{theirs_cost['ensemble_seconds'] / sum(member_epochs):.2f}",
        f"{theirs_cost['student_seconds']:.0f}",
        f"{theirs_cost['peak_rss_mib']:.0f}",
        f"{reference['machine']['load_average_at_start'][0]:.1f}",
    ]
    rows = [[name, value, other] for (name, value), other in zip(ours, theirs, strict=True)]
    return [["", "octodon", "Keras reference"], *rows]


def _comparison(metrics: pd.DataFrame, reference: dict[str, Any]) -> list[list[str]]:
    summary = summarise(metrics)
    rows = [["target", "implementation", "individual (sd)", "ensemble", "student", "epistemic"]]
    for target, theirs in reference["test"].items():
        activity = summary.query("target == @target and quantity == 'activity' and metric == 'pearson'").iloc[
            0
        ]
        epistemic = summary.query(
            "target == @target and quantity == 'epistemic' and metric == 'pearson'"
        ).iloc[0]
        rows.append(
            [
                target,
                "octodon",
                f"{activity['individual_mean']:.3f} ({activity['individual_sd']:.3f})",
                f"{activity['ensemble']:.3f}",
                f"{activity['student_mean']:.3f}",
                f"{epistemic['student_mean']:.3f}",
            ]
        )
        rows.append(
            [
                target,
                "Keras reference",
                f"{theirs['individual_pearson_mean']:.3f} ({theirs['individual_pearson_sd_ddof1']:.3f})",
                f"{theirs['ensemble_pearson']:.3f}",
                f"{theirs['student_pearson']:.3f}",
                f"{theirs['epistemic_pearson']:.3f}",
            ]
        )
    return rows


if __name__ == "__main__":
    main()
