"""Length policies against sequences that can be read by eye."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from octodon.cli.options import policy_of
from octodon.data.lengths import REFUSE, LengthPolicy, apply_lengths
from octodon.errors import ConfigError, DataError
from octodon.seq.codes import decode, encode


@pytest.mark.parametrize(
    "config", ["paper.toml", {"data": "x.tsv"}, {"data": {"length": 3}}, None, {"data": {}}]
)
def test_a_provenance_of_somebody_else_names_no_policy(tmp_path: Path, config: Any):
    (tmp_path / "provenance.json").write_text(json.dumps({"config": config}))
    assert policy_of(tmp_path, None, "", "") == REFUSE
    (tmp_path / "provenance.json").write_text(
        '{"config": {"data": {"length": {"policy": "crop", "length_bp": 4}}}}'
    )
    assert policy_of(tmp_path, None, "", "") == LengthPolicy(policy="crop", length_bp=4)


def apply(sequences: list[str], policy: LengthPolicy) -> list[str]:
    bases = np.concatenate([encode([s])[0] if s else np.empty(0, np.uint8) for s in sequences])
    offsets = np.cumsum([0, *map(len, sequences)]).astype(np.int64)
    return decode(apply_lengths(bases, offsets, policy, "here", first_row=10))


def test_centre_crop_takes_one_base_more_from_the_right():
    policy = LengthPolicy(policy="crop", length_bp=2)
    assert apply(["ACGT", "AACGG", "GT"], policy) == ["CG", "AC", "GT"]


def test_crop_refuses_what_is_shorter():
    with pytest.raises(DataError, match=r"here: row 12 has 2 bases, expected 3"):
        apply(["ACGT", "AC"], LengthPolicy(policy="crop", length_bp=3))


def test_whole_flanks_without_a_length():
    policy = LengthPolicy(policy="flank", left_flank="aaa", right_flank="T")
    assert apply(["CG", "GC"], policy) == ["AAACGT", "AAAGCT"]
    with pytest.raises(DataError, match=r"row 12 has 3 bases, expected 2 .*; set length_bp"):
        apply(["CG", "GCG"], policy)


def test_inner_ends_of_the_flanks_up_to_a_length():
    policy = LengthPolicy(policy="flank", length_bp=6, left_flank="GGGA", right_flank="TCCC")
    assert apply(["CCCCCC", "GGGGG", "CC", "CCC"], policy) == ["CCCCCC", "GGGGGT", "GACCTC", "ACCCTC"]


def test_flanks_never_pad_with_n_but_refuse_when_too_short():
    policy = LengthPolicy(policy="flank", length_bp=8, left_flank="A", right_flank="TCCC")
    # One base on the left allows one, or an odd one more, on the right: three in all.
    assert apply(["CCCCC"], policy) == ["ACCCCCTC"]
    with pytest.raises(DataError, match=r"row 11 has 4 bases, expected 8 .*; the flanks give 1 \+ 4"):
        apply(["CCCC"], policy)
    with pytest.raises(DataError, match=r"row 11 has 9 bases, expected 8"):
        apply(["CCCCCCCCC"], policy)


def test_refuse_names_the_first_other_length():
    with pytest.raises(DataError, match=r"row 13 has 3 bases, expected 4"):
        apply(["ACGT", "AAAA", "ACG", "A"], LengthPolicy())
    with pytest.raises(DataError, match=r"row 11 has 4 bases, expected 5"):
        apply(["ACGT"], LengthPolicy(length_bp=5))


def test_an_empty_sequence_is_refused_by_every_policy():
    for policy in (LengthPolicy(), LengthPolicy(policy="flank", left_flank="A", length_bp=1)):
        with pytest.raises(DataError, match=r"row 12 has no sequence"):
            apply(["A", ""], policy)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"policy": "crop"}, "needs length_bp"),
        ({"policy": "crop", "length_bp": 0}, "at least 1"),
        ({"policy": "flank"}, "needs at least one"),
        ({"left_flank": "AC"}, "belong to policy 'flank'"),
    ],
)
def test_policies_that_make_no_sense_are_refused(options, message):
    with pytest.raises(ConfigError, match=message):
        LengthPolicy(**options)


def test_a_flank_that_is_no_dna_is_refused():
    with pytest.raises(DataError, match=r"length\.left_flank"):
        LengthPolicy(policy="flank", left_flank="AX")
    with pytest.raises(DataError, match=r"length\.right_flank: row 1, position 7: 'U'"):
        LengthPolicy(policy="flank", left_flank="AC", right_flank="GATTACU")
