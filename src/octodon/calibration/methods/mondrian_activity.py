"""Mondrian conformal prediction with cells of predicted activity."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

from jaxtyping import Float
from numpy import ndarray

from octodon.calibration._form import Form
from octodon.calibration._rows import Rows
from octodon.calibration.methods import methods
from octodon.calibration.methods._mondrian import Mondrian
from octodon.calibration.methods._standardised import root_mean_square, scale_form


@final
@methods.register("mondrian_activity")
@dataclass(frozen=True, kw_only=True)
class MondrianActivity(Mondrian):
    """Normalised conformal in each cell of predicted activity; options ``bins`` (4) and ``scale``."""

    @staticmethod
    def cell_values(rows: Rows) -> Float[ndarray, " n"]:
        """Return the predicted activity."""
        return rows.mean

    def form(self, level: float) -> Form:
        """Return the scale with each cell's own score of the level's rank."""
        reach = self.ranked(level)
        return Form(
            edges=self.edges,
            std=tuple(root_mean_square(scores) for scores in self.scores),
            lower=tuple(-score for score in reach),
            upper=tuple(reach),
            **scale_form(self.scale),
        )
