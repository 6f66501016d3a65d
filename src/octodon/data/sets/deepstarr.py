"""DeepSTARR: activity of 249-bp windows of the fly genome behind a developmental and a housekeeping promoter."""

from __future__ import annotations

from pathlib import Path

from octodon.data.examples import Examples
from octodon.data.formats.deepstarr import TARGETS, UNITS, read_deepstarr
from octodon.data.sets import Card, DataFile, PublishedSet, sets
from octodon.data.sets._card import refuse_other_content

CARD = Card(
    name="deepstarr",
    title="DeepSTARR: UMI-STARR-seq of Drosophila melanogaster S2 cells, genome-wide 249-bp windows",
    length_bp=249,
    targets=tuple(TARGETS),
    units=UNITS,
    rows={"train": 402_296, "valid": 40_570, "test": 41_186},
    split_rule="the published column 'set': validation and test on chromosome arm 2R, training on the others",
    licence="none stated beside the file; the deposit of the same data is doi.org/10.5281/zenodo.5502060",
    citation="de Almeida, Reiter, Pagani, Stark (2022) Nature Genetics 54, 613-624, doi 10.1038/s41588-022-01048-5",
    file=DataFile(
        name="Sequences_activity_all.txt",
        url="https://data.starklab.org/almeida/DeepSTARR/Tutorial/Sequences_activity_all.txt",
    ),
    notes=(
        "The two orientations of a window are two rows of one split; windows of one region overlap. A few training "
        "sequences are reported to hold N."
    ),
)


def read(path: Path) -> Examples:
    """Return the examples of the single table; an ID that occurs again is numbered, so that no row is lost."""
    return refuse_other_content(CARD, read_deepstarr(path, repeated_ids="number"), path)


deepstarr = sets.register(CARD.name)(PublishedSet(card=CARD, read=read))
