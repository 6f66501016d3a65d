"""Distilling what exists: the data are read once, whoever the teachers are."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from tiny import TARGETS, examples

from octodon.experiment import given, run
from octodon.experiment.config import resolve


def test_a_table_of_teachers_reads_the_data_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read, data = [], examples()

    def prepared(config: Any) -> Any:
        read.append(config)
        return data

    class _ReachedError(Exception):
        pass

    def stop(config: Any, seen: Any, teachers: Any) -> None:
        assert seen is data
        assert config.distill.copies == 0
        raise _ReachedError

    for module in (given, run):
        monkeypatch.setattr(module, "prepare", prepared)
    monkeypatch.setattr(run, "validate", stop)
    rows = [
        pd.DataFrame(data.targets, columns=list(TARGETS)).assign(id=data.ids, member=member)
        for member in (0, 1)
    ]
    pd.concat(rows).to_parquet(tmp_path / "said.parquet")
    with pytest.raises(_ReachedError):
        given.distil_given(resolve({"data": {}}), tmp_path / "said.parquet", tmp_path / "out")
    assert len(read) == 1
