"""A bundle remembers which sequences its networks have seen, on either strand."""

from dataclasses import replace

import numpy as np
import pytest
from tiny import examples

from octodon.artifact.seen import SEEN, fingerprints, refuse_known, save_seen
from octodon.errors import BundleError, DataError
from octodon.seq.codes import random_codes, reverse_complement


def test_fingerprints_are_those_of_the_sequence_on_either_strand():
    codes = random_codes((5000, 40), np.random.default_rng(0))
    prints = fingerprints(codes)
    assert len(np.unique(prints)) == 5000
    assert (fingerprints(reverse_complement(codes)) == prints).all()
    assert (fingerprints(codes[::-1]) == prints[::-1]).all()
    single = codes.copy()
    single[:, 17] = (single[:, 17] + 1) % 4
    assert not np.isin(fingerprints(single), prints).any()
    # bases that change places
    assert fingerprints(np.array([[0, 1, 1], [1, 0, 1]], dtype=np.uint8)).tolist() != [0, 0]


def test_sequences_that_were_seen_are_refused(tmp_path):
    data = examples(200)
    save_seen(tmp_path, data.codes[:100])
    refuse_known(tmp_path, data.take(np.arange(100, 200)))
    with pytest.raises(DataError, match=r"2 of 102 sequences trained the networks of .*first: seq98"):
        refuse_known(tmp_path, data.take(np.arange(98, 200)))
    turned = replace(data, codes=reverse_complement(data.codes)).take(np.arange(99, 200))
    with pytest.raises(DataError, match="1 of 101 sequences"):
        refuse_known(tmp_path, turned)


def test_no_record_refuses_nothing_and_a_damaged_one_is_one_line(tmp_path):
    refuse_known(tmp_path, examples(50))
    (tmp_path / SEEN).write_bytes(b"not numpy")
    with pytest.raises(BundleError, match=r"seen.npy: damaged"):
        refuse_known(tmp_path, examples(50))
