"""The benchmark for a GPU must be ready to run: all its sections, tiny, on the CPU."""

import json
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "benchmarks"


def test_every_section_runs_and_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(FOLDER))
    import gpu  # type: ignore[import-not-found]  # a script, found through the path set above

    bench = gpu.Bench(gpu.SMALL, "cpu", tmp_path / "gpu")
    bench.run()
    found = json.loads((tmp_path / "gpu.json").read_text())
    sections = ("simulating", "equality", "eager_loop", "ensemble", "student", "prediction")
    sections += ("strategies_in_precisions",)
    assert all(found[name]["seconds"] >= 0 for name in sections)
    assert found["ensemble"]["epochs"] == [gpu.SMALL.epochs] * gpu.SMALL.members
    assert found["ensemble"]["choice"]["strategy"] in found["ensemble"]["choice"]["milliseconds"]
    assert found["prediction"]["sequences_per_s"] > 0
    table = (tmp_path / "gpu.md").read_text()
    for said in (
        "times faster than the eager loop",
        "teachers and student, s",
        "2,000,000 at least",
        "matmul",
    ):
        assert said in table
