"""The record of a calibration: plain numbers per target that turn a prediction into a calibrated one, and back."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Float, Real
from numpy import ndarray

from octodon.calibration._rows import Method, Rows
from octodon.calibration.methods import methods
from octodon.errors import BundleError, ConfigError, DataError
from octodon.records import Prediction, check_level
from octodon.registry import suggest

FORMAT = 1


@dataclass(frozen=True, kw_only=True, eq=False)
class Calibration:
    """What was learnt on calibration rows, for every target.

    Attributes
    ----------
    method : str
        Name in the registry of methods.
    target_names : tuple of str
    per_target : tuple of Method
        Numbers learnt, target by target.
    parts : tuple of str
        Which stds the model gave: "epistemic_std", "aleatoric_std"; a prediction must give the same.
    replicates : tuple of int, or None
        R, target by target: the measured value that intervals are for is the mean of R replicates. None = as measured,
        R not known; the aleatoric std then counts in full, as for one measurement.
    level : float
        Of the intervals, where a call names none.
    n_rows : tuple of int
        Calibration rows with a measured value, target by target.
    """

    method: str
    target_names: tuple[str, ...]
    per_target: tuple[Method, ...]
    parts: tuple[str, ...]
    replicates: tuple[int, ...] | None
    level: float
    n_rows: tuple[int, ...]

    @property
    def is_conformal(self) -> bool:
        """Whether coverage is guaranteed for values that are exchangeable with those of the calibration."""
        return methods[self.method].conformal

    @property
    def answers_any_replicates(self) -> bool:
        """Whether intervals can be for another number of replicates than that of the calibration rows."""
        return scales_noise(self.method) and "aleatoric_std" in self.parts

    def describe(self, level: float | None = None, replicates: int | ndarray | None = None) -> str:
        """Return what is written beside an interval: "components, level 0.9, mean of 3 replicates"."""
        counts = self._replicates(replicates)
        return f"{self.method}, level {self.level if level is None else level:g}, {_means_of(counts)}"

    def rows_in_words(self) -> str:
        """Return " (A 700, B 60)", the rows behind each target, where these differ; else nothing."""
        if len(set(self.n_rows)) == 1:
            return ""
        pairs = zip(self.target_names, self.n_rows, strict=True)
        return f" ({', '.join(f'{name} {count:,}' for name, count in pairs)})"

    def apply(
        self,
        prediction: Prediction,
        level: float | None = None,
        *,
        replicates: int | Real[ndarray, "n t"] | None = None,
        ood_score: Float[ndarray, " n"] | None = None,
    ) -> Prediction:
        """Return the prediction with ``calibrated_std``, ``lower``, ``upper``, ``level`` and ``interval``.

        Mean, epistemic and aleatoric std stay as they are; ``raw`` takes the rest away again.

        Parameters
        ----------
        level : float, optional
            Default: that of the calibration.
        replicates : int or (n, t) array, optional
            R of the measured value that the interval is for, of all or of each. Default: that of the calibration. Another R
            needs a model that predicts the noise, and a Gaussian method (``answers_any_replicates``): conformal intervals
            hold for values measured as those of the calibration were.
        ood_score : (n,) array, optional
            For the method "mondrian_ood". Default: that of the prediction.

        Raises
        ------
        ConfigError
            A level outside (0, 1), or an R below 1.
        DataError
            A level that needs more calibration rows, other targets or stds than calibrated, an R that cannot be had, a mean
            or std that is no finite number.
        """
        level = self.level if level is None else check_level(level)
        counts = self._replicates(replicates)
        self._check(prediction)
        ood_score = prediction.ood_score if ood_score is None else ood_score
        stds, lower, upper = [], [], []
        for target, rows in enumerate(rows_per_target(prediction, counts, ood_score)):
            fitted = self.per_target[target]
            below, above = fitted.offsets(rows, level)
            stds.append(fitted.std(rows))
            lower.append(rows.mean + below)
            upper.append(rows.mean + above)
        return replace(
            prediction,
            calibrated_std=np.stack(stds, axis=1),
            lower=np.stack(lower, axis=1),
            upper=np.stack(upper, axis=1),
            level=level,
            interval=self.describe(level, replicates),
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the calibration as JSON holds it."""
        return {
            "format": FORMAT,
            "method": self.method,
            "level": self.level,
            "replicates": None if self.replicates is None else list(self.replicates),
            "parts": list(self.parts),
            "targets": [
                {"name": name, "n_rows": count, "learnt": fitted.to_plain()}
                for name, count, fitted in zip(self.target_names, self.n_rows, self.per_target, strict=True)
            ],
        }

    @classmethod
    def from_dict(cls, plain: Any, where: str = "calibration.json") -> Calibration:
        """Rebuild a calibration from ``to_dict``.

        Raises
        ------
        BundleError
            A newer format, an unknown method, a missing field or a value that is no finite number.
        """
        try:
            if not isinstance(plain, dict):
                raise TypeError(f"a {type(plain).__name__}")
            if plain["format"] > FORMAT:
                raise BundleError(
                    f"{where}: format {plain['format']}, this octodon reads up to {FORMAT}; upgrade octodon"
                )
            name = plain["method"]
            if name not in methods:
                raise BundleError(f"{where}: made with the method {name!r}; {suggest(name, methods.names())}")
            _need_finite(plain["targets"])
            replicates = plain["replicates"]
            return cls(
                method=name,
                target_names=tuple(target["name"] for target in plain["targets"]),
                per_target=tuple(methods[name].from_plain(target["learnt"]) for target in plain["targets"]),
                parts=tuple(plain["parts"]),
                replicates=None if replicates is None else tuple(int(count) for count in replicates),
                level=check_level(float(plain["level"]), where),
                n_rows=tuple(int(target["n_rows"]) for target in plain["targets"]),
            )
        except (KeyError, TypeError, ValueError, AttributeError, ConfigError) as error:
            raise BundleError(
                f"{where}: not a calibration ({type(error).__name__}: {error}); the file is damaged, calibrate again"
            ) from None

    def _replicates(self, asked: int | ndarray | None) -> tuple[int, ...] | ndarray | None:
        if asked is None:
            return self.replicates
        each = np.asarray(asked) if isinstance(asked, np.ndarray) else (asked,) * len(self.target_names)
        if self.replicates is not None and (np.asarray(each) == np.array(self.replicates)).all():
            return self.replicates
        if np.min(each) < 1:
            raise ConfigError(f"replicates: {np.min(each)}; expected 1 or more")
        if not self.answers_any_replicates:
            raise DataError(
                f"calibration by {self.method}: made for values as they were measured ({_means_of(self.replicates)}), asked "
                f"for: {_means_of(each)}; only a model with an aleatoric std, calibrated by 'components' or 'scaling', "
                f"answers for another number of replicates"
            )
        return each

    def _check(self, prediction: Prediction) -> None:
        if prediction.target_names != self.target_names:
            raise DataError(
                f"calibration: made for targets {self.target_names}, got {prediction.target_names}; calibrate this model"
            )
        parts = parts_of(prediction)
        if parts != self.parts:
            raise DataError(
                f"calibration: made for a model that gives {_and(self.parts)}, this one gives {_and(parts)}; calibrate it"
            )
        check_prediction(prediction)


