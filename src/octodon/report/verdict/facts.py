"""The numbers that a verdict rests on."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class TargetFacts:
    """Numbers of one target on the test split; None = not known, NaN = undefined, as the correlation of a constant.

    Attributes
    ----------
    target : str
    n_test : int
        Test sequences with a measured value.
    student, individual, ensemble, ridge, ceiling : float
        Pearson r with the measured activity: of the student kept, the members' mean, the ensemble, the k-mer ridge, and the
        highest that the replicates allow.
    is_constant : bool
        The student predicts one value for all test sequences. Its r is NaN then, as it is of too few or equal measurements.
    gain_low, gain_high : float
        95 % bootstrap interval of the student's r minus the ridge's.
    coverage : float
        Share of measured values inside the calibrated interval.
    n_calibration : int
        Rows with a measured value that the interval was calibrated on.
    worst_cell : str
        Where coverage is furthest from its level, in words.
    worst_coverage : float
    worst_n : int
        Sequences in that cell; 0 where no cell has enough to be judged, None where coverage by cell is not known.
    worst_n_calibration : int
        Calibration rows behind its width: all, or where every cell of the method has a width of its own those of the smallest.
    epistemic : float
        Pearson r of the student's epistemic std with the ensemble's.
    std_ratio : float
        The student's epistemic std over the ensemble's, as ``octodon.metrics.std_agreement.std_ratio``.
    error_spearman : float
        Spearman correlation of the std, calibrated where that is not one for all, with the absolute error.
    """

    target: str
    n_test: int
    student: float
    is_constant: bool = False
    individual: float | None = None
    ensemble: float | None = None
    ridge: float | None = None
    ceiling: float | None = None
    gain_low: float | None = None
    gain_high: float | None = None
    coverage: float | None = None
    n_calibration: int | None = None
    worst_cell: str | None = None
    worst_coverage: float | None = None
    worst_n: int | None = None
    worst_n_calibration: int | None = None
    epistemic: float | None = None
    std_ratio: float | None = None
    error_spearman: float | None = None


@dataclass(frozen=True, kw_only=True)
class Endings:
    """How the trainings of a run ended.

    Attributes
    ----------
    networks : int
        Members and students whose training is known.
    scheduled : int
        Those whose schedule takes the learning rate to nothing, whatever the loss does (cosine).
    scheduled_best_last : int
        Of these, those whose best epoch is their last.
    unfinished : int
        Of the others, those whose best epoch is their last: they were still improving.
    """

    networks: int = 0
    scheduled: int = 0
    scheduled_best_last: int = 0
    unfinished: int = 0

    @property
    def stop_early(self) -> int:
        """Those whose training the validation loss ends."""
        return self.networks - self.scheduled

    def words(self) -> str:
        """Return one line about all of them."""
        others, said = self.stop_early, []
        if self.scheduled:
            which = "all" if not others else f"{self.scheduled} of"
            said.append(
                f"the schedules of {which} {self.networks} networks ran to their end, {self.scheduled_best_last} of them in their best "
                "epoch"
            )
        if others:
            said.append(
                f"{self.unfinished} of {others} that stop early were still improving in their last epoch"
            )
        return "; ".join(said)


@dataclass(frozen=True, kw_only=True)
class RunFacts:
    """Numbers of a whole run.

    Attributes
    ----------
    folder : str
        Of the run, as commands name it.
    targets : tuple of TargetFacts
    level : float
        Of the calibrated interval.
    leaking_rows : int
        Rows related to a row of another split.
    endings : Endings
        How members and students ended their training.
    uncalibrated : str
        Why no interval was calibrated; None where one was, and where that is not known.
    knows_ood : bool
        The student flags sequences unlike its training set.
    has_ensemble : bool
        The teachers lie in the run; without them shifted sequences cannot be examined.
    knows_shift : bool
        Shifted sequences were examined.
    """

    folder: str
    targets: tuple[TargetFacts, ...]
    level: float
    leaking_rows: int
    endings: Endings = Endings()
    uncalibrated: str | None = None
    knows_ood: bool = False
    has_ensemble: bool = True
    knows_shift: bool = False
