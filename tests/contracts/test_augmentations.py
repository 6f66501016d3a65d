"""What every augmentation promises (a new file in the folder is tested here without an edit), then what each one does."""

import importlib
import math

import pytest
import torch
from torch import Tensor

from octodon.errors import ConfigError
from octodon.seq.onehot import one_hot
from octodon.training import augmentations as package
from octodon.training.augment import alter_codes, alter_inputs, drawn_steps
from octodon.training.augmentations import Kind, augmentations, kind_of
from octodon.training.augmentations.evoaug import OPERATIONS

NAMES = {kind: [name for name in augmentations if kind_of(name) is kind] for kind in Kind}
every_augmentation = pytest.mark.parametrize("name", NAMES[Kind.CODES])
N, LENGTH = 40, 60
STRETCHES = ("deletion", "insertion", "inversion")


def _codes(n: int = N, length: int = LENGTH, with_n: bool = True) -> Tensor:
    return torch.randint(0, 5 if with_n else 4, (n, length), generator=_rng(99), dtype=torch.uint8)


def _rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@every_augmentation
@pytest.mark.parametrize(("n", "length"), [(N, LENGTH), (1, 20), (1, 7), (5, 1), (2, 2)])
def test_shape_type_and_alphabet_are_kept(name: str, n: int, length: int) -> None:
    if length < 20 and name in STRETCHES:
        with pytest.raises(ConfigError, match=f"{name}: .* most_bp = 20, expected .* <= {length} "):
            augmentations[name](_codes(n, length), _rng())
        return
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


@pytest.mark.parametrize("name", ["mutate", "shift", *STRETCHES, "mutation", "shuffle"])
def test_rows_beyond_one_block_are_altered_as_the_first(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    module = package
    if name in ("mutate", "shift"):
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


@pytest.mark.parametrize(("length", "most"), [(144, 10), (230, 16), (20, 1), (5, 0)])
def test_shift_moves_by_a_share_of_the_length_where_nobody_says(length: int, most: int) -> None:
    codes = _codes(600, length, with_n=False)
    altered = augmentations["shift"](codes, _rng())
    assert torch.equal(altered, augmentations["shift"](codes, _rng(), most_bp=most))
    moved = {by for by in range(-most, most + 1) if (codes.roll(by, 1) == altered).all(1).any()}
    assert {-most, most} <= moved


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


def _stretches(name: str, codes: Tensor, seed: int = 0, **options: int) -> list[tuple[Tensor, Tensor]]:
    return list(zip(codes, augmentations[name](codes, _rng(seed), **options), strict=True))


def test_deletion_takes_one_stretch_out_and_fills_both_ends_evenly() -> None:
    # Bases are all 4 (N), so what is random DNA and what is not can be told apart; positions by a second, coded copy.
    codes = torch.full((600, 30), 4, dtype=torch.uint8)
    lengths = []
    for _, new in _stretches("deletion", codes, most_bp=8):
        kept = (new == 4).nonzero().flatten().tolist()
        assert kept == list(range(kept[0], kept[-1] + 1))  # nothing random inside
        left, right = kept[0], 29 - kept[-1]
        assert left == (left + right) // 2
        lengths.append(left + right)
    assert set(lengths) == set(range(9))
    assert all(abs(lengths.count(d) - 600 / 9) < 4.5 * math.sqrt(600 * (1 / 9) * (8 / 9)) for d in range(9))
    codes, starts = _codes(400, 30, with_n=False), set()
    for old, new in _stretches("deletion", codes, fewest_bp=6, most_bp=6):
        ways = [s for s in range(25) if torch.equal(new[3:27], torch.cat([old[:s], old[s + 6 :]]))]
        assert ways  # somewhere in 0 .. l - most_bp, a start
        starts.add(ways[0])
    assert {0, 24} <= starts | {s - 1 for s in starts}
    assert len(starts) > 18


def test_insertion_puts_random_dna_inside_and_crops_both_ends_evenly() -> None:
    codes, places = _codes(400, 30, with_n=False), set()
    for old, new in _stretches("insertion", codes, fewest_bp=6, most_bp=6):
        ways = []
        for place in range(30):
            grown = torch.cat([old[:place], torch.full((6,), 9, dtype=torch.uint8), old[place:]])[3:33]
            if torch.equal(torch.where(grown == 9, new, grown), new):
                ways.append(place)
        assert ways
        places.add(ways[0])
    assert len(places) > 18
    random = augmentations["insertion"](torch.full((500, 30), 4, dtype=torch.uint8), _rng(), most_bp=8)
    count = (random < 4).sum(1)
    assert int(count.max()) == 8
    assert int(count.min()) == 0
    bases = random[random < 4].bincount(minlength=4)
    assert (bases - bases.sum() / 4).abs().max() < 4.5 * float(bases.sum() * 3 / 16) ** 0.5


def test_inversion_turns_one_stretch_into_its_reverse_complement() -> None:
    codes, starts = _codes(400, 30), set()
    for old, new in _stretches("inversion", codes, fewest_bp=7, most_bp=7):
        ways = []
        for start in range(24):
            flipped = augmentations["reverse_complement"](old[None, start : start + 7], _rng())[0]
            if torch.equal(new, torch.cat([old[:start], flipped, old[start + 7 :]])):
                ways.append(start)
        assert ways
        starts.add(ways[0])
    assert starts >= {0, 23}
    flip = augmentations["reverse_complement"]
    assert torch.equal(
        augmentations["inversion"](codes, _rng(), fewest_bp=30, most_bp=30), flip(codes, _rng())
    )


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("deletion", {"most_bp": 31}),
        ("insertion", {"fewest_bp": 5, "most_bp": 4}),
        ("inversion", {"fewest_bp": -1}),
    ],
)
def test_a_stretch_that_does_not_fit_is_refused(name: str, options: dict[str, int]) -> None:
    with pytest.raises(ConfigError, match=f"{name}: fewest_bp = .*, expected 0 <= fewest_bp"):
        augmentations[name](_codes(3, 30), _rng(), **options)


