"""The page of a reproduction: the poster's panels in its order, with the published value beside each of ours.

One file per panel, each a function from a reproduction and its table to a section; ``page.py`` puts them in order,
``text.py`` says the same without figures.
"""

from octodon.report.reproduction.findings import headline
from octodon.report.reproduction.page import reproduction_html
from octodon.report.reproduction.record import Reproduction
from octodon.report.reproduction.text import reproduction_lines, reproduction_markdown
from octodon.report.reproduction.write import write_reproduction

__all__ = [
    "Reproduction",
    "headline",
    "reproduction_html",
    "reproduction_lines",
    "reproduction_markdown",
    "write_reproduction",
]
