"""Calibration rows: set aside from valid, related to nothing that a network sees."""

from dataclasses import replace

import numpy as np
import pytest
from tiny import examples

from octodon.data.calibration_rows import refuse_seen, set_aside_calibration
from octodon.data.related import related_groups
from octodon.data.split_names import split_name
from octodon.errors import ConfigError, DataError
from octodon.seq.codes import reverse_complement


def rows_of(data, split):
    return np.flatnonzero(data.splits == split)


def test_half_of_valid_is_set_aside_and_nothing_else_moves():
    data = examples(1000)
    done = set_aside_calibration(data, 0.5, seed=0)
    assert done.n_rows == 100
    assert done.why == "0.5 of 200 validation rows, set aside before training"
    chosen = rows_of(done.examples, "calibration")
    assert set(chosen) < set(rows_of(data, "valid"))
    for split in ("train", "test"):
        assert (rows_of(done.examples, split) == rows_of(data, split)).all()
    assert done.examples.codes is data.codes
    again, other = (set_aside_calibration(data, 0.5, seed=s).examples for s in (0, 1))
    assert (again.splits == done.examples.splits).all()
    assert (other.splits != done.examples.splits).any()


def test_related_rows_stay_together():
    data = examples(1000)
    codes = data.codes.copy()
    valid = rows_of(data, "valid")
    codes[valid[1::2]] = reverse_complement(codes[valid[::2]])  # 100 pairs
    paired = replace(data, codes=codes)
    done = set_aside_calibration(paired, 0.5, seed=0).examples
    groups = related_groups(codes, data.ids)
    inside = set(groups[done.splits == "calibration"])
    assert len(inside) == 50
    assert not inside & set(groups[done.splits != "calibration"])
    refuse_seen(done)


def test_groups_of_the_split_stay_together():
    data = examples(1000)
    gene = np.array([f"g{i // 5}" for i in range(1000)])  # splits of these rows change at multiples of five
    valid = rows_of(data, "valid")
    assert set(np.unique(gene[valid], return_counts=True)[1]) == {5}
    done = set_aside_calibration(data, 0.5, seed=0, groups=[gene])
    assert done.n_rows == 100
    chosen = rows_of(done.examples, "calibration")
    assert not set(gene[chosen]) & set(gene[rows_of(done.examples, "valid")])
    # by the column of the split, where that was split by one: nobody has to say it again
    recorded = replace(data, columns={"gene": gene}, split_groups="gene")
    again = set_aside_calibration(recorded, 0.5, seed=0).examples
    np.testing.assert_array_equal(again.splits, done.examples.splits)


def test_rows_whose_copy_trains_stay_in_valid():
    data = examples(1000)
    codes = data.codes.copy()
    train, valid = rows_of(data, "train"), rows_of(data, "valid")
    codes[valid[:50]] = codes[train[:50]]
    done = set_aside_calibration(replace(data, codes=codes), 0.5, seed=0).examples
    assert not set(valid[:50]) & set(rows_of(done, "calibration"))
    refuse_seen(done)


def test_too_few_validation_rows_are_left_alone_and_it_is_said():
    data = examples(400)  # 80 in valid
    done = set_aside_calibration(data, 0.5, seed=0)
    assert (done.n_rows, done.examples) == (0, data)
    assert done.why == "80 validation rows, at least 100 are needed to set some of them aside"


@pytest.mark.parametrize("leaks", [False, True])
def test_why_none_of_many_validation_rows_is_set_aside(leaks):
    data = examples(1000)  # 200 in valid
    codes = data.codes.copy()
    valid = rows_of(data, "valid")
    codes[valid] = codes[rows_of(data, "train")[:200]] if leaks else codes[valid[0]]
    done = set_aside_calibration(replace(data, codes=codes), 0.5, seed=0)
    assert done.n_rows == 0
    assert done.why.startswith(
        "none of 200 validation rows could be set aside, since related rows stay together"
    )


def test_a_split_of_the_users_own_is_kept_and_refused_where_a_network_saw_its_rows():
    data = examples(1000)
    splits = data.splits.astype(object)
    valid, train = rows_of(data, "valid"), rows_of(data, "train")
    splits[valid[:60]] = "calibration"
    own = replace(data, splits=splits)
    done = set_aside_calibration(own, 0.5, seed=0)
    assert done.examples is own
    assert done.n_rows == 60
    for seen in (valid[100], train[5]):
        codes = data.codes.copy()
        codes[valid[3]] = reverse_complement(codes[[seen]])[0]
        with pytest.raises(DataError, match=rf"1 of 60 rows are copies.*first: seq{valid[3]} = seq{seen} in"):
            set_aside_calibration(replace(own, codes=codes), 0.5, seed=0)


@pytest.mark.parametrize("fraction", [0.0, 1.0, -0.1, 2.0])
def test_a_fraction_lies_between_0_and_1(fraction):
    with pytest.raises(ConfigError, match=r"calibrate.fraction_of_valid: .* above 0 and below 1"):
        set_aside_calibration(examples(1000), fraction, seed=0)


def test_spellings():
    assert [split_name(word) for word in ("Calibration", "calib", "cal")] == [
        "calibration",
        "calibration",
        "cal",
    ]
