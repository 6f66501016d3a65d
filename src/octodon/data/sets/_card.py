"""What a published data set is: its card (facts and addresses) and the way to load it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from octodon.atomic import expanded
from octodon.data.examples import Examples
from octodon.data.sets._fetch import DataFile, default_folder, fetch
from octodon.errors import DataError


@dataclass(frozen=True, kw_only=True)
class Card:
    """Facts about a published data set, as plain values.

    Attributes
    ----------
    name : str
        Name in the registry.
    title : str
        What it is, in one line.
    length_bp : int
        Length of every sequence.
    targets : tuple of str
        Names of the measured outputs.
    units : str
        Their unit.
    rows : mapping of str to int
        Published number of sequences in each split. For comparison only: a file is trusted by its hash.
    split_rule : str
        How the published split was made.
    licence : str
        Licence of the published file, or where to look for it.
    citation : str
        What to cite.
    file : DataFile
        Where the data lie.
    notes : str
        What a user should know before trusting a number.
    """

    name: str
    title: str
    length_bp: int
    targets: tuple[str, ...]
    units: str
    rows: Mapping[str, int] = field(default_factory=dict)
    split_rule: str
    licence: str
    citation: str
    file: DataFile
    notes: str = ""


@dataclass(frozen=True, kw_only=True)
class PublishedSet:
    """A card and the function that reads the published file."""

    card: Card
    read: Callable[[Path], Examples]

    def load(self, folder: str | Path | None = None, *, base_url: str | None = None) -> Examples:
        """Return the data set, fetched once and kept.

        Parameters
        ----------
        folder : path, optional
            Where the file is kept, or was put by hand; default the environment variable OCTODON_CACHE, else the
            user's cache folder.
        base_url : str, optional
            Address of a mirror: the published file name is appended to it.

        Raises
        ------
        DataError
            When the file can be neither found nor fetched, when its sha256 is not the one expected, or when its
            content is not what the card says.
        """
        where = default_folder() if folder is None else expanded(folder)
        return self.read(fetch(self.card.file, where, base_url=base_url, label=f"set {self.card.name!r}"))


def refuse_other_content(card: Card, examples: Examples, path: Path) -> Examples:
    """Return the examples; refuse them where length, targets or splits are not what the card says."""
    found = set() if examples.splits is None else {str(name) for name in set(examples.splits.tolist())}
    for what, got, expected in (
        ("length", f"{examples.length} bp", f"{card.length_bp} bp"),
        ("targets", ", ".join(examples.target_names), ", ".join(card.targets)),
        ("splits", ", ".join(sorted(found)), ", ".join(sorted(card.rows))),
    ):
        if got != expected:
            raise DataError(
                f"set {card.name!r}: {path}: {what} {got}, expected {expected}; put {card.file.name} of "
                f"{card.file.url} there"
            )
    return examples
