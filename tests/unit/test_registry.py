"""Names that users type: parts of other packages join by an entry point."""

import re
from importlib.metadata import EntryPoint, EntryPoints

import pytest

import octodon.calibration.methods
import octodon.metrics.uncertainty
import octodon.ood
from octodon.errors import ConfigError
from octodon.registry import Registry


@pytest.mark.parametrize(
    "registry",
    [
        octodon.ood.scores,
        octodon.calibration.methods.methods,
        octodon.metrics.uncertainty.uncertainty_metrics,
    ],
)
def test_parts_of_other_packages_join_under_a_group_that_a_package_can_name(
    registry: Registry[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def entry_points(group: str) -> EntryPoints:
        asked.append(group)
        return EntryPoints([EntryPoint(name="theirs", value="math:pi", group=group)])

    monkeypatch.setattr("octodon.registry.entry_points", entry_points)
    fresh = Registry(registry.kind, "octodon.seq")
    assert fresh["theirs"] == 3.141592653589793
    # "a name of letters, numbers, _ and ., not more" (PyPA, entry points specification: data model)
    assert re.fullmatch(r"\w+(\.\w+)*", asked[0])


def test_a_package_that_is_broken_is_named_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    broken = EntryPoint(name="theirs", value="no_such_module_of_theirs:Part", group="octodon.kinds")
    monkeypatch.setattr("octodon.registry.entry_points", lambda group: EntryPoints([broken]))
    registry = Registry[object]("kind", "octodon.seq")
    message = r"kind 'theirs' of the installed package no_such_module_of_theirs:Part cannot be loaded \(ModuleNotFound"
    for _ in range(2):
        with pytest.raises(ConfigError, match=message):
            registry.names()
