"""Where and how networks are computed: the one record that every stage of an engine hands down."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar, runtime_checkable

from octodon.ensemble.stacked.fit import check_strategy
from octodon.ensemble.workers import Workers, pick_device
from octodon.errors import ConfigError
from octodon.registry import suggest

Job = TypeVar("Job")
Result = TypeVar("Result")

EXECUTORS = ("local",)
"""Names that users give; each is a way to make a ``Runner`` in ``_runner``."""


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


@contextmanager
def executing(
    *,
    executor: str = "local",
    processes: int | None = None,
    device: str = "auto",
    progress: bool = True,
    strategy: str = "auto",
) -> Iterator[Execution]:
    """Give an execution for as long as the block lasts; its processes end with it.

    Parameters
    ----------
    executor : str
        One of ``EXECUTORS``.
    processes : int, optional
        Worker processes on a CPU; default one per core, 0 = in this process. On a GPU there are none.
    device : str
        "auto" (a GPU where there is one), "cpu", "cuda" or "cuda:N".
    strategy : str
        See ``Execution``.

    Raises
    ------
    ConfigError
        An unknown executor, device or strategy.
    RunError
        A GPU is asked for that is not there.
    """
    if executor not in EXECUTORS:
        raise ConfigError(f"executor: no {executor!r}; {suggest(executor, list(EXECUTORS))}")
    device = pick_device(device)
    with Workers(processes if device == "cpu" else 0) as workers:
        yield Execution(workers=workers, device=device, progress=progress, strategy=strategy)
