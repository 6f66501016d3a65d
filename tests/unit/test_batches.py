import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from octodon.training.batches import batch_slices, epoch_order


@settings(deadline=None, derandomize=True)
@given(st.integers(1, 600), st.integers(2, 130))
def test_slices_cover_every_row_once_and_none_holds_a_single_row(n: int, batch_size: int) -> None:
    rows = [list(range(n))[piece] for piece in batch_slices(n, batch_size)]
    assert [row for piece in rows for row in piece] == list(range(n))
    sizes = [len(piece) for piece in rows]
    assert all(size == batch_size for size in sizes[:-1])
    assert sizes[-1] <= batch_size + 1
    assert min(sizes) > 1 or n == 1


def test_the_remainder_is_a_batch_of_its_own() -> None:
    assert [s.stop - s.start for s in batch_slices(10, 4)] == [4, 4, 2]
    assert [s.stop - s.start for s in batch_slices(9, 4)] == [4, 5]  # not 4, 4, 1


@settings(deadline=None, derandomize=True)
@given(st.integers(0, 2**40), st.integers(0, 200), st.integers(1, 300))
def test_the_order_is_a_permutation_and_a_pure_function(seed: int, epoch: int, n: int) -> None:
    order = epoch_order(seed, epoch, n)
    assert sorted(order) == list(range(n))
    np.random.default_rng(1).random(3)
    np.testing.assert_array_equal(order, epoch_order(seed, epoch, n))


def test_epochs_and_seeds_have_their_own_orders() -> None:
    orders = {tuple(epoch_order(seed, epoch, 50)) for seed in range(10) for epoch in range(10)}
    assert len(orders) == 100
