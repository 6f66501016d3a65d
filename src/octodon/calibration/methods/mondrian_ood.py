"""Mondrian conformal prediction with cells of an out-of-distribution score."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from octodon.calibration._rows import Rows
from octodon.calibration.methods import methods
from octodon.calibration.methods._mondrian import Mondrian
from octodon.errors import DataError


@final
@methods.register("mondrian_ood")
@dataclass(frozen=True, kw_only=True)
class MondrianOod(Mondrian):
    """Normalised conformal in each cell of an out-of-distribution score given per row; options ``bins``, ``scale``."""

    @staticmethod
    def cell_values(rows: Rows) -> Float[ndarray, " n"]:
        """Return the out-of-distribution score."""
        if rows.ood_score is None:
            raise DataError(
                "calibration by mondrian_ood: no out-of-distribution score; give one per row (column ood_score)"
            )
        wrong = np.flatnonzero(~np.isfinite(rows.ood_score))
        if len(wrong):
            raise DataError(
                f"calibration by mondrian_ood: ood_score is {rows.ood_score[wrong[0]]} at row {wrong[0]} ({len(wrong)} such of "
                f"{len(rows.mean)} rows); expected a finite number in each; leave these rows out, or use 'mondrian_activity'"
            )
        return rows.ood_score
