"""The stages of a run that train: ensemble and students."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from octodon.artifact.bundle import load, save
from octodon.data.calibration_rows import CALIBRATION
from octodon.data.examples import Examples
from octodon.distillation.cached import CachedTeachers
from octodon.distillation.distill import as_teachers, distil_students
from octodon.distillation.effects import learn_effects
from octodon.distillation.student import Student
from octodon.distillation.teachers import Teachers
from octodon.ensemble.ensemble import Ensemble
from octodon.ensemble.execution import Execution
from octodon.ensemble.network import FittedNetwork
from octodon.ensemble.progress import found_before
from octodon.ensemble.stacked.fit import read_choices
from octodon.ensemble.train import train_ensemble
from octodon.errors import RunError
from octodon.experiment.answers import best_student
from octodon.experiment.config import ExperimentConfig
from octodon.experiment.folder import RunFolder, write_parquet
from octodon.models.model import ModelConfig
from octodon.records import MemberPredictions
from octodon.seeds import derive_seed

Say = Callable[[str], None]


@dataclass(frozen=True)
class Stages:
    """The stages of one run; each goes on from the networks and answers that it finds finished on disk."""

    config: ExperimentConfig
    examples: Examples
    folder: RunFolder
    execution: Execution
    provenance: dict[str, Any]
    say: Say

    @property
    def model(self) -> ModelConfig:
        """What a member is."""
        return self.config.member(self.examples)

    def ensemble(self, name: Literal["ensemble", "ensemble_activity"] = "ensemble") -> Ensemble:
        """Train an ensemble into the folder ``name``, or take the one that this run trained before it was interrupted.

        ``ensemble_activity`` learns the activity alone, from the same rows: stage 1 of the lentiMPRA protocol. Its members
        are other random draws than those of ``ensemble``.
        """
        path = self.folder.path / name
        settings, seed = self.config.ensemble, self.config.seed
        if name == "ensemble_activity":
            settings = settings.model_copy(update={"head": self.config.activity_ensemble})
            seed = derive_seed(seed, name)
        # the history is written last: without it the finished members are gathered again, in no time
        if (path / "history.parquet").is_file():
            self.say(f"{name}: kept from {path}")
            loaded = load(path, backbone=self.config.model.backbone)
            if not isinstance(loaded, Ensemble):
                raise RunError(
                    f"{path}: holds a {type(loaded).__name__}, expected an ensemble; use a new folder"
                )
            return loaded
        self.say(f"{name}: training {settings.members} members ({settings.head})")
        self._say_found(name, "member")
        start = time.perf_counter()
        trained = train_ensemble(
            self.examples,
            self.model,
            settings,
            seed=seed,
            folder=self.folder.work / name,
            execution=self.execution,
        )
        save(trained, path, self.provenance)
        write_parquet(history_frame("member", trained.members), path / "history.parquet")
        self._say_strategy(name, self.folder.work / name)
        self._report(name, start, trained.members)
        return trained

    def students(self, teachers: Ensemble | MemberPredictions) -> list[Student]:
        """Distil the students and save them, the best by validation loss as ``student/``."""
        config = self.config.distill
        copies = config.copies_of(len(self.examples.subset("train")))
        self.say(f"student: distilling {config.students}, with {copies} labelled copies of each sequence")
        self._say_found("students", "student")
        start = time.perf_counter()
        students = distil_students(
            self.asked_once(teachers),
            self.examples,
            self.model,
            config,
            seed=self.config.seed,
            folder=self.folder.work / "students",
            execution=self.execution,
        )
        students = self._learn_effects(students, teachers)
        fitted = [student.fitted for student in students]
        save(students[best_student(students)], self.folder.path / "student", self.provenance)
        write_parquet(history_frame("student", fitted), self.folder.path / "student" / "history.parquet")
        if len(students) > 1:
            for student in students:
                target = self.folder.path / "students" / f"student_{student.fitted.index:03d}"
                target.parent.mkdir(exist_ok=True)
                save(student, target, self.provenance)
        self._say_strategy("student", self.folder.work / "students")
        self._report("student", start, fitted)
        return students

    def _learn_effects(
        self, students: list[Student], teachers: Ensemble | MemberPredictions
    ) -> list[Student]:
        """Return the students, the best of them with the std of differences, if somebody can label pairs for it."""
        source = self.asked_once(teachers)
        if not self.config.distill.effects or isinstance(source, MemberPredictions):
            return students
        start, best = time.perf_counter(), best_student(students)
        train, valid = (self.examples.subset(name).codes for name in ("train", "valid"))
        found = learn_effects(
            students[best], source, train, valid, seed=self.config.seed, execution=self.execution
        )
        if found is None:
            return students
        names = self.examples.target_names
        said = ", ".join(f"{name} {r:.2f}" for name, r in zip(names, found.pearson, strict=True))
        self.say(f"effects: std of differences learnt, r with the members' {said}")
        self.folder.event(
            "effects learnt",
            seconds=round(time.perf_counter() - start, 1),
            pearson=found.pearson.round(4).tolist(),
            pearson_of_naive_sum=found.naive.round(4).tolist(),
            naive_times_too_large=found.naive_ratio.round(3).tolist(),
        )
        return [found.student if index == best else student for index, student in enumerate(students)]

    def asked_once(self, teachers: Ensemble | MemberPredictions) -> Teachers | MemberPredictions:
        """Return the teachers with a memory on disk of what they have answered, where they compute it."""
        source = as_teachers(teachers, self.examples.target_names)
        if isinstance(source, MemberPredictions):
            return source
        return CachedTeachers(teachers=source, folder=self.folder.work / "answers")

    def _say_found(self, folder: str, role: str) -> None:
        found = found_before(self.folder.work / folder, role)
        if found:
            self.say(f"  from before: {found}")

    def _say_strategy(self, what: str, folder: Path) -> None:
        for choice in read_choices(folder):
            self.say(f"{what}: {choice.line()}")
            self.folder.event(f"{what} strategy", **asdict(choice))

    def _report(self, what: str, start: float, networks: Sequence[FittedNetwork]) -> None:
        seconds = time.perf_counter() - start
        restarted = [network.index for network in networks if network.attempt > 0]
        if restarted:
            self.say(f"{what}: networks {restarted} diverged and were trained again from their next seed")
        self.folder.event(f"{what} finished", seconds=round(seconds, 1), restarted=restarted)
        self.say(f"{what}: done in {seconds:.0f} s")


def evaluated_splits(examples: Examples, teachers: Teachers | MemberPredictions) -> list[str]:
    """Return valid, test and the further splits that a table of teachers covers, but not the calibration rows."""
    assert examples.splits is not None
    known = ("train", "valid", "test", CALIBRATION)
    others = [str(s) for s in pd.unique(examples.splits) if s not in known]
    return ["valid", "test", *(s for s in others if covers(teachers, examples.subset(s)))]


def covers(teachers: Teachers | MemberPredictions, rows: Examples) -> bool:
    """Return whether the teachers answer for these rows: a table may not hold them all."""
    if not isinstance(teachers, MemberPredictions):
        return True
    return set(teachers.ids).issuperset(map(str, rows.ids))


def history_frame(network: str, fitted: Sequence[FittedNetwork]) -> pd.DataFrame:
    """Return the training history of networks: network, index, epoch, losses, learning rate, seconds."""
    rows = [{"network": network, "index": f.index} | record for f in fitted for record in f.history]
    return pd.DataFrame(rows)
