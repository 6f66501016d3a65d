"""What a page is made of: figures, tables, text and commands, before they become HTML."""

from __future__ import annotations

import base64
import gzip
from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd
from markupsafe import Markup

# The page must stay under 5 MB. A larger table is linked where it lies in the folder of the run.
MOST_BYTES_INSIDE = 300_000


@dataclass(frozen=True, kw_only=True)
class DataFile:
    """The data behind a figure: inside the page where they are small, beside it where they are not.

    Attributes
    ----------
    name : str
        File name, and text of the link.
    href : str
        A ``data:`` address, or a path relative to the folder of the run.
    inside : bool
    """

    name: str
    href: str
    inside: bool


@dataclass(frozen=True, kw_only=True)
class Key:
    """One entry of a legend; marker and line as matplotlib names them, "" = none."""

    label: str
    colour: str
    marker: str = ""
    line: str = ""


@dataclass(frozen=True, kw_only=True)
class Panel:
    """One drawing, as wide as a phone (unless ``wide``: it then scrolls there), and the words above it."""

    title: str
    svg: Markup
    wide: bool = False


@dataclass(frozen=True, kw_only=True)
class Figure:
    """Panels that share a legend and a caption."""

    panels: Sequence[Panel]
    caption: str
    title: str = ""
    legend: Sequence[Key] = ()
    data: Sequence[DataFile] = ()
    kind: str = "figure"


@dataclass(frozen=True, kw_only=True)
class Table:
    """Rows of text; the first ``n_names`` columns name the row, the others are numbers, or ``words``."""

    caption: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    n_names: int = 1
    note: str = ""
    data: Sequence[DataFile] = ()
    folded: bool = False
    words: bool = False
    kind: str = "table"


@dataclass(frozen=True, kw_only=True)
class Text:
    """A paragraph."""

    text: str
    kind: str = "text"


@dataclass(frozen=True, kw_only=True)
class Commands:
    """Commands to copy, each with what it is for."""

    rows: Sequence[tuple[str, str]]
    kind: str = "commands"


Block = Figure | Table | Text | Commands


@dataclass(frozen=True, kw_only=True)
class Section:
    """A part of the page."""

    anchor: str
    title: str
    lead: str
    blocks: Sequence[Block]


def data_file(frame: pd.DataFrame, name: str, beside: str | None = None) -> DataFile | None:
    """Return a link to a table as TSV inside the page, packed where it is large.

    Where it is too large even so, a link to the file ``beside`` the page, or None without such a file.
    """
    text = frame.to_csv(sep="\t", index=False, float_format="%.6g", na_rep="NaN", lineterminator="\n")
    content, kind = text.encode(), "text/tab-separated-values"
    if len(content) > MOST_BYTES_INSIDE:
        # without a time: the same table is the same page
        content, kind, name = gzip.compress(content, mtime=0), "application/gzip", f"{name}.gz"
    if len(content) <= MOST_BYTES_INSIDE:
        encoded = base64.b64encode(content).decode("ascii")
        return DataFile(name=name, href=f"data:{kind};base64,{encoded}", inside=True)
    return None if beside is None else DataFile(name=beside, href=beside, inside=False)


def data_files(frame: pd.DataFrame, name: str, beside: Sequence[str]) -> tuple[DataFile, ...]:
    """Return links to a table that several files beside the page hold in parts: inside where it fits, else to all of them."""
    inside = data_file(frame, name)
    return links(inside) or tuple(DataFile(name=path, href=path, inside=False) for path in beside)


def links(*files: DataFile | None) -> tuple[DataFile, ...]:
    """Return the links that there are."""
    return tuple(file for file in files if file is not None)
