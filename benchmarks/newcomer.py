"""A newcomer's path, timed: fresh clone, demonstration, own table, student, a file for a colleague; each step as the README says it.

python benchmarks/newcomer.py --table ../shared/data/lentimpra_hepg2_inoue2017.tsv.gz --work FOLDER --out benchmarks/results/newcomer.md

FOLDER must not exist; the clone is left in it, so that its suite can be run there. The own table is the lentiMPRA of Inoue et al. 2017.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from pathlib import Path

from machine import describe

from octodon.metrics.summary import markdown_table

TOML = """\
[data]
path = "{table}"
id = "oligo_name"
targets = {{ HepG2 = ["log2_rep1", "log2_rep2", "log2_rep3"] }}
[model]
backbone = "deepstarr"
"""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--table", type=Path, required=True, help="the own table")
    parser.add_argument("--work", type=Path, required=True, help="new folder")
    parser.add_argument("--out", type=Path, required=True, help="Markdown table to write")
    given = parser.parse_args()
    given.work.mkdir(parents=True)
    clone = given.work / "octodon"
    octodon = clone / ".venv" / "bin" / "octodon"
    (given.work / "own.toml").write_text(TOML.format(table=given.table.resolve()))
    repository = Path(__file__).resolve().parents[1]
    steps: list[tuple[str, list[str | Path], Path]] = [
        ("git clone", ["git", "clone", "-q", repository, clone], given.work),
        ("make demo: installation", ["make", ".venv/.installed"], clone),
        ("make demo: the demonstration", ["make", "demo"], clone),
        ("octodon check own.toml", [octodon, "check", "own.toml"], given.work),
        ("octodon run own.toml --out run", [octodon, "run", "own.toml", "--out", "run"], given.work),
        (
            "octodon predict run/student sequences.fa",
            [octodon, "predict", "run/student", "sequences.fa", "--out", "predictions.tsv"],
            given.work,
        ),
        (
            "octodon export run/student --html student.html",
            [octodon, "export", "run/student", "--html", "student.html"],
            given.work,
        ),
    ]
    rows, whole = [["step", "seconds"]], 0.0
    for name, command, where in steps:
        if "predict" in name:
            write_fasta(given.table, given.work / "sequences.fa")
        start = time.perf_counter()
        subprocess.run([str(part) for part in command], cwd=where, check=True)
        seconds = time.perf_counter() - start
        whole += seconds
        rows.append([f"`{name}`" if "octodon" in name else name, f"{seconds:.0f}"])
    rows.append(["together", f"{whole:.0f}"])
    size_mb = (given.work / "student.html").stat().st_size / 1e6
    text = (
        f"# A newcomer's path\n\n{describe()}. `python benchmarks/newcomer.py`; own table: {given.table.name}.\n\n"
        f"{markdown_table(rows)}\nThe file for a colleague has {size_mb:.1f} MB.\n"
    )
    given.out.write_text(text)
    sys.stdout.write(text)


def write_fasta(table: Path, out: Path) -> None:
    """Write the first hundred sequences of a table."""
    import pandas as pd

    found = pd.read_csv(table, sep="\t", nrows=100)
    out.write_text("".join(f">{number}\n{sequence}\n" for number, sequence in enumerate(found["sequence"])))


if __name__ == "__main__":
    main()
