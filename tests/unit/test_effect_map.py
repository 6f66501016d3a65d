"""The map of an element: the right rows of a table of effects, drawn once each, and mistakes as one line."""

from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from octodon.cli.main import app
from octodon.errors import ConfigError, DataError, OctodonError
from octodon.report.effects import effects_figure
from octodon.variants.region import read_region, targets_of


def _table(std: bool = True) -> pd.DataFrame:
    """All substitutions of ten bases on "a", a deletion on "HLA:1", and a contig called NA."""
    rows = [("a", pos, "A", alt) for pos in range(1, 11) for alt in "CGT"]
    rows += [("HLA:1", 5, "AC", "A"), ("NA", 7, "A", "C")]
    table = pd.DataFrame(rows, columns=["chrom", "pos", "ref", "alt"])
    rng = np.random.default_rng(0)
    for target in ("x", "y"):
        table[f"{target}_effect"] = rng.standard_normal(len(table))
        if std:
            table[f"{target}_effect_epistemic_std"] = rng.random(len(table))
    return table


@pytest.mark.parametrize("suffix", [".tsv", ".csv", ".csv.gz", ".parquet"])
def test_a_region_is_found_in_every_kind_of_table(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"effects{suffix}"
    if suffix == ".parquet":
        _table().to_parquet(path)
    else:
        _table().to_csv(path, index=False, sep="," if ".csv" in suffix else "\t")
    assert read_region(path, "a:3-1,000")["pos"].tolist() == [p for p in range(3, 11) for _ in range(3)]
    assert read_region(path, "a:3-4")["pos"].tolist() == [3, 3, 3, 4, 4, 4]
    assert read_region(path, "HLA:1")["ref"].tolist() == ["AC"]
    assert read_region(path, "HLA:1:1-5")["ref"].tolist() == ["AC"]
    assert len(read_region(path, "NA")) == 1
    assert targets_of(_table(), None) == ["x", "y"]
    assert targets_of(_table(), "y") == ["y"]


def _drawn(path: Path) -> tuple[list[str], str]:
    root = ElementTree.parse(path).getroot()
    texts = root.iter("{http://www.w3.org/2000/svg}text")
    return ["".join(element.itertext()).strip() for element in texts], path.read_text()


def test_every_variant_is_drawn_once_and_stds_where_they_are_known(tmp_path: Path) -> None:
    effects_figure(_table(), ["x", "y"], tmp_path / "m.svg", title="a", units="log2")
    words, text = _drawn(tmp_path / "m.svg")
    assert {"a, x", "a, y", "effect (log2)", "position (bp)", "insertion, deletion"} <= set(words)
    assert sum(word == "members" or word.startswith("std over") for word in words) >= 2
    again = tmp_path / "again.svg"
    effects_figure(_table(), ["x", "y"], again, title="a", units="log2")
    assert again.read_text() == text
    effects_figure(_table(std=False), ["x"], tmp_path / "plain.svg")
    assert not any(word.startswith("std over") for word in _drawn(tmp_path / "plain.svg")[0])


def test_a_substitution_of_several_bases_is_no_insertion(tmp_path: Path) -> None:
    table = _table()[:30]
    several = table[:1].assign(ref="AT", alt="CA")
    effects_figure(pd.concat([table, several]), ["x"], tmp_path / "m.svg")
    words = _drawn(tmp_path / "m.svg")[0]
    assert "other substitution" in words
    assert "insertion, deletion" not in words
    effects_figure(
        pd.concat([table, several.assign(alt="A"), several.assign(ref="A")]), ["x"], tmp_path / "m.svg"
    )
    words = _drawn(tmp_path / "m.svg")[0]
    assert "insertion, deletion" in words
    assert "other substitution" not in words


@pytest.mark.parametrize("count", [3, 30, 600])
def test_positions_are_written_in_full(tmp_path: Path, count: int) -> None:
    first = 109_274_900
    table = pd.DataFrame({"pos": first + np.arange(count), "ref": "A", "alt": "C", "x_effect": 1.0})
    effects_figure(table, ["x"], tmp_path / "m.svg")
    words = _drawn(tmp_path / "m.svg")[0]
    written = [int(word) for word in words if word.isdigit() and len(word) == 9]
    assert len(written) >= 3
    assert all(first - count <= position <= first + 2 * count for position in written)
    assert len(set(written)) == len(written)
    assert not any("e8" in word or word.startswith("+") for word in words)


def test_what_cannot_be_drawn_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "e.tsv"
    _table().to_csv(path, index=False, sep="\t")
    (tmp_path / "pairs.tsv").write_text("id\tx_effect\n1\t2\n")

    def refused(kind: type[OctodonError], match: str, *arguments: str) -> None:
        result = CliRunner().invoke(app, ["effect-map", *arguments, "--out", str(tmp_path / "m.svg")])
        assert isinstance(result.exception, kind), result.output
        assert match in str(result.exception)
        assert "\n" not in str(result.exception)

    refused(DataError, "no variant on 'b'; Known: HLA:1, NA, a", str(path), "--region", "b")
    refused(ConfigError, "expected CONTIG or CONTIG:FIRST-LAST", str(path), "--region", "a:x")
    refused(ConfigError, "expected CONTIG or CONTIG:FIRST-LAST", str(path), "--region", "a:,-,")
    refused(ConfigError, "ends before it starts", str(path), "--region", "a:9-3")
    refused(DataError, "no variant in this region", str(path), "--region", "a:90-95")
    refused(ConfigError, "no effect on 'z'", str(path), "--region", "a", "--target", "z")
    refused(DataError, "no column 'chrom'", str(tmp_path / "pairs.tsv"), "--region", "a")
    refused(DataError, "absent.tsv", str(tmp_path / "absent.tsv"), "--region", "a")
    head, row = "chrom\tpos\tref\talt\tx_effect\n", "a\t1\tA\tC\t2\n"
    for text, message in (
        (head.replace("x_effect", "x") + row, "no column that ends in '_effect'"),
        (head + row + row.replace("a", ""), "row 2 has no chrom"),
        (head + row + row.replace("1", "b"), "row 2, column 'pos': 'b' is no whole number"),
        (head + row + row.replace("1", ""), "row 2, column 'pos': nan is no whole number"),
    ):
        (tmp_path / "odd.tsv").write_text(text)
        refused(DataError, message, str(tmp_path / "odd.tsv"), "--region", "a")
    far = pd.concat([_table(), _table().assign(pos=5000)])
    with pytest.raises(DataError, match="expected at most 2,000"):
        effects_figure(far, ["x"], tmp_path / "m.svg")
    assert not (tmp_path / "m.svg").exists()


def test_the_command(tmp_path: Path) -> None:
    _table().to_parquet(tmp_path / "e.parquet")
    command = ["effect-map", str(tmp_path / "e.parquet"), "--region", "a:2-8", "--target", "y"]
    result = CliRunner().invoke(app, [*command, "--out", str(tmp_path / "m.svg")])
    assert result.exception is None, result.output
    assert "21 variants" in result.output
    assert "a:2-8, y" in _drawn(tmp_path / "m.svg")[0]
