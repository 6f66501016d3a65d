"""The look of every figure, and how it reaches the disk."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib as mpl
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from octodon.atomic import atomic_file
from octodon.errors import ConfigError, DataError

# Okabe and Ito 2008, "Color Universal Design": told apart in all common forms of colour blindness.
BLACK, ORANGE, BLUE, GREEN, VERMILLION = "#000000", "#E69F00", "#0072B2", "#009E73", "#D55E00"
GREY = "#767676"

# Each model keeps its colour, marker and line in every figure; marker and line serve black-and-white prints.
COLOURS = {"kmer_ridge": GREY, "individual": ORANGE, "ensemble": BLACK, "student": BLUE}
MARKERS = {"kmer_ridge": "D", "individual": "o", "ensemble": "s", "student": "^"}
LINES = {"kmer_ridge": ":", "individual": "-", "ensemble": "--", "student": "-"}
NAMES = {
    "kmer_ridge": "k-mer ridge",
    "individual": "individual",
    "ensemble": "ensemble",
    "student": "student",
}

_STYLE: dict[Any, Any] = {
    "figure.constrained_layout.use": True,
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],  # comes with matplotlib: the same layout on every machine
    "font.size": 9.0,
    "axes.titlesize": 10.0,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.8,
    "axes.edgecolor": "#444444",
    "axes.axisbelow": True,
    "grid.color": "#E4E4E4",
    "grid.linewidth": 0.7,
    "xtick.color": "#444444",
    "ytick.color": "#444444",
    "legend.frameon": False,
    "lines.linewidth": 1.6,
    "lines.markersize": 5.0,
    "svg.fonttype": "none",  # text stays text: searchable, editable
    "text.parse_math": False,  # names of sequences, targets and units are the user's: "$" in them is a letter
    "svg.hashsalt": "octodon",  # ids inside the file do not change from call to call
    "savefig.facecolor": "white",
}
_PNG_DPI = 150
# What XML 1.0 (section 2.2) has no place for, not even escaped.
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@contextmanager
def styled() -> Iterator[None]:
    """Draw in the house style inside the ``with``; settings of the caller come back afterwards."""
    with mpl.rc_context(_STYLE):
        yield


def panels(
    rows: int,
    columns: int,
    size: tuple[float, float] = (3.3, 2.7),
    height_ratios: Sequence[float] | None = None,
) -> tuple[Figure, list[list[Axes]]]:
    """Return a figure and its panels as rows of axes; ``size`` of a panel is width, height in inches."""
    figure = Figure(figsize=(size[0] * columns, size[1] * rows))
    grid = figure.subplots(rows, columns, squeeze=False, height_ratios=height_ratios)
    return figure, [list(row) for row in grid]


def log_scale(axes: Axes) -> None:
    """Make the vertical axis logarithmic, with ticks at 1, 2, 5 written as plain numbers."""
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())


def as_number(value: float, how: str = ".3f") -> str:
    """Return a number as text, "undefined" where it is none."""
    return "undefined" if math.isnan(value) else format(value, how)


def as_percent(level: float) -> str:
    """Return the level of an interval as text: 90%, 97.5%, 99.5%."""
    return f"{100 * level:g}%"


def rows_where(frame: pd.DataFrame, **values: object) -> pd.DataFrame:
    """Return the rows whose named columns have these values."""
    for name, value in values.items():
        frame = frame.loc[frame[name] == value]
    return frame


def refuse_unwritable_text(figure: Figure, where: str) -> None:
    """Refuse a figure with a text that no SVG can hold; ``where`` is what to call the figure in a message.

    Names of sequences and targets are the user's, and matplotlib writes them as they are: with a NUL no program opens the file.

    Raises
    ------
    DataError
        Naming the first such text.
    """
    for text in figure.findobj(Text):
        said = text.get_text()
        if found := _NOT_XML.search(said):
            raise DataError(
                f"figure {where}: {said[:60]!r} has a control character (U+{ord(found[0]):04X}), which no figure can hold; rename it"
            )


def save_figure(figure: Figure, out: Path) -> None:
    """Write a figure as SVG (or PNG, by suffix), whole or not at all; the same figure gives the same bytes.

    Raises
    ------
    ConfigError
        The suffix is neither .svg nor .png.
    DataError
        A text with a control character.
    RunError
        The file cannot be written.
    """
    suffix = out.suffix.lower()
    if suffix not in (".svg", ".png"):
        raise ConfigError(
            f"figure {out}: cannot write {suffix or 'a name without suffix'!r}; use .svg or .png"
        )
    refuse_unwritable_text(figure, str(out))
    with atomic_file(out) as partial:
        if suffix == ".svg":
            figure.savefig(partial, format="svg", metadata={"Date": None}, dpi=_PNG_DPI)
        else:
            figure.savefig(partial, format="png", dpi=_PNG_DPI)
