"""Barcode counts to activity: the published table, a slow obvious reference, and the theory of the standard error."""

import math
from pathlib import Path

import numpy as np
import pytest

from octodon.data.formats.barcodes import CountOptions, activity, read_barcodes
from octodon.data.formats.table import read_table
from octodon.data.read import read
from octodon.errors import ConfigError, DataError

REPLICATES = (1, 2, 3)


def read_inoue(folder: Path, **options):
    return read_barcodes(
        folder / "lentimpra_hepg2_inoue2017_barcodes.tsv.gz",
        sequences=folder / "lentimpra_hepg2_inoue2017.tsv.gz",
        element="oligo_name",
        dna=[f"dna_count_{r}" for r in REPLICATES],
        rna=[f"rna_count_{r}" for r in REPLICATES],
        **options,
    )


def test_defaults_reproduce_the_published_table(shared_data: Path):
    got = read_inoue(shared_data)
    published = read_table(
        shared_data / "lentimpra_hepg2_inoue2017.tsv.gz",
        targets={"activity": [f"log2_rep{r}" for r in REPLICATES]},
        id="oligo_name",
        columns=["mean", "std", "n_bc1", "n_bc2", "n_bc3"],
    )
    assert len(got) == 2321
    assert got.ids.tolist() == published.ids.tolist()
    assert got.dropped == {}
    assert got.n_barcodes is not None
    for r in REPLICATES:
        n_published = np.nan_to_num(published.columns[f"n_bc{r}"])
        np.testing.assert_array_equal(got.n_barcodes[:, 0, r - 1], n_published)
    # The table has five decimals; its rounding is 5e-6, float32 adds less than 1e-6.
    np.testing.assert_allclose(got.replicates, published.replicates, rtol=0, atol=7e-6)
    np.testing.assert_allclose(got.targets[:, 0], published.columns["mean"], rtol=0, atol=7e-6)
    assert got.replicate_std is not None
    np.testing.assert_allclose(got.replicate_std[:, 0], published.columns["std"], rtol=0, atol=1.2e-5)


def test_standard_errors_predict_how_replicates_differ(shared_data: Path):
    got = read_inoue(shared_data, min_barcodes=10)
    assert got.replicates is not None
    assert got.replicate_se is not None
    y, se = got.replicates[:, 0], got.replicate_se[:, 0]
    for a, b in ((0, 1), (0, 2), (1, 2)):
        z = (y[:, a] - y[:, b]) / np.hypot(se[:, a], se[:, b])
        z = z[np.isfinite(z)]
        assert len(z) > 1000
        # 1 if barcodes were all that differs; what else differs between replicates can only add.
        assert 0.95 < np.sqrt(np.mean(z**2)) < 1.25


def test_min_barcodes_drops_and_counts_elements(shared_data: Path):
    got = read_inoue(shared_data, min_barcodes=10)
    assert got.n_barcodes is not None
    n = read_inoue(shared_data).n_barcodes
    assert n is not None
    enough = (n >= 10).any(axis=2)[:, 0]
    assert len(got) == enough.sum()
    assert sum(got.dropped.values()) == (~enough).sum()
    assert got.replicates is not None
    np.testing.assert_array_equal(np.isfinite(got.replicates), got.n_barcodes >= 10)


def slow(rows, dna, rna, n_elements, aggregate, depth):
    """One element at a time, as the definitions read."""
    log2, se = np.full(n_elements, np.nan), np.full(n_elements, np.nan)
    for element in range(n_elements):
        d = [x for x, row in zip(dna, rows, strict=True) if row == element]
        r = [x for x, row in zip(rna, rows, strict=True) if row == element]
        n = len(d)
        if n == 0:
            continue
        if aggregate == "sum":
            q = sum(r) / sum(d)
            log2[element] = math.log2(q) - depth
            if n > 1:
                spread = sum((ri - q * di) ** 2 for ri, di in zip(r, d, strict=True)) / (n - 1)
                se[element] = math.sqrt(n * spread) / sum(r) / math.log(2)
        else:
            logs = [math.log2(ri / di) for ri, di in zip(r, d, strict=True)]
            log2[element] = sum(logs) / n - depth
            if n > 1:
                se[element] = np.std(logs, ddof=1) / math.sqrt(n)
    return log2, se


