"""Distil what exists already: an ensemble bundle, or a table of member predictions."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from octodon.artifact.bundle import load
from octodon.artifact.seen import refuse_known
from octodon.atomic import settled
from octodon.data.examples import Examples
from octodon.distillation.config import DistillConfig
from octodon.distillation.distill import as_teachers
from octodon.distillation.student import Student
from octodon.distillation.teachers import read_member_predictions
from octodon.ensemble.ensemble import Ensemble
from octodon.errors import BundleError
from octodon.experiment.config import ExperimentConfig
from octodon.experiment.fidelity import fidelity, write_fidelity
from octodon.experiment.prepare import prepare
from octodon.experiment.run import RunResult, Say, run_experiment
from octodon.records import MemberPredictions
from octodon.settings import checked


def distil_given(
    config: ExperimentConfig,
    teachers: str | Path,
    out: str | Path,
    *,
    backbone: str | None = None,
    progress: bool = True,
    say: Say = lambda line: None,
) -> RunResult:
    """Run an experiment with given teachers instead of training an ensemble; write how well the student stands for them.

    Parameters
    ----------
    teachers : path
        Folder of an ensemble, or a table (Parquet, TSV, CSV) with columns id, member and one per target.
    backbone : str, optional
        "path/to/file.py:Class" of an ensemble whose backbone is not part of octodon; default: that of the experiment.

    Raises
    ------
    BundleError
        The folder is no ensemble.
    DataError
        The table lacks a sequence of train, valid or test, or a member, or holds something that is no number. The networks
        of the folder have seen sequences that are to test or to calibrate the student.
    ConfigError, RunError
        As ``run_experiment``.
    """
    path = Path(teachers)
    given: Ensemble | MemberPredictions
    if settled(path).is_dir():
        loaded = load(path, backbone=backbone or config.model.backbone)
        if not isinstance(loaded, Ensemble):
            raise BundleError(f"--teachers {path}: a student, expected an ensemble (several members)")
        given = loaded
        examples = prepare(config)
        refuse_taught(settled(path), examples, config)
    else:
        examples = prepare(config)
        given = read_member_predictions(path, examples.target_names)
        if config.distill.copies != 0:
            say("a table of predictions cannot label altered copies: distill.copies = 0")
        # checked anew: what asks for altered copies cannot do without them
        distill = checked(
            DistillConfig, config.distill.model_dump() | {"copies": 0}, "distill, of a table of predictions"
        )
        config = config.model_copy(update={"distill": distill})
    result = run_experiment(config, out, teachers=given, examples=examples, progress=progress, say=say)
    if not (result.folder / "results" / "fidelity.json").is_file():
        student = load(result.folder / "student", backbone=config.model.backbone)
        assert isinstance(student, Student)
        test, device = examples.subset("test"), config.run.device_here
        card = fidelity(as_teachers(given, examples.target_names), student, test, device=device)
        say(f"fidelity card -> {write_fidelity(card, result.folder / 'results')}")
    return result


def refuse_taught(teachers: Path, examples: Examples, config: ExperimentConfig) -> None:
    """Refuse to test or calibrate on what the teachers have seen: another seed draws other rows for both.

    With ``split.on_leak = "allow"`` the teachers' own run had such rows, too, and its user said so.

    Raises
    ------
    DataError
        As ``refuse_known``.
    """
    if config.split.get("on_leak") == "allow":
        return
    held_out = np.flatnonzero(~np.isin(examples.required_splits(), ("train", "valid")))
    refuse_known(
        teachers,
        examples.take(held_out),
        where="test and calibration rows",
        advice="split as the teachers' run did (same seed, [split] and calibrate.fraction_of_valid); for further students of "
        "the same rows set distill.students",
    )
