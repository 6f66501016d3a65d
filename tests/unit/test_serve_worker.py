"""The thread that owns the model: who shares a batch, who does not, and what happens when something goes wrong."""

import threading
from collections.abc import Iterator
from concurrent.futures import CancelledError

import numpy as np
import pytest

from octodon.records import Prediction
from octodon.serve.rows import join_rows, take_rows
from octodon.serve.worker import Worker

BLOCK = 8


class Model:
    """Answers with the first base of each sequence, and notes its batches."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.fails_at = -1

    def __call__(self, codes: np.ndarray) -> Prediction:
        first = codes[:, 0].astype(np.float64)
        self.batches.append(first.astype(int).tolist())
        if self.fails_at in self.batches[-1]:
            raise MemoryError("too much")
        ids = np.array([str(i) for i in range(len(codes))], dtype=object)
        return Prediction(ids=ids, target_names=("t",), mean=first[:, None], ood=first > 2)


@pytest.fixture
def model() -> Model:
    return Model()


@pytest.fixture
def worker(model: Model) -> Iterator[Worker]:
    made = Worker(model, block=BLOCK)
    made.start()
    yield made
    assert made.stop(10.0)


def codes(*firsts: int) -> np.ndarray:
    return np.array([[first, 0, 0] for first in firsts], dtype=np.uint8)


class Held:
    """Keeps the worker busy, so that what is asked meanwhile has to wait."""

    def __init__(self, worker: Worker) -> None:
        self._go = threading.Event()
        self._done = worker.call(lambda: self._go.wait(10))

    def release(self) -> None:
        self._go.set()
        assert self._done.result(10)


def test_what_waits_goes_in_one_batch_and_everyone_gets_their_own(worker: Worker, model: Model) -> None:
    held = Held(worker)
    asked = [worker.predict(codes(*firsts)) for firsts in ((1, 2), (3,), (4, 0, 1))]
    held.release()
    said = [future.result(10).mean[:, 0].tolist() for future in asked]
    assert said == [[1, 2], [3], [4, 0, 1]]
    assert model.batches == [[1, 2, 3, 4, 0, 1]]
    assert [future.result().ood.tolist() for future in asked] == [
        [False, False],
        [True],
        [True, False, False],
    ]


def test_a_batch_has_an_end_and_a_call_stands_alone(worker: Worker, model: Model) -> None:
    held = Held(worker)
    asked = [worker.predict(codes(*[i] * 3)) for i in range(4)]
    call = worker.call(lambda: len(model.batches))
    last = worker.predict(codes(4))
    held.release()
    assert last.result(10).mean.tolist() == [[4]]
    assert [len(batch) for batch in model.batches] == [6, 6, 1]
    assert call.result() == 2  # in its turn, between the batches
    assert [future.result().mean[0, 0] for future in asked] == [0, 1, 2, 3]


def test_a_batch_waits_for_those_known_to_come_but_not_long(model: Model) -> None:
    known = 2
    worker = Worker(model, block=BLOCK, join_s=5.0, others=lambda joined: joined < known)
    worker.start()
    first = worker.predict(codes(1))
    second = worker.predict(codes(2))
    assert second.result(10).mean.tolist() == [[2]]
    assert first.done()
    assert model.batches == [[1, 2]]
    known = 1
    worker.predict(codes(3)).result(4)  # nobody else is known: no waiting
    assert worker.stop(10.0)
    late = Worker(model, block=BLOCK, join_s=0.01, others=lambda joined: True)
    late.start()
    assert late.predict(codes(4)).result(10).mean.tolist() == [[4]]  # who never comes is not waited for
    assert late.stop(10.0)


def test_what_nobody_waits_for_is_not_computed(worker: Worker, model: Model) -> None:
    held = Held(worker)
    given_up, kept = worker.predict(codes(1)), worker.predict(codes(2))
    assert given_up.cancel()
    held.release()
    kept.result(10)
    assert model.batches == [[2]]


def test_a_failure_is_told_and_the_thread_goes_on(worker: Worker, model: Model) -> None:
    model.fails_at = 3
    with pytest.raises(MemoryError, match="too much"):
        worker.predict(codes(3)).result(10)
    with pytest.raises(ZeroDivisionError):
        worker.call(lambda: 1 // 0).result(10)
    assert worker.predict(codes(1)).result(10).mean.tolist() == [[1]]


def test_an_ending_thread_finishes_what_it_does_and_gives_up_the_rest(model: Model) -> None:
    worker = Worker(model, block=BLOCK)
    worker.start()
    go, begun = threading.Event(), threading.Event()

    def work() -> str:
        begun.set()
        go.wait(10)
        return "finished"

    running = worker.call(work)
    assert begun.wait(10)
    waiting = worker.predict(codes(1))
    assert not worker.stop(0.01)  # not in time
    go.set()
    assert running.result(10) == "finished"
    with pytest.raises(CancelledError):
        waiting.result(10)
    assert worker.predict(codes(2)).cancelled()
    assert worker.stop(10.0)
    assert model.batches == []


def test_rows_taken_apart_and_joined_are_the_prediction() -> None:
    rng = np.random.default_rng(0)
    whole = Prediction(
        ids=np.array(["a", "b", "c", "d", "e"], dtype=object),
        target_names=("t", "u"),
        mean=rng.random((5, 2)),
        epistemic_factors=rng.random((5, 3, 2)),
        ood_score=rng.random(5),
    )
    back = join_rows([take_rows(whole, slice(0, 2)), take_rows(whole, slice(2, 5))])
    for name in ("ids", "mean", "epistemic_factors", "ood_score"):
        np.testing.assert_array_equal(getattr(back, name), getattr(whole, name))
    assert back.epistemic_std is None
    assert take_rows(whole, np.array([4, 4, 0])).ids.tolist() == ["e", "e", "a"]
