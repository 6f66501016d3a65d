"""Where motifs were planted in a simulation: from memory, or from the truth that ``octodon simulate`` wrote."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Bool, UInt8
from numpy import ndarray

from octodon.data.simulate import Truth
from octodon.data.write import HASH, sequence_hashes
from octodon.errors import DataError


def planted_positions(truth: Truth, length: int) -> Bool[ndarray, "n l"]:
    """Return which positions of each row of a simulation hold a planted motif."""
    edges = np.zeros((len(truth.gc), length + 1), dtype=np.int64)
    np.add.at(edges, (truth.site_row, truth.site_start), 1)
    np.add.at(edges, (truth.site_row, truth.site_stop), -1)
    return np.cumsum(edges, axis=1)[:, :length] > 0


def read_planted(path: Path, ids: ndarray, codes: UInt8[ndarray, "n l"]) -> Bool[ndarray, "n l"]:
    """Return which positions of the sequences hold a planted motif, from the truth that ``octodon simulate`` wrote.

    Raises
    ------
    DataError
        When the file is not there, is no such table, lacks an id, or is of other sequences.
    """
    try:
        truth = pd.read_parquet(path, columns=["id", "sites", HASH])
    except (OSError, ValueError) as error:
        raise DataError(
            f"--truth {path}: {str(error).splitlines()[0]}; give the NAME_truth.parquet of octodon simulate, of this version"
        ) from None
    if truth["id"].duplicated().any() or not set(map(str, ids)) <= set(truth["id"]):
        raise DataError(
            f"--truth {path}: not every sequence of the test set is there once; is it of another simulation?"
        )
    wanted = truth.set_index("id").loc[list(map(str, ids))]
    others = np.flatnonzero(wanted[HASH].to_numpy() != np.array(sequence_hashes(codes), dtype=object))
    if len(others):
        raise DataError(
            f"--truth {path}: {len(others):,} of {len(ids):,} test sequences are others there (first: {ids[others[0]]!s}); it is "
            f"of another simulation: give the truth written with the table of this run"
        )
    planted = np.zeros(codes.shape, dtype=bool)
    for row, sites in enumerate(wanted["sites"]):
        for site in filter(None, sites.split(";")):
            start, stop = map(int, site.split(":")[1].split("-"))
            planted[row, start:stop] = True
    return planted