@pytest.mark.parametrize("aggregate", ["sum", "mean_log"])
@pytest.mark.parametrize("normalise", ["cpm", "none"])
def test_vectorised_equals_slow_reference(aggregate: str, normalise: str):
    rng = np.random.default_rng(0)
    rows = rng.integers(0, 40, 150)
    dna, rna = (rng.integers(1, 30, 150).astype(float) for _ in range(2))
    options = CountOptions(aggregate=aggregate, normalise=normalise)  # type: ignore[arg-type]
    log2, se, n = activity(rows, dna, rna, 42, options)
    depth = math.log2(sum(rna) / sum(dna)) if normalise == "cpm" else 0.0
    expected = slow(rows, dna, rna, 42, aggregate, depth)
    np.testing.assert_allclose(log2, expected[0], rtol=1e-12)
    np.testing.assert_allclose(se, expected[1], rtol=1e-9)
    assert n.tolist() == [float((rows == e).sum()) for e in range(42)]
    assert np.isnan(log2[40:]).all()


@pytest.mark.parametrize("aggregate", ["sum", "mean_log"])
def test_standard_error_equals_the_spread_over_repeated_experiments(aggregate: str):
    # 2,000 repeats of one element with 30 barcodes: integration noise and Poisson counting.
    rng = np.random.default_rng(3)
    repeats, n = 2000, 30
    rows = np.repeat(np.arange(repeats), n)
    dna = rng.poisson(30, repeats * n) + 1.0
    rna = rng.poisson(2.0 * dna * rng.lognormal(0, 0.5, repeats * n)) + 1.0
    log2, se, _ = activity(rows, dna, rna, repeats, CountOptions(aggregate=aggregate))  # type: ignore[arg-type]
    # The standard deviation itself is known to 1 / sqrt(2 x 2000) = 1.6 %.
    assert np.sqrt(np.mean(se**2)) == pytest.approx(np.std(log2, ddof=1), rel=0.06)


def write(path: Path, text: str) -> Path:
    path.write_text(text.replace(" ", "\t"))
    return path


@pytest.fixture
def small(tmp_path: Path) -> dict:
    write(tmp_path / "e.tsv", "element sequence chrom\ne1 ACGT chr1\ne2 CCCC chr2\ne3 GGGG chr3\n")
    write(
        tmp_path / "b.tsv",
        "barcode element d1 d2 r1 r2\nAA e1 2 4 4 4\nAC e1 2 4 12 12\nAG e2 4 8 8 64\nAT e2 0 1 3 \nCC e3 1  0 \n",
    )
    return {
        "path": tmp_path / "b.tsv",
        "sequences": tmp_path / "e.tsv",
        "dna": ["d1", "d2"],
        "rna": ["r1", "r2"],
    }


def test_a_table_small_enough_to_do_by_hand(small: dict):
    got = read_barcodes(**small, columns=["chrom"], target="K562", normalise="none")
    assert got.ids.tolist() == ["e1", "e2"]
    assert got.columns["chrom"].tolist() == ["chr1", "chr2"]
    assert (got.target_names, got.units) == (("K562",), "log2(RNA/DNA)")
    # e1: 16 / 4 and 16 / 8; e2: 8 / 4 and 64 / 8 (its second barcode lacks DNA, then RNA).
    assert got.replicates is not None
    assert got.replicates[:, 0].tolist() == [[2, 1], [1, 3]]
    assert got.n_barcodes is not None
    assert got.n_barcodes[:, 0].tolist() == [[2, 2], [1, 1]]
    # q = 4: residuals 4 - 8 and 12 - 8; sqrt(2 / 1 * 32) / (16 ln 2). One barcode has no standard error.
    assert got.replicate_se is not None
    np.testing.assert_allclose(got.replicate_se[0, 0], [8 / 16 / math.log(2)] * 2, rtol=1e-6)
    assert np.isnan(got.replicate_se[1]).all()
    # One element without barcodes; three counts below the minimum (AT twice, CC once).
    assert got.dropped == {"barcode counts below the minimum": 3, "elements without enough barcodes": 1}


