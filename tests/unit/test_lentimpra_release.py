"""The lentiMPRA release: sequences and replicate activities joined by name, partners, and the published split."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from octodon.data.formats.lentimpra import HEPG2_PAIRS_AND_OTHERS, published_splits, read_lentimpra
from octodon.errors import ConfigError, DataError
from octodon.seq.codes import decode

LAST = "230nt sequence (15nt 5' adaptor - 200nt element - 15nt 3' adaptor)"
LEFT, RIGHT = "AGGACCGGATCAACT", "CATTGCGTGAACCGA"
REPLICATES = [f"replicate {k} [log2(rna/dna)]" for k in (1, 2, 3)]


def names(n=20):
    """Return forward names (even rows) with their reverse (odd rows); one is marked _Reversed_0."""
    marks = ["_Reversed_0" if i == 10 else "_Reversed" for i in range(n // 2)]
    return [f"DNasePeakNoPromoter{i}{mark}" for i in range(n // 2) for mark in ("", marks[i])]


def tables(folder, sep="\t", n=20, extra_activity=()):
    rng = np.random.default_rng(3)
    elements = ["".join(row) for row in rng.choice(list("ACGT"), size=(n, 200))]
    suffix = "tsv" if sep == "\t" else "csv"
    sequences = pd.DataFrame(
        {
            "name": names(n),
            "category": "putative enhancer",
            "chr.hg19": "chr1",
            "chr.hg38": [f"chr{1 + i % 3}" for i in range(n)],
            "str.hg38": ["+", "-"] * (n // 2),
            LAST: [LEFT + element + RIGHT for element in elements],
        }
    )
    values = np.round(rng.normal(size=(n, 3)), 3)
    values[4, 1] = np.nan
    values[5, 1:] = np.nan
    activity = pd.DataFrame(values, columns=REPLICATES)
    activity.insert(0, "name", names(n))
    activity["mean"] = np.round(np.nanmean(values, axis=1), 3)
    activity["std"] = activity[REPLICATES].std(axis=1, ddof=1)
    activity = activity.iloc[::-1]
    for name in extra_activity:
        activity.loc[len(activity)] = [name, 0.1, 0.2, 0.3, 0.2, 0.1]
    sequences.to_csv(folder / f"seqs.{suffix}", sep=sep, index=False)
    activity.to_csv(folder / f"data.{suffix}", sep=sep, index=False, na_rep="NA")
    return folder / f"seqs.{suffix}", folder / f"data.{suffix}", sequences, activity.reset_index(drop=True)


@pytest.mark.parametrize("sep", ["\t", ","])
def test_tables_are_joined_by_name_in_the_order_of_the_activities(tmp_path: Path, sep):
    seqs, data, sequences, activity = tables(tmp_path, sep)
    examples = read_lentimpra(seqs, activity=data)
    joined = activity.merge(sequences, on="name", validate="one_to_one")
    assert examples.ids.tolist() == joined["name"].tolist()
    assert decode(examples.codes) == joined[LAST].tolist()
    assert examples.length == 230
    assert examples.replicates is not None
    assert examples.replicates.shape == (20, 1, 3)
    np.testing.assert_allclose(examples.replicates[:, 0], joined[REPLICATES].to_numpy(), rtol=1e-6)
    np.testing.assert_allclose(examples.targets[:, 0], joined["mean"], atol=6e-4)
    # the published std is the sample standard deviation of the replicates present
    assert examples.replicate_std is not None
    np.testing.assert_allclose(examples.replicate_std[:, 0], joined["std"], atol=1e-6)
    assert examples.units == "log2(RNA/DNA)"
    assert examples.columns["chromosome"].tolist() == joined["chr.hg38"].tolist()
    assert examples.columns["strand"].tolist() == joined["str.hg38"].tolist()
    assert examples.splits is None
    assert dict(examples.dropped) == {}


def test_names_without_a_sequence_are_counted(tmp_path: Path):
    seqs, data, _, _ = tables(tmp_path, extra_activity=["Cneg1_hg19chr3", "Cpos2_hg19chr19"])
    examples = read_lentimpra(seqs, activity=data)
    assert len(examples) == 20
    assert dict(examples.dropped) == {"name without a sequence": 2}


def test_rows_with_too_few_replicates_are_left_out_on_request_and_counted(tmp_path: Path):
    seqs, data, _, _ = tables(tmp_path)
    examples = read_lentimpra(seqs, activity=data, min_replicates=2)
    assert len(examples) == 19
    assert dict(examples.dropped) == {"fewer than 2 replicates": 1}


def test_forward_and_reverse_share_their_element(tmp_path: Path):
    seqs, data, _, _ = tables(tmp_path, n=24)
    examples = read_lentimpra(seqs, activity=data)
    element = dict(zip(examples.ids.tolist(), examples.columns["element"].tolist(), strict=True))
    # the suffix goes, not a set of characters: 10 keeps its zero
    assert element["DNasePeakNoPromoter10_Reversed_0"] == "DNasePeakNoPromoter10"
    assert element["DNasePeakNoPromoter10"] == "DNasePeakNoPromoter10"
    _, counts = np.unique(examples.columns["element"], return_counts=True)
    assert set(counts) == {2}


def test_splitting_by_fraction_keeps_pairs_together(tmp_path: Path):
    seqs, data, _, _ = tables(tmp_path, n=60)
    examples = read_lentimpra(seqs, activity=data).split(by="fraction", valid=0.2, test=0.2, seed=0)
    splits_of = {}
    for name, split in zip(examples.columns["element"], examples.splits, strict=True):
        splits_of.setdefault(name, set()).add(split)
    assert all(len(found) == 1 for found in splits_of.values())


@pytest.mark.parametrize(
    ("file", "old", "new", "message"),
    [
        (1, "mean", "average", "no column 'mean'"),
        (1, "name", "\nname", "remove any title or empty line above"),
        (1, "replicate", "rep", "no column 'replicate 1"),
        (0, LAST, "element", "the last column is 'element'"),
        (1, "DNasePeakNoPromoter3_Reversed", "DNasePeakNoPromoter3", "same id 'DNasePeakNoPromoter3'"),
        (0, "DNasePeakNoPromoter3_Reversed", "DNasePeakNoPromoter3", "same id 'DNasePeakNoPromoter3'"),
        (0, "AGGACC", "AGG-CC", "'-' is not a base"),
        (1, "DNase", "peak", "none of 20 rows is left .20 name without a sequence"),
    ],
)
def test_bad_tables_are_refused_in_one_line(tmp_path: Path, file, old, new, message):
    paths = tables(tmp_path)[:2]
    paths[file].write_text(paths[file].read_text().replace(old, new))
    with pytest.raises(DataError, match=message) as caught:
        read_lentimpra(paths[0], activity=paths[1])
    assert "\n" not in str(caught.value)


def test_a_mean_that_is_not_the_plain_mean_is_refused(tmp_path: Path):
    seqs, data, _, activity = tables(tmp_path)
    activity.loc[2, "mean"] += 0.01
    activity.to_csv(data, sep="\t", index=False, na_rep="NA")
    with pytest.raises(
        DataError, match=r"1 of 20 rows 'mean' is not the mean .*DNasePeakNoPromoter8_Reversed"
    ):
        read_lentimpra(seqs, activity=data)


def test_a_spreadsheet_is_refused_with_the_way_out(tmp_path: Path):
    seqs, _, _, _ = tables(tmp_path)
    (tmp_path / "S4.xlsx").write_bytes(b"PK")
    with pytest.raises(DataError, match="save the tab as TSV"):
        read_lentimpra(seqs, activity=tmp_path / "S4.xlsx")


@pytest.mark.parametrize("split", ["", "none"])
def test_no_split_can_be_said_in_toml(tmp_path: Path, split: str):
    seqs, data, _, _ = tables(tmp_path)
    assert read_lentimpra(seqs, activity=data, split=split).splits is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"split": "published"}, "needs cell"),
        ({"split": "published", "cell": "HepG2"}, "needs min_replicates = 1"),
        ({"split": "random"}, "expected 'none' or 'published'"),
    ],
)
def test_the_published_split_asks_for_what_it_needs(tmp_path: Path, options, message):
    seqs, data, _, _ = tables(tmp_path)
    with pytest.raises(ConfigError, match=message):
        read_lentimpra(seqs, activity=data, **options)


def library(n_pairs, n_others):
    """Return names as many as published, shuffled as activity tables are."""
    pairs = [f"peak{i}{mark}" for i in range(n_pairs) for mark in ("", "_Reversed")]
    return np.random.default_rng(0).permutation(np.array(pairs + [f"other{i}" for i in range(n_others)]))


@pytest.mark.parametrize(
    ("cell", "least", "n_pairs", "n_others", "train", "test", "valid"),
    [
        ("HepG2", 1, 61_668, 16_541, 111_901, 13_988, 13_988),
        ("HepG2", 2, 61_253, 16_893, 111_518, 13_939, 13_942),
        ("K562", 1, 109_598, 7_058, 181_002, 22_626, 22_626),
        ("K562", 2, 109_156, 7_393, 180_564, 22_571, 22_570),
    ],
)
def test_published_split_sizes(cell, least, n_pairs, n_others, train, test, valid):
    splits = published_splits(library(n_pairs, n_others), cell, least)
    assert {name: int((splits == name).sum()) for name in ("train", "test", "valid")} == {
        "train": train,
        "test": test,
        "valid": valid,
    }


def slow_published(tables_of_names, seed=1234):
    """Split one table after another as the published notebook describes it: lists, dictionaries, one stream."""
    stream = np.random.RandomState(seed)
    results = []
    for table in tables_of_names:
        present = set(table)
        forward = [name[: -len("_Reversed")] for name in table if name.endswith("_Reversed")]
        forward = [name for name in forward if name in present]
        paired = set(forward) | {f"{name}_Reversed" for name in forward}
        others = [name for name in table if name not in paired]
        split = {}
        picked = []
        for group in (forward, others):
            picked.append(stream.choice(np.arange(len(group)), round(len(group) * 0.8), replace=False))
        left = [
            sorted(set(range(len(g))) - set(p.tolist()))
            for g, p in zip((forward, others), picked, strict=True)
        ]
        for group, chosen, rest in zip((forward, others), picked, left, strict=True):
            tested = set(stream.choice(rest, round(len(group) * 0.1), replace=False).tolist())
            for i, name in enumerate(group):
                split[name] = "train" if i in set(chosen.tolist()) else "test" if i in tested else "valid"
        for name in forward:
            split[f"{name}_Reversed"] = split[name]
        results.append(np.array([split[name] for name in table]))
    return results


def test_the_published_draw_agrees_with_a_plain_reference(monkeypatch):
    hepg2, k562 = library(40, 23), library(31, 17)
    monkeypatch.setitem(HEPG2_PAIRS_AND_OTHERS, 2, (40, 23))
    expected = slow_published([hepg2, k562])
    np.testing.assert_array_equal(published_splits(hepg2, "HepG2", 2), expected[0])
    np.testing.assert_array_equal(published_splits(k562, "K562", 2), expected[1])


def test_the_published_split_keeps_pairs_together_but_not_those_marked_reversed_0():
    table = library(200, 50)
    splits = dict(zip(table.tolist(), published_splits(table, "HepG2", 2), strict=True))
    assert all(splits[f"peak{i}"] == splits[f"peak{i}_Reversed"] for i in range(200))
    # a name that ends in _Reversed_0 is drawn singly, as published: 200 pairs cannot all agree by chance
    marked = np.array([name.replace("_Reversed", "_Reversed_0") for name in table])
    splits = dict(zip(marked.tolist(), published_splits(marked, "HepG2", 2), strict=True))
    assert any(splits[f"peak{i}"] != splits[f"peak{i}_Reversed_0"] for i in range(200))


def test_the_real_wtc11_sample_as_two_tables(shared_data: Path, tmp_path: Path):
    frame = pd.read_csv(shared_data / "lentimpra_wtc11_3k.tsv.gz", sep="\t").drop_duplicates("seq_id")
    frame[["seq_id", "seq"]].set_axis(["name", LAST], axis=1).to_csv(
        tmp_path / "s.tsv", sep="\t", index=False
    )
    activity = frame[["seq_id", "mean_value", "mean_value"]].set_axis(["name", REPLICATES[0], "mean"], axis=1)
    activity.to_csv(tmp_path / "a.tsv", sep="\t", index=False)
    examples = read_lentimpra(tmp_path / "s.tsv", activity=tmp_path / "a.tsv")
    assert len(examples) == 2940
    assert not any(name.endswith("_Reversed:") for name in examples.columns["element"])
    np.testing.assert_allclose(examples.targets[:, 0], frame["mean_value"], rtol=1e-6)


def test_the_real_shuffled_controls_as_two_tables(shared_data: Path, tmp_path: Path):
    frame = pd.read_csv(shared_data / "lentimpra_k562_shuffled_controls_250.tsv.gz", sep="\t")
    frame[["name", "category", "sequence_230nt"]].to_csv(tmp_path / "s.tsv", sep="\t", index=False)
    activity = frame[["name", "log2_rep1", "log2_rep2", "log2_rep3", "log2_mean"]]
    activity.set_axis(["name", *REPLICATES, "mean"], axis=1).to_csv(tmp_path / "a.tsv", sep="\t", index=False)
    with pytest.raises(DataError, match="1 of 250 rows have a target that is missing"):
        read_lentimpra(tmp_path / "s.tsv", activity=tmp_path / "a.tsv")
    examples = read_lentimpra(tmp_path / "s.tsv", activity=tmp_path / "a.tsv", missing="drop")
    assert examples.replicates is not None
    assert sum(examples.dropped.values()) == 1
    np.testing.assert_allclose(examples.targets[:, 0], frame["log2_mean"].dropna(), atol=1e-5)
    one, two = examples.replicates[:, 0, 0], examples.replicates[:, 0, 1]
    both = np.isfinite(one) & np.isfinite(two)
    assert 0.2 < np.corrcoef(one[both], two[both])[0, 1] < 0.5  # noise floor: replicate r about 0.36
