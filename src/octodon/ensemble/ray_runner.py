"""Jobs as tasks of a Ray cluster, which schedules them and repeats those that a lost machine takes with it.

The only file that imports Ray.
"""

from __future__ import annotations

import logging
import os
import pickle
import shutil
import signal
import tempfile
import threading
import uuid
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
import ray
import ray.data
from ray.data.block import BlockMetadata
from ray.exceptions import RayError, RayTaskError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

import octodon
from octodon.atomic import atomic_file, write_text
from octodon.ensemble.execution import is_client
from octodon.ensemble.jobs import FileJob, Needs
from octodon.ensemble.workers import cpu_count
from octodon.errors import OctodonError, RunError

Job = TypeVar("Job")
Result = TypeVar("Result")

_TICK_SECONDS = 0.3
_MOST_REPEATS = 5
"""A task whose process or machine dies is begun again this often; one that dies each time would go on for ever."""


class RayRunner:
    """Runs a function over jobs on a Ray cluster; results come back in the order of the jobs.

    Where a node sees the files of a job (the same machine, a shared folder), it works on them. Elsewhere they travel through
    Ray's object store, and what the job leaves comes back when it is finished.

    Parameters
    ----------
    address : str or None
        "auto", "host:6379" or "ray://host:10001"; None: a cluster of this machine alone, ended by ``close``.
    processes : int or None
        Cores of that cluster; None = all of this machine.
    device : str
        "auto" (the GPUs of the cluster where it has some), "cpu" or "cuda".

    Attributes
    ----------
    processes : int
        Jobs at once now: cores, or GPUs if ``device`` is "cuda".
    device : str
        "cpu" or "cuda".

    Raises
    ------
    RunError
        No cluster answers, or it has no GPU.
    """

    def __init__(self, address: str | None, processes: int | None, device: str) -> None:
        self._is_client = is_client(address)
        self._is_ours = not ray.is_initialized()
        if self._is_ours:
            _connect(address, processes)
        try:
            self.device = _pick_device(device)
        except BaseException:
            self.close()
            raise
        self.processes = max(1, int(_resources("GPU" if self.device == "cuda" else "CPU")))

    def close(self) -> None:
        """Leave the cluster; one that was started here ends."""
        if self._is_ours and ray.is_initialized():
            ray.shutdown()

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
            A task died with its process or machine each time it was begun, or the cluster is lost. An exception of a job is
            raised as it is; jobs not begun are cancelled.
        """
        if not jobs:
            return []
        with _Batch(function, jobs) as batch, _one_line():
            while batch.pending:
                batch.collect()
                if on_tick is not None:
                    on_tick()
        return [batch.results[number] for number in range(len(jobs))]

    def stream(
        self, items: Callable[[], Iterator[Job]], function: Callable[[Job], Result]
    ) -> Iterator[Result]:
        """Yield ``function(item)`` for each item through Ray Data, in that order; items are made by a task beside this process.

        What is made ahead waits in the object store, which Ray Data keeps from overflowing.

        Raises
        ------
        RunError
            This process is no part of the cluster, or the cluster is lost. An error of octodon is raised where its item is due.
        """
        if self._is_client:
            raise RunError(
                "cluster: Ray Data cannot read the files of a ray:// client; run this on a machine of the cluster with --address "
                "auto (or ray job submit)"
            )
        held = ray.put(
            function
        )  # once for all actors; as an argument it would be kept by none of them after a restart
        with _data_options():
            made = ray.data.read_datasource(
                _Items(items),
                override_num_blocks=1,
                label_selector={"ray.io/node-id": _this_node()},
                num_cpus=0,
            )
            answers = made.map_batches(
                _Answers,
                fn_constructor_args=([held],),
                batch_size=None,
                batch_format="pyarrow",
                compute=ray.data.ActorPoolStrategy(min_size=1, max_size=self.processes),
                num_cpus=1,
                num_gpus=1 if self.device == "cuda" else 0,
            )
        with _one_line():
            for block in answers.iter_batches(batch_size=None, batch_format="pyarrow"):
                yield from _unpacked(block)


class _Batch:
    """The tasks of one call: submitted at once, collected as they end, cancelled if one fails."""

    def __init__(self, function: Callable[[Any], Any], jobs: Sequence[Any]) -> None:
        self.function = function
        # made here: a decorated function would travel by value, with all that it refers to
        self._task = ray.remote(_work)
        # a node starts elsewhere than this process: relative paths would mean something else there
        self.jobs = [job.moved(Path.absolute) if isinstance(job, FileJob) else job for job in jobs]
        self.results: dict[int, Any] = {}
        self.pending: dict[Any, int] = {}
        self._mark = _Mark.of(self.jobs)
        self._sent: dict[Path, Any] = {}
        self._cpus = {
            node["NodeID"]: int(node["Resources"].get("CPU", 0)) for node in ray.nodes() if node["Alive"]
        }

    def __enter__(self) -> _Batch:
        if self._mark is not None:
            self._mark.write()
        for number in range(len(self.jobs)):
            self._submit(number, seen=True)
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(RayError):  # the cluster may be what was lost
            for task in self.pending:
                ray.cancel(task, force=True)
            if self._sent and self._mark is not None:
                _remove_copies(self._mark)
        if self._mark is not None:
            self._mark.path.unlink(missing_ok=True)

    def _submit(self, number: int, seen: bool) -> None:
        job = self.jobs[number]
        needs = job.needs if isinstance(job, FileJob) else Needs()
        most = max(self._cpus.values(), default=0) or needs.cpus
        files = None if seen else self._send(job)
        options: dict[str, Any] = {
            "num_cpus": min(needs.cpus, most),
            "num_gpus": needs.gpus,
            "max_retries": _MOST_REPEATS,
        }
        if needs.here:
            here = _this_node()
            # a head that is to compute nothing has no core to ask for: what is bound to it waits for the others
            options["num_cpus"] = min(needs.cpus, self._cpus.get(here, 0))
            options["scheduling_strategy"] = NodeAffinitySchedulingStrategy(here, soft=False)
        task = self._task.options(**options).remote(self.function, job, self._mark, files, _versions())
        self.pending[task] = number

    def collect(self) -> None:
        """Wait a moment, and take what has ended since."""
        done, _ = ray.wait(list(self.pending), num_returns=len(self.pending), timeout=_TICK_SECONDS)
        for task in done:
            number = self.pending.pop(task)
            outcome = ray.get(task)
            if not outcome.is_seen:
                self._submit(number, seen=False)
                continue
            if outcome.files is not None:
                _write_back(self.jobs[number].writes, outcome.files)
            self.results[number] = outcome.result

    def _send(self, job: FileJob) -> dict[Path, Any]:
        """Return references to the content of every file that a job needs; what jobs share is sent once."""
        for path in _files_in(job.reads):
            if path not in self._sent:
                self._sent[path] = ray.put(np.fromfile(path, np.uint8))
        own = {path: ray.put(np.fromfile(path, np.uint8)) for path in _files_in(job.writes)}
        return {path: self._sent[path] for path in _files_in(job.reads)} | own


@dataclass(frozen=True, kw_only=True)
class _Mark:
    """A file in the folder of some jobs, by which a node finds out whether it sees that folder."""

    path: Path
    token: str

    @classmethod
    def of(cls, jobs: Sequence[Any]) -> _Mark | None:
        """Return the mark of jobs that work on files, None for others."""
        paths = [path for job in jobs if isinstance(job, FileJob) for path in (*job.reads, *job.writes)]
        if not paths:
            return None
        token = uuid.uuid4().hex
        # beside what jobs read and write: the folder of one job alone may not be there yet, and is tidied by the job
        folder = Path(os.path.commonpath([path.parent for path in paths]))
        # named like a file in the making, so that one left by a killed run is removed with those
        return cls(path=folder / f".cluster-{token}.{os.getpid()}.partial", token=token)

    def write(self) -> None:
        """Write the file."""
        write_text(self.path, self.token)

    @property
    def is_seen(self) -> bool:
        """Whether this machine sees the file."""
        try:
            return self.path.read_text() == self.token
        except OSError:
            return False

    @property
    def scratch(self) -> Path:
        """Where a node that does not see it keeps copies."""
        return Path(tempfile.gettempdir()) / f"octodon-ray-{self.token}"

    def copy_of(self, path: Path) -> Path:
        """Return where the copy of a file or folder lies on such a node."""
        return self.scratch / path.relative_to(path.anchor)

    def original_of(self, copy: Path) -> Path:
        """Return the path whose copy this is."""
        return Path(self.path.anchor) / copy.relative_to(self.scratch)


@dataclass(frozen=True, kw_only=True, eq=False)
class _Outcome:
    """What a task brings back: nothing but word that its files are not seen; a result; or a result with the files left."""

    is_seen: bool = True
    result: Any = None
    files: dict[Path, bytes] | None = None


def _work(
    function: Callable[[Any], Any],
    job: Any,
    mark: _Mark | None,
    files: Mapping[Path, Any] | None,
    versions: str,
) -> _Outcome:
    """Do one job on a node."""
    if _versions() != versions:
        raise RunError(
            f"cluster: node {ray.util.get_node_ip_address()} has {_versions()}, this process {versions}; install the same there"
        )
    if mark is None or not isinstance(job, FileJob) or mark.is_seen:
        return _Outcome(result=function(job))
    if files is None:
        return _Outcome(is_seen=False)
    for path, content in files.items():
        copy = mark.copy_of(path)
        if not copy.exists():  # another task of this node, or an earlier try of this one, may have brought it
            copy.parent.mkdir(parents=True, exist_ok=True)
            with atomic_file(copy) as partial:
                np.asarray(ray.get(content)).tofile(partial)
    result = function(job.moved(mark.copy_of))
    left = [path for written in job.writes for path in _files_in([mark.copy_of(written)])]
    # as they were written: the file that says that a network is finished comes last here and there
    left.sort(key=lambda path: path.stat().st_mtime_ns)
    return _Outcome(result=result, files={mark.original_of(path): path.read_bytes() for path in left})


def _remove_tree(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)


def _remove_copies(mark: _Mark) -> None:
    """Remove the copies of a finished batch from every node."""
    nodes = [node["NodeID"] for node in ray.nodes() if node["Alive"]]
    here = [NodeAffinitySchedulingStrategy(node, soft=True) for node in nodes]
    remove = ray.remote(_remove_tree)
    tasks = [remove.options(num_cpus=0, scheduling_strategy=where).remote(mark.scratch) for where in here]
    ray.wait(tasks, num_returns=len(tasks), timeout=10)


class _Items(ray.data.Datasource):
    """Items made by one task, each a row of its own block."""

    def __init__(self, items: Callable[[], Iterator[Any]]) -> None:
        super().__init__()
        self.items = items

    def estimate_inmemory_data_size(self) -> None:
        """Return that it is not known."""

    def get_read_tasks(self, *_: Any, **__: Any) -> list[Any]:
        """Return the one task."""
        nothing_known = BlockMetadata(num_rows=None, size_bytes=None, input_files=None, exec_stats=None)
        return [ray.data.ReadTask(partial(_pack_each, self.items), nothing_known)]


def _pack_each(items: Callable[[], Iterator[Any]]) -> Iterator[pa.Table]:
    try:
        for item in items():
            yield _packed(item)
    except OctodonError as error:
        yield _packed(error)


class _Answers:
    """An actor that keeps the function, with the networks that it holds, from block to block."""

    def __init__(self, held: Sequence[Any]) -> None:
        self.function: Any = ray.get(held[0])

    def __call__(self, block: pa.Table) -> Iterator[pa.Table]:
        """Answer for the items of a block."""
        for value in block["value"]:
            item = pickle.loads(value.as_buffer())
            try:
                yield _packed(item if isinstance(item, OctodonError) else self.function(item))
            except OctodonError as error:
                yield _packed(error)


def _packed(value: Any) -> pa.Table:
    return pa.table({"value": pa.array([pickle.dumps(value, protocol=5)], pa.large_binary())})


def _unpacked(block: pa.Table) -> Iterator[Any]:
    for packed in block["value"]:
        value = pickle.loads(packed.as_buffer())
        if isinstance(value, OctodonError):
            raise value
        yield value


@contextmanager
def _data_options() -> Iterator[None]:
    """Let the pipeline made inside keep order and each item in a block of its own, and say nothing."""
    context = ray.data.DataContext.get_current()
    wanted = {"enable_progress_bars": False, "target_max_block_size": 1, "target_min_block_size": 1}
    before = {name: getattr(context, name) for name in wanted}
    kept_order = context.execution_options.preserve_order
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    try:
        for name, value in wanted.items():
            setattr(context, name, value)
        context.execution_options.preserve_order = True
        yield
    finally:
        for name, value in before.items():
            setattr(context, name, value)
        context.execution_options.preserve_order = kept_order


def _files_in(paths: Sequence[Path]) -> list[Path]:
    """Return files, and those in folders, where they exist and are finished."""
    found = [inner for path in paths for inner in (sorted(path.rglob("*")) if path.is_dir() else [path])]
    return [path for path in found if path.is_file() and not path.name.startswith(".")]


def _write_back(writes: Sequence[Path], files: Mapping[Path, bytes]) -> None:
    """Bring what a job should have written to what it has written elsewhere."""
    for path, content in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_file(path) as partial:
            partial.write_bytes(content)
    for path in _files_in(writes):
        if path not in files:
            path.unlink()


def _versions() -> str:
    """Return what must be equal for equal bits."""
    return f"octodon {octodon.__version__}, torch {version('torch')}, numpy {version('numpy')}"


def _this_node() -> str:
    return ray.get_runtime_context().get_node_id()


def _resources(kind: str) -> float:
    return float(ray.cluster_resources().get(kind, 0))


def _pick_device(device: str) -> str:
    gpus = _resources("GPU")
    if device == "auto":
        return "cuda" if gpus >= 1 else "cpu"
    if device == "cuda" and gpus < 1:
        raise RunError("device: 'cuda' asked for, but no node of the cluster has a GPU; start one that has")
    return device


def _connect(address: str | None, processes: int | None) -> None:
    """Join a cluster, or start one; signals stay with whoever handles them now."""
    options: dict[str, Any] = {"logging_level": logging.ERROR, "log_to_driver": False}
    if address is None:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        options |= {
            "address": "local",
            "num_cpus": processes or cpu_count(),
            "include_dashboard": False,
        }
    else:
        options["address"] = address
    with _signals_kept(), warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # tips for other versions of Ray
        try:
            ray.init(**options)
        except Exception as error:  # noqa: BLE001  of a machine too busy to start a node Ray raises no class of its own
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            where = "none could be started here" if address is None else f"none answers at {address!r}"
            raise RunError(
                f"--executor ray: of Ray clusters {where} ({reason}); see docs/cluster.md, or leave --address out to start one "
                f"on this machine"
            ) from None


@contextmanager
def _signals_kept() -> Iterator[None]:
    """Undo what Ray does to SIGTERM: that would end the process without the line that says how to go on."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def _one_line() -> Iterator[None]:
    """Raise the error of a job as it is, and one of Ray as a line."""
    try:
        yield
    except RayError as error:
        cause = error.cause if isinstance(error, RayTaskError) else error
        if isinstance(cause, OctodonError):
            raise cause from None
        if not isinstance(cause, RayError):
            raise cause from error
        reason = str(cause).splitlines()[0].split(". ")[0]
        raise RunError(
            f"cluster: {reason}; finished networks are kept: run the same command again"
        ) from error
