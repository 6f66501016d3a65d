"""One thread owns the model; what requests ask within a few milliseconds goes through it in one batch."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import UInt8
from numpy import ndarray

from octodon.records import Prediction
from octodon.serve.rows import take_rows

BLOCK = 512
"""Sequences in a batch at most: a fraction of a second, after which other requests have their turn."""
JOIN_S = 0.003
"""How long a batch waits for others that are known to be on their way."""


@dataclass(frozen=True, kw_only=True, eq=False)
class _Task:
    """Sequences to be predicted, or anything else to be done with the model."""

    codes: UInt8[ndarray, "n l"] | None = None
    call: Callable[[], Any] | None = None
    future: Future[Any] = field(default_factory=Future)


class Worker:
    """The thread, and the queue before it.

    Parameters
    ----------
    predict : callable
        Codes to a ``Prediction`` without interval; called in the thread only.
    on_batch : callable
        Told the number of sequences of each batch.
    others : callable
        Given the number of requests in a batch: whether more are on their way, so that waiting for them may pay.
    """

    def __init__(
        self,
        predict: Callable[[UInt8[ndarray, "n l"]], Prediction],
        *,
        on_batch: Callable[[int], None] = lambda n: None,
        others: Callable[[int], bool] = lambda n: False,
        block: int = BLOCK,
        join_s: float = JOIN_S,
    ) -> None:
        self._predict, self._on_batch, self._others = predict, on_batch, others
        self._block, self._join_s = block, join_s
        self._tasks: deque[_Task] = deque()
        self._changed = threading.Condition()
        self._is_stopping = False
        self._thread = threading.Thread(target=self._work, name="octodon-model", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self, seconds: float) -> bool:
        """End the thread after what it is doing now, give up what waits; return whether it ended in time."""
        with self._changed:
            self._is_stopping = True
            for task in self._tasks:
                task.future.cancel()
            self._tasks.clear()
            self._changed.notify_all()
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def predict(self, codes: UInt8[ndarray, "n l"]) -> Future[Prediction]:
        """Ask for the prediction of at most ``block`` sequences, which may share their batch with others'."""
        return self._put(_Task(codes=codes))

    def call(self, function: Callable[[], Any]) -> Future[Any]:
        """Ask for something else that needs the model, for itself."""
        return self._put(_Task(call=function))

    def _put(self, task: _Task) -> Future[Any]:
        with self._changed:
            if self._is_stopping:
                task.future.cancel()
            else:
                self._tasks.append(task)
                self._changed.notify_all()
        return task.future

    def _work(self) -> None:
        while batch := self._next():
            # what its request no longer waits for is not computed
            batch = [task for task in batch if task.future.set_running_or_notify_cancel()]
            if batch:
                self._do(batch)

    def _next(self) -> list[_Task]:
        """Return the next call, or sequences that are predicted together; empty at the end."""
        with self._changed:
            while not self._tasks and not self._is_stopping:
                self._changed.wait()
            if not self._tasks:
                return []
            batch = [self._tasks.popleft()]
            if batch[0].codes is None:
                return batch
            n = len(batch[0].codes)
            until = time.monotonic() + self._join_s
            while True:
                while self._tasks and (codes := self._tasks[0].codes) is not None:
                    if n + len(codes) > self._block:
                        break
                    batch.append(self._tasks.popleft())
                    n += len(codes)
                left = until - time.monotonic()
                if self._tasks or n >= self._block or left <= 0 or not self._others(len(batch)):
                    return batch
                self._changed.wait(left)

    def _do(self, batch: list[_Task]) -> None:
        try:
            if batch[0].call is not None:
                batch[0].future.set_result(batch[0].call())
                return
            blocks = [task.codes for task in batch if task.codes is not None]
            said = self._predict(np.concatenate(blocks))
            self._on_batch(len(said.mean))
            at = 0
            for task, codes in zip(batch, blocks, strict=True):
                task.future.set_result(take_rows(said, slice(at, at + len(codes))))
                at += len(codes)
        except BaseException as error:  # noqa: BLE001  # told to whoever asked; the thread goes on
            for task in batch:
                if not task.future.done():
                    task.future.set_exception(error)
