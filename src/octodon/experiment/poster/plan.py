"""What an experiment of the poster consists of, part by part, and how long each takes on two cores."""

from __future__ import annotations

from dataclasses import dataclass

from octodon.experiment.poster.load import Experiment

# Cost of one student in members' trainings: 24 copies three times, labels included, and the published way
# (benchmarks/results/distillation_promoter.md); alone on two cores it takes longer, one of them being idle.
_STUDENT_COST = {"default": 5.0, "paper": 1.2}
# Minutes to evaluate a run, or its shifts, and to draw the figures.
_EVALUATION = 0.5


@dataclass(frozen=True, kw_only=True)
class Part:
    """One part of an experiment, for a plan: what is made, and how long it takes on two cores."""

    name: str
    what: str
    minutes: float


def plan(one: Experiment) -> list[Part]:
    """Return the parts of an experiment in the order in which they are made.

    Minutes are rough: measured costs of a training row on two idle cores, times rows, passes and networks.
    """
    return [
        *_runs(one),
        _shifts(one),
        _maps(one),
        Part(name="page", what="reproduction.html, .tsv, .md", minutes=0.1),
    ]


def _runs(one: Experiment) -> list[Part]:
    cost, config = one.poster.cost, one.config
    students = config.distill.students * _STUDENT_COST["default" if one.preset == "default" else "paper"]
    networks = config.ensemble.members * one.stages + students
    members = f"{config.ensemble.members} members"
    members = members if one.stages == 1 else f"2 x {members}"
    passes = min(cost.passes, config.ensemble.training_of(cost.rows).epochs)
    return [
        Part(
            name=f"fraction_{fraction:g}",
            what=f"{round(fraction * cost.rows):,} training sequences: {members}, {config.distill.students} students",
            minutes=fraction * cost.rows * passes * networks * cost.ms_per_row / 60_000 + _EVALUATION,
        )
        for fraction in one.poster.fractions
    ]


def _shifts(one: Experiment) -> Part:
    """Return the part: four sets of test sequences, in all about half of the training set, a third of a pass each."""
    networks = one.config.ensemble.members + one.config.distill.students
    minutes = one.poster.cost.rows * networks * one.poster.cost.ms_per_row / 6 / 60_000 + _EVALUATION
    return Part(name="shift", what="three shifts of the test set", minutes=minutes)


def _maps(one: Experiment) -> Part:
    """Return the part: a map costs about as much as a training pass; DeepLIFT/SHAP one for each reference."""
    study, targets = one.poster.attribution, len(one.poster.published_as)
    passes = study.background if study.method == "deep_lift_shap" else 1
    networks = one.config.ensemble.members + one.config.distill.students
    what = f"{study.method}, {study.sequences:,} sequences" + (
        f" of each of {targets} targets" if targets > 1 else ""
    )
    minutes = study.sequences * passes * targets * networks * one.poster.cost.ms_per_row / 60_000
    return Part(name="attribution", what=what, minutes=minutes)


def plan_lines(one: Experiment) -> list[str]:
    """Return the plan as ``--dry-run`` prints it."""
    parts = plan(one)
    width = max(len(part.what) for part in parts)
    whole = sum(part.minutes for part in parts)
    lines = [
        f"{one.poster.title}, {one.scale} scale, preset {one.preset}: {one.poster.data}",
        *(f"  {part.name:<14} {part.what:<{width}}  {_time(part.minutes)}" for part in parts),
        f"About {_time(whole)} on two cores. Interrupted, the same command goes on.",
    ]
    if one.poster.stand_in:
        lines.insert(1, f"  note: {one.poster.stand_in}; every panel says so")
    return lines


def _time(minutes: float) -> str:
    if minutes >= 48 * 60:
        return f"{minutes / 1440:.0f} days"
    if minutes >= 90:
        return f"{minutes / 60:.0f} h"
    return "under 1 min" if minutes < 1 else f"{minutes:.0f} min"
