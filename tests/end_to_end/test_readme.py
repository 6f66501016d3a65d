"""Every command and code block of the README works as written, with smaller settings."""

from __future__ import annotations

import re
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from documents import REPOSITORY, SMALL, blocks, check_octodon, shell_lines, write_files_of_the_pages

import octodon

README = (REPOSITORY / "README.md").read_text()
MAKEFILE = (REPOSITORY / "Makefile").read_text()


def commands() -> list[list[str]]:
    inline = re.findall(r"`(octodon (?:distill|sweep|simulate|list|run)[^`]*)`", README)
    return [*shell_lines(README), *(shlex.split(line, comments=True) for line in inline)]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with the files that the README speaks of."""
    monkeypatch.chdir(tmp_path)
    write_files_of_the_pages(tmp_path, blocks(README, "toml")[0].code)
    return tmp_path


def test_the_commands_of_the_readme(
    cli: Callable[..., tuple[int, str, str]], folder: Path, request: pytest.FixtureRequest
) -> None:
    seen: set[str] = set()
    for words in commands():
        if words[0] == "make":
            assert re.search(rf"^{words[1]}:", MAKEFILE, flags=re.M)
            continue
        if words[0] == "pip" or "experiments/" in " ".join(words):
            continue
        assert words[0] == "octodon", words
        if words[1] == "serve":  # until it is told to end: tests/unit/test_serve_command.py
            check_octodon(words[1:])
            continue
        if words[1] == "compare":  # with its own copy: the least that can be compared
            shutil.copytree(words[2], words[3])
        extra: list[str] = []
        if words[1] in ("run", "sweep", "distill"):
            extra = [part for setting in SMALL for part in ("--set", setting)]
            if "--out" not in words:
                extra += ["--out", words[1]]
        if "run" in seen and words[1] in ("sweep", "distill"):
            request.getfixturevalue("no_figures")  # the run has drawn them all
        if words[1] == "simulate":
            words = [*words, "--rows", "200"]
        code, _, err = cli(*words[1:], *extra)
        assert code == 0, f"{' '.join(words)}: {err}"
        seen.add(words[1])
    assert seen >= {"check", "run", "predict", "distill", "sweep", "simulate", "list", "doctor"}
    assert seen >= {"variants", "scan", "attribute", "attribution-study", "calibrate", "compare"}


def test_the_python_of_the_readme(folder: Path) -> None:
    code = blocks(README, "python")[0].code
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
