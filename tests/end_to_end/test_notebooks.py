"""Every notebook runs from top to bottom, in the small size that OCTODON_TINY asks for, and is small in the repository."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from documents import REPOSITORY

NOTEBOOKS = sorted((REPOSITORY / "docs" / "notebooks").glob("*.ipynb"))
every_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
RUN = """
import sys
import nbformat
from nbclient import NotebookClient
NotebookClient(nbformat.read(sys.argv[1], as_version=4), timeout=240, resources={"metadata": {"path": sys.argv[2]}}).execute()
"""


@every_notebook
def test_notebook_runs(path: Path, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    data = str(request.getfixturevalue("shared_data")) if path.stem == "promoters" else ""
    # A process of its own: the servers that run a kernel leave sockets behind, and here warnings are errors.
    environment = os.environ | {
        "OCTODON_TINY": "1",
        "OCTODON_DATA": data,
        "PYTHONPATH": str(REPOSITORY / "src"),
    }
    done = subprocess.run(
        [sys.executable, "-c", RUN, str(path), str(tmp_path)], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert not list(tmp_path.iterdir()), "a notebook leaves nothing beside itself"


@every_notebook
def test_notebook_was_run_whole_or_not_at_all_and_is_small(path: Path) -> None:
    cells = [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]
    counts = [cell.execution_count for cell in cells]
    assert counts in ([None] * len(cells), list(range(1, len(cells) + 1))), "run it with: make notebooks"
    assert path.stat().st_size < 200_000
    names = [output.output_type for cell in cells for output in cell.outputs]
    assert "error" not in names
