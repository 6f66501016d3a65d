"""Where jobs run: a process per core (CPU), or one after another in this process (GPU, tests)."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, Executor, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from typing import Any, TypeVar

import loky
import torch
from loky.process_executor import TerminatedWorkerError

from octodon.errors import ConfigError, RunError

Job = TypeVar("Job")
Result = TypeVar("Result")

_TICK_SECONDS = 0.3
_KEEP_FREED_MEMORY = {
    "MALLOC_TRIM_THRESHOLD_": str(2**30),
    "MALLOC_MMAP_THRESHOLD_": str(2**25),
    "MALLOC_TOP_PAD_": str(2**26),
}
"""glibc returns every large activation to the kernel and faults it in again at the next step; kept, a training step takes up to
a sixth less time (DeepSTARR, 144 bp: 85 instead of 101 ms). Other C libraries ignore these."""


class Workers:
    """Runs a function over jobs; results come back in the order of the jobs.

    Parameters
    ----------
    processes : int or None
        Worker processes; None = one per core, 0 = in this process, one job after another. Processes are fresh interpreters
        (never forks of this one, whose threads would not survive) and accept classes defined in a notebook.
    """

    def __init__(self, processes: int | None = None) -> None:
        self.processes = cpu_count() if processes is None else processes
        self._executor: Executor | None = None

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop the processes."""
        if self._executor is not None:
            if self.processes:
                self._executor.shutdown(wait=True, kill_workers=True)  # type: ignore[call-arg]  # an option of loky
            else:
                self._executor.shutdown(wait=True, cancel_futures=True)
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
        executor = self._start()
        futures: list[Future[Result]] = []
        try:
            for job in jobs:
                futures.append(executor.submit(function, job))
            self._wait(futures, on_tick)
            return [future.result() for future in futures]
        except TerminatedWorkerError as error:
            self._executor = None
            raise RunError(
                "a worker process died (out of memory?); finished networks are kept: run the same command again, with "
                "fewer processes (run.processes)"
            ) from error
        except BaseException:
            for future in futures:
                future.cancel()
            self.close()
            raise

    def _wait(self, futures: list[Future[Any]], on_tick: Callable[[], Any] | None) -> None:
        pending = set(futures)
        while pending:
            done, pending = wait(pending, timeout=_TICK_SECONDS, return_when=FIRST_EXCEPTION)
            if on_tick is not None:
                on_tick()
            for future in done:
                future.result()

    def _start(self) -> Executor:
        if self._executor is None:
            if self.processes == 0:
                self._executor = ThreadPoolExecutor(1)
            else:
                self._executor = loky.ProcessPoolExecutor(
                    self.processes,
                    initializer=_leave_with_parent,
                    initargs=(os.getpid(),),
                    env=_KEEP_FREED_MEMORY,
                )
        return self._executor


def _leave_with_parent(parent: int) -> None:
    """Make this worker end when its parent is gone: a killed run must not go on burning cores unseen."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


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
    RunError
        When a named GPU cannot be used: nothing falls back to the CPU in silence.
    """
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    kind, _, index = device.partition(":")
    if kind not in ("cpu", "cuda") or (index and not index.isdigit()):
        raise ConfigError(f"device: {device!r}; expected auto, cpu, cuda or cuda:N")
    if kind == "cuda" and torch.cuda.is_available() and int(index or 0) >= torch.cuda.device_count():
        raise RunError(
            f"device: {device!r} asked for, but there are {torch.cuda.device_count()} GPUs (from cuda:0)"
        )
    if kind == "cuda" and not torch.cuda.is_available():
        raise RunError(
            f"device: {device!r} asked for, but torch {torch.__version__} sees no GPU; see octodon doctor"
        )
    return device