def test_depth_normalisation_takes_the_totals_of_the_barcodes_used(small: dict):
    plain = read_barcodes(**small, normalise="none")
    cpm = read_barcodes(**small)
    assert plain.replicates is not None
    assert cpm.replicates is not None
    # Replicate 1: RNA 24, DNA 8; replicate 2: RNA 80, DNA 16.
    depth = np.log2([[[24 / 8, 80 / 16]]] * 2)
    np.testing.assert_allclose(plain.replicates - cpm.replicates, depth, rtol=1e-6)


def test_pseudocounts_admit_counts_of_zero(small: dict):
    got = read_barcodes(**small, normalise="none", pseudocount=1.0, min_dna_count=0, min_rna_count=0)
    assert got.replicates is not None
    # e2, replicate 1: (8 + 1 + 3 + 1) / (4 + 1 + 0 + 1); e3: 1 / 2, then nothing seen.
    np.testing.assert_allclose(got.replicates[1, 0, 0], math.log2(13 / 6), rtol=1e-6)
    np.testing.assert_allclose(got.replicates[2, 0], [-1, np.nan], rtol=1e-6)
    assert got.dropped == {}


def test_elements_may_come_as_fasta(small: dict, tmp_path: Path):
    (tmp_path / "e.fa").write_text(">e2\nCCCC\n>e1\nACGT\n>e3\nGGGG\n")
    got = read_barcodes(**{**small, "sequences": tmp_path / "e.fa"})
    assert got.ids.tolist() == ["e2", "e1"]


def test_unknown_elements_are_refused_or_counted(small: dict, tmp_path: Path):
    write(tmp_path / "e.tsv", "element sequence\ne1 ACGT\ne3 GGGG\n")
    with pytest.raises(DataError, match=r"2 of 5 barcodes .*first: row 3, 'e2'.*unknown_elements = 'drop'"):
        read_barcodes(**small)
    write(tmp_path / "e.tsv", "element sequence\ne1 ACGT\ne2 CCCC\n")
    write(tmp_path / "b.tsv", small["path"].read_text().replace("\t", " ") + "GG e9 1 1 1 1\n")
    got = read_barcodes(**small, unknown_elements="drop", normalise="none")
    assert got.dropped["barcodes of unknown elements"] == 2
    assert got.ids.tolist() == ["e1", "e2"]
    with pytest.raises(DataError, match="no barcode belongs to an element"):
        read_barcodes(
            **{**small, "element": "barcode", "barcode": None, "id": "element"}, unknown_elements="drop"
        )


def test_a_table_of_counts_may_have_no_column_of_barcodes(small: dict):
    with_barcodes = read_barcodes(**small)
    text = small["path"].read_text().replace("\t", " ")
    write(small["path"], "\n".join(line.partition(" ")[2] for line in text.splitlines()) + "\n")
    with pytest.raises(DataError, match=r"no column 'barcode' of barcodes; .*; name it, or set barcode = ''"):
        read_barcodes(**small)
    without = read({"format": "barcodes", "barcode": ""} | small)
    assert without.targets.tolist() == with_barcodes.targets.tolist()


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("AA e1 2", "AA e1 -2", r"row 1, column 'd1': -2 is no count"),
        ("AA e1 2", "AA e1 inf", r"row 1, column 'd1': inf is no count"),
        ("AA e1 2", "AA e1 two", r"row 1, column 'd1': 'two' is no number"),
        ("AC e1", "AA e1", r"1 barcodes occur more than once \(first: 'AA'\).* set barcode = ''"),
        ("d1 d2", "d1 d3", r"no column 'd2'"),
    ],
)
def test_bad_counts_are_named(small: dict, old: str, new: str, message: str):
    path = small["path"]
    text = path.read_text().replace("\t", " ")
    assert old in text
    write(path, text.replace(old, new))
    with pytest.raises(DataError, match=message):
        read_barcodes(**small)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"min_rna_count": 0}, "logarithm of 0"),
        ({"min_barcodes": 0}, "at least 1"),
        ({"pseudocount": -1.0}, "0 or more"),
        ({"dna": ["d1"]}, "1 and 2 columns"),
        ({"dna": ["d1", "r1"]}, "all different"),
    ],
)
def test_options_that_make_no_sense_are_refused(small: dict, options: dict, message: str):
    with pytest.raises(ConfigError, match=message):
        read_barcodes(**{**small, **options})


def test_no_barcode_left_is_refused(small: dict):
    with pytest.raises(DataError, match="no element reaches the minimum"):
        read_barcodes(**small, min_dna_count=1000)
