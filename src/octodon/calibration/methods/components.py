"""Epistemic and aleatoric variance scaled apart, and what neither tells added."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np
from jaxtyping import Float
from numpy import ndarray
from scipy.optimize import minimize, nnls

from octodon.calibration._form import Form
from octodon.calibration._rows import Rows
from octodon.calibration.methods import methods
from octodon.calibration.methods._gaussian import Plain, gaussian_form, gaussian_offsets
from octodon.errors import DataError

# Share of the mean squared residual below which the constant does not go: a variance of zero has no likelihood.
_SMALLEST = 1e-6


@final
@methods.register("components")
@dataclass(frozen=True, kw_only=True)
class Components(Plain):
    """Variance = a epistemic^2 + b noise^2 + c, by maximum likelihood with a, b, c >= 0; the interval is Gaussian.

    One factor cannot mend a std whose parts are wrong in different measure: members agree on what none of them
    sees (c), and the noise of a mean of R replicates is less than its share where replicates have noise in common.
    """

    epistemic: float
    noise: float
    constant_var: float
    conformal: ClassVar[bool] = False

    @classmethod
    def fit(cls, rows: Rows, residual: Float[ndarray, " n"]) -> Components:
        """Return the three factors of highest Gaussian likelihood; absent parts have factor 0."""
        return _fit(rows, residual, near=None)

    def refit(self, rows: Rows, residual: Float[ndarray, " n"]) -> Components:
        """Return the factors of highest likelihood on nearly the same rows, looked for from these factors on."""
        return _fit(rows, residual, near=self)

    def std(self, rows: Rows) -> Float[ndarray, " n"]:
        """Return the root of the weighted sum of variances."""
        variance = np.full(len(rows.mean), self.constant_var)
        for factor, std in ((self.epistemic, rows.epistemic_std), (self.noise, rows.noise_std)):
            if std is not None:
                variance += factor * np.square(std.astype(np.float64))
        return np.sqrt(variance)

    def offsets(self, rows: Rows, level: float) -> tuple[Float[ndarray, " n"], Float[ndarray, " n"]]:
        """Return -z std and z std."""
        return gaussian_offsets(self.std(rows), level)

    def form(self, level: float) -> Form:
        """Return the three factors as the scale."""
        scale = {"epistemic": self.epistemic, "noise": self.noise, "constant_var": self.constant_var}
        return gaussian_form(level, **scale)


def _fit(rows: Rows, residual: Float[ndarray, " n"], near: Components | None) -> Components:
    squares = np.square(residual.astype(np.float64))
    unit = float(squares.mean())
    if unit == 0:
        raise DataError("calibration: predicted equals measured in every row; give what was measured")
    parts = [None if s is None else np.square(s) for s in (rows.epistemic_std, rows.noise_std)]
    columns = [np.zeros_like(squares) if part is None else part / unit for part in parts]
    # Columns of mean one, so that all factors are of one size for the optimiser.
    sizes = [float(column.mean()) or 1.0 for column in columns]
    design = np.stack([c / s for c, s in zip(columns, sizes, strict=True)] + [np.ones_like(squares)], 1)
    start = None
    if near is not None:
        start = np.array([near.epistemic * sizes[0], near.noise * sizes[1], near.constant_var / unit])
    factors = _most_likely(design, squares / unit, start)
    epistemic, noise = (float(f / s) for f, s in zip(factors[:2], sizes, strict=True))
    return Components(epistemic=epistemic, noise=noise, constant_var=float(factors[2]) * unit)


def _most_likely(
    design: Float[ndarray, "n 3"], squares: Float[ndarray, " n"], near: Float[ndarray, " 3"] | None
) -> Float[ndarray, " 3"]:
    """Return the non-negative factors that minimise mean(log v + squares / v), v = design @ factors.

    The function may have several minima, hence several starts: all constant, all parts in equal shares, least
    squares, and each part scaled alone. The best end counts, so that it is never less likely than its starts.
    """

    def loss(factors: ndarray) -> tuple[float, ndarray]:
        variance = design @ factors
        ratio = squares / variance
        return float(np.mean(np.log(variance) + ratio)), design.T @ ((1 - ratio) / variance) / len(squares)

    present = np.any(design > 0, axis=0)
    bounds = [(0.0, None if there else 0.0) for there in present[:2]] + [(_SMALLEST, None)]
    starts = [np.array([0.0, 0.0, 1.0]), present / present.sum(), nnls(design, squares)[0]]
    if near is not None:
        starts, parts = [near], ()
    else:
        parts = np.flatnonzero(present[:2])
    for part in parts:
        if (design[:, part] > 0).all():
            start = np.zeros(3)
            start[part] = np.mean(squares / design[:, part])
            starts.append(start)
    lowest = np.array([low for low, _ in bounds])
    ends = [
        minimize(loss, np.maximum(start, lowest), jac=True, bounds=bounds, method="L-BFGS-B")
        for start in starts
    ]
    return min(ends, key=lambda end: end.fun).x
