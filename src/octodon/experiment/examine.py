"""The last stage of a run: shifted sequences, and what explains the active ones, for the report."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from octodon.data.examples import Examples
from octodon.errors import OctodonError
from octodon.experiment.attribution_study import study, write_study
from octodon.experiment.finished import RunModels, load_models
from octodon.experiment.shift import evaluate_shift, shift_request, write_shift
from octodon.experiment.stages import Stages
from octodon.seeds import derive_seed


def examine(stages: Stages) -> None:
    """Judge a run's own ensemble and students on shifted test sequences, and compare their maps of the most active ones.

    What cannot be examined (no ensemble of its own, two members, a backbone without gradients) is said, and ends no run: the
    networks are trained and scored by then.
    """
    config = stages.config.examine
    wanted: list[tuple[str, Callable[[Stages, RunModels], str]]] = []
    if config.shift:
        wanted.append(("shift", _shift))
    if config.attribution:
        wanted.append(("attribution", _attribution))
    if not wanted:
        return
    if not (stages.folder.path / "ensemble" / "config.json").is_file():
        stages.say("shifts and attribution are not examined: the run has no ensemble of its own")
        return
    models = load_models(stages.folder.path, stages.config.model.backbone)
    for name, make in wanted:
        start = time.perf_counter()
        try:
            stages.say(f"{name}: {make(stages, models)}")
        except (OctodonError, RuntimeError) as error:
            # RuntimeError: a GPU without the memory, an operation that it has not
            reason = " ".join(str(error).split())[:300]
            stages.say(f"{name}: not examined: {reason}")
            stages.folder.event(f"{name} not examined", reason=reason)
        else:
            stages.folder.event(f"{name} examined", seconds=round(time.perf_counter() - start, 1))


def _shift(stages: Stages, models: RunModels) -> str:
    test = _some(stages.examples.subset("test"), stages.config.examine.shift, stages.config.seed)
    seed = derive_seed(stages.config.seed, "shift")
    table = evaluate_shift(
        models.ensemble,
        models.students,
        test,
        seed=seed,
        device=stages.execution.device_here,
    )
    settings = shift_request(seed=seed) | {"rows": len(test)}
    write_shift(table, stages.folder.path, stages.examples.units, settings)
    return f"{table['split'].nunique() - 1} shifts of {len(test):,} test sequences"


def _attribution(stages: Stages, models: RunModels) -> str:
    config, test = stages.config.examine, stages.examples.subset("test")
    is_known = np.atleast_1d(np.isfinite(test.targets).any(axis=0))
    found = study(
        models.ensemble,
        models.students,
        test,
        kept=models.kept,
        targets=[name for name, known in zip(test.target_names, is_known, strict=True) if known],
        method=config.method,
        sequences=config.attribution,
        seed=derive_seed(stages.config.seed, "attribution"),
        device=stages.execution.device_here,
    )
    write_study(replace(found, settings=found.settings | {"ensemble": "ensemble"}), stages.folder.path)
    return f"{config.method}, {config.attribution:,} sequences of highest activity per target"


def _some(rows: Examples, most: int, seed: int) -> Examples:
    """Return as many rows, drawn once for a seed, in their order."""
    if len(rows) <= most:
        return rows
    drawn = np.random.default_rng(derive_seed(seed, "examined rows")).permutation(len(rows))[:most]
    return rows.take(np.sort(drawn))
