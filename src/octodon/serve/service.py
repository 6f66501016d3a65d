"""The service without HTTP: one model, limits, and requests that wait for both."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import Future
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from typing import Any, TypeVar

import psutil
from jaxtyping import UInt8
from numpy import ndarray

from octodon.artifact.selftest import selftest_codes
from octodon.calibration.answer import answer
from octodon.data.lengths import REFUSE, LengthPolicy
from octodon.distillation.student import Student
from octodon.ensemble.ensemble import Ensemble, name_rows
from octodon.handover.whole import OUTPUTS
from octodon.records import Prediction
from octodon.serve.counters import BATCHES, SEQUENCES, Counters
from octodon.serve.limits import Limits, Refusal
from octodon.serve.rows import join_rows
from octodon.serve.worker import BLOCK, Worker

Said = TypeVar("Said")
_BUSY = "busy: {what}; try again in a moment"
_ENDING = "the service is ending; try again in a moment"


class Service:
    """A model that answers requests.

    Parameters
    ----------
    model : Student or Ensemble
        The only one; it is used by one thread.
    name : str
        Of the bundle, for people.
    limits : Limits
    level, calibrated
        As in ``Student.predict``, where a request says nothing else.
    length : LengthPolicy
        Where a request names none.
    device : str

    Attributes
    ----------
    outputs : tuple of str
        Which of ``octodon.handover.whole.OUTPUTS`` the model gives.
    level, interval
        Of its interval where a request names no other; None without one.
    """

    def __init__(
        self,
        model: Student | Ensemble,
        *,
        name: str = "model",
        limits: Limits | None = None,
        level: float | None = None,
        calibrated: bool = True,
        length: LengthPolicy = REFUSE,
        device: str = "auto",
    ) -> None:
        self.model, self.name, self.length, self.device = model, name, length, device
        self.limits = limits or Limits()
        self.counters = Counters()
        self._asked = level, calibrated
        # asked once before the first request: what cannot be answered is said at the start
        said = self.finished(self._predict(selftest_codes(model.model.length)[:2]))
        self.outputs = tuple(name for name in OUTPUTS if getattr(said, name) is not None)
        self.level, self.interval = said.level, said.interval
        self._lock = threading.Lock()
        self._open = self._waiting = 0
        self._began = time.time()
        self.worker = Worker(
            self._predict, on_batch=self._count_batch, others=lambda joined: self._open > joined
        )

    def finished(
        self,
        said: Prediction,
        level: float | None = None,
        calibrated: bool | None = None,
        ids: list[str] | None = None,
    ) -> Prediction:
        """Return a prediction with the interval that was asked for, or else that of the service, and with these ids."""
        if ids is not None:
            said = replace(said, ids=name_rows(ids, len(said.mean)))
        usual_level, usually_calibrated = self._asked
        if calibrated is None:
            calibrated = usually_calibrated
        return answer(
            said,
            self.model.calibration,
            level=usual_level if level is None else level,
            calibrated=calibrated,
        )

    @asynccontextmanager
    async def answering(self) -> AsyncIterator[None]:
        """Do the whole work of a request inside; Refusal (503) where there are too many, or it takes too long."""
        with self._lock:
            if self._open >= self.limits.requests:
                raise Refusal(503, _BUSY.format(what=f"{self._open} requests at work"))
            self._open += 1
        try:
            async with asyncio.timeout(self.limits.seconds):
                yield
        except TimeoutError:
            raise Refusal(
                503, f"took longer than {self.limits.seconds:g} s; send less at once, or try again later"
            ) from None
        except asyncio.CancelledError:  # by the server, when its time to end is over
            raise Refusal(503, _ENDING) from None
        finally:
            with self._lock:
                self._open -= 1

    async def predict(self, codes: UInt8[ndarray, "n l"]) -> Prediction:
        """Return the prediction of sequences of the model's length, without interval and with ids "1", "2", ...

        A long request goes block by block, so that others have their turn between.
        """
        with self._admitted(len(codes)):
            parts = [
                await _result(self.worker.predict(codes[at : at + BLOCK]))
                for at in range(0, len(codes), BLOCK)
            ]
        return join_rows(parts)

    @contextmanager
    def places(self, cost: int) -> Iterator[None]:
        """Hold places for calls that cost together about as much as so many sequences; Refusal (503) where there are none.

        Half of all places at most: one request, however large, leaves some to others, who have their turn between its calls.
        """
        with self._admitted(min(cost, max(1, self.limits.waiting // 2))):
            yield

    async def call(self, function: Callable[[], Said]) -> Said:
        """Return what a function says that needs the model for itself, for a short time; asked for within ``places``."""
        return await _result(self.worker.call(function))

    def gauges(self) -> dict[str, tuple[str, float]]:
        """Return values of this moment by name, each with its meaning."""
        process = psutil.Process()
        return {
            "octodon_open_requests": ("Requests at work.", float(self._open)),
            "octodon_waiting_sequences": (
                "Sequences that wait for the model or are in it.",
                float(self._waiting),
            ),
            "octodon_up_seconds": ("Seconds since the service was made.", time.time() - self._began),
            "process_resident_memory_bytes": ("Resident memory.", float(process.memory_info().rss)),
            "process_cpu_seconds_total": (
                "Processor time, user and system.",
                sum(process.cpu_times()[:2]),
            ),
        }

    def _predict(self, codes: UInt8[ndarray, "n l"]) -> Prediction:
        ask = getattr(self.model, "predict_with_factors", self.model.predict)
        return ask(codes, device=self.device, calibrated=False)

    def _count_batch(self, n: int) -> None:
        self.counters.add(SEQUENCES, n)
        self.counters.add(BATCHES)

    @contextmanager
    def _admitted(self, n: int) -> Iterator[None]:
        """Hold places for n sequences; Refusal (503) where there are none."""
        with self._lock:
            if self._waiting + n > self.limits.waiting:
                raise Refusal(503, _BUSY.format(what=f"{self._waiting:,} sequences wait already"))
            self._waiting += n
        try:
            yield
        finally:
            with self._lock:
                self._waiting -= n


async def _result(future: Future[Any]) -> Any:
    """Return what the worker's thread says; Refusal (503) where it is ending."""
    try:
        return await asyncio.wrap_future(future)
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if task is not None and task.cancelling():  # the request, not what it asked for
            raise
        raise Refusal(503, _ENDING) from None
