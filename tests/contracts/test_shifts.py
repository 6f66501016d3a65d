"""What every shift promises (a new file in the folder is tested here without an edit), then what each one does."""

from collections import Counter

import numpy as np
import pytest
import torch

from octodon.errors import ConfigError
from octodon.seq.codes import random_codes
from octodon.shifts.kinds import shifts
from octodon.shifts.shift import DEFAULT_SHIFTS, Shift, parse_shift

N, LENGTH = 300, 100
every_shift = pytest.mark.parametrize("name", list(shifts))


def _codes(n: int = N, gc: float = 0.5) -> np.ndarray:
    return random_codes((n, LENGTH), np.random.default_rng(7), gc=gc)


def _gc(codes: np.ndarray) -> np.ndarray:
    return ((codes == 1) | (codes == 2)).sum(axis=1)


def _pairs(row: np.ndarray) -> Counter:
    return Counter(zip(row[:-1].tolist(), row[1:].tolist(), strict=True))


@every_shift
def test_length_and_alphabet_are_kept_and_the_argument_left_alone(name: str) -> None:
    codes = _codes()
    shifted = shifts[name](codes, 1)
    assert shifted.shape == codes.shape
    assert shifted.dtype == np.uint8
    assert shifted.max() <= 3
    np.testing.assert_array_equal(codes, _codes())
    with_n = np.where(np.random.default_rng(0).random(codes.shape) < 0.1, np.uint8(4), codes)
    assert shifts[name](with_n, 1).max() <= 4


@every_shift
def test_the_result_is_a_function_of_codes_and_seed_alone(name: str) -> None:
    codes = _codes()
    torch.manual_seed(3)
    state = torch.get_rng_state()
    first = shifts[name](codes, 1)
    assert torch.equal(torch.get_rng_state(), state)
    np.testing.assert_array_equal(shifts[name](codes, 1), first)
    other = shifts[name](codes, 2)
    assert (first != codes).any(axis=1).mean() > 0.9
    assert (first != other).any(axis=1).mean() > 0.9


@pytest.mark.parametrize("fraction", [0.05, 0.25])
def test_mutagenesis_changes_the_stated_share(fraction: float) -> None:
    changed = (shifts["mutagenesis"](_codes(), 0, fraction=fraction) != _codes()).sum(axis=1)
    drawn = round(fraction / 0.75 * LENGTH)
    # binomial(drawn, 3/4) a sequence: its mean over 300 within four standard errors, and never above what was drawn
    assert abs(changed.mean() - 0.75 * drawn) < 4 * np.sqrt(drawn * 3 / 16 / N)
    assert abs(changed.mean() / LENGTH - fraction) < 0.01
    assert changed.max() <= drawn


def test_dinucleotide_shuffle_keeps_pairs_and_shuffle_only_bases() -> None:
    codes = _codes(40)
    pairs, bases = shifts["dinucleotide_shuffle"](codes, 0), shifts["shuffle"](codes, 0)
    for before, kept, lost in zip(codes, pairs, bases, strict=True):
        assert _pairs(before) == _pairs(kept)
        assert Counter(before.tolist()) == Counter(lost.tolist())
        assert _pairs(before) != _pairs(lost)


@pytest.mark.parametrize("by", [0.15, -0.15, 0.004])
def test_gc_moves_by_exactly_what_is_stated(by: float) -> None:
    codes = _codes()
    shifted = shifts["gc"](codes, 0, by=by)
    moved = int(np.sign(by)) * round(abs(by) * LENGTH)
    np.testing.assert_array_equal(_gc(shifted) - _gc(codes), moved)
    np.testing.assert_array_equal((shifted != codes).sum(axis=1), abs(moved))
    made = shifted[shifted != codes]
    if moved:
        share = (made == (1 if by > 0 else 0)).mean()
        assert abs(share - 0.5) < 4 * 0.5 / np.sqrt(len(made))


def test_gc_stops_where_there_is_nothing_left() -> None:
    rich = _codes(gc=0.95)
    shifted = shifts["gc"](rich, 0, by=0.3)
    np.testing.assert_array_equal(_gc(shifted), np.minimum(_gc(rich) + 30, LENGTH))
    np.testing.assert_array_equal((shifted != rich).sum(axis=1), _gc(shifted) - _gc(rich))
    with_n = np.full((3, LENGTH), 4, dtype=np.uint8)
    np.testing.assert_array_equal(shifts["gc"](with_n, 0), with_n)


def test_evoaug_draws_two_operations_for_each_batch() -> None:
    codes = _codes(400)
    shifted = shifts["evoaug"](codes, 3)
    same = (shifted == codes).mean(axis=1)
    # a quarter of random bases agree by chance; deletion and roll move what lies behind them
    assert 0.2 < same.mean() < 0.8
    one = shifts["evoaug"](codes, 3, operations=1)
    kept_bases = [np.array_equal(np.sort(a), np.sort(b)) for a, b in zip(codes, one, strict=True)]
    # one operation alone: in a batch that was rolled all rows keep their bases, else hardly any
    shares = [np.mean(kept_bases[start : start + 128]) for start in (0, 128, 256)]
    assert all(share > 0.99 or share < 0.2 for share in shares)
    with pytest.raises(ConfigError, match="expected 1 <= fewest <= most <= 3"):
        shifts["evoaug"](codes, 0, operations=4)


def test_a_shift_is_named_by_its_options_and_has_numbers_of_its_own() -> None:
    weak, strong = parse_shift("mutagenesis"), parse_shift("mutagenesis:fraction=0.25")
    assert (weak.label, strong.label) == ("mutagenesis", "mutagenesis_0.25")
    assert strong == Shift(name="mutagenesis", options={"fraction": 0.25})
    codes = _codes()
    spelled = Shift(name="mutagenesis", options={"fraction": 0.05})
    assert (weak.of(codes, 0) != spelled.of(codes, 0)).any()
    labels = [shift.label for shift in DEFAULT_SHIFTS]
    assert len(set(labels)) == len(labels)
    assert {shift.name for shift in DEFAULT_SHIFTS} == set(shifts)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("mutagenessis", r"shift: no 'mutagenessis'; did you mean 'mutagenesis'"),
        ("gc:buy=0.1", r"shift gc: no option 'buy'; did you mean 'by'"),
        ("shuffle:k=2", "shift shuffle: no option 'k'; it has none"),
        ("gc:by=much", "shift gc: by = 'much', expected a number"),
        ("gc:by", "shift gc: by = '', expected a number"),
    ],
)
def test_mistakes_are_named(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse_shift(text)


@pytest.mark.parametrize(("name", "options"), [("mutagenesis", {"fraction": 0.8}), ("gc", {"by": 1.5})])
def test_values_out_of_range_are_refused(name: str, options: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match="expected"):
        shifts[name](_codes(), 0, **options)
