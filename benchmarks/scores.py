"""Pearson of ensemble and students on the validation and test split, under names that say what against what."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from octodon.data.examples import Examples
from octodon.distillation.student import Student
from octodon.ensemble.ensemble import Ensemble
from octodon.ensemble.execution import Execution
from octodon.metrics.evaluate import evaluate_split


def scores(
    teachers: Ensemble, students: Sequence[Student], examples: Examples, execution: Execution
) -> dict[str, float]:
    """Return ``{"test student epistemic HUES64": 0.8, ...}``, each the mean over the students (or members)."""
    found: dict[str, list[float]] = {}
    for split in ("valid", "test"):
        rows = examples.subset(split)
        ids = [str(name) for name in rows.ids]
        table = evaluate_split(
            split=split,
            members=teachers.predict_members(rows.codes, ids, execution),
            students=[student.predict(rows.codes, ids, device=execution.device) for student in students],
            measured=rows.targets,
            metric_names=["pearson"],
        )
        table = table[table.metric == "pearson"]
        columns = (table[name] for name in ("model", "quantity", "target", "value"))
        for model, quantity, target, value in zip(*columns, strict=True):
            found.setdefault(f"{split} {model} {quantity} {target}", []).append(value)
    return {name: float(np.mean(values)) for name, values in found.items()}
