"""What a reproduction left, and what it is a reproduction of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from octodon.report.published import against_published
from octodon.report.results import RunResults


@dataclass(frozen=True, kw_only=True, eq=False)
class Reproduction:
    """What a reproduction left, and what it is a reproduction of.

    Attributes
    ----------
    title : str
        "DeepSTARR", "lentiMPRA, K562".
    scale : str
        "full" or "small".
    preset : str
    data : str
        What was measured, in words.
    stand_in : str
        What is said in every panel where other data stand in for the published; "" = they are those, or a sample.
    published_as : mapping of str to str
        Ours to published names of targets.
    method : str
        Of the attribution study.
    differs : sequence of (str, str, str)
        What, as published, and here.
    command : str
        That makes it again.
    run : RunResults
        Of the largest share of the training set.
    sweep : DataFrame
        Metrics of all shares, with a column ``fraction``.
    """

    title: str
    scale: str
    preset: str
    data: str
    stand_in: str
    published_as: Mapping[str, str]
    method: str
    differs: Sequence[tuple[str, str, str]]
    command: str
    run: RunResults
    sweep: pd.DataFrame

    def table(self) -> pd.DataFrame:
        """Return ours beside published."""
        return against_published(self.run, self.sweep, self.published_as, self.method)

    def name_of(self, target: str) -> str:
        """Return the target as panels name it."""
        return f"{target} ({self.stand_in})" if self.stand_in else target
