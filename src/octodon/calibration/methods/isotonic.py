"""Quantile recalibration: where the measured values lie in the predicted distribution replaces where they should."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from octodon.calibration._form import Form
from octodon.calibration._rows import Rows, ascending, two_sided
from octodon.calibration.methods import methods
from octodon.calibration.methods._gaussian import Plain
from octodon.calibration.methods._standardised import (
    Scale,
    ScaleName,
    learn_scale,
    root_mean_square,
    scale_form,
    scale_of,
)


@final
@methods.register("isotonic")
@dataclass(frozen=True, kw_only=True)
class Isotonic(Plain):
    """Quantile recalibration by isotonic regression (Kuleshov et al. 2018); intervals need not be symmetric.

    The paper regresses the observed share of rows with F(y) <= p on p. That share, at the observed F(y), grows with
    p, so isotonic regression returns it as it is: the recalibrated quantiles are those of the standardised
    residuals. ``scores`` are these, ascending.
    """

    scale: Scale
    scores: tuple[float, ...]
    conformal: ClassVar[bool] = False

    @classmethod
    def fit(
        cls, rows: Rows, residual: Float[ndarray, " n"], scale: ScaleName = "total", seed: int = 0
    ) -> Isotonic:
        """Return the sorted residuals in units of the std."""
        learnt, scores = learn_scale(rows, residual, scale, seed)
        return cls(scale=learnt, scores=ascending(scores))

    def std(self, rows: Rows) -> Float[ndarray, " n"]:
        """Return the scale times the root mean square of the scores."""
        return root_mean_square(self.scores) * scale_of(self.scale, rows)

    def offsets(self, rows: Rows, level: float) -> tuple[Float[ndarray, " n"], Float[ndarray, " n"]]:
        """Return the two quantiles of the scores times the scale."""
        below, above = two_sided(np.array(self.scores), level)
        scale = scale_of(self.scale, rows)
        return below * scale, above * scale

    def form(self, level: float) -> Form:
        """Return the scale with the two quantiles of the scores."""
        below, above = two_sided(np.array(self.scores), level)
        std = root_mean_square(self.scores)
        return Form(std=(std,), lower=(below,), upper=(above,), **scale_form(self.scale))
