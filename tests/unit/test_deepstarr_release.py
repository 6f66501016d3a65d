"""The DeepSTARR release: single table, FASTA with activities in the same order, and what is refused."""

import gzip
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from octodon.data.formats.deepstarr import read_deepstarr
from octodon.data.read import read
from octodon.errors import ConfigError, DataError
from octodon.seq.codes import decode

HEADER = "seqnames\tstart\tend\tID\tset\tSequence\tDev_log2_enrichment\tHk_log2_enrichment\n"
SETS = ["Train"] * 12 + ["Val"] * 4 + ["Test"] * 4


def sequences(n=20, length=249):
    letters = np.random.default_rng(7).choice(list("ACGT"), size=(n, length))
    return ["".join(row) for row in letters]


def ids(n=20):
    return [f"chr2L_{100 * i + 1}_{100 * i + 249}_{'+-'[i % 2]}_peak_849bp_region" for i in range(n)]


def table(path, rows=None, header=HEADER):
    lines = rows or [
        f"chr2L\t{100 * i + 1}\t{100 * i + 249}\t{name}\t{part}\t{bases}\t{i / 8}\t{-i / 4}\n"
        for i, (name, part, bases) in enumerate(zip(ids(), SETS, sequences(), strict=True))
    ]
    path.write_text(header + "".join(lines))
    return path


def release(folder, order=slice(None), with_ids=False):
    """Write the three pairs of files; values are those of ``table``."""
    rows = list(zip(range(20), ids(), SETS, sequences(), strict=True))
    for part in ("Train", "Val", "Test"):
        chosen = [row for row in rows if row[2] == part]
        (folder / f"Sequences_{part}.fa").write_text("".join(f">{r[1]}\n{r[3]}\n" for r in chosen))
        head = "ID\t" * with_ids + "Dev_log2_enrichment\tHk_log2_enrichment\tDev_log2_enrichment_scaled\n"
        lines = [f"{r[1]}\t" * with_ids + f"{r[0] / 8}\t{-r[0] / 4}\t0\n" for r in chosen[order]]
        (folder / f"Sequences_activity_{part}.txt").write_text(head + "".join(lines))
    return folder


@pytest.mark.parametrize("split", [None, "", "none"])
def test_the_single_table_may_be_read_without_its_split(tmp_path: Path, split: str | None):
    assert read_deepstarr(table(tmp_path / "Sequences_activity_all.txt"), split=split).splits is None


def test_the_single_table_gives_sequences_targets_splits_and_places(tmp_path: Path):
    examples = read_deepstarr(table(tmp_path / "Sequences_activity_all.txt"))
    assert examples.codes.shape == (20, 249)
    assert decode(examples.codes) == sequences()
    assert examples.ids.tolist() == ids()
    assert examples.target_names == ("Dev", "Hk")
    assert examples.units == "log2 enrichment"
    np.testing.assert_array_equal(examples.targets[:, 0], np.arange(20) / 8)
    np.testing.assert_array_equal(examples.targets[:, 1], -np.arange(20) / 4)
    assert examples.splits is not None
    assert examples.splits.tolist() == ["train"] * 12 + ["valid"] * 4 + ["test"] * 4
    assert examples.columns["strand"].tolist() == ["+", "-"] * 10
    assert set(examples.columns["class"]) == {"peak_849bp_region"}
    assert set(examples.columns["chromosome"]) == {"chr2L"}
    # 1-based 101..349 is 100..349 half-open, 249 bases
    assert (examples.columns["start"][1], examples.columns["stop"][1]) == (100, 349)


@pytest.mark.parametrize("packed", [False, True])
def test_the_pairs_of_files_give_the_same_as_the_single_table(tmp_path: Path, packed):
    release(tmp_path)
    if packed:
        for file in list(tmp_path.iterdir()):
            (tmp_path / f"{file.name}.gz").write_bytes(gzip.compress(file.read_bytes()))
            file.unlink()
    pairs = read_deepstarr(tmp_path)
    one = read_deepstarr(table(tmp_path / "all.txt"))
    np.testing.assert_array_equal(pairs.codes, one.codes)
    np.testing.assert_array_equal(pairs.targets, one.targets)
    assert pairs.splits is not None
    assert one.splits is not None
    np.testing.assert_array_equal(pairs.splits, one.splits)
    np.testing.assert_array_equal(pairs.ids, one.ids)


def test_activities_with_ids_are_joined_by_id_in_any_order(tmp_path: Path):
    release(tmp_path, order=slice(None, None, -1), with_ids=True)
    np.testing.assert_array_equal(read_deepstarr(tmp_path).targets[:, 0], np.arange(20) / 8)


def test_one_fasta_with_its_activities_has_no_split(tmp_path: Path):
    release(tmp_path)
    examples = read_deepstarr(tmp_path / "Sequences_Val.fa", activity=tmp_path / "Sequences_activity_Val.txt")
    assert examples.splits is None
    np.testing.assert_array_equal(examples.targets[:, 0], np.arange(12, 16) / 8)


