"""Split conformal prediction with the std as the unit: wide where the model is unsure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from octodon.calibration._form import Form
from octodon.calibration._rows import Rows, ascending, score_at
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
@methods.register("normalised")
@dataclass(frozen=True, kw_only=True)
class Normalised(Plain):
    """Split conformal on residuals divided by a std (Papadopoulos et al. 2008; Lei et al. 2018, section 5.2).

    Options: ``scale = "components"`` (default) divides by the std that the method "components" learns, scores being
    those of rows outside each fit; ``scale = "total"`` divides by the model's total std as it is.
    """

    scale: Scale
    scores: tuple[float, ...]
    conformal: ClassVar[bool] = True

    @classmethod
    def fit(
        cls, rows: Rows, residual: Float[ndarray, " n"], scale: ScaleName = "components", seed: int = 0
    ) -> Normalised:
        """Return the sorted absolute residuals in units of the std."""
        learnt, scores = learn_scale(rows, residual, scale, seed)
        return cls(scale=learnt, scores=ascending(np.abs(scores)))

    def std(self, rows: Rows) -> Float[ndarray, " n"]:
        """Return the scale times the root mean square of the scores."""
        return root_mean_square(self.scores) * scale_of(self.scale, rows)

    def offsets(self, rows: Rows, level: float) -> tuple[Float[ndarray, " n"], Float[ndarray, " n"]]:
        """Return minus and plus the score of the level's rank, times the scale."""
        reach = score_at(np.array(self.scores), level) * scale_of(self.scale, rows)
        return -reach, reach

    def form(self, level: float) -> Form:
        """Return the scale with the score of the level's rank."""
        reach = score_at(np.array(self.scores), level)
        std = root_mean_square(self.scores)
        return Form(std=(std,), lower=(-reach,), upper=(reach,), **scale_form(self.scale))
