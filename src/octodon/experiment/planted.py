"""Where motifs were planted in a simulation: from memory, or from the truth that ``octodon simulate`` wrote."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Bool
from numpy import ndarray

from octodon.data.simulate import Truth
from octodon.errors import DataError


def planted_positions(truth: Truth, length: int) -> Bool[ndarray, "n l"]:
    """Return which positions of each row of a simulation hold a planted motif."""
    edges = np.zeros((len(truth.gc), length + 1), dtype=np.int64)
    np.add.at(edges, (truth.site_row, truth.site_start), 1)
    np.add.at(edges, (truth.site_row, truth.site_stop), -1)
    return np.cumsum(edges, axis=1)[:, :length] > 0


def read_planted(path: Path, ids: ndarray, length: int) -> Bool[ndarray, "n l"]:
    """Return which positions of the sequences ``ids`` hold a planted motif, from the truth that ``octodon simulate`` wrote.

    Raises
    ------
    DataError
        When the file is not there, is no such table, or lacks an id.
    """
    try:
        truth = pd.read_parquet(path, columns=["id", "sites"])
    except (OSError, ValueError) as error:
        raise DataError(
            f"--truth {path}: {str(error).splitlines()[0]}; give the NAME_truth.parquet of octodon simulate"
        ) from None
    if truth["id"].duplicated().any() or not set(map(str, ids)) <= set(truth["id"]):
        raise DataError(
            f"--truth {path}: not every sequence of the test set is there once; is it of another simulation?"
        )
    planted = np.zeros((len(ids), length), dtype=bool)
    for row, sites in enumerate(truth.set_index("id").loc[list(map(str, ids)), "sites"]):
        for site in filter(None, sites.split(";")):
            start, stop = map(int, site.split(":")[1].split("-"))
            planted[row, start:stop] = True
    return planted
