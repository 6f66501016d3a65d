"""Calibration methods: one file each, a frozen record of the plain numbers that it learns for one target.

A method has ``fit(rows, residual, ...)``, whose further parameters are its options; ``std(rows)``, the std of the
measured value; ``offsets(rows, level)``, how far the interval reaches below and above the mean; and says whether it
is ``conformal``: true for values measured as those of the calibration were, whatever their distribution.
"""

from octodon.calibration._rows import Method
from octodon.registry import Registry

methods: Registry[type[Method]] = Registry("calibration method", __name__)

__all__ = ["Method", "methods"]
