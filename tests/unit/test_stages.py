"""The stages of a run: where each computes."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tiny import MODEL, TARGETS, examples

from octodon.ensemble.ensemble import Ensemble
from octodon.ensemble.execution import Execution
from octodon.experiment import bundles
from octodon.experiment.config import resolve
from octodon.experiment.folder import RunFolder
from octodon.experiment.stages import Stages


class Cluster:
    """Workers elsewhere, two at once; none is asked."""

    processes = 2

    def run(self, function: Any, jobs: Any, on_tick: Any = None) -> list[Any]:
        raise AssertionError("these workers are not to be asked")

    def stream(self, items: Any, function: Any) -> Iterator[Any]:
        raise AssertionError("these workers are not to be asked")

    def close(self) -> None:
        return


def test_with_the_gpus_of_a_cluster_this_process_computes_on_what_it_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def detecting(*_: Any, device: str, **__: Any) -> Any:
        asked.append(device)
        raise StopIteration

    monkeypatch.setattr(bundles, "detecting", detecting)
    monkeypatch.setattr("octodon.ensemble.execution.pick_device", lambda _: "what there is")
    config = resolve({"data": {}, "ood": {"score": "mahalanobis"}})
    members = Ensemble(model=MODEL, target_names=TARGETS, units="", members=())
    execution = Execution(workers=Cluster(), device="cuda")
    stage = Stages(config, examples(2000), RunFolder(tmp_path), execution, {}, lambda line: None)
    with pytest.raises(StopIteration):
        bundles.detect(stage, members, [])
    assert asked == ["what there is"]
