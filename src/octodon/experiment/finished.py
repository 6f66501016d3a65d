"""The models of a finished run, for the commands that add to it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from octodon.artifact.bundle import load
from octodon.atomic import make_folder, refuse_unwritable, settled
from octodon.data.examples import Examples
from octodon.distillation.student import Student
from octodon.ensemble.ensemble import Ensemble
from octodon.errors import RunError
from octodon.experiment.config import ExperimentConfig, load_config
from octodon.experiment.folder import RunFolder
from octodon.experiment.prepare import hashes, prepare
from octodon.report.results import need_finished


@dataclass(frozen=True, kw_only=True, eq=False)
class RunModels:
    """The ensemble of a run, and what was distilled from it.

    Attributes
    ----------
    ensemble : Ensemble
    students : list of Student
        In the order of their indices; where the run has one, that one.
    kept : int
        Position among them of the student kept, the best by validation loss.
    """

    ensemble: Ensemble
    students: list[Student]
    kept: int


def load_models(run: Path, backbone: str | None = None, *, ensemble: str = "ensemble") -> RunModels:
    """Return the models of a run; ``ensemble`` names the folder of its ensemble, of which the lentiMPRA protocol has two.

    ``backbone`` is ``"file.py:Class"`` of networks whose code is not part of octodon: a run folder from elsewhere names a file, too,
    but what runs on this machine is the caller's choice.

    Raises
    ------
    RunError
        When the folder holds no run with an ensemble and a student.
    BundleError, ConfigError
        As ``load``.
    """
    _refuse_without_models(run, ensemble)
    members = load(run / ensemble, backbone=backbone)
    assert isinstance(members, Ensemble)
    best = _student(run / "student", backbone)
    students = [_student(path, backbone) for path in sorted((run / "students").glob("student_*"))] or [best]
    kept = [student.fitted.index for student in students].index(best.fitted.index)
    return RunModels(ensemble=members, students=students, kept=kept)


def refuse_unfinished(run: Path, ensemble: str = "ensemble") -> None:
    """Refuse a folder that is no run with such models, or one whose run has not ended: it may still be training.

    Raises
    ------
    RunError
        With what to do.
    """
    _refuse_without_models(run, ensemble)
    need_finished(run)


def refuse_unwritable_run(run: Path) -> None:
    """Refuse a run to which nothing can be added; asked before work whose tables and figures are to be written there.

    Raises
    ------
    RunError
        When the folder holds no finished run with an ensemble and a student, or its results or figures cannot be written.
    """
    refuse_unfinished(run)
    for name in ("results", "figures"):
        make_folder(run / name)
        refuse_unwritable(run / name)


def load_examples(run: Path) -> tuple[ExperimentConfig, Examples]:
    """Return the configuration of a finished run and its examples, with the split that its networks were trained on.

    Raises
    ------
    RunError
        The data have changed since: what is a test row now may have trained a network.
    ConfigError, DataError
        As ``prepare``.
    """
    config = load_config(run / "config.toml")
    examples = prepare(config)
    RunFolder(run).refuse_changed({"sha256": hashes(examples)})
    return config, examples


def _refuse_without_models(run: Path, ensemble: str) -> None:
    for part in ("config.toml", ensemble, "student"):
        if not settled(run / part).exists():
            raise RunError(f"{run}: no {part} here; give the folder of a finished run (octodon run)")


def _student(path: Path, backbone: str | None) -> Student:
    student = load(path, backbone=backbone)
    assert isinstance(student, Student)
    return student
