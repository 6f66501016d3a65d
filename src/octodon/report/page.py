"""From a finished run to one HTML file that opens anywhere: no script, no font, no picture from outside."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from octodon.atomic import write_text
from octodon.report.facts import facts_of, n_members
from octodon.report.results import RunResults, read_results
from octodon.report.sections import SECTIONS
from octodon.report.verdict import Verdict, judge


def write_report(folder: str | Path, out: str | Path | None = None) -> Path:
    """Write the report of a finished run, ``report.html`` in its folder unless told otherwise, and return its path.

    Raises
    ------
    RunError
        The folder holds no finished run, or the file cannot be written.
    DataError
        A result file is damaged.
    """
    run = read_results(Path(folder))
    path = run.folder / "report.html" if out is None else Path(out)
    write_text(path, report_html(run))
    return path


def verdict_of(folder: str | Path) -> Verdict:
    """Return the verdict on a finished run.

    Raises
    ------
    RunError, DataError
        As ``write_report``.
    """
    return judge(facts_of(read_results(Path(folder))))


def report_html(run: RunResults) -> str:
    """Return the page."""
    verdict = judge(facts_of(run))
    sections = [section for make in SECTIONS if (section := make(run)) is not None]
    # The first figure of the first section says most: it stands beside the headline.
    ladder, *rest = sections[0].blocks
    return render(
        "report.html",
        title=f"octodon: {run.folder.resolve().name}",
        name=run.folder.resolve().name,
        made=str(run.provenance.get("created", ""))[:10],
        summary=_summary(run),
        verdict=verdict,
        ladder=ladder,
        sections=[replace(sections[0], blocks=rest), *sections[1:]],
    )


def _summary(run: RunResults) -> str:
    data = run.data
    train = data["splits"].get("train", 0)
    made = "finished by a call of" if run.was_resumed else "made in"
    minutes = f"; {made} {run.seconds / 60:.0f} min" if run.seconds >= 90 else ""
    count = int(run.config["distill"].get("students", 1))
    students = "One student" if count == 1 else f"The best of {count} students"
    members = f"{n_members(run)} {'teachers from elsewhere' if data.get('teachers') else 'members'}"
    return (
        f"{students} for {', '.join(run.targets)}, distilled from {members} on {train:,} "
        f"sequences of {data['length_bp']} bp{minutes}."
    )


def render(template: str, **values: Any) -> str:
    """Return a page made of a template of this room; text is escaped, drawings are not."""
    return _environment().get_template(f"{template}.j2").render(**values)


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("octodon.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals["style"] = Markup(
        (Path(__file__).parent / "templates" / "style.css").read_text(encoding="utf-8")
    )
    return environment
