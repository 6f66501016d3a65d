"""Shifts of the distribution: one file each, a function that makes from sequences others of a stated kind, length kept.

To add one, write a file here with a function decorated with ``@shifts.register("name")``:
``(codes, seed, **options) -> codes``, (n, l) uint8 in and out, a pure function of its arguments. What it does is written in
its docstring and tested in ``tests/contracts/test_shifts.py``.
"""

from collections.abc import Callable

from numpy import ndarray

from octodon.registry import Registry

shifts: Registry[Callable[..., ndarray]] = Registry("shift", __name__)

__all__ = ["shifts"]
