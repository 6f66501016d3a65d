"""An import points down, never up or sideways; the whole architecture in one list."""

import ast
import re
from pathlib import Path

import pytest

import octodon

ROOT = Path(octodon.__file__).parent
LAYERS = """errors | registry seeds atomic | settings records small_samples seq | metrics data calibration ood | models | training | ensemble | distillation
    | artifact | predict | attribution variants genomes baselines shifts handover | report | experiment serve | cli"""
LEVEL = {room: level for level, rooms in enumerate(LAYERS.split("|")) for room in rooms.split()}
FILES = [
    path for path in ROOT.rglob("*.py") if path != ROOT / "__init__.py"
]  # which gathers the public names


def _imports(path: Path) -> set[str]:
    """Every module that the file imports, also in functions and under TYPE_CHECKING."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_point_down(path: Path) -> None:
    room = path.relative_to(ROOT).parts[0].removesuffix(".py")
    others = {name.split(".")[1] for name in _imports(path) if name.startswith("octodon.")} - {
        room,
        "__version__",
    }
    assert not {other for other in others if LEVEL[other] >= LEVEL[room]}
    heavy = {name.split(".")[0] for name in _imports(path)}
    assert room not in ("report", "data", "metrics", "calibration", "ood") or "torch" not in heavy
    assert LEVEL[room] > 1 or not heavy & {"torch", "pandas", "scipy", "matplotlib", "numpy"}


def test_every_room_is_on_the_list() -> None:
    rooms = {path.relative_to(ROOT).parts[0].removesuffix(".py") for path in FILES}
    assert rooms <= LEVEL.keys()


def test_the_page_on_the_architecture_names_every_room() -> None:
    page = Path(__file__).parents[2] / "docs" / "architecture.md"
    rows = [line for line in page.read_text().splitlines() if re.match(r"\| \d+ \|", line)]
    named = {room for row in rows for room in re.findall(r"`(\w+)`", row.split("|")[2])}
    assert named == LEVEL.keys()
