"""How train, valid, test and calibration are spelled in tables, HDF5 files and configurations: the one list."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from numpy import ndarray

SPLITS = ("train", "valid", "test")
SPLIT_SPELLINGS: Mapping[str, Sequence[str]] = {
    "train": ("train", "training"),
    "valid": ("valid", "val", "validation", "dev"),
    "test": ("test", "testing"),
    "calibration": ("calibration", "calib"),
}


NO_SPLIT = (None, "", "none")
"""How a reader is told that there is no split: a configuration in TOML has no null."""


def split_name(name: str) -> str:
    """Return one split's name in our spelling; see ``named_splits``."""
    lower = name.strip().lower()
    for canonical, spellings in SPLIT_SPELLINGS.items():
        if lower in spellings:
            return canonical
    return name


def named_splits(names: ndarray) -> ndarray:
    """Return split names as "train", "valid", "test", "calibration" where they are spellings of these, else as they are.

    Train, training / valid, val, validation, dev / test, testing / calibration, calib are recognised in any case
    (published tables and HDF5 files differ in it).

    Parameters
    ----------
    names : (n,) array of str

    Returns
    -------
    (n,) array of str
    """
    labels, found = pd.factorize(names, use_na_sentinel=False)  # a hash table: no sort
    return np.array([split_name(str(name)) for name in found], dtype=np.str_)[labels]
