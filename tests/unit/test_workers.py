"""Where jobs run. Functions are local to the tests, as in a notebook: the workers cannot import them."""

import os
import platform
import signal
import time
from typing import Any

import numpy as np
import psutil
import pytest
import torch

from octodon.ensemble.workers import Workers, give_back_memory, pick_device, threads
from octodon.errors import ConfigError, DataError, RunError


@pytest.mark.parametrize("processes", [0, 2])
def test_order_is_kept_exceptions_come_through_and_a_dead_worker_is_reported(processes: int) -> None:
    def job(number: int) -> tuple[int, int]:
        if number == -1:
            raise DataError("row 3: bad")
        if number == -2:
            os._exit(1)
        time.sleep(0.05 * (4 - number))  # the first job ends last
        return number, os.getpid()

    ticks: list[float] = []
    with Workers(processes) as workers:
        results = workers.run(job, range(4), on_tick=lambda: ticks.append(0))
        assert [number for number, _ in results] == [0, 1, 2, 3]
        assert all((pid == os.getpid()) == (processes == 0) for _, pid in results)
        assert ticks
        if processes:
            with pytest.raises(RunError, match=r"a worker process died .* kept: run the same command again"):
                workers.run(job, [0, -2, 1])
        with pytest.raises(DataError, match="row 3: bad"):  # workable again after the death, too
            workers.run(job, [-1, 0])


def test_after_a_failure_no_further_job_begins() -> None:
    begun = []

    def job(number: int) -> None:
        begun.append(number)
        time.sleep(0.02)
        if number == 1:
            raise ValueError("no")

    with Workers(0) as workers, pytest.raises(ValueError, match="no"):
        workers.run(job, range(50))
    assert len(begun) < 50


def test_an_exception_of_the_display_ends_the_run() -> None:
    def broken() -> None:
        raise KeyboardInterrupt

    def job(number: int) -> int:
        return number

    with Workers(0) as workers:
        with pytest.raises(KeyboardInterrupt):
            workers.run(job, range(3), on_tick=broken)
        assert workers.run(job, range(3)) == [0, 1, 2]


def test_no_more_processes_than_jobs_and_more_when_more_jobs_come() -> None:
    def job(number: int) -> int:
        time.sleep(0.2)
        return os.getpid()

    with Workers(2) as workers:
        assert len(set(workers.run(job, range(1)))) == 1
        assert len(set(workers.run(job, range(4)))) == 2


def test_an_interrupted_run_in_processes_ends_at_once() -> None:
    def forever(number: int) -> None:
        time.sleep(600)

    def interrupt() -> None:
        raise KeyboardInterrupt

    with Workers(1) as workers, pytest.raises(KeyboardInterrupt):
        workers.run(forever, range(3), on_tick=interrupt)


def test_ctrl_c_reaches_a_job_in_this_process() -> None:
    ended = []

    def job(number: int) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(600)
        ended.append(number)

    with Workers(0) as workers, pytest.raises(KeyboardInterrupt):
        workers.run(job, range(3), on_tick=lambda: None)
    assert not ended


def test_no_jobs_no_results() -> None:
    def job(number: Any) -> Any:
        return number

    with Workers(0) as workers:
        assert workers.run(job, []) == []


def test_threads_come_back_as_found_also_after_an_error() -> None:
    def inside(expected: int) -> None:
        assert torch.get_num_threads() == expected
        raise ValueError("x")

    before = torch.get_num_threads()
    with pytest.raises(ValueError, match="x"), threads(before + 1):
        inside(before + 1)
    assert torch.get_num_threads() == before


def test_a_gpu_that_is_asked_for_must_be_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert (pick_device("auto"), pick_device("cpu")) == ("cpu", "cpu")
    with pytest.raises(RunError, match=r"'cuda:1' asked for, but .* sees no GPU"):
        pick_device("cuda:1")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(RunError, match=r"'cuda:2' asked for, but there are 2 GPUs"):
        pick_device("cuda:2")
    assert (pick_device("auto"), pick_device("cuda:1")) == ("cuda", "cuda:1")


@pytest.mark.parametrize(
    "name", ["gpu", "", "cpu:3", "cpu:0", "cuda:", "cuda:-1", "cuda:01", "cuda:²", "cuda:0:1", "Auto"]
)
def test_what_names_no_device_is_refused(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(ConfigError, match=f"^device: {name!r}; expected auto, cpu, cuda or cuda:N$"):
        pick_device(name)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries are not asked")
def test_memory_that_was_freed_is_given_back() -> None:
    mib_before = psutil.Process().memory_info().rss / 2**20
    blocks = [np.ones(8_000) for _ in range(2_000)]  # 122 MiB in pieces too small for a mapping of their own
    last = blocks[-1]  # holds the end of the heap, which would be given back by itself
    del blocks
    give_back_memory()
    assert psutil.Process().memory_info().rss / 2**20 < mib_before + 40
    assert last.sum() == 8_000
