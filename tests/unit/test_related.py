"""Copies of an element are found: equal sequences, other strand, partner names; nothing else is."""

import itertools

import numpy as np
import pytest

from octodon.data import related
from octodon.errors import DataError
from octodon.seq.codes import encode, random_codes

OTHER = str.maketrans("ACGTN", "TGCAN")


def flip(sequence):
    return sequence.translate(OTHER)[::-1]


def names(*values):
    return np.array(values)


@pytest.mark.parametrize(
    ("name", "forward"),
    [
        ("seq1_Reversed", "seq1"),
        ("DNasePeakNoPromoter10_Reversed_0", "DNasePeakNoPromoter10"),
        ("seq2_Reversed:", "seq2"),
        ("R_Reversed_12", "R"),
        ("seqReversed", "seqReversed"),
        ("seq_reversed", "seq_reversed"),
        ("seq_Reversed_0b", "seq_Reversed_0b"),
        ("seq_Reversed_", "seq_Reversed_"),
        ("seq_Reversed_x", "seq_Reversed_x"),
        ("seq_F", "seq_F"),
    ],
)
def test_only_the_exact_suffix_marks_a_reverse_partner(name, forward):
    assert related.partner_name(names(name)).tolist() == [forward]


def test_partner_families():
    ids = names("a", "b_Reversed", "a_Reversed_0", "b", "c_F", "c_Reversed:", "d_F", "d", "a1", "e", "e")
    labels = related.partner_labels(ids).tolist()
    assert labels[0] == labels[2]
    assert labels[1] == labels[3]
    assert labels[4] == labels[5], "name_F is the forward partner of name_Reversed:"
    # d_F and d have no reverse partner; equal names alone are no family.
    assert len(set(labels)) == 8


def slow_groups(sequences, ids, extra=None):
    """Merge sets until nothing changes; the obvious definition."""
    n = len(sequences)
    group = list(range(n))
    for i, j in itertools.combinations(range(n), 2):
        same = sequences[i] in (sequences[j], flip(sequences[j]))
        partner = ids[i] + "_Reversed" == ids[j] or ids[j] + "_Reversed" == ids[i]
        if same or partner or (extra is not None and extra[i] == extra[j]):
            old, new = group[j], group[i]
            group = [new if g == old else g for g in group]
    order = {}
    return [order.setdefault(g, len(order)) for g in group]


@pytest.mark.parametrize("seed", range(5))
def test_groups_equal_the_slow_definition(seed):
    rng = np.random.default_rng(seed)
    sequences = ["".join(rng.choice(list("ACGTN"), 3, p=[0.2, 0.3, 0.2, 0.2, 0.1])) for _ in range(60)]
    ids = [f"x{i // 2}" + "_Reversed" * int(i % 2) for i in rng.permutation(120)[:60]]
    extra = rng.integers(0, 80, 60)
    codes = encode(sequences)
    assert related.related_groups(codes, names(*ids)).tolist() == slow_groups(sequences, ids)
    assert related.related_groups(codes, names(*ids), extra).tolist() == slow_groups(sequences, ids, extra)


def test_palindrome_and_n_stay_apart():
    codes = encode(["ACGT", "ACGN", "NCGT", "AAAA", "TTTT", "NNNN"])
    assert related.strandless_labels(codes).tolist() == [0, 1, 1, 2, 2, 3]
    assert related.duplicate_labels(codes).tolist() == [0, 1, 2, 3, 4, 5]


def test_element_cloned_both_ways_between_adaptors_is_one_element():
    rng = np.random.default_rng(0)
    cores = ["".join(rng.choice(list("ACGT"), 40)) for _ in range(30)]
    cores[7] = flip(cores[3])
    # Adaptors of unequal length: the full sequences are no reverse complements.
    codes = encode(["AGGACCGG" + core + "CATTGC" for core in cores])
    # A flank may look longer by chance, where all 30 cores start alike; 30 random ones do not.
    assert related.constant_flanks(codes) == (8, 6)
    ids = names(*(f"s{i}" for i in range(30)))
    assert related.related_groups(codes, ids)[[3, 7]].tolist() == [3, 3]
    assert len(set(related.related_groups(codes, ids).tolist())) == 29


def test_variants_of_one_sequence_have_no_adaptors():
    base = random_codes((1, 60), np.random.default_rng(1))
    codes = np.repeat(base, 5, axis=0)
    codes[np.arange(1, 5), [30, 31, 32, 33]] ^= 1
    assert related.constant_flanks(codes) == (0, 0)
    assert related.related_groups(codes, names(*"abcde")).tolist() == [0, 1, 2, 3, 4]


def test_a_missing_group_is_refused():
    with pytest.raises(DataError, match=r"1 of 3 rows have no value \(first: row 2\)"):
        related.related_groups(
            encode(["A", "C", "G"]), names(*"abc"), np.array(["x", None, "y"], dtype=object)
        )


def test_wtc11_partner_names_and_sequences_agree(shared_data):
    """Two independent signs of one fact: names say forward/reverse; the elements between the adaptors are flipped."""
    pd = pytest.importorskip("pandas")
    table = pd.read_csv(shared_data / "lentimpra_wtc11_3k.tsv.gz", sep="\t")
    codes = encode(table["seq"].tolist())
    assert related.constant_flanks(codes) == (15, 15)
    by_name = related.partner_labels(table["seq_id"].to_numpy(str))
    by_core = related.core_labels(codes)
    by_sequence = related.strandless_labels(codes)
    assert related.repeats(by_sequence).sum() == 60
    assert related.repeats(by_core).sum() == 134
    families = pd.DataFrame(
        {
            "core": by_core,
            "name": by_name,
            "id": table["seq_id"].str.replace(r"_(F|Reversed:)$", "", regex=True),
        }
    )
    assert families.groupby("core")["id"].nunique().max() == 1
    assert families.groupby("id")["core"].nunique().max() == 1