def scales_noise(method: str) -> bool:
    """Whether a method scales the noise of each row, whatever its number of replicates; quantiles of errors cannot."""
    return not (methods[method].conformal or method == "isotonic")


def raw(prediction: Prediction) -> Prediction:
    """Return the prediction without what a calibration or an interval added."""
    return replace(prediction, calibrated_std=None, lower=None, upper=None, level=None, interval=None)


def check_prediction(prediction: Prediction) -> None:
    """Refuse a mean or std that is no finite number, and a negative std."""
    for name in ("mean", "epistemic_std", "aleatoric_std"):
        values = getattr(prediction, name)
        if values is None:
            continue
        wrong = ~np.isfinite(values) if name == "mean" else ~(np.isfinite(values) & (values >= 0))
        if wrong.any():
            row, target = np.argwhere(wrong)[0]
            expected = "numbers" if name == "mean" else "numbers of 0 or more"
            raise DataError(
                f"calibration: {name} is {values[row, target]} at row {row} ({prediction.ids[row]!s}), target "
                f"{prediction.target_names[target]!r}; expected finite {expected}; correct the model that made it"
            )


def parts_of(prediction: Prediction) -> tuple[str, ...]:
    """Return the names of the stds that a prediction gives."""
    return tuple(name for name in ("epistemic_std", "aleatoric_std") if getattr(prediction, name) is not None)


def rows_per_target(
    prediction: Prediction,
    replicates: tuple[int, ...] | Real[ndarray, "n t"] | None,
    ood_score: Float[ndarray, " n"] | None = None,
) -> list[Rows]:
    """Return each target's rows, the noise as that of the mean of ``replicates``.

    One number per target, or one per row and target; None = of one measurement.
    """
    n, t = prediction.mean.shape
    count = np.broadcast_to(1 if replicates is None else np.asarray(replicates), (n, t))
    if ood_score is not None and ood_score.shape != (n,):
        raise DataError(
            f"calibration: ood_score has shape {ood_score.shape}, expected ({n},): one per sequence"
        )
    noise, total = prediction.noise_of_mean(count), prediction.total_std_of_mean(count)

    def column(values: ndarray | None, target: int) -> ndarray | None:
        return None if values is None else values[:, target].astype(np.float64)

    return [
        Rows(
            mean=prediction.mean[:, target].astype(np.float64),
            epistemic_std=column(prediction.epistemic_std, target),
            noise_std=column(noise, target),
            total_std=column(total, target),
            ood_score=None if ood_score is None else ood_score.astype(np.float64),
        )
        for target in range(t)
    ]


def _need_finite(value: Any) -> None:
    """Raise a ValueError for NaN or infinity anywhere inside."""
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, list):
        for part in value:
            _need_finite(part)
    elif isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{value} is no finite number")


def _means_of(replicates: tuple[int, ...] | ndarray | None) -> str:
    """Return "mean of 3 replicates", or of each target's own number where they differ."""
    if replicates is None:
        return "as measured"
    counts = np.unique(np.asarray(replicates)).tolist()
    return "one measurement" if counts == [1] else f"mean of {' or '.join(map(str, counts))} replicates"


def _and(names: tuple[str, ...]) -> str:
    return " and ".join(names) or "no std"
