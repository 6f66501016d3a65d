"""Dinucleotide shuffles keep every dinucleotide count, are uniform, and depend on sequence and seed alone."""

from collections import Counter
from itertools import pairwise, permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare

from octodon.errors import DataError
from octodon.seq.codes import decode, encode, random_codes
from octodon.seq.shuffle import dinucleotide_shuffle


def pairs(sequence: str) -> Counter[str]:
    return Counter(a + b for a, b in pairwise(sequence))


@settings(max_examples=40, deadline=None)
@given(st.text("ACGTN", min_size=1, max_size=30), st.integers(0, 2**63 - 1))
def test_every_dinucleotide_count_and_both_ends_stay(sequence: str, seed: int) -> None:
    for shuffled in decode(dinucleotide_shuffle(encode([sequence]), 5, seed)[0]):
        assert pairs(shuffled) == pairs(sequence)
        assert (shuffled[0], shuffled[-1]) == (sequence[0], sequence[-1])


@pytest.mark.parametrize("sequence", ["ACAGATACA", "AACCAGTAC", "ACGTGACNA"])
def test_every_sequence_with_these_counts_is_equally_likely(sequence: str) -> None:
    inner = {"".join(p) for p in permutations(sequence)}
    possible = sorted(s for s in inner if pairs(s) == pairs(sequence) and s[0] == sequence[0])
    assert len(possible) >= 2
    drawn = Counter(decode(dinucleotide_shuffle(encode([sequence]), 4000, 1)[0]))
    assert set(drawn) <= set(possible)
    assert chisquare([drawn[s] for s in possible]).pvalue > 1e-3


def test_counts_agree_with_tangermeme() -> None:
    torch = pytest.importorskip("torch")
    ersatz = pytest.importorskip("tangermeme.ersatz")
    codes = random_codes((2, 60), np.random.default_rng(0))
    one_hot = torch.eye(4)[torch.from_numpy(codes.astype(np.int64))].transpose(1, 2)
    theirs = ersatz.dinucleotide_shuffle(one_hot, n=3, random_state=0).argmax(2).numpy().astype(np.uint8)
    ours = dinucleotide_shuffle(codes, 3, 0)
    for row in range(2):
        counts = {frozenset(pairs(s).items()) for s in [*decode(theirs[row]), *decode(ours[row])]}
        assert len(counts) == 1


def test_shuffles_depend_on_sequence_and_seed_alone() -> None:
    codes = random_codes((4, 80), np.random.default_rng(0))
    together = dinucleotide_shuffle(codes, 3, 7)
    np.testing.assert_array_equal(dinucleotide_shuffle(codes[[2]], 3, 7)[0], together[2])
    np.testing.assert_array_equal(dinucleotide_shuffle(codes, 2, 7), together[:, :2])
    assert (dinucleotide_shuffle(codes, 3, 8) != together).any(axis=(1, 2)).all()
    assert (together[:, 0] != together[:, 1]).any(axis=1).all()


def test_a_long_run_with_one_exit_ends_soon() -> None:
    codes = encode(["A" * 240 + "CGT"])
    assert decode(dinucleotide_shuffle(codes, 2, 0)[0]) == ["A" * 240 + "CGT"] * 2


def test_no_shuffle_is_refused() -> None:
    with pytest.raises(DataError, match="k = 0"):
        dinucleotide_shuffle(encode(["ACGT"]), 0, 0)