def test_translocation_rolls_the_whole_batch_by_one_shift_without_the_upper_end() -> None:
    codes, found = _codes(20, 30, with_n=False), []
    for seed in range(300):
        altered = augmentations["translocation"](codes, _rng(seed), most_bp=3)
        ways = [by for by in range(-15, 15) if torch.equal(codes.roll(by, 1), altered)]
        assert len(ways) == 1
        found += ways
    assert set(found) == {-3, -2, -1, 0, 1, 2}
    with pytest.raises(ConfigError, match="translocation: most_bp = 0, expected 1 or more"):
        augmentations["translocation"](codes, _rng(), most_bp=0)


@pytest.mark.parametrize(("length", "count"), [(249, 17), (230, 15)])
def test_mutation_draws_the_published_number_of_positions_one_in_four_silent(length: int, count: int) -> None:
    n = 2000
    visible = augmentations["mutation"](torch.full((n, length), 4, dtype=torch.uint8), _rng())
    assert ((visible < 4).sum(1) == count).all()  # distinct positions, the same number in each
    codes = _codes(n, length, with_n=False)
    changed = (augmentations["mutation"](codes, _rng()) != codes).sum(1)
    assert changed.max() <= count
    assert abs(float(changed.double().mean()) - 0.75 * count) < 4.5 * math.sqrt(count * 0.75 * 0.25 / n)
    for fraction in (-0.1, 0.76):
        with pytest.raises(ConfigError, match=r"mutation: fraction = .*, expected 0 to 0.75"):
            augmentations["mutation"](codes, _rng(), fraction=fraction)


