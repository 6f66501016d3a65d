"""Std scaling: one factor per target, by maximum likelihood."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from octodon.calibration._form import Form
from octodon.calibration._rows import Rows, positive_std, total_std
from octodon.calibration.methods import methods
from octodon.calibration.methods._gaussian import Plain, gaussian_form, gaussian_offsets


@final
@methods.register("scaling")
@dataclass(frozen=True, kw_only=True)
class Scaling(Plain):
    """One factor on the total std, by maximum likelihood; the interval is Gaussian."""

    factor: float
    conformal: ClassVar[bool] = False

    @classmethod
    def fit(cls, rows: Rows, residual: Float[ndarray, " n"]) -> Scaling:
        """Return s = sqrt(mean(residual^2 / std^2)), where the Gaussian likelihood is highest.

        d/ds of n log s + sum (r / (s std))^2 / 2 is zero there (Levi et al. 2020, section 4; Laves et al. 2020, eq. 9).
        """
        return cls(factor=float(np.sqrt(np.mean(np.square(residual / positive_std(rows))))))

    def std(self, rows: Rows) -> Float[ndarray, " n"]:
        """Return the scaled total std."""
        return self.factor * total_std(rows)

    def offsets(self, rows: Rows, level: float) -> tuple[Float[ndarray, " n"], Float[ndarray, " n"]]:
        """Return -z std and z std."""
        return gaussian_offsets(self.std(rows), level)

    def form(self, level: float) -> Form:
        """Return the total std as the scale."""
        return gaussian_form(level, self.factor)
