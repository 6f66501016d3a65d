"""Pages as a reader sees them: their code blocks, links and anchors; and a folder with the files that they speak of."""

from __future__ import annotations

import gzip
import re
import shlex
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import typer

from octodon.cli.main import app
from octodon.seq.codes import decode, random_codes

REPOSITORY = Path(__file__).resolve().parents[2]
TINY_NETWORK = {"width": 0.05}
SMALL = (
    "ensemble.members=3",
    "ensemble.training.epochs=1",
    "distill.training.epochs=1",
    "distill.copies=1",
    "model.options={width=0.05}",
    "run.processes=0",
)
"""Settings under which a run takes seconds."""

_BLOCK = re.compile(r"^(?P<indent> *)```(?P<info>[^\n`]*)\n(?P<code>.*?)^(?P=indent)```$", re.S | re.M)
_LINK = re.compile(r"!?\[(?:[^\[\]]|\[[^\]]*\])*\]\((?P<address>[^()\s]+)(?:\s+\"[^\"]*\")?\)")
_HEADING = re.compile(r"^#{1,6} +(?P<text>.+?)(?: *\{ *#(?P<id>[\w-]+) *\})? *$", re.M)


@dataclass(frozen=True, kw_only=True)
class Block:
    """A fenced code block: its language, what else stands behind the fence, its text and the line it begins in."""

    language: str
    info: str
    code: str
    line: int

    @property
    def title(self) -> str:
        """The title, often the name of the file that the block would be."""
        found = re.search(r'title="([^"]*)"', self.info)
        return found[1] if found else ""


def pages() -> list[Path]:
    """Return every page of the documentation and of the repository's root."""
    return [*sorted(REPOSITORY.glob("*.md")), *sorted((REPOSITORY / "docs").rglob("*.md"))]


def name_of(page: Path) -> str:
    """Return the path within the repository."""
    return page.relative_to(REPOSITORY).as_posix()


def blocks(text: str, *languages: str) -> list[Block]:
    """Return the fenced code blocks in these languages, in order."""
    found = []
    for match in _BLOCK.finditer(text):
        language, _, info = match["info"].strip().partition(" ")
        if language in languages:
            code = re.sub(f"^{match['indent']}", "", match["code"], flags=re.M)
            found.append(
                Block(language=language, info=info, code=code, line=text.count("\n", 0, match.start()) + 1)
            )
    return found


def shell_lines(text: str) -> list[list[str]]:
    """Return the words of every command in the shell blocks; lines that end in a backslash are joined."""
    code = "\n".join(block.code for block in blocks(text, "sh", "bash", "shell", "console"))
    lines = code.replace("\\\n", " ").splitlines()
    return [words for line in lines if (words := shlex.split(line.removeprefix("$ "), comments=True))]


def prose(text: str) -> str:
    """Return the text without its code blocks and code spans, in which brackets are no links."""
    return re.sub(r"`[^`\n]*`", "", _BLOCK.sub("", text))


def links(text: str) -> Iterator[str]:
    """Yield the address of every link and picture."""
    for match in _LINK.finditer(prose(text)):
        yield match["address"]


def anchors(text: str) -> set[str]:
    """Return the anchors of a page's headings, as both mkdocs and GitHub make them for plain headings."""
    found: set[str] = set()
    for match in _HEADING.finditer(_BLOCK.sub("", text)):
        anchor = match["id"] or slug(match["text"])
        number = 1
        while anchor in found:
            anchor = f"{slug(match['text'])}_{number}"
            number += 1
        found.add(anchor)
    return found


def slug(heading: str) -> str:
    """Return the anchor of a heading."""
    plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)
    plain = unicodedata.normalize("NFKD", plain).encode("ascii", "ignore").decode()
    return re.sub(r"[-\s]+", "-", re.sub(r"[^\w\s-]", "", plain).strip().lower())


def write_files_of_the_pages(folder: Path, experiment: str, rows: int = 1100) -> None:
    """Write the files that the pages speak of: a table, sequences, a genome with a variant, predictions of other tools.

    The usual number of rows is enough to set calibration rows aside.
    """
    rng = np.random.default_rng(0)
    codes = random_codes((rows, 48), rng)
    gc = np.isin(codes, (1, 2)).mean(1)
    table = pd.DataFrame({"sequence": decode(codes)})
    for name in ("rep1", "rep2", "rep3"):
        table[name] = gc + rng.normal(0, 0.1, len(gc))
    with gzip.open(folder / "mpra.tsv.gz", "wt") as file:
        table.to_csv(file, sep="\t", index=False)
    _write_fasta(folder / "sequences.fa", list(table["sequence"][:40]))
    ids = [f"row{i + 1}" for i in range(len(table))]
    members = [
        pd.DataFrame({"id": ids, "member": m, "K562": gc + rng.normal(0, 0.1, len(gc))}) for m in range(3)
    ]
    pd.concat(members).to_parquet(folder / "predictions.parquet")
    contig = "".join(table["sequence"][:8])
    (folder / "genome.fa").write_text(f">chr1\n{contig}\n")
    ref, alt = contig[100], "ACGT".replace(contig[100], "")[0]
    record = f"chr1\t101\tv1\t{ref}\t{alt}\t.\t.\t."
    header = f"##fileformat=VCFv4.2\n##contig=<ID=chr1,length={len(contig)}>\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO"
    (folder / "calls.vcf").write_text(f"{header}\n{record}\n")
    others = pd.DataFrame({"id": ids, "K562_mean": gc, "K562_std": 0.1, "K562_measured": table["rep1"]})
    others.to_csv(folder / "any_tool.tsv", sep="\t", index=False)
    unseen = random_codes((300, 48), rng)
    fresh = pd.DataFrame({"sequence": decode(unseen)})
    for name in ("rep1", "rep2", "rep3"):
        fresh[name] = np.isin(unseen, (1, 2)).mean(1) + rng.normal(0, 0.1, len(unseen))
    fresh.to_csv(folder / "unseen.tsv", sep="\t", index=False)
    (folder / "experiment.toml").write_text(experiment)


def _write_fasta(path: Path, sequences: list[str]) -> None:
    path.write_text("".join(f">s{i}\n{s}\n" for i, s in enumerate(sequences)))


def check_octodon(arguments: list[str]) -> None:
    """Raise unless the command exists and takes these arguments; nothing is run."""
    command: Any = typer.main.get_command(app)
    if arguments == ["--version"]:
        return
    name, *rest = arguments
    assert name in command.commands, f"no command {name!r}"
    if "--help" not in rest:
        command.commands[name].make_context(name, list(rest))
