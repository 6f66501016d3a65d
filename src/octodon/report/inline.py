"""Figures inside a page: colours that follow light and dark, names that are unique, words for those who cannot see them."""

from __future__ import annotations

import io
import re
from collections.abc import Callable

from jaxtyping import Float64
from markupsafe import Markup, escape
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy import ndarray

from octodon.metrics.pearson import correlation
from octodon.report.scatter import draw_points, write_r
from octodon.report.style import (
    BLACK,
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    VERMILLION,
    as_number,
    refuse_unwritable_text,
    styled,
)

# Each colour of the figures is a variable of the page's style, which has a light and a dark value of it.
_VARIABLES = {
    BLACK: "ink",
    ORANGE: "orange",
    BLUE: "blue",
    GREEN: "green",
    VERMILLION: "vermillion",
    GREY: "grey",
    "#444444": "axis",
    "#E4E4E4": "line",
    "#DDDDDD": "band",
    "#FFFFFF": "card",
}
_VARIABLE_OF = {colour.lower(): name for colour, name in _VARIABLES.items()}
_HEX = re.compile(r"#[0-9a-fA-F]{6}\b")
_TAG = re.compile(r"<[^>]*>")
_LONG_NUMBER = re.compile(r"-?\d+\.\d{3,}")
_PX_PER_PT = 4 / 3
_DPI = 150


def draw(
    name: str, says: str, paint: Callable[[Axes], None], size: tuple[float, float] = (3.4, 2.7)
) -> Markup:
    """Return a drawing of one panel, painted on its axes, as SVG for a page.

    Parameters
    ----------
    name : str
        Unique in the page.
    says : str
        What is seen, for screen readers.
    size : (float, float)
        Width and height in inches; 3.4 inches fit a phone.

    Raises
    ------
    DataError
        A text with a control character.
    """
    with styled():
        figure = Figure(figsize=size)
        axes = figure.subplots()
        axes.set_facecolor("none")
        paint(axes)
        refuse_unwritable_text(figure, name)
        # Laid out once: saving would do it again before and while it draws, half of the time of a report.
        layout = figure.get_layout_engine()
        assert layout is not None
        layout.execute(figure)
        figure.set_layout_engine("none")
        content = io.StringIO()
        figure.savefig(content, format="svg", facecolor="none", metadata={"Date": None}, dpi=_DPI)
    return inline_svg(content.getvalue(), name, says)


def draw_against(
    name: str,
    says: str,
    x: Float64[ndarray, " n"],
    y: Float64[ndarray, " n"],
    *,
    labels: tuple[str, str],
    from_zero: bool,
) -> Markup:
    """Return ``draw`` of points with the line of equality; Pearson r stands in the drawing and behind what it ``says``."""
    r = correlation(x, y)

    def paint(axes: Axes) -> None:
        draw_points(axes, x, y, from_zero)
        axes.set(xlabel=labels[0], ylabel=labels[1])
        write_r(axes, r, f"{len(x):,}")

    return draw(name, f"{says}, Pearson r {as_number(r)}", paint, (3.3, 3.3))


def inline_svg(svg: str, name: str, says: str) -> Markup:
    """Return the text of an SVG file by matplotlib as an element of a page.

    Header, metadata and fixed size go; colours become variables of the page's style; ids, which are unique in a file but
    not among the figures of a page, get the prefix ``name``; a title and a label say what is seen.
    """
    text = svg[svg.index("<svg") :]
    text = re.sub(
        r"<metadata>.*?</metadata>|<style.*?</style>|<defs>\s*</defs>|<!--.*?-->", "", text, flags=re.DOTALL
    )
    opening, rest = text.split(">", 1)
    box = re.search(r'viewBox="([^"]+)"', opening)
    assert box is not None
    width = float(box[1].split()[2]) * _PX_PER_PT
    rest = re.sub(r'\bid="([^"]+)"', rf'id="{name}-\1"', rest)
    rest = re.sub(r"url\(#([^)]+)\)", rf"url(#{name}-\1)", rest)
    rest = re.sub(r'(?:xlink:)?href="#([^"]+)"', rf'href="#{name}-\1"', rest)
    rest = rest.replace("xlink:href=", "href=").replace("'DejaVu Sans'", "var(--sans)")
    rest = _HEX.sub(_variable, rest)
    rest = _TAG.sub(_shorter, rest)
    rest = re.sub(r"\n\s*", "\n", rest)
    label = escape(says)
    return Markup(
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="{box[1]}" style="width: {width:.0f}px" role="img" '
        f'aria-label="{label}"><title>{label}</title>{rest.strip()}'
    )


def _variable(found: re.Match[str]) -> str:
    name = _VARIABLE_OF.get(found[0].lower())
    return found[0] if name is None else f"var(--{name})"


def _shorter(tag: re.Match[str]) -> str:
    """Return a tag whose coordinates have two decimals; numbers between tags are text that is read, and stay."""
    return _LONG_NUMBER.sub(lambda found: f"{float(found[0]):.2f}", tag[0])
