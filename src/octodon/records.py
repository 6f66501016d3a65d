"""What predictions are: members' outputs, and a mean with its uncertainties. One place for the law of total variance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from numpy import ndarray

from octodon.errors import ConfigError, DataError


@dataclass(frozen=True, kw_only=True, eq=False)
class Prediction:
    """Activity with its uncertainties, one row a sequence, one column a target.

    Attributes
    ----------
    ids : (n,) array of str
        Identifiers in input order.
    target_names : tuple of str
        Name of each target, length t.
    mean : (n, t) array
        Predicted activity, in the units of the training targets.
    epistemic_std : (n, t) array or None
        How far independently trained members disagree (population standard deviation); None where the model
        gives none (a single member).
    aleatoric_std : (n, t) array or None
        Noise of ONE measurement; None where the model was not trained for it.
    epistemic_factors : (n, k, t) array or None
        Vectors whose dot products are the covariances of the epistemic errors of two sequences, for the uncertainty of a
        difference; None where the model gives none.
    calibrated_std : (n, t) array or None
        How far the measured value lies from ``mean``, as a calibration found it on rows that no network saw. It is added
        beside the model's own two stds, which stay as they are: dropping it takes a calibration back.
    lower, upper : (n, t) array or None
        Interval for the measured value at ``level``; ``lower <= upper``, without NaN.
    level : float or None
        Share of measured values meant to lie inside, above 0 and below 1.
    interval : str or None
        Which method made the interval, and of how many replicates the measured value is the mean.
    ood_score : (n,) array or None
        How unlike the training sequences a sequence is, as a percentile among them (0 to 100); None without a detector.
    ood : (n,) bool array or None
        Whether that is beyond the detector's threshold.
    """

    ids: ndarray
    target_names: tuple[str, ...]
    mean: Float[ndarray, "n t"]
    epistemic_std: Float[ndarray, "n t"] | None = None
    aleatoric_std: Float[ndarray, "n t"] | None = None
    epistemic_factors: Float[ndarray, "n k t"] | None = None
    calibrated_std: Float[ndarray, "n t"] | None = None
    lower: Float[ndarray, "n t"] | None = None
    upper: Float[ndarray, "n t"] | None = None
    level: float | None = None
    interval: str | None = None
    ood_score: Float[ndarray, " n"] | None = None
    ood: Bool[ndarray, " n"] | None = None

    def __post_init__(self) -> None:
        if self.lower is None and self.upper is None and self.level is None and self.interval is None:
            return
        if self.lower is None or self.upper is None or self.level is None or self.interval is None:
            raise DataError(
                "prediction: an interval has lower, upper, level and the name of its method; give all four or none"
            )
        check_level(self.level)
        if not (self.lower <= self.upper).all():
            row, target = np.argwhere(~(self.lower <= self.upper))[0]
            raise DataError(
                f"prediction: interval from {self.lower[row, target]} to {self.upper[row, target]} at row {row}, "
                f"target {self.target_names[target]!r}; expected numbers with lower <= upper; correct what made them"
            )

    @property
    def total_std(self) -> Float[ndarray, "n t"] | None:
        """Std of ONE measurement around ``mean``: root of the sum of the variances given; None if none is given."""
        return _root_sum_of_squares(self.epistemic_std, self.aleatoric_std)

    def noise_of_mean(self, n_replicates: int | float | ndarray) -> Float[ndarray, "n t"] | None:
        """Return the noise std of a MEAN of R measurements, ``aleatoric_std / sqrt(R)``; None without a noise.

        The noise of the measurements is taken as independent. A mean over replicates is what tables usually hold
        as "the activity", and its interval must not be as wide as that of a single measurement.

        Parameters
        ----------
        n_replicates : number or array
            R, at least 1: one for all, or (n, t) where sequences have unequal numbers.

        Raises
        ------
        DataError
            For an R below 1, or an array of another shape than (n, t), which would broadcast.
        """
        count = np.asarray(n_replicates, dtype=np.float64)
        if count.ndim > 0 and count.shape != self.mean.shape:
            raise DataError(
                f"replicates of a mean: shape {count.shape}, predictions {self.mean.shape}; give one number, or one per "
                f"sequence and target"
            )
        if not (count >= 1).all():
            raise DataError(
                f"replicates of a mean: {float(count.min())}, expected at least 1; leave out what was not measured"
            )
        return None if self.aleatoric_std is None else self.aleatoric_std / np.sqrt(count)

    def total_std_of_mean(self, n_replicates: int | float | ndarray) -> Float[ndarray, "n t"] | None:
        """Return the std of a MEAN of R measurements around ``mean``: epistemic variance + aleatoric variance / R.

        Averaging measurements does nothing to what the model does not know. None if the model gives neither.

        Raises
        ------
        DataError
            As ``noise_of_mean``.
        """
        return _root_sum_of_squares(self.epistemic_std, self.noise_of_mean(n_replicates))


def check_level(level: float, where: str = "level") -> float:
    """Return the level of an interval; raise ConfigError unless it lies above 0 and below 1."""
    if not 0 < level < 1:
        raise ConfigError(
            f"{where}: {level}; expected above 0 and below 1: the share of measured values inside (0.9 for 90 %)"
        )
    return level


@dataclass(frozen=True, kw_only=True, eq=False)
class MemberPredictions:
    """What every member of an ensemble predicts for the same sequences.

    Attributes
    ----------
    ids : (n,) array of str
    target_names : tuple of str
    mean : (m, n, t) array
        Activity predicted by each member.
    aleatoric_std : (m, n, t) array or None
        Noise of one measurement predicted by each member.
    epistemic_std : (m, n, t) array or None
        What each member says of itself that it does not know (an evidential network); None for most.
    """

    ids: ndarray
    target_names: tuple[str, ...]
    mean: Float[ndarray, "m n t"]
    aleatoric_std: Float[ndarray, "m n t"] | None = None
    epistemic_std: Float[ndarray, "m n t"] | None = None

    @property
    def n_members(self) -> int:
        """Number of members."""
        return self.mean.shape[0]

    def combine(self) -> Prediction:
        """Return the ensemble's prediction by the law of total variance.

        mean = mean over members; epistemic variance = POPULATION variance of the members' means (divided by m,
        ``correction=0``: the members are the whole ensemble, not a sample of it); aleatoric variance = mean over
        members of their variances (Lakshminarayanan et al. 2017, eq. 2 and section 2.4). One member has no
        epistemic uncertainty to give: it is None, not zero. Members that say themselves what they do not know add the mean
        over members of that variance to the epistemic one.
        """
        members = self.mean.astype(np.float64)
        spread = np.std(members, axis=0, correction=0) if self.n_members > 1 else None
        own = _root_mean_square(self.epistemic_std)
        return Prediction(
            ids=self.ids,
            target_names=self.target_names,
            mean=members.mean(axis=0),
            epistemic_std=_root_sum_of_squares(spread, own),
            aleatoric_std=_root_mean_square(self.aleatoric_std),
            # what a member says of one sequence alone has no covariance with another
            epistemic_factors=self.factors() if self.n_members > 1 and own is None else None,
        )

    def factors(self) -> Float[ndarray, "n m t"]:
        """Return the members' deviations from their mean over sqrt(m).

        The dot product of two sequences' factors is the population covariance (``correction=0``) of what the members say
        of them; the length of a sequence's factors is its epistemic std.
        """
        members = self.mean.astype(np.float64)
        return np.moveaxis(members - members.mean(axis=0), 0, 1) / np.sqrt(self.n_members)

    def member(self, index: int) -> Prediction:
        """Return the prediction of member ``index`` alone."""
        return Prediction(
            ids=self.ids,
            target_names=self.target_names,
            mean=self.mean[index],
            aleatoric_std=None if self.aleatoric_std is None else self.aleatoric_std[index],
            epistemic_std=None if self.epistemic_std is None else self.epistemic_std[index],
        )

    def take(self, rows: ndarray, members: ndarray | None = None) -> MemberPredictions:
        """Return the sequences chosen by a mask or an index, as the members chosen likewise predict them (default: all)."""

        def chosen(values: ndarray | None) -> ndarray | None:
            if values is None:
                return None
            return (values if members is None else values[members])[:, rows]

        mean = chosen(self.mean)
        assert mean is not None
        return MemberPredictions(
            ids=self.ids[rows],
            target_names=self.target_names,
            mean=mean,
            aleatoric_std=chosen(self.aleatoric_std),
            epistemic_std=chosen(self.epistemic_std),
        )

    def __post_init__(self) -> None:
        n = len(self.ids)
        if self.mean.shape[1:] != (n, len(self.target_names)):
            raise DataError(
                f"member predictions: shape {self.mean.shape}, expected (members, {n} ids, "
                f"{len(self.target_names)} targets); check the order of the axes"
            )


def joined(parts: Sequence[ndarray | None]) -> ndarray | None:
    """Return arrays one behind the other, leaving out those that are not there; None if none is."""
    present = [part for part in parts if part is not None]
    return np.concatenate(present) if present else None


def _root_mean_square(stds: ndarray | None) -> ndarray | None:
    """Return the std of the mean variance over the first axis."""
    return None if stds is None else np.sqrt(np.mean(np.square(stds.astype(np.float64)), axis=0))


def _root_sum_of_squares(*stds: ndarray | None) -> ndarray | None:
    given = [np.square(std) for std in stds if std is not None]
    return np.sqrt(np.sum(given, axis=0)) if given else None
