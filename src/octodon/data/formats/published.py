"""Published data sets as a format: ``format = "set"``, ``name = "deepstarr"``."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from octodon.data.drawn_replicates import with_drawn_replicates
from octodon.data.examples import Examples
from octodon.data.formats import readers


@readers.register("set")
def read_set(
    name: str,
    *,
    folder: str | Path | None = None,
    base_url: str | None = None,
    replicates: Literal["none", "drawn"] = "none",
) -> Examples:
    """Return a published data set by name, fetched once and kept.

    Parameters
    ----------
    name : str
        Name in ``octodon.data.sets.sets``: deepstarr, lentimpra-k562, lentimpra-hepg2.
    folder : path, optional
        Where the file is kept, or was put by hand; default OCTODON_CACHE, else the user's cache folder.
    base_url : str, optional
        Address of a mirror.
    replicates : "none" or "drawn"
        "drawn": of a lentiMPRA set, whose file holds mean and standard deviation over replicates, three values with exactly
        these, seeded; what learns the noise then learns the published standard deviation. The agreement of single replicates
        is not that of the measured ones.

    Raises
    ------
    ConfigError
        For an unknown name (the nearest known one is suggested).
    DataError
        When the file can be neither found nor fetched, or is not the one expected; or nothing can be drawn from it.
    """
    from octodon.data.sets import sets  # sets are read by the readers of this package, which must exist first

    examples = sets[name].load(folder, base_url=base_url)
    return with_drawn_replicates(examples) if replicates == "drawn" else examples
