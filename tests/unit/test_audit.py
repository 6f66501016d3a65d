"""What the check reports, on data whose every fact is known."""

import json
import math

import numpy as np
import pytest

from octodon.data.agreement import mean_reliability, noise_ceiling, replicate_agreement
from octodon.data.audit import audit, require_replicates
from octodon.data.examples import Examples
from octodon.errors import DataError
from octodon.seq.codes import encode, random_codes, reverse_complement


def replicated(truth, noise_std, n_replicates, rng, names=("A",), **fields):
    replicates = (truth[:, :, None] + rng.normal(size=(*truth.shape, n_replicates)) * noise_std).astype(
        np.float32
    )
    n = len(truth)
    return Examples(
        codes=random_codes((n, 8), rng),
        ids=np.array([f"s{i}" for i in range(n)]),
        targets=replicates.mean(axis=2),
        target_names=names,
        replicates=replicates,
        **fields,
    )


@pytest.fixture
def examples():
    rng = np.random.default_rng(0)
    codes = random_codes((12, 40), rng)
    codes[1] = codes[0]  # duplicate, train/train
    codes[2] = reverse_complement(codes[3])  # train/test
    codes[5, 3] = codes[6, :2] = 4
    ids = np.array([*(f"s{i}" for i in range(10)), "s9_Reversed", "t"])
    replicates = rng.normal(size=(12, 2, 3)).astype(np.float32)
    replicates[:, 1] = 2.5
    replicates[4, 0] = np.nan
    targets = np.stack([replicates[:, 0].mean(axis=1), np.full(12, 2.5)], axis=1).astype(np.float32)
    return Examples(
        codes=codes,
        ids=ids,
        targets=targets,
        target_names=("A", "B"),
        replicates=replicates,
        splits=np.array(["train"] * 3 + ["test"] * 3 + ["valid"] * 6),
        dropped={"no barcode": 7},
    )


def test_every_fact(examples):
    found = audit(examples)
    assert (found.n_rows, found.length_bp) == (12, 40)
    assert found.splits == {"train": 3, "valid": 6, "test": 3}
    assert (found.rows_with_n, found.n_fraction) == (2, 3 / 480)
    assert (found.n_duplicates, found.n_reverse_complements, found.n_partners, found.n_families) == (
        1,
        1,
        1,
        3,
    )
    assert found.constant_flanks_bp == (0, 0)
    assert found.leaks is not None
    assert dict(found.leaks.between) == {("train", "test"): 1}
    assert found.missing == {"A": 1, "B": 0}
    assert found.constant_targets == ("B",)


def test_text_and_json_say_the_same(examples):
    found = audit(examples)
    text = "\n".join(found.lines())
    for phrase in (
        "train 3, valid 6, test 3",
        "7 rows: no barcode",
        "40 bp, all rows",
        "2 rows with N; 0.625%",
        "1 of 12 values missing",
        "CONSTANT",
        "train/test 1; first: s2 (train) = s3 (test)",
        "replicates B [all]: pairwise r undefined",
    ):
        assert phrase in text
    plain = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert plain["leaks"]["first"] == [["s2 (train)", "s3 (test)"]]
    assert plain["splits"] == {"train": 3, "valid": 6, "test": 3}
    b = [a for a in plain["agreement"] if a["target"] == "B" and a["split"] == "all"]
    assert b[0]["pearson"] is None
    assert b[0]["ceiling_pearson"] is None


def test_unlabelled_sequences_without_a_split():
    examples = Examples(
        codes=encode(["ACGTA", "CCCCC"]),
        ids=np.array(["a", "b"]),
        targets=np.zeros((2, 0), dtype=np.float32),
        target_names=(),
    )
    found = audit(examples)
    assert found.leaks is None
    assert found.agreement == ()
    assert "none assigned" in "\n".join(found.lines())
    assert "unlabelled" in "\n".join(found.lines())
    json.dumps(found.to_dict(), allow_nan=False)


def test_spearman_brown_by_hand():
    # Doubling a test of reliability 0.5: 2 * 0.5 / 1.5; one replicate is as reliable as it is; r = 1 stays 1.
    assert mean_reliability(0.5, 2.0) == pytest.approx(2 / 3)
    assert mean_reliability(0.37, 1.0) == pytest.approx(0.37)
    assert mean_reliability(1.0, 5.0) == 1.0
    assert mean_reliability(0.0, 5.0) == 0.0
    assert math.isnan(mean_reliability(-0.2, 3.0))
    assert noise_ceiling(0.81) == pytest.approx(0.9)


