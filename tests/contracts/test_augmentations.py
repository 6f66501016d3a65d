"""What every augmentation promises (a new file in the folder is tested here without an edit), then what each one does."""

import importlib
import math

import pytest
import torch
from torch import Tensor

from octodon.errors import ConfigError
from octodon.training.augmentations import augmentations

every_augmentation = pytest.mark.parametrize("name", list(augmentations))
N, LENGTH = 40, 60


def _codes(n: int = N, length: int = LENGTH, with_n: bool = True) -> Tensor:
    return torch.randint(0, 5 if with_n else 4, (n, length), generator=_rng(99), dtype=torch.uint8)


def _rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@every_augmentation
@pytest.mark.parametrize(("n", "length"), [(N, LENGTH), (1, 7), (5, 1), (2, 2)])
def test_shape_type_and_alphabet_are_kept(name: str, n: int, length: int) -> None:
    altered = augmentations[name](_codes(n, length), _rng())
    assert altered.shape == (n, length)
    assert altered.dtype == torch.uint8
    assert altered.max() <= 4
    assert augmentations[name](_codes(n, length, with_n=False), _rng()).max() <= 3


@every_augmentation
def test_what_comes_out_is_a_function_of_codes_and_generator_alone(name: str) -> None:
    codes = _codes()
    torch.manual_seed(4)
    state = torch.get_rng_state()
    first = augmentations[name](codes, _rng(1))
    assert torch.equal(torch.get_rng_state(), state)
    torch.rand(9)
    assert torch.equal(first, augmentations[name](codes, _rng(1)))
    assert torch.equal(codes, _codes())  # the argument is left alone


@every_augmentation
def test_another_generator_gives_another_result_or_nothing_is_drawn(name: str) -> None:
    generator = _rng(1)
    before = generator.get_state()
    first = augmentations[name](_codes(), generator)
    if torch.equal(generator.get_state(), before):
        assert name == "reverse_complement"
    else:
        assert not torch.equal(first, augmentations[name](_codes(), _rng(2)))
        assert not torch.equal(first, augmentations[name](_codes(), generator))


@pytest.mark.parametrize("fraction", [0.01, 0.05, 0.4, 0.9])
def test_mutate_replaces_the_stated_share_evenly_by_the_three_other_bases(fraction: float) -> None:
    codes = _codes(500, 100)
    altered = augmentations["mutate"](codes, _rng(), fraction=fraction)
    is_base = codes < 4
    assert torch.equal(altered[~is_base], codes[~is_base])  # N stays N
    n_bases = int(is_base.sum())
    n_changed = int((altered != codes).sum())
    assert abs(n_changed - fraction * n_bases) < 4.5 * math.sqrt(fraction * (1 - fraction) * n_bases)
    steps = (altered.int() - codes.int())[altered != codes] % 4
    for step in (1, 2, 3):  # a silent draw would have a step of 0 and lower the share by a quarter
        share = int((steps == step).sum())
        assert abs(share - n_changed / 3) < 4.5 * math.sqrt(n_changed * 2 / 9)


def test_mutate_at_its_ends() -> None:
    codes = _codes(with_n=False)
    assert torch.equal(augmentations["mutate"](codes, _rng(), fraction=0.0), codes)
    assert (augmentations["mutate"](codes, _rng(), fraction=1.0) != codes).all()
    for fraction in (-0.1, 1.1, float("nan")):
        with pytest.raises(ConfigError, match=r"mutate: fraction = .*, expected 0 to 1"):
            augmentations["mutate"](codes, _rng(), fraction=fraction)


@pytest.mark.parametrize("name", ["mutate", "shift"])
def test_rows_beyond_one_block_are_altered_as_the_first(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    module = importlib.import_module(f"octodon.training.augmentations.{name}")
    codes = _codes(10, 50, with_n=False).repeat(10, 1)[:95]
    whole = augmentations[name](codes, _rng())
    monkeypatch.setattr(module, "ROWS_AT_ONCE", 10)
    blocks = augmentations[name](codes, _rng())
    if name == "shift":
        assert torch.equal(blocks, whole)  # its numbers are drawn before
    assert (blocks != codes).any(1).reshape(19, 5).any(1).all()  # the last, shorter block, too
    assert not any(torch.equal(blocks[:10], blocks[start : start + 10]) for start in range(10, 90, 10))


def test_shift_rolls_each_sequence_by_its_own_number_of_bases() -> None:
    codes = _codes()
    altered = augmentations["shift"](codes, _rng(), most_bp=5)
    found = [
        [by for by in range(-5, 6) if torch.equal(row.roll(by), new)]
        for row, new in zip(codes, altered, strict=True)
    ]
    assert all(len(ways) == 1 for ways in found)  # a rotation, and of random sequences only one fits
    assert {ways[0] for ways in found} >= {-5, 0, 5}
    with pytest.raises(ConfigError, match="shift: most_bp = -1, expected 0 or more"):
        augmentations["shift"](codes, _rng(), most_bp=-1)


def test_shift_beyond_the_length_is_still_a_rotation() -> None:
    codes = _codes(30, 7)
    altered = augmentations["shift"](codes, _rng(), most_bp=20)
    assert all(
        any(torch.equal(a.roll(by), b) for by in range(7)) for a, b in zip(codes, altered, strict=True)
    )


def test_reverse_complement_is_the_other_strand_and_twice_the_identity() -> None:
    flip = augmentations["reverse_complement"]
    assert flip(torch.tensor([[0, 1, 2, 3, 4, 0]], dtype=torch.uint8), _rng()).tolist() == [
        [3, 4, 0, 1, 2, 3]
    ]
    assert torch.equal(flip(flip(_codes(), _rng()), _rng()), _codes())


def test_recombine_joins_the_own_left_part_to_the_right_part_of_one_other() -> None:
    codes = _codes(with_n=False)
    cuts, partners = set(), []
    for i, new in enumerate(augmentations["recombine"](codes, _rng())):
        ways = [
            (j, cut)
            for j in range(N)
            for cut in range(1, LENGTH)
            if j != i and torch.equal(new, torch.cat([codes[i, :cut], codes[j, cut:]]))
        ]
        assert ways  # at least one base of each parent, and never the sequence itself
        cuts.add(ways[0][1])
        partners.append(ways[-1][0])
    assert len(cuts) > N / 3
    assert len(set(partners)) > N / 2


@pytest.mark.parametrize("seed", range(20))
def test_recombine_never_takes_a_sequence_as_its_own_partner(seed: int) -> None:
    codes = torch.arange(3, dtype=torch.uint8)[:, None].expand(3, 8).contiguous()
    altered = augmentations["recombine"](codes, _rng(seed))
    assert torch.equal(altered[:, 0], codes[:, 0])
    assert (altered[:, -1] != codes[:, -1]).all()


def test_the_cut_of_recombine_is_uniform() -> None:
    # Halves of all-A and all-C sequences: the number of own bases is the cut, uniform on 1 .. l - 1.
    codes = torch.arange(2, dtype=torch.uint8)[:, None].expand(2, 11).contiguous()
    generator = _rng()
    cuts = [int((augmentations["recombine"](codes, generator)[0] == 0).sum()) for _ in range(2000)]
    assert set(cuts) == set(range(1, 11))
    assert all(abs(cuts.count(cut) - 200) < 4.5 * math.sqrt(2000 * 0.1 * 0.9) for cut in range(1, 11))
