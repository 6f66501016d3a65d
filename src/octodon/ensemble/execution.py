"""Where and how networks are computed: the one record that every stage of an engine hands down."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Any, Protocol, TypeVar, runtime_checkable

from octodon.ensemble.stacked.fit import check_strategy
from octodon.ensemble.workers import Workers, pick_device
from octodon.errors import ConfigError, RunError
from octodon.registry import suggest

Job = TypeVar("Job")
Result = TypeVar("Result")

EXECUTORS = ("local", "ray")
"""Names that users give; each is a way to make a ``Runner`` in ``_running``."""


@runtime_checkable
class Runner(Protocol):
    """Whatever runs a function over jobs: worker processes of this machine, or those of a cluster.

    Attributes
    ----------
    processes : int
        Jobs at once outside this process; 0 = in this process, one after another.
    """

    processes: int

    def run(
        self,
        function: Callable[[Job], Result],
        jobs: Sequence[Job],
        on_tick: Callable[[], Any] | None = None,
    ) -> list[Result]:
        """Return ``[function(job) for job in jobs]`` in that order; ``on_tick`` is called a few times a second meanwhile."""
        ...

    def stream(
        self, items: Callable[[], Iterator[Job]], function: Callable[[Job], Result]
    ) -> Iterator[Result]:
        """Yield ``function(item)`` for each item, in that order, as they are made; only a few are held at a time."""
        ...

    def close(self) -> None:
        """End what was started; a later ``run`` starts it anew."""
        ...


@dataclass(frozen=True, kw_only=True)
class Execution:
    """Where networks are computed and what is shown meanwhile; nothing here changes a result on a CPU.

    Attributes
    ----------
    workers : Runner
        Where jobs run; by default in this process.
    device : str
        "cpu", "cuda" or "cuda:N"; to predict, also "auto". ``executing`` looks it up before anything is trained.
    progress : bool
        Show live progress on standard error.
    strategy : str
        How networks are trained: "separate", each alone; "stacked" or the name of a strategy, together; "auto", together on a
        GPU. Which one changes the last bits, and the masks of dropout.
    """

    workers: Runner = field(default_factory=lambda: Workers(0))
    device: str = "cpu"
    progress: bool = True
    strategy: str = "auto"

    def __post_init__(self) -> None:
        check_strategy(self.strategy)

    @property
    def device_here(self) -> str:
        """Where this process itself computes: a cluster may have GPUs that it has not."""
        if self.workers.processes == 0 or self.device == "cpu":
            return self.device
        return pick_device("auto")


def check_executor(
    *,
    executor: str = "local",
    address: str | None = None,
    processes: int | None = None,
    device: str = "auto",
    strategy: str = "auto",
) -> None:
    """Refuse at once what ``executing`` would refuse; which machines and GPUs a cluster has is not asked.

    Raises
    ------
    ConfigError
        An unknown executor, device or strategy, an address without a cluster, or a cluster without a process.
    RunError
        Ray is not installed, or this machine has no such GPU.
    """
    check_strategy(strategy)
    if executor not in EXECUTORS:
        raise ConfigError(f"executor: no {executor!r}; {suggest(executor, list(EXECUTORS))}")
    if executor == "local":
        if address is not None:
            raise ConfigError(f"address: {address!r} is that of a cluster; add --executor ray (run.executor)")
        pick_device(device)
        return
    if find_spec("ray") is None:
        raise RunError(
            "executor: Ray is not installed; pip install 'octodon[cluster]', or leave --executor ray out"
        )
    if processes == 0:
        raise ConfigError("run.processes: 0 computes in this process; leave it out with --executor ray")
    if device not in ("auto", "cpu", "cuda"):
        raise ConfigError(f"device: {device!r}; on a cluster, where each task has one GPU: auto, cpu or cuda")


def is_client(address: str | None) -> bool:
    """Whether a process that asks for a cluster at this address stays outside it: "ray://...", which RAY_ADDRESS may say of "auto"."""
    if address == "auto":
        address = os.environ.get("RAY_ADDRESS")
    return (address or "").startswith("ray://")


@contextmanager
def executing(
    *,
    executor: str = "local",
    address: str | None = None,
    processes: int | None = None,
    device: str = "auto",
    progress: bool = True,
    strategy: str = "auto",
) -> Iterator[Execution]:
    """Give an execution for as long as the block lasts; its processes end with it.

    Parameters
    ----------
    executor : str
        One of ``EXECUTORS``. "local": processes of this machine; "ray": tasks of a cluster.
    address : str, optional
        Of a Ray cluster: "auto", "host:6379" or "ray://host:10001"; default: one of this machine is started and ended.
    processes : int, optional
        Worker processes on a CPU; default one per core, 0 = in this process. On a GPU there are none. With "ray": cores of
        the cluster that is started.
    device : str
        "auto" (a GPU where there is one), "cpu", "cuda" or "cuda:N". With "ray": a GPU of the cluster.
    strategy : str
        See ``Execution``.

    Raises
    ------
    ConfigError
        As ``check_executor``.
    RunError
        A GPU is asked for that is not there, Ray is not installed, or no cluster answers.
    """
    check_executor(executor=executor, address=address, processes=processes, device=device, strategy=strategy)
    with _running(executor, address, processes, device) as (workers, device):
        yield Execution(workers=workers, device=device, progress=progress, strategy=strategy)


@contextmanager
def _running(
    executor: str, address: str | None, processes: int | None, device: str
) -> Iterator[tuple[Runner, str]]:
    if executor == "ray":
        from octodon.ensemble.ray_runner import RayRunner

        runner = RayRunner(address, processes, device)
        with closing(runner):
            yield runner, runner.device
        return
    device = pick_device(device)
    with Workers(processes if device == "cpu" else 0) as workers:
        yield workers, device