def test_shuffle_keeps_the_composition_of_each_sequence_and_nothing_else() -> None:
    codes = _codes(200, 50)
    altered = augmentations["shuffle"](codes, _rng())
    assert torch.equal(altered.sort(1).values, codes.sort(1).values)
    # within a sequence, not across the batch; a base meets its own kind as often as its share says
    ramp = torch.arange(50, dtype=torch.uint8).expand(1000, 50)
    first = augmentations["shuffle"](ramp, _rng())[:, 0]
    assert int(first.bincount(minlength=50).min()) > 2
    assert abs(float((altered == codes).double().mean()) - 0.2) < 0.03


def test_noise_has_the_stated_mean_and_std_on_all_channels() -> None:
    inputs = one_hot(_codes(300, 50))
    drawn = augmentations["noise"](inputs, _rng(), mean=0.5, std=0.2) - inputs
    assert drawn.shape == inputs.shape
    per_channel = drawn.double().transpose(0, 1).flatten(1)
    assert (per_channel.mean(1) - 0.5).abs().max() < 4.5 * 0.2 / 15000**0.5
    assert (per_channel.std(1, correction=0) - 0.2).abs().max() < 4.5 * 0.2 / 30000**0.5
    assert torch.equal(augmentations["noise"](inputs, _rng(), std=0.0), inputs)
    with pytest.raises(ConfigError, match=r"noise: mean = 0.0, std = -1.0, expected"):
        augmentations["noise"](inputs, _rng(), std=-1.0)


def test_noise_comes_last_and_cannot_be_kept_as_sequences() -> None:
    codes, noise = _codes(), {"name": "noise", "std": 0.2}
    mutate = {"name": "mutate", "fraction": 0.4}
    altered = alter_inputs(codes, [noise, mutate], 3)
    bases = one_hot(alter_codes(codes, [mutate], 3))
    assert 0.18 < float((altered - bases).std()) < 0.22
    with pytest.raises(ConfigError, match="noise: makes inputs that are no sequences"):
        alter_codes(codes, [noise], 0)


def test_evoaug_draws_one_or_two_different_operations_in_list_order() -> None:
    drawn = [drawn_steps([{"name": "evoaug"}], seed) for seed in range(800)]
    names = [operation["name"] for operation in OPERATIONS]
    sets = [tuple(names.index(step["name"]) for step in steps) for steps in drawn]
    assert all(chosen == tuple(sorted(set(chosen))) for chosen in sets)
    assert {len(chosen) for chosen in sets} == {1, 2}
    assert abs(sum(len(chosen) == 1 for chosen in sets) - 400) < 4.5 * math.sqrt(200)
    singles = [chosen[0] for chosen in sets if len(chosen) == 1]
    assert all(
        abs(singles.count(i) - len(singles) / 4) < 4.5 * math.sqrt(len(singles) * 3 / 16) for i in range(4)
    )
    assert len(set(sets)) == 4 + 6
    assert drawn == [drawn_steps([{"name": "evoaug"}], seed) for seed in range(800)]


def test_evoaug_alters_a_batch_by_what_it_drew() -> None:
    codes = _codes()
    recipe = [{"name": "evoaug", "operations": [{"name": "reverse_complement"}], "most": 1}]
    assert torch.equal(alter_codes(codes, recipe, 0), augmentations["reverse_complement"](codes, _rng()))
    for options in ({"fewest": 0}, {"most": 5}, {"fewest": 2, "most": 1}):
        with pytest.raises(
            ConfigError, match=r"evoaug: fewest = .*, expected 1 <= fewest <= most <= 4 operations"
        ):
            drawn_steps([{"name": "evoaug"} | options], 0)


@pytest.mark.parametrize("name", NAMES[Kind.INPUT])
def test_what_alters_inputs_keeps_their_shape_and_is_a_function_of_the_generator(name: str) -> None:
    inputs = one_hot(_codes())
    first = augmentations[name](inputs, _rng(1))
    assert first.shape == inputs.shape
    assert first.dtype == inputs.dtype
    assert torch.equal(first, augmentations[name](inputs, _rng(1)))
    assert not torch.equal(first, augmentations[name](inputs, _rng(2)))
    assert torch.equal(inputs, one_hot(_codes()))
