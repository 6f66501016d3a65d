"""Names that users type: parts of other packages join by an entry point."""

import re
from importlib.metadata import EntryPoint, EntryPoints

import pytest

import octodon.calibration.methods
import octodon.metrics.uncertainty
import octodon.ood
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