def test_counts_that_disagree_are_refused(tmp_path: Path):
    release(tmp_path, order=slice(1, None))
    with pytest.raises(
        DataError, match=r"Sequences_activity_Train.txt: 11 rows, but .*Train.fa has 12 records"
    ):
        read_deepstarr(tmp_path)


def test_ids_that_disagree_are_refused(tmp_path: Path):
    release(tmp_path, with_ids=True)
    activity = tmp_path / "Sequences_activity_Val.txt"
    activity.write_text(activity.read_text().replace("chr2L_1201_", "chr3L_1201_"))
    with pytest.raises(DataError, match=r"1 of 4 records .* have no row .first 'chr2L_1201_1449"):
        read_deepstarr(tmp_path)


def test_a_missing_partner_file_is_named(tmp_path: Path):
    release(tmp_path)
    (tmp_path / "Sequences_activity_Val.txt").unlink()
    with pytest.raises(DataError, match=r"Sequences_activity_Val.txt is missing"):
        read_deepstarr(tmp_path)


def test_an_empty_folder_and_a_lone_fasta_are_refused(tmp_path: Path):
    with pytest.raises(DataError, match=r"none of Sequences_Train.fa"):
        read_deepstarr(tmp_path)
    release(tmp_path)
    with pytest.raises(DataError, match="a FASTA file alone has no activities"):
        read_deepstarr(tmp_path / "Sequences_Val.fa")


def test_repeated_ids_are_refused_or_numbered(tmp_path: Path):
    path = table(tmp_path / "all.txt")
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join([*lines, lines[3], lines[3]]))
    with pytest.raises(
        DataError, match=r"and 21 have the same id 'chr2L_201_449_._peak.*2 repeats in all.*number"
    ):
        read_deepstarr(path)
    with pytest.raises(ConfigError, match=r"data\.repeated_ids.*'refuse' or 'number'"):
        read({"format": "deepstarr", "path": str(path), "repeated_ids": "drop"})
    numbered = read_deepstarr(path, repeated_ids="number")
    assert len(numbered) == 22
    assert numbered.ids[[2, 20, 21]].tolist() == [ids()[2], f"{ids()[2]}#2", f"{ids()[2]}#3"]
    assert numbered.columns["class"][20] == "peak_849bp_region"


def test_ids_of_another_form_give_no_places_and_a_mixture_is_refused(tmp_path: Path):
    path = table(tmp_path / "all.txt")
    mixed = path.read_text().replace("chr2L_201_449_+_peak_849bp_region", "window3")
    path.write_text(mixed)
    with pytest.raises(DataError, match="row 3: ID 'window3' is not of the form"):
        read_deepstarr(path)
    for name in ids():
        mixed = mixed.replace(name, name.replace("_", "-"))
    path.write_text(mixed)
    assert dict(read_deepstarr(path).columns) == {}


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("Hk_log2_enrichment", "Hk", "no column 'Hk_log2_enrichment'"),
        ("\t0.125\t", "\tNA\t", "missing"),
        ("\t0.125\t", "\thigh\t", "high"),
        (sequences()[1], "Z" + sequences()[1][1:], "row 2, position 1: 'Z' is not a base"),
        (sequences()[1], sequences()[1][1:], "row 2 has 248 bases"),
    ],
)
def test_bad_tables_are_refused_in_one_line(tmp_path: Path, old, new, message):
    path = table(tmp_path / "all.txt")
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(DataError, match=message) as caught:
        read_deepstarr(path)
    assert "\n" not in str(caught.value)


def test_the_real_sample(shared_data: Path):
    path = shared_data / "deepstarr_3k.tsv.gz"
    with pytest.raises(DataError, match="31 repeats in all"):
        read_deepstarr(path)
    examples = read_deepstarr(path, split="split", repeated_ids="number")
    frame = pd.read_csv(path, sep="\t")
    assert decode(examples.codes) == frame["Sequence"].tolist()
    np.testing.assert_allclose(
        examples.targets, frame[["Dev_log2_enrichment", "Hk_log2_enrichment"]], rtol=1e-6
    )
    assert len(set(examples.ids)) == 3000
    assert examples.splits is not None
    assert {
        name: int((examples.splits == name).sum()) for name in ("train", "valid", "test")
    } == dict.fromkeys(("train", "valid", "test"), 1000)
    np.testing.assert_array_equal(examples.columns["chromosome"], frame["seqnames"])
    np.testing.assert_array_equal(examples.columns["start"], frame["start"] - 1)
    np.testing.assert_array_equal(examples.columns["stop"], frame["end"])
    assert sorted(set(examples.columns["class"])) == [
        "Other_DHSs",
        "Other_enhancers",
        "negative",
        "peak_849bp_region",
        "positive_peaks",
    ]
