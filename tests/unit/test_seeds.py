import numpy as np

from octodon.seeds import derive_seed


def test_streams_with_other_names_have_other_seeds() -> None:
    paths = [(r, i, a) for r in ("member", "student") for i in range(100) for a in range(3)]
    seeds = {derive_seed(seed, *path) for seed in range(3) for path in paths}
    assert len(seeds) == 3 * len(paths)
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_a_path_is_more_than_its_text() -> None:
    ways = [
        (0, "a", "b"),
        (0, "a/b"),
        (0, "a'/'b"),
        (0, "a", 1),
        (0, "a", "1"),
        (0, "a1"),
        (0, 1, "a"),
        (1, "a"),
    ]
    assert len({derive_seed(*way) for way in ways}) == len(ways)


def test_seeds_stay_as_they_are_from_version_to_version() -> None:
    # sha256 of "0/'member'/3/0", first 8 bytes, without the sign bit; a change would retrain everybody's members.
    assert derive_seed(0, "member", 3, 0) == 6149866476109627874


def test_a_numpy_integer_is_the_integer() -> None:
    assert derive_seed(np.int64(5), "member", np.int32(3)) == derive_seed(5, "member", 3)
