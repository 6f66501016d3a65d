"""What the lentiMPRA sets share: the archive of HDF5 files with mean and standard deviation over replicates."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from octodon.data.examples import Examples
from octodon.data.formats.hdf5 import read_hdf5
from octodon.data.formats.lentimpra import UNITS
from octodon.data.sets._card import Card, PublishedSet, refuse_other_content
from octodon.data.sets._fetch import DataFile
from octodon.errors import DataError

ARCHIVE_URL = "https://zenodo.org/records/14145285/files/data.tar.gz"


def lentimpra_set(cell: str, rows: dict[str, int]) -> PublishedSet:
    """Return the set of one cell line."""
    card = Card(
        name=f"lentimpra-{cell.lower()}",
        title=f"lentiMPRA of {cell}: 200-bp human elements between 15-bp adaptors, three replicates",
        length_bp=230,
        targets=(cell,),
        units=UNITS,
        rows=rows,
        split_rule=(
            "random 0.8 / 0.1 / 0.1 by forward-reverse pairs (others singly), numpy seed 1234; NOT by chromosome, so "
            "overlapping elements may lie in different splits"
        ),
        licence="see zenodo.org/records/14145285",
        citation="Agarwal et al. (2023) bioRxiv 2023.03.05.531189; file: doi 10.5281/zenodo.14145285",
        file=DataFile(
            name=f"lentiMPRA_{cell}_activity_and_aleatoric_data.h5", url=ARCHIVE_URL, in_archive=True
        ),
        notes=(
            "Only rows with at least two replicates. The file gives no names, and mean and standard deviation over "
            "replicates but not the replicates: the sample standard deviation (n - 1) is the column replicate_std. "
            "The archive (about 1.8 GB) serves both cell lines and is fetched once."
        ),
    )
    return PublishedSet(card=card, read=lambda path: read(path, card))


def read(path: Path, card: Card) -> Examples:
    """Return the examples of one file: the mean as target, the standard deviation as column ``replicate_std``.

    ``Examples.replicates`` stays None, since the replicates themselves are not published in this file.
    """
    examples = read_hdf5(path)
    if examples.targets.shape[1] != 2:
        raise DataError(
            f"set {card.name!r}: {path} has {examples.targets.shape[1]} columns y, expected 2 (mean, standard "
            f"deviation); put {card.file.name} of {card.file.url} there"
        )
    examples = replace(
        examples,
        targets=examples.targets[:, :1],
        target_names=card.targets,
        units=card.units,
        columns={**examples.columns, "replicate_std": examples.targets[:, 1]},
    )
    return refuse_other_content(card, examples, path)
