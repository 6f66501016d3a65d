"""The parts of docs/extend.md, each one file in a copy of the package, are found by name; nothing else is edited."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from documents import REPOSITORY, blocks

from octodon.cli.listing import KINDS

PAGE = (REPOSITORY / "docs" / "extend.md").read_text()
PARTS = [block for block in blocks(PAGE, "python") if block.title.startswith("src/")]
LISTED = {
    "models/backbones": "backbones",
    "models/heads": "heads",
    "data/formats": "readers",
    "metrics": "metrics",
    "training/augmentations": "augmentations",
    "calibration/methods": "calibrations",
    "attribution/methods": "methods",
    "ood": "ood",
    "shifts/kinds": "shifts",
    "baselines/methods": "baselines",
}
"""Folder of a part to what ``octodon list`` calls its kind."""
ASK = """
import sys
from importlib import import_module
from octodon.cli.listing import KINDS
for kind in sys.argv[1:]:
    package, name = KINDS[kind]
    print(kind, *getattr(import_module(package), name))
"""


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the package with every part of the page in its file."""
    source = tmp_path_factory.mktemp("copy") / "src"
    shutil.copytree(REPOSITORY / "src", source, ignore=shutil.ignore_patterns("__pycache__"))
    for block in PARTS:
        path = source.parent / block.title
        assert not path.exists(), f"{block.title}: the package has it by now; choose another example"
        path.write_text(block.code)
    return source


def test_the_page_names_every_kind_of_part() -> None:
    assert all(f"`{kind}`" in PAGE for kind in KINDS)


def test_every_part_is_found_by_name(package: Path) -> None:
    kinds = {LISTED[Path(block.title).relative_to("src/octodon").parent.as_posix()] for block in PARTS}
    assert kinds == set(LISTED.values())
    answer = subprocess.run(
        [sys.executable, "-c", ASK, *sorted(kinds)],
        env=os.environ | {"PYTHONPATH": str(package)},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    names = {line.split()[0]: line.split()[1:] for line in answer.splitlines()}
    for block in PARTS:
        path = Path(block.title).relative_to("src/octodon")
        assert path.stem in names[LISTED[path.parent.as_posix()]]