@pytest.mark.parametrize(("noise_std", "n_replicates"), [(0.5, 2), (1.0, 3), (2.0, 4)])
def test_the_ceiling_is_what_the_truth_itself_reaches(noise_std, n_replicates):
    """Theory: reliability = var(true) / (var(true) + noise variance / R), and the truth correlates with its root."""
    rng = np.random.default_rng(1)
    truth = rng.normal(size=(200_000, 1))
    examples = replicated(truth, noise_std, n_replicates, rng)
    (found,) = replicate_agreement(examples)
    assert found.pearson == pytest.approx(1 / (1 + noise_std**2), abs=0.01)
    assert found.reliability == pytest.approx(1 / (1 + noise_std**2 / n_replicates), abs=0.01)
    assert found.ceiling_pearson == pytest.approx(
        np.corrcoef(truth[:, 0], examples.targets[:, 0])[0, 1], abs=0.01
    )


def test_the_ceiling_of_rows_with_unequal_replicates_is_what_the_truth_itself_reaches():
    """Half of the rows are single measurements, half means of 3 of 5: noise variance (1 + 1 / 3) / 2 beside a true one of 1."""
    rng = np.random.default_rng(4)
    truth = rng.normal(size=(200_000, 1))
    examples = replicated(truth, 1.0, 5, rng)
    replicates = examples.replicates
    assert replicates is not None
    order = rng.permuted(
        np.tile(np.arange(5), (200_000, 1)), axis=1
    )  # which are missing is random, row by row
    kept = np.where(np.arange(200_000) % 2, 1, 3)
    replicates[order[:, None, :] >= kept[:, None, None]] = np.nan
    measured = np.nanmean(replicates[:, 0].astype(np.float64), axis=1)
    (found,) = replicate_agreement(examples)
    assert found.n_replicates == pytest.approx(2)
    assert found.reliability == pytest.approx(1 / (1 + 2 / 3), abs=0.01)
    assert found.ceiling_pearson == pytest.approx(np.corrcoef(truth[:, 0], measured)[0, 1], abs=0.01)


def test_agreement_uses_the_rows_that_have_both():
    rng = np.random.default_rng(2)
    examples = replicated(rng.normal(size=(500, 1)), 0.7, 3, rng)
    assert examples.replicates is not None
    examples.replicates[:200, 0, 2] = np.nan
    examples.replicates[:50, 0, 1] = np.nan
    r = examples.replicates[:, 0].astype(np.float64)
    pairs = [
        np.corrcoef(r[50:, 0], r[50:, 1]),
        np.corrcoef(r[200:, 0], r[200:, 2]),
        np.corrcoef(r[200:, 1], r[200:, 2]),
    ]
    (found,) = replicate_agreement(examples)
    assert found.pearson == pytest.approx(np.mean([c[0, 1] for c in pairs]))
    assert found.n_rows == 450
    assert found.n_replicates == pytest.approx((50 * 1 + 150 * 2 + 300 * 3) / 500)
    assert found.harmonic_replicates == pytest.approx(500 / (50 / 1 + 150 / 2 + 300 / 3))


def test_noise_needs_two_replicates():
    rng = np.random.default_rng(3)
    examples = replicated(rng.normal(size=(20, 2)), 1.0, 2, rng, names=("A", "B"))
    require_replicates(examples)
    with pytest.raises(DataError, match="target 'A': at most 2 replicates a row, expected at least 3"):
        require_replicates(examples, at_least=3)
    assert examples.replicates is not None
    examples.replicates[:, 1, 1] = np.nan
    with pytest.raises(DataError, match="target 'B': at most 1 replicate a row, expected at least 2"):
        require_replicates(examples)


def test_replicate_agreement_of_real_measurements(shared_data):
    """Shuffled controls agree at r 0.36 between replicates, as their source states."""
    pd = pytest.importorskip("pandas")
    table = pd.read_csv(shared_data / "lentimpra_k562_shuffled_controls_250.tsv.gz", sep="\t")
    columns = [name for name in table.columns if name.startswith("log2") or "rep" in name.lower()][:3]
    replicates = table[columns].to_numpy(np.float32)[:, None, :]
    examples = Examples(
        codes=np.zeros((len(table), 1), dtype=np.uint8),
        ids=np.arange(len(table)).astype(str),
        targets=replicates.mean(axis=2),
        target_names=("K562",),
        replicates=replicates,
    )
    (found,) = replicate_agreement(examples)
    assert found.pearson == pytest.approx(0.36, abs=0.01)
    assert found.ceiling_pearson == pytest.approx(math.sqrt(3 * 0.36 / 1.72), abs=0.01)
