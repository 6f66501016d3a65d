"""Split conformal prediction: intervals of one width."""

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
from octodon.calibration.methods._standardised import root_mean_square


@final
@methods.register("split")
@dataclass(frozen=True, kw_only=True)
class Split(Plain):
    """Split conformal: mean +- one width for all rows (Papadopoulos et al. 2002); needs no std.

    For values exchangeable with the calibration's the coverage is at least the level, and less than
    1 / (n + 1) above it where no two residuals tie.
    """

    scores: tuple[float, ...]
    conformal: ClassVar[bool] = True

    @classmethod
    def fit(cls, rows: Rows, residual: Float[ndarray, " n"]) -> Split:
        """Return the sorted absolute residuals."""
        return cls(scores=ascending(np.abs(residual)))

    def std(self, rows: Rows) -> Float[ndarray, " n"]:
        """Return the root mean square of the residuals, for every row."""
        return np.full(len(rows.mean), root_mean_square(self.scores))

    def offsets(self, rows: Rows, level: float) -> tuple[Float[ndarray, " n"], Float[ndarray, " n"]]:
        """Return minus and plus the residual of the level's rank."""
        reach = np.full(len(rows.mean), score_at(np.array(self.scores), level))
        return -reach, reach

    def form(self, level: float) -> Form:
        """Return one width, whatever the stds."""
        reach = score_at(np.array(self.scores), level)
        std = root_mean_square(self.scores)
        return Form(std=(std,), lower=(-reach,), upper=(reach,), epistemic=0.0, noise=0.0, constant_var=1.0)
