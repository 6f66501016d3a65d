"""Logos of attribution maps: letters as tall as their contribution, and the uncertainty beneath."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection
from matplotlib.font_manager import FontProperties
from matplotlib.path import Path as Outline
from matplotlib.textpath import TextPath
from numpy import ndarray

from octodon.errors import DataError
from octodon.report.style import BLUE, GREEN, GREY, ORANGE, VERMILLION, panels, save_figure, styled
from octodon.seq.codes import ALPHABET

# Red for T, as usual in logos, would be told from green by few; vermillion of the same palette is.
BASE_COLOURS = {"A": GREEN, "C": BLUE, "G": ORANGE, "T": VERMILLION}
_INCHES_PER_BASE = 0.09


def logo_figure(
    codes: UInt8[ndarray, "n l"],
    contributions: Float[ndarray, "n l"],
    std: Float[ndarray, "n l"] | None,
    titles: list[str],
    out: Path,
    *,
    units: str = "activity",
    std_label: str = "std over\nmembers",
    first: int = 0,
) -> None:
    """Draw one logo per sequence, its uncertainty as bars beneath.

    Parameters
    ----------
    codes : (n, l) array
        The sequences; an N is left out.
    contributions : (n, l) array
        Of the base that is there.
    std : (n, l) array or None
        Uncertainty of each contribution; None leaves the bars out.
    titles : list of str
        One per sequence.
    out : Path
        .svg or .png.
    units : str
        Of the contributions.
    std_label : str
        What the uncertainty is.
    first : int
        Number of the first base on the axis: 1 beside names such as G45A.

    Raises
    ------
    DataError
        For shapes that differ, or a title with a control character.
    ConfigError, RunError
        As ``save_figure``.
    """
    shapes = {codes.shape, contributions.shape} | ({std.shape} if std is not None else set())
    if len(shapes) != 1 or len(titles) != len(codes):
        raise DataError(
            f"logo: shapes {sorted(shapes)} and {len(titles)} titles; expected the same (n, l) and n titles"
        )
    rows_each = 1 if std is None else 2
    width = max(4.0, _INCHES_PER_BASE * codes.shape[1])
    with styled():
        figure, grid = panels(
            rows_each * len(codes),
            1,
            size=(width, 1.3),
            height_ratios=[1.6, 0.7][:rows_each] * len(codes),
        )
        for row, title in enumerate(titles):
            axes = grid[rows_each * row][0]
            draw_logo(axes, codes[row], contributions[row], first)
            axes.set_title(title)
            axes.set_ylabel(f"contribution\n({units})")
            if std is not None:
                below = grid[rows_each * row + 1][0]
                below.bar(first + np.arange(codes.shape[1]), std[row], width=0.9, color=GREY)
                below.set_ylabel(std_label)
                below.set_xlim(axes.get_xlim())
                below.set_ylim(0, max(float(np.abs(contributions).max()) / 2, float(std.max()) * 1.05) or 1.0)
        grid[-1][0].set_xlabel("position (bp)")
        save_figure(figure, out)


def pattern_figure(patterns: list[tuple[ndarray, str]], out: Path, *, units: str = "activity") -> None:
    """Draw patterns below each other: at every position the base that contributes most, (w, 4) contributions each.

    Raises
    ------
    ConfigError, RunError
        As ``save_figure``.
    """
    with styled():
        figure, grid = panels(len(patterns), 1, size=(5.0, 1.2))
        for (axes,), (contributions, title) in zip(grid, patterns, strict=True):
            strongest = np.abs(contributions).argmax(axis=1)
            heights = np.take_along_axis(contributions, strongest[:, None], axis=1)[:, 0]
            draw_logo(axes, strongest.astype(np.uint8), heights)
            axes.set_title(title)
            axes.set_ylabel(f"contribution\n({units})")
        grid[-1][0].set_xlabel("position (bp)")
        save_figure(figure, out)


def draw_logo(axes: Axes, codes: UInt8[ndarray, " l"], heights: Float[ndarray, " l"], first: int = 0) -> None:
    """Draw letters at positions ``first`` to ``first`` + l - 1, those below zero upside down."""
    for code, letter in enumerate(ALPHABET):
        at = np.flatnonzero((codes == code) & (heights != 0))
        corners, moves = _outline(letter)
        outlines = [Outline(corners * (0.9, float(heights[i])) + (first + i - 0.45, 0.0), moves) for i in at]
        if outlines:
            axes.add_collection(PathCollection(outlines, facecolors=BASE_COLOURS[letter], linewidths=0))
    axes.axhline(0, color=GREY, linewidth=0.6)
    low, high = min(0.0, float(heights.min())), max(0.0, float(heights.max()))
    margin = 0.06 * (high - low) or 1.0
    axes.set(xlim=(first - 1, first + len(codes)), ylim=(low - margin, high + margin))


@cache
def _outline(letter: str) -> tuple[ndarray, ndarray]:
    """Return corners and drawing codes of a letter, scaled to the unit square."""
    outline = TextPath((0, 0), letter, size=1, prop=FontProperties(family="DejaVu Sans", weight="bold"))
    vertices = np.asarray(outline.vertices)
    vertices = vertices - vertices.min(axis=0)
    return vertices / vertices.max(axis=0), np.asarray(outline.codes)
