"""Splits: whole groups are assigned, leaks are found, refused or dropped, synonyms are exact."""

from dataclasses import replace

import numpy as np
import pytest

from octodon.data.calibration_rows import set_aside_calibration
from octodon.data.examples import Examples
from octodon.data.related import related_groups
from octodon.data.splits import check_way, find_leaks, k_folds, refuse_leaks, split_examples, split_sizes
from octodon.data.subsample import subsample
from octodon.errors import ConfigError, DataError
from octodon.seq.codes import encode, random_codes, reverse_complement


def examples_of(codes, ids=None, splits=None, **columns):
    n = len(codes)
    return Examples(
        codes=codes,
        ids=np.array([f"s{i}" for i in range(n)] if ids is None else ids),
        targets=np.arange(n, dtype=np.float32)[:, None],
        target_names=("A",),
        splits=None if splits is None else np.array(splits),
        columns={name: np.asarray(values) for name, values in columns.items()},
    )


@pytest.fixture
def families():
    """300 rows: 100 elements, each with its reverse complement and a copy; 1 in 4 is named by a partner instead."""
    rng = np.random.default_rng(0)
    forward = random_codes((100, 30), rng)
    third = forward.copy()
    third[::4] = random_codes((25, 30), rng)
    codes = np.concatenate([forward, reverse_complement(forward), third])
    ids = [f"e{i}" for i in range(100)] + [f"r{i}" for i in range(100)]
    ids += [f"e{i}_Reversed" if i % 4 == 0 else f"copy{i}" for i in range(100)]
    order = rng.permutation(300)
    return examples_of(codes[order], np.array(ids)[order], gene=(order % 100) // 2), order % 100


def straddling(element, splits):
    return [e for e in np.unique(element) if len(np.unique(splits[element == e])) > 1]


@pytest.mark.parametrize("seed", range(3))
def test_fraction_assigns_whole_families_in_the_stated_proportion(families, seed):
    examples, element = families
    split = split_examples(examples, by="fraction", valid=0.2, test=0.1, seed=seed)
    assert not straddling(element, split.splits)
    sizes = split_sizes(split)
    assert abs(sizes["valid"] - 60) <= 3
    assert abs(sizes["test"] - 30) <= 3
    assert find_leaks(split).n_groups == 0
    again = split_examples(examples, by="fraction", valid=0.2, test=0.1, seed=seed)
    assert (again.splits == split.splits).all()
    assert (split_examples(examples, seed=seed + 1).splits != split.splits).any()
    np.testing.assert_array_equal(split.codes, examples.codes)


def test_group_keeps_the_column_and_the_family_together(families):
    examples, element = families
    split = examples.split(by="group", column="gene", seed=1)
    assert not straddling(element // 2, split.splits)
    with pytest.raises(DataError, match="no column 'gen'; did you mean 'gene'"):
        examples.split(by="group", column="gen")
    genes = examples.columns["gene"].astype(str).astype(object)
    genes[[7, 8]] = "", "NA"  # as a table has them: one family of all that have none would fill a split
    some = replace(examples, columns=examples.columns | {"gene": genes})
    for way in ("group", "fold"):
        with pytest.raises(
            DataError, match=r"group column 'gene': 2 of 300 rows have no value \(first: row 8"
        ):
            some.split(by=way, column="gene")


def test_folds_are_even_and_whole(families):
    examples, element = families
    folds = k_folds(examples, 7, seed=3)
    assert not straddling(element, folds)
    assert np.bincount(folds, minlength=7).min() >= 300 // 7 - 3
    assert np.bincount(folds, minlength=7).max() <= 300 // 7 + 4
    with pytest.raises(ConfigError, match="k = 1"):
        k_folds(examples, 1)
    with pytest.raises(DataError, match="fill only 1 of 2"):
        k_folds(examples_of(encode(["ACC", "GGT"])), 2)


def test_fold_tests_every_row_once_and_validates_on_the_next_fold(families):
    examples, element = families
    splits = [examples.split(by="fold", folds=4, fold=fold, seed=2).splits for fold in range(4)]
    tests = np.stack([names == "test" for names in splits])
    valid = np.stack([names == "valid" for names in splits])
    assert (tests.sum(axis=0) == 1).all()
    np.testing.assert_array_equal(valid, np.roll(tests, -1, axis=0))
    np.testing.assert_array_equal(tests, [k_folds(examples, 4, seed=2) == fold for fold in range(4)])
    for names in splits:
        assert not straddling(element, names)
        assert (names == "train").sum() == pytest.approx(150, abs=6)
    of_gene = examples.split(by="fold", folds=4, fold=3, column="gene", on_leak="refuse")
    assert not straddling(element // 2, of_gene.splits)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"by": "fold", "folds": 2}, r"split\.folds: .*greater than or equal to 3; got 2"),
        ({"by": "fold", "folds": 5, "fold": 5}, r"split\.fold: 5, expected 0 to 4 \(split\.folds = 5\)"),
        ({"by": "fold", "fold": -1}, r"split\.fold: .*greater than or equal to 0; got -1"),
        ({"by": "fold", "fold": 1.5}, r"split\.fold: .*integer; got 1\.5"),
        ({"valid": "0.1"}, r"split\.valid: .*number; got '0\.1'"),
        ({"valid": True}, r"split\.valid: .*number; got True"),
        ({"valid": ["chr1"]}, r"split\.valid: .*number; got \['chr1'\]"),
        ({"test": 0}, r"split\.test: .*greater than 0; got 0"),
        ({"test": 1.0}, r"split\.test: .*less than 1; got 1\.0"),
        ({"test": float("nan")}, r"split\.test: .*got nan"),
        ({"seed": -1}, r"split\.seed: .*greater than or equal to 0; got -1"),
        ({"seed": "1"}, r"split\.seed: .*integer; got '1'"),
        ({"by": "group", "column": 3}, r"split\.column: .*string; got 3"),
        ({"by": "chromosome", "valid": [1.5]}, r"split\.valid\.0: .*; got 1\.5"),
        ({"by": "chromosome", "missing": 1}, r"split\.missing: .*string; got 1"),
        ({"on_leak": ["drop"]}, r"split\.on_leak: no \['drop'\]"),
    ],
)
def test_options_of_the_wrong_type_or_range_are_named_in_one_line(options, message):
    examples = examples_of(random_codes((30, 20), np.random.default_rng(0)), chrom=["chr1"] * 30)
    with pytest.raises(ConfigError, match=message) as caught:
        examples.split(**options)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("by", [3, ["fold"], None])
def test_a_way_that_is_no_text_is_refused(by):
    with pytest.raises(ConfigError, match=r"split\.by: .*, expected one of: column, "):
        check_way(by)


def test_options_may_be_numpy_values(families):
    examples, _ = families
    by_numpy = examples.split(by="fold", folds=np.int64(3), fold=np.int8(2), seed=np.int32(1))
    assert (by_numpy.splits == examples.split(by="fold", folds=3, fold=2, seed=1).splits).all()


def test_column_understands_the_listed_synonyms_only():
    codes = random_codes((8, 20), np.random.default_rng(0))
    values = ["Train", "TRAINING", "Val", "validation", "dev", "Test", "tests", "random"]
    split = split_examples(examples_of(codes, splits=values), by="column")
    assert split.splits.tolist() == ["train", "train", "valid", "valid", "valid", "test", "tests", "random"]
    assert split_sizes(split) == {"train": 2, "valid": 3, "test": 1, "random": 1, "tests": 1}


def test_column_may_be_another_than_the_readers():
    codes = random_codes((3, 20), np.random.default_rng(0))
    examples = examples_of(codes, splits=["x", "y", "z"], set=["train", "val", "test"])
    assert split_examples(examples, by="column", column="set").splits.tolist() == ["train", "valid", "test"]


@pytest.mark.parametrize(
    "values", [["train", "valid", ""], ["train", "valid", None], ["train", "valid", "NA"]]
)
def test_a_missing_split_is_refused(values):
    codes = random_codes((3, 20), np.random.default_rng(0))
    with pytest.raises(DataError, match=r"1 of 3 rows have no value \(first: row 3, s2\)"):
        split_examples(examples_of(codes, set=np.array(values, dtype=object)), by="column", column="set")


@pytest.mark.parametrize("name", ["hot/cold", "a\nb", "x" * 101])
def test_a_split_after_which_no_file_can_be_named_is_refused(name):
    codes = random_codes((6, 20), np.random.default_rng(0))
    labels = ["train", "valid", "test", "hot spot: a.b", name, name]
    with pytest.raises(DataError, match=r"split: .* \(2 rows\) cannot be part of a file name") as caught:
        split_examples(examples_of(codes, s=labels), by="column", column="s")
    assert "\n" not in str(caught.value)
    labels = ["train", "valid", "test", "hot spot: a.b", "é" * 50, "test"]
    assert len(split_sizes(split_examples(examples_of(codes, s=labels), by="column", column="s"))) == 5


def test_no_rows_in_a_split_is_refused():
    codes = random_codes((3, 20), np.random.default_rng(0))
    with pytest.raises(DataError, match=r"no rows in valid; found train 1, test 1, evaluate 1"):
        split_examples(examples_of(codes, splits=["train", "test", "evaluate"]), by="column")


def test_chromosomes():
    codes = random_codes((6, 20), np.random.default_rng(0))
    chrom = np.array(["chr1", "chr1", "chr2", "chr3", "chr4", None], dtype=object)
    examples = examples_of(codes, chrom=chrom)
    with pytest.raises(DataError, match=r"1 of 6 rows have no value .*missing = 'train'"):
        examples.split(by="chromosome", valid=["chr2"], test=["chr3"])
    split = examples.split(by="chromosome", valid=["chr2"], test=["chr3"], missing="controls")
    assert split.splits.tolist() == ["train", "train", "valid", "test", "train", "controls"]
    with pytest.raises(ConfigError, match=r"no 'chr22' in the data; did you mean 'chr2'"):
        examples.split(by="chromosome", valid=["chr2"], test=["chr22"], missing="train")
    with pytest.raises(ConfigError, match="'chr2' is in valid and in test"):
        examples.split(by="chromosome", valid=["chr2"], test=["chr2"], missing="train")
    with pytest.raises(ConfigError, match=r"split\.valid: .*list; got 'chr2'"):
        examples.split(by="chromosome", valid="chr2", test=["chr3"], missing="train")


def test_the_chromosome_column_has_two_usual_names():
    codes = random_codes((3, 20), np.random.default_rng(0))
    where = np.array(["chr1", "chr2", "chr3"])
    chosen = {"by": "chromosome", "valid": ["chr2"], "test": ["chr3"]}
    for name in ("chrom", "chromosome"):
        split = examples_of(codes, **{name: where}).split(**chosen)
        assert split.splits.tolist() == ["train", "valid", "test"]
    with pytest.raises(ConfigError, match="columns 'chrom' and 'chromosome'; say which"):
        examples_of(codes, chrom=where, chromosome=where).split(**chosen)
    with pytest.raises(DataError, match=r"no column 'chrom' or 'chromosome' \(there are: chr\)"):
        examples_of(codes, chr=where).split(**chosen)


@pytest.mark.parametrize("dtype", [np.int64, np.float64, np.str_])
def test_chromosomes_may_be_numbers(dtype):
    codes = random_codes((3, 20), np.random.default_rng(0))
    examples = examples_of(codes, fold=np.array([0, 1, 2]).astype(dtype))
    split = examples.split(by="chromosome", column="fold", valid=["1"], test=[2])
    assert split.splits.tolist() == ["train", "valid", "test"]


def test_unknown_ways_and_options_suggest():
    examples = examples_of(random_codes((9, 20), np.random.default_rng(0)))
    with pytest.raises(ConfigError, match="no way 'fractions'; did you mean 'fraction'"):
        examples.split(by="fractions")
    with pytest.raises(ConfigError, match="no option 'vaild'; did you mean 'valid'"):
        examples.split(by="fraction", vaild=0.2)
    with pytest.raises(ConfigError, match="sum is below 1"):
        examples.split(by="fraction", valid=0.5, test=0.5)


@pytest.fixture
def leaking():
    """Six families; comments say which straddle."""
    rng = np.random.default_rng(5)
    a, b, c, d, e, f = random_codes((6, 25), rng)
    rows = [
        (a, "a", "train"),
        (reverse_complement(a), "a2", "test"),  # train/test, other strand
        (b, "b", "train"),
        (b, "b2", "valid"),  # train/valid, copy
        (c, "c_Reversed", "valid"),
        (random_codes((25,), rng), "c", "random"),  # valid/random, by name
        (d, "d", "test"),
        (d, "d2", "random"),  # neither is trained on: no leak
        (e, "e", "train"),
        (e, "e2", "train"),  # within train: no leak
        (f, "f", "train"),
        (f, "f2", "valid"),
        (f, "f3", "test"),  # all three
        (random_codes((25,), rng), "g", "valid"),
    ]
    codes, ids, splits = zip(*rows, strict=True)
    return examples_of(np.stack(codes), ids, splits)


def test_leaks_are_found(leaking):
    leaks = find_leaks(leaking)
    assert leaks.n_groups == 4
    assert leaks.n_rows == 9
    assert dict(leaks.between) == {
        ("train", "valid"): 2,
        ("train", "test"): 2,
        ("valid", "test"): 1,
        ("valid", "random"): 1,
    }
    assert leaks.first[0] == ("a (train)", "a2 (test)")
    assert leaking.ids[leaks.redundant].tolist() == ["a", "b", "c_Reversed", "f", "f2"]


def test_leaks_are_refused_dropped_or_allowed(leaking):
    with pytest.raises(DataError, match=r"4 groups .* straddle .* first: a \(train\) = a2 \(test\); leave"):
        refuse_leaks(leaking)
    assert refuse_leaks(leaking, "allow") is leaking
    kept = refuse_leaks(leaking, "drop")
    assert sorted(set(leaking.ids) - set(kept.ids)) == ["a", "b", "c_Reversed", "f", "f2"]
    assert dict(kept.dropped) == {
        "train rows related to a row of another split": 3,
        "valid rows related to a row of another split": 2,
    }
    assert find_leaks(kept).n_groups == 0
    with pytest.raises(ConfigError, match="did you mean 'drop'"):
        refuse_leaks(leaking, "dropp")


def test_drop_that_empties_a_split_is_refused():
    codes = random_codes((2, 25), np.random.default_rng(0))
    examples = examples_of(codes[[0, 0, 1]], splits=["train", "test", "valid"])
    with pytest.raises(DataError, match="'drop' leaves no rows in train"):
        refuse_leaks(examples, "drop")
    codes = random_codes((4, 25), np.random.default_rng(0))
    without_test = examples_of(codes[[0, 1, 1, 2]], splits=["train", "train", "valid", "valid"])
    assert len(refuse_leaks(without_test, "drop")) == 3  # whoever trains asks for no test rows


def test_split_takes_on_leak_itself(leaking):
    with pytest.raises(DataError, match="straddle"):
        split_examples(leaking, by="column")  # "refuse" is the default
    assert len(split_examples(leaking, by="column", on_leak="drop")) == 9
    assert len(split_examples(leaking, by="column", on_leak="allow")) == 14


# Counted with a spreadsheet-like reference (pandas group-by on upper-case text) when the files were first seen.
REAL = {
    "deepstarr_3k": ("ID", "Sequence", 60, 121, {"train": 39, "valid": 22}),
    "lentimpra_wtc11_3k": ("seq_id", "seq", 105, 217, {"train": 68, "valid": 42}),
    "promoter_mpra_mattioli2020": ("name", "sequence", 0, 0, {}),
}


@pytest.mark.parametrize("name", REAL)
def test_leaks_of_real_splits(shared_data, name):
    pd = pytest.importorskip("pandas")
    id_column, column, groups, rows, dropped = REAL[name]
    table = pd.read_csv(shared_data / f"{name}.tsv.gz", sep="\t")
    examples = examples_of(
        encode(table[column].tolist()), table[id_column].to_numpy(str), table["split"].to_numpy(str)
    )
    examples = split_examples(examples, by="column", on_leak="allow")
    leaks = find_leaks(examples)
    assert (leaks.n_groups, leaks.n_rows) == (groups, rows)
    kept = refuse_leaks(examples, "drop")
    assert {key.split()[0]: count for key, count in kept.dropped.items()} == dropped
    assert find_leaks(split_examples(examples, by="fraction")).n_groups == 0

    # Oracle: element = the element's text or its flip, whichever sorts first; WTC11 without its 15 bp adaptors.
    flip = str.maketrans("ACGTN", "TGCAN")
    core = table[column].str[15:-15] if name.startswith("lenti") else table[column]
    element = np.minimum(core.to_numpy(object), core.map(lambda s: s.translate(flip)[::-1]).to_numpy(object))
    trained = (
        pd.Series(examples.splits)
        .groupby(element)
        .agg(lambda s: s.nunique() > 1 and bool({"train", "valid"} & set(s)))
    )
    assert int(trained.sum()) == groups


def test_random_elements_of_one_name_are_not_one_family(shared_data):
    pd = pytest.importorskip("pandas")
    table = pd.read_csv(shared_data / "promoter_mpra_mattioli2020.tsv.gz", sep="\t")
    groups = related_groups(encode(table["sequence"].tolist()), table["name"].to_numpy(str))
    assert np.bincount(groups).max() == 2


def test_too_few_families_for_a_split_at_random_are_said_to_be_that():
    unknown = Examples(
        codes=np.full((50, 30), 4, dtype=np.uint8),  # all N: copies of each other
        ids=np.array([f"s{i}" for i in range(50)]),
        targets=np.arange(50, dtype=np.float32)[:, None],
        target_names=("y",),
    )
    with pytest.raises(
        DataError, match="50 rows are 1 families of related rows, too few for train, valid and test"
    ):
        split_examples(unknown, by="fraction")


@pytest.mark.parametrize(
    "ask",
    [
        find_leaks,
        lambda examples: examples.subset("train"),
        lambda examples: subsample(examples, 0.5),
        lambda examples: set_aside_calibration(examples, 0.5, seed=0),
    ],
    ids=["find_leaks", "subset", "subsample", "set_aside_calibration"],
)
def test_what_needs_a_split_says_how_to_get_one(ask):
    with pytest.raises(DataError, match=r"no split yet; call \.split\(by=\.\.\.\) or name a split column"):
        ask(examples_of(random_codes((8, 30), np.random.default_rng(0))))
