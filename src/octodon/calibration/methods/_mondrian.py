"""Mondrian conformal prediction: split conformal in each cell of the rows, so that the level holds in every cell."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray

from octodon.calibration._rows import Rows, ascending, score_at
from octodon.calibration.methods._standardised import (
    Scale,
    ScaleName,
    learn_scale,
    root_mean_square,
    scale_of,
)
from octodon.errors import DataError

Learnt = TypeVar("Learnt", bound="Mondrian")


@dataclass(frozen=True, kw_only=True)
class Mondrian:
    """Cells between edges, the scale of residuals, and the sorted scores of each cell (Vovk et al. 2005, section 4.5).

    The edges are quantiles of the calibration rows' values; no residual has a part in them.
    """

    edges: tuple[float, ...]
    scale: Scale
    scores: tuple[tuple[float, ...], ...]
    conformal: ClassVar[bool] = True

    @staticmethod
    def cell_values(rows: Rows) -> Float[ndarray, " n"]:
        """Return the values that are cut into cells."""
        raise NotImplementedError

    @classmethod
    def fit(
        cls: type[Learnt],
        rows: Rows,
        residual: Float[ndarray, " n"],
        bins: int = 4,
        scale: ScaleName = "components",
        seed: int = 0,
    ) -> Learnt:
        """Return ``bins`` cells with equal shares of the rows, and their sorted scores."""
        if bins < 2:
            raise DataError(f"calibration: bins = {bins}, expected at least 2; 'normalised' has one cell")
        values = cls.cell_values(rows)
        edges = np.quantile(values, np.arange(1, bins) / bins)
        if len(np.unique(edges)) < bins - 1:
            raise DataError(
                f"calibration: {bins} cells of equal size cannot be cut, too many rows share a value; use fewer bins"
            )
        learnt, scores = learn_scale(rows, residual, scale, seed)
        scores, cells = np.abs(scores), _cells(edges, values)
        groups = tuple(ascending(scores[cells == cell]) for cell in range(bins))
        if not all(groups):
            raise DataError(f"calibration: a cell of {bins} has no calibration row; use fewer bins")
        return cls(edges=tuple(edges.tolist()), scale=learnt, scores=groups)

    def std(self, rows: Rows) -> Float[ndarray, " n"]:
        """Return the scale times the root mean square of the cell's scores."""
        factors = np.array([root_mean_square(scores) for scores in self.scores])
        return factors[self._cell(rows)] * scale_of(self.scale, rows)

    def offsets(self, rows: Rows, level: float) -> tuple[Float[ndarray, " n"], Float[ndarray, " n"]]:
        """Return minus and plus the score of the level's rank in the row's cell, times the scale."""
        reach = np.array(self.ranked(level))[self._cell(rows)] * scale_of(self.scale, rows)
        return -reach, reach

    def ranked(self, level: float) -> list[float]:
        """Return the score of the level's rank in each cell."""
        return [
            score_at(np.array(scores), level, f" in cell {cell + 1} of {len(self.scores)}")
            for cell, scores in enumerate(self.scores)
        ]

    def to_plain(self) -> dict[str, Any]:
        """Return the fields as JSON holds them."""
        scores = [list(cell) for cell in self.scores]
        return {"edges": list(self.edges), "scale": dict(self.scale), "scores": scores}

    @classmethod
    def from_plain(cls: type[Learnt], plain: dict[str, Any]) -> Learnt:
        """Rebuild from ``to_plain``."""
        scores = tuple(tuple(cell) for cell in plain["scores"])
        return cls(edges=tuple(plain["edges"]), scale=plain["scale"], scores=scores)

    def _cell(self, rows: Rows) -> Int[ndarray, " n"]:
        return _cells(np.array(self.edges), self.cell_values(rows))


def _cells(edges: Float[ndarray, " e"], values: Float[ndarray, " n"]) -> Int[ndarray, " n"]:
    return np.searchsorted(edges, values, side="right")
