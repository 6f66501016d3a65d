"""Mondrian conformal prediction with cells of predicted activity."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

from jaxtyping import Float
from numpy import ndarray

from octodon.calibration._rows import Rows
from octodon.calibration.methods import methods
from octodon.calibration.methods._mondrian import Mondrian


@final
@methods.register("mondrian_activity")
@dataclass(frozen=True, kw_only=True)
class MondrianActivity(Mondrian):
    """Normalised conformal in each cell of predicted activity; options ``bins`` (4) and ``scale``."""

    @staticmethod
    def cell_values(rows: Rows) -> Float[ndarray, " n"]:
        """Return the predicted activity."""
        return rows.mean
