"""What an experiment of the poster consists of, part by part, and how long each takes on two cores."""

from __future__ import annotations

from dataclasses import dataclass

from octodon.experiment.poster.load import Experiment

# Of a published student, in members' trainings; and to label a sequence by a member, in passes of a training over it
# (benchmarks/results/distillation_promoter.md). Alone on two cores a student takes longer, one of them being idle at times.
_PUBLISHED_STUDENT, _LABEL = 1.2, 0.28
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
    members = f"{config.ensemble.members} members"
    members = members if one.stages == 1 else f"2 x {members}"
    found = []
    for fraction in one.poster.fractions:
        rows = round(fraction * cost.rows)
        found.append(
            Part(
                name=f"fraction_{fraction:g}",
                what=f"{rows:,} training sequences: {members}, {config.distill.students} students",
                minutes=rows * _passes(one, rows) * cost.ms_per_row / 60_000 + _EVALUATION,
            )
        )
    return found


def _passes(one: Experiment, rows: int) -> float:
    """Return how many passes of a training all members and students of ``rows`` sequences cost, labels included."""
    members, distill = one.config.ensemble.members, one.config.distill
    copies, epochs = distill.copies_of(rows), _epochs(one, rows)
    if copies == 0:
        return epochs * (members * one.stages + distill.students * _PUBLISHED_STUDENT)
    of_copies = distill.students * distill.training_of(rows).epochs + _LABEL * members
    return epochs * members * one.stages + copies * of_copies


def _epochs(one: Experiment, rows: int) -> float:
    """Return the epochs of a member: all of them, unless its schedule stops early; then as many as were counted."""
    training = one.config.ensemble.training_of(rows)
    whole = float(training.epochs)
    return whole if training.schedule == "cosine" else min(one.poster.cost.passes, whole)


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
