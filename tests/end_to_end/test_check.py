"""``octodon check`` counts what a run would refuse."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

Cli = Callable[..., tuple[int, str, str]]


def test_missing_values_and_repeated_ids_are_counted_and_a_run_refuses_them(
    cli: Cli, experiment: Path, tmp_path: Path
) -> None:
    path = experiment.parent / "tiny.tsv"
    table = pd.read_csv(path, sep="\t")
    table.loc[[2, 3, 7], "B"] = np.nan
    table.loc[7, ["A_rep1", "A_rep2"]] = np.nan
    table.loc[10, "id"] = "s9"
    table.to_csv(path, sep="\t", index=False)
    code, out, err = cli("check", experiment)
    assert code == 0, err
    lines = {line[:20].strip(): line[20:].strip() for line in out.splitlines()}
    assert lines["target A"] == "1 of 160 values missing"
    assert lines["target B"] == "3 of 160 values missing"
    assert lines["repeated ids"].startswith("1 rows repeat")
    assert "data.missing = 'drop'" in out
    assert "data.repeated_ids = 'number'" in out
    found = json.loads(cli("check", experiment, "--json")[1])
    assert found["missing"] == {"A": 1, "B": 3}
    assert found["n_repeated_ids"] == 1
    code, _, err = cli("run", experiment, "--out", tmp_path / "run", "--quiet")
    assert code == 2
    assert "have the same id 's9'" in err


def test_a_clean_table_has_no_notes(cli: Cli, experiment: Path) -> None:
    code, out, _ = cli("check", experiment)
    assert code == 0
    assert "note:" not in out
    assert "repeated ids         0 rows" in out


def test_mixed_lengths_are_refused_with_their_number(cli: Cli, experiment: Path) -> None:
    path = experiment.parent / "tiny.tsv"
    table = pd.read_csv(path, sep="\t")
    table.loc[5, "sequence"] = "ACGT"
    table.to_csv(path, sep="\t", index=False)
    code, _, err = cli("check", experiment)
    assert code == 2
    assert "row 6 has 4 bases, expected 32 (1 of the first 160 rows do not fit: 4 bp)" in err
