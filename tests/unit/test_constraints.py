"""The tested set of packages installs on every release of the oldest Python that octodon promises."""

import tomllib
from importlib.metadata import distributions
from pathlib import Path

from packaging.specifiers import SpecifierSet

ROOT = Path(__file__).parents[2]


def test_no_package_needs_a_later_release_than_the_first() -> None:
    promised = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["requires-python"]
    oldest = f"{promised.removeprefix('>=')}.0"
    needs = {
        f"{found.metadata['Name']} {found.version}": found.metadata["Requires-Python"]
        for found in distributions()
        if found.metadata["Requires-Python"]
    }
    assert {name: python for name, python in needs.items() if not SpecifierSet(python).contains(oldest)} == {}
