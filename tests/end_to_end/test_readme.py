"""Every command and code block of the README works as written, with smaller settings."""

from __future__ import annotations

import gzip
import re
import shlex
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import octodon
from octodon.seq.codes import decode, random_codes

README = (Path(__file__).parents[2] / "README.md").read_text()
MAKEFILE = (Path(__file__).parents[2] / "Makefile").read_text()
SMALL = [
    "ensemble.members=3",
    "ensemble.training.epochs=1",
    "distill.training.epochs=1",
    "distill.copies=1",
    "model.options={width=0.05}",
    "run.processes=0",
]


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.S)


def commands() -> list[list[str]]:
    lines = "\n".join(blocks("sh")).splitlines()
    inline = re.findall(r"`(octodon (?:distill|sweep|simulate|list|run)[^`]*)`", README)
    return [shlex.split(line, comments=True) for line in [*lines, *inline] if line.strip()]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with the files that the README speaks of."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    codes = random_codes((1100, 48), rng)  # enough to set calibration rows aside
    gc = np.isin(codes, (1, 2)).mean(1)
    table = pd.DataFrame({"sequence": decode(codes)})
    for name in ("rep1", "rep2", "rep3"):
        table[name] = gc + rng.normal(0, 0.1, len(gc))
    with gzip.open("mpra.tsv.gz", "wt") as file:
        table.to_csv(file, sep="\t", index=False)
    Path("sequences.fa").write_text("".join(f">s{i}\n{s}\n" for i, s in enumerate(table["sequence"])))
    ids = [f"row{i + 1}" for i in range(len(table))]
    members = [
        pd.DataFrame({"id": ids, "member": m, "K562": gc + rng.normal(0, 0.1, len(gc))}) for m in range(3)
    ]
    pd.concat(members).to_parquet("predictions.parquet")
    contig = "".join(table["sequence"][:8])
    Path("genome.fa").write_text(f">chr1\n{contig}\n")
    ref, alt = contig[100], "ACGT".replace(contig[100], "")[0]
    record = f"chr1\t101\tv1\t{ref}\t{alt}\t.\t.\t."
    header = f"##fileformat=VCFv4.2\n##contig=<ID=chr1,length={len(contig)}>\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO"
    Path("calls.vcf").write_text(f"{header}\n{record}\n")
    others = pd.DataFrame({"id": ids, "K562_mean": gc, "K562_std": 0.1, "K562_measured": table["rep1"]})
    others.to_csv("any_tool.tsv", sep="\t", index=False)
    Path("experiment.toml").write_text(blocks("toml")[0])
    return tmp_path


def test_the_commands_of_the_readme(cli: Callable[..., tuple[int, str, str]], folder: Path) -> None:
    seen = set()
    for words in commands():
        if words[0] == "make":
            assert re.search(rf"^{words[1]}:", MAKEFILE, flags=re.M)
            continue
        if words[0] == "pip" or "experiments/" in " ".join(words):
            continue
        assert words[0] == "octodon", words
        extra: list[str] = []
        if words[1] in ("run", "sweep", "distill"):
            extra = [part for setting in SMALL for part in ("--set", setting)]
            if "--out" not in words:
                extra += ["--out", words[1]]
        if words[1] == "simulate":
            words = [*words, "--rows", "200"]
        code, _, err = cli(*words[1:], *extra)
        assert code == 0, f"{' '.join(words)}: {err}"
        seen.add(words[1])
    assert seen >= {"check", "run", "predict", "distill", "sweep", "simulate", "list", "doctor"}
    assert seen >= {"variants", "scan", "attribute", "attribution-study", "calibrate"}


def test_the_python_of_the_readme(folder: Path) -> None:
    code = blocks("python")[0]
    code = code.replace(
        "members=10,", 'members=2, options={"width": 0.05}, training={"epochs": 1}, processes=0,'
    )
    code = code.replace(
        "distill(ensemble, data)", 'distill(ensemble, data, copies=1, training={"epochs": 1}, processes=0)'
    )
    names: dict[str, object] = {}
    exec(compile(code, "README.md", "exec"), names)
    prediction = names["prediction"]
    assert isinstance(prediction, octodon.Prediction)
    assert prediction.epistemic_std is not None
    assert prediction.mean.shape == prediction.epistemic_std.shape == (110, 1)


def test_help_is_instant_and_imports_nothing_heavy() -> None:
    import subprocess
    import sys

    code = (
        "import sys, octodon, octodon.cli.main; "
        "print([m for m in ('torch', 'pandas', 'numpy', 'scipy', 'matplotlib', 'pydantic') if m in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
