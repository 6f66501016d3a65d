"""Where jobs run: a process per core (CPU), or one after another in this process (GPU, tests)."""

from __future__ import annotations

import ctypes
import os
import re
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, wait
from contextlib import contextmanager
from typing import Any, TypeVar

import loky
import torch
from loky.process_executor import TerminatedWorkerError

from octodon.ensemble.ahead import one_ahead
from octodon.ensemble.lean_torch import leave_compiler_out
from octodon.errors import ConfigError, RunError

Job = TypeVar("Job")
Result = TypeVar("Result")

_TICK_SECONDS = 0.3
_ORPHAN_SECONDS = 0.2
_KEEP_FREED_MEMORY = {
    "MALLOC_TRIM_THRESHOLD_": str(2**30),
    "MALLOC_MMAP_THRESHOLD_": str(2**25),
    "MALLOC_TOP_PAD_": str(2**26),
    # and kept memory is no leak: loky would replace a worker that holds 300 MB more than it began with, and warn the user
    "LOKY_MAX_MEMORY_LEAK_SIZE": str(2**40),
}
"""glibc returns every large activation to the kernel and faults it in again at the next step; kept, a training step takes up to
a sixth less time (DeepSTARR, 144 bp: 85 instead of 101 ms). Other C libraries ignore these."""


class Workers:
    """Runs a function over jobs; results come back in the order of the jobs.

    Parameters
    ----------
    processes : int or None
        Most worker processes; None = one per core, 0 = in this process, one job after another. Processes are fresh
        interpreters (never forks of this one, whose threads would not survive) and accept classes defined in a notebook.
        There are never more of them than jobs.
    """

    def __init__(self, processes: int | None = None) -> None:
        self.processes = cpu_count() if processes is None else processes
        self._executor: loky.ProcessPoolExecutor | None = None
        self._started = 0

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the processes at once, also in the middle of a job."""
        if self._executor is not None:
            self._executor.shutdown(wait=True, kill_workers=True)
            self._executor = None

    def run(
        self,
        function: Callable[[Job], Result],
        jobs: Sequence[Job],
        on_tick: Callable[[], Any] | None = None,
    ) -> list[Result]:
        """Return ``[function(job) for job in jobs]``; ``on_tick`` is called a few times a second meanwhile.

        Raises
        ------
        RunError
            When a worker process dies. An exception of a job is raised as it is; jobs not begun are cancelled.
        """
        if not jobs:
            return []
        if self.processes == 0:
            return _run_here(function, jobs, on_tick)
        try:
            executor = self._start(len(jobs))
            futures = [executor.submit(function, job) for job in jobs]
            _wait(futures, on_tick)
            return [future.result() for future in futures]
        except TerminatedWorkerError as error:
            self._executor = None
            raise RunError(
                "a worker process died (out of memory?); finished networks are kept: run the same command again, with "
                "fewer processes (run.processes)"
            ) from error
        except BaseException:
            self.close()
            raise

    def stream(
        self, items: Callable[[], Iterator[Job]], function: Callable[[Job], Result]
    ) -> Iterator[Result]:
        """Yield ``function(item)`` for each item, in this process, which may use all cores; the next item is made meanwhile."""
        return map(function, one_ahead(items()))

    def _start(self, n_jobs: int) -> loky.ProcessPoolExecutor:
        wanted = min(self.processes, n_jobs)
        if wanted > self._started:
            self.close()
        if self._executor is None:
            give_back_memory()
            self._started = wanted
            self._executor = loky.ProcessPoolExecutor(
                wanted, initializer=_prepare_worker, initargs=(os.getpid(),), env=_KEEP_FREED_MEMORY
            )
        return self._executor


def _wait(futures: Sequence[Future[Any]], on_tick: Callable[[], Any] | None) -> None:
    pending = set(futures)
    while pending:
        done, pending = wait(pending, timeout=_TICK_SECONDS, return_when=FIRST_EXCEPTION)
        if on_tick is not None:
            on_tick()
        for future in done:
            future.result()


def _run_here(
    function: Callable[[Job], Result], jobs: Sequence[Job], on_tick: Callable[[], Any] | None
) -> list[Result]:
    """Run jobs in the thread that was called, where Ctrl-C reaches them; the ticks come from a thread beside it."""
    with _Ticking(on_tick) as ticking:
        results = []
        for job in jobs:
            results.append(function(job))
            ticking.tick()
        return results


class _Ticking:
    """Calls a function a few times a second from a thread; what it raises there is raised by the next ``tick`` here."""

    def __init__(self, on_tick: Callable[[], Any] | None) -> None:
        self._on_tick = on_tick
        self._ended = threading.Event()
        self._one_at_a_time = threading.Lock()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._go, daemon=True)

    def __enter__(self) -> _Ticking:
        if self._on_tick is not None:
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        if self._on_tick is not None:
            self._thread.join()

    def tick(self) -> None:
        """Call the function from here."""
        if self._on_tick is None:
            return
        with self._one_at_a_time:
            if self._error is None:
                self._on_tick()
        if self._error is not None:
            raise self._error

    def _go(self) -> None:
        while not self._ended.wait(_TICK_SECONDS) and self._error is None:
            try:
                with self._one_at_a_time:
                    self._on_tick()  # type: ignore[misc]  # the thread is started for a function only
            except BaseException as error:  # noqa: BLE001  to be raised where the run is
                self._error = error


def _prepare_worker(parent: int) -> None:
    """Leave signals to the parent, which ends its workers itself, and make this worker end when the parent is gone.

    Ctrl-C in a terminal, and a cluster's SIGTERM, reach the workers too: each would print a traceback of its own. A killed
    run must not go on burning cores unseen.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    leave_compiler_out()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(_ORPHAN_SECONDS)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def give_back_memory() -> None:
    """Return freed memory to the system; without it what reading a large table left behind stays with this process.

    Of 484,052 sequences of 249 bp that is some 300 MB in glibc, which alone is asked, and another 300 MB in Arrow's pool.
    """
    if "pyarrow" in sys.modules:
        sys.modules["pyarrow"].default_memory_pool().release_unused()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
    if trim is not None:
        trim(0)


@contextmanager
def threads(count: int) -> Iterator[None]:
    """Compute with ``count`` threads inside the block."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def cpu_count() -> int:
    """Return the cores this process may use (affinity and container limits respected)."""
    return loky.cpu_count()


def pick_device(device: str) -> str:
    """Return the device to compute on: "auto" takes a GPU where there is one; a GPU that is asked for must be there.

    Raises
    ------
    ConfigError
        When it names no device: there is one "cpu", and GPUs count from "cuda:0".
    RunError
        When a named GPU cannot be used: nothing falls back to the CPU in silence.
    """
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if not re.fullmatch(r"cpu|cuda(:(0|[1-9][0-9]*))?", device):
        raise ConfigError(f"device: {device!r}; expected auto, cpu, cuda or cuda:N")
    kind, _, index = device.partition(":")
    if kind == "cuda" and torch.cuda.is_available() and int(index or 0) >= torch.cuda.device_count():
        raise RunError(
            f"device: {device!r} asked for, but there are {torch.cuda.device_count()} GPUs (from cuda:0)"
        )
    if kind == "cuda" and not torch.cuda.is_available():
        raise RunError(
            f"device: {device!r} asked for, but torch {torch.__version__} sees no GPU; see octodon doctor"
        )
    return device
