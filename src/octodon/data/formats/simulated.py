"""A simulated MPRA in place of a file, for trying things out."""

from __future__ import annotations

from collections.abc import Sequence

from octodon.data.examples import Examples
from octodon.data.formats import readers
from octodon.data.simulate import simulate


@readers.register("simulated")
def read_simulated(
    rows: int = 10_000,
    length: int = 150,
    *,
    targets: Sequence[str] = ("A", "B"),
    replicates: int = 3,
    seed: int = 0,
) -> Examples:
    """Return the examples of ``octodon.data.simulate.simulate`` with its default motifs.

    Parameters
    ----------
    rows : int
        Sequences.
    length : int
        Length of each, in bp.
    targets, replicates, seed
        As for ``simulate``.
    """
    return simulate(rows, length, targets=targets, replicates=replicates, seed=seed).examples
