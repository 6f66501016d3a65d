"""What the networks of a run say about some of its rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from numpy import ndarray

from octodon.data.examples import Examples
from octodon.distillation.student import Student
from octodon.distillation.teachers import Teachers
from octodon.ensemble.ensemble import Ensemble
from octodon.experiment.uncertainty import Named, named_predictions
from octodon.predict.ood import ood_percentile
from octodon.records import MemberPredictions, Prediction

Detecting = Student | Ensemble


@dataclass(frozen=True, kw_only=True, eq=False)
class Trained:
    """The trained models of a run.

    Attributes
    ----------
    teachers : Teachers or MemberPredictions
    students : sequence of Student
    detector : Student, Ensemble or None
        Who scores how unlike the training set a sequence is, for ensemble and individuals.
    """

    teachers: Teachers | MemberPredictions
    students: Sequence[Student]
    detector: Detecting | None

    @property
    def best(self) -> int:
        """Position of the student with the lowest validation loss."""
        return best_student(self.students)

    def ask(self, rows: Examples, members: MemberPredictions | None, device: str) -> Answers:
        """Return what every model says of the rows; ``members`` is what the teachers said, None where they do not know them."""
        ids = [str(name) for name in rows.ids]
        return Answers(
            members=members,
            students=[one.predict(rows.codes, ids, device=device, calibrated=False) for one in self.students],
            ood=None if members is None else self._ood_score(members, rows, device),
        )

    def _ood_score(self, members: MemberPredictions, rows: Examples, device: str) -> ndarray | None:
        if self.detector is None:
            return None
        whole = members.combine() if isinstance(self.detector, Ensemble) else None
        return ood_percentile(self.detector, rows.codes, whole, device=device)


@dataclass(frozen=True, kw_only=True, eq=False)
class Answers:
    """What was said of some rows: by members and students, uncalibrated; and how unlike the training set they are."""

    members: MemberPredictions | None
    students: Sequence[Prediction]
    ood: ndarray | None

    def named(self) -> list[Named]:
        """Return model, index and prediction of individuals, ensemble and students."""
        return named_predictions(self.members, self.students, self.ood)


def best_student(students: Sequence[Student]) -> int:
    """Return the position of the student with the lowest validation loss."""
    losses = [min(record["valid_loss"] for record in student.fitted.history) for student in students]
    return losses.index(min(losses))
