"""The files of a reproduction: the page, every number, and the text."""

from __future__ import annotations

from pathlib import Path

from octodon.atomic import atomic_file, write_text
from octodon.report.reproduction.page import reproduction_html
from octodon.report.reproduction.record import Reproduction
from octodon.report.reproduction.text import reproduction_markdown


def write_reproduction(one: Reproduction, out: Path) -> list[Path]:
    """Write ``reproduction.html``, ``.tsv`` (every number) and ``.md`` (findings and published numbers); return their paths.

    Raises
    ------
    RunError
        A file cannot be written.
    """
    paths = [out / f"reproduction.{suffix}" for suffix in ("html", "tsv", "md")]
    table = one.table()
    write_text(paths[0], reproduction_html(one))
    with atomic_file(paths[1]) as partial:
        table.to_csv(partial, sep="\t", index=False, float_format="%.6g", na_rep="", lineterminator="\n")
    write_text(paths[2], reproduction_markdown(one))
    return paths
