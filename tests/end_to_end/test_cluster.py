"""A cluster of two nodes on this machine: the same bits as here, also when a node dies in mid-training."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from octodon.data.examples import Examples
from octodon.data.read import read
from octodon.ensemble.config import EnsembleConfig
from octodon.ensemble.ensemble import Ensemble
from octodon.ensemble.execution import Execution, Runner, executing
from octodon.ensemble.jobs import FileJob, Needs
from octodon.ensemble.train import train_ensemble
from octodon.ensemble.workers import Workers
from octodon.errors import ConfigError, DataError, RunError
from octodon.models.model import ModelConfig
from octodon.training.config import TrainingConfig

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("default::ResourceWarning"),  # Ray leaves sockets to the garbage collector
    pytest.mark.filterwarnings(
        "ignore::DeprecationWarning:ray.data.context"
    ),  # which copies its own old options
]

Cli = Callable[..., tuple[int, str, str]]
_NODE = {"num_cpus": 1, "object_store_memory": 100 * 2**20}
_START_SECONDS = 240


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """A head with one core, joined by this process; a node with another core."""
    ray = pytest.importorskip("ray")
    from ray.cluster_utils import Cluster

    with pytest.MonkeyPatch.context() as patch:
        _allow_minutes_to_start(patch)
        made = Cluster(initialize_head=True, head_node_args=_NODE | {"include_dashboard": False})
        try:
            made.add_node(**_NODE)
            ray.init(made.address, log_to_driver=False, logging_level="ERROR")
            yield made
        finally:
            ray.shutdown()
            made.shutdown()


def _allow_minutes_to_start(patch: pytest.MonkeyPatch) -> None:
    """Let a node of a busy machine register for minutes: Ray gives up after 30 s, a number that nothing can set."""
    from ray._private import services
    from ray.cluster_utils import Cluster

    get_node, wait_for_node = services.get_node, Cluster._wait_for_node

    def patient(*given: Any, **named: Any) -> Any:
        until = time.monotonic() + _START_SECONDS
        while True:
            try:
                return get_node(*given, **named)
            except RuntimeError:  # not there yet
                if time.monotonic() > until:
                    raise
                time.sleep(0.2)

    patch.setattr(services, "get_node", patient)
    patch.setattr(Cluster, "_wait_for_node", lambda self, node: wait_for_node(self, node, _START_SECONDS))


@pytest.fixture
def runner(cluster: Any) -> Iterator[Runner]:
    with executing(executor="ray", address=cluster.address, progress=False) as execution:
        assert (execution.device, execution.workers.processes) == ("cpu", 2)
        yield execution.workers


@pytest.fixture
def examples(experiment: Path) -> Examples:
    """Of the tiny table."""
    columns = {"path": "tiny.tsv", "id": "id", "targets": {"B": "B"}, "split": "split"}
    return read(columns, experiment.parent)


def _train(
    examples: Examples, folder: Path, runner: Runner, backbone: str = "deepstarr", tick: Any = None
) -> Ensemble:
    training = TrainingConfig(epochs=4, batch_size=32, checkpoint_seconds=0)
    options = {"width": 0.05} if backbone == "deepstarr" else {}
    return train_ensemble(
        examples,
        ModelConfig(backbone=backbone, length=32, n_targets=1, options=options),
        EnsembleConfig(members=2, training=training, head="mean"),
        seed=5,
        folder=folder,
        execution=Execution(workers=runner if tick is None else _Ticking(runner, tick), progress=False),
    )


@dataclass
class _Ticking:
    """A runner that calls a further function at every tick."""

    runner: Runner
    tick: Callable[[], None]
    processes: int = 2

    def run(self, function: Any, jobs: Any, on_tick: Any = None) -> list[Any]:
        return self.runner.run(function, jobs, lambda: (on_tick(), self.tick()))

    def stream(self, items: Any, function: Any) -> Any:
        raise NotImplementedError

    def close(self) -> None:
        pass


def _same(a: Ensemble, b: Ensemble) -> bool:
    return len(a.members) == len(b.members) and all(
        x.weights.keys() == y.weights.keys()
        and all(torch.equal(x.weights[name], y.weights[name]) for name in x.weights)
        for x, y in zip(a.members, b.members, strict=True)
    )


def _files(folder: Path) -> set[Path]:
    return {path.relative_to(folder) for path in folder.rglob("*") if path.is_file()}


def test_order_is_kept_and_errors_come_through(runner: Runner) -> None:
    def job(number: int) -> int:
        if number == -1:
            raise DataError("row 3: bad")
        return number * number

    assert isinstance(runner, Runner)
    assert runner.run(job, range(5)) == [0, 1, 4, 9, 16]
    assert runner.run(job, []) == []
    with pytest.raises(DataError, match=r"^row 3: bad$"):
        runner.run(job, [1, -1])


def test_a_task_that_dies_each_time_is_one_line(runner: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("octodon.ensemble.ray_runner._MOST_REPEATS", 1)

    def job(path: Path) -> None:
        with path.open("a") as file:
            file.write("begun\n")
        os._exit(1)

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "log"
        with pytest.raises(RunError, match=r"^cluster: .*; finished networks are kept: run the same command"):
            runner.run(job, [path])
        assert path.read_text() == "begun\n" * 2


@pytest.mark.parametrize("is_seen", [True, False])
def test_files_come_to_a_job_and_what_it_leaves_comes_back(
    runner: Runner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_seen: bool
) -> None:
    if not is_seen:  # as on a node without the folder
        monkeypatch.setattr("octodon.ensemble.ray_runner._Mark.write", lambda _: None)

    @dataclass(frozen=True)
    class Copy:
        """Reads one folder; goes on with what lies in another. Local, as in a notebook: nodes cannot import it."""

        source: Path
        target: Path
        needs: Needs = field(default_factory=Needs)

        @property
        def reads(self) -> tuple[Path, ...]:
            return (self.source,)

        @property
        def writes(self) -> tuple[Path, ...]:
            return (self.target,)

        def moved(self, to: Callable[[Path], Path]) -> Copy:
            return replace(self, source=to(self.source), target=to(self.target))

    def copy(job: Copy) -> str:
        old = (job.target / "old").read_bytes()
        (job.target / "old").unlink()
        (job.target / "inner").mkdir()
        (job.target / "inner" / "new").write_bytes(old + (job.source / "a").read_bytes())
        return str(job.target)

    monkeypatch.chdir(tmp_path)  # relative paths mean another place on a node
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a").write_bytes(b"content\0")
    jobs = [Copy(Path("in"), Path(f"out{number}")) for number in range(3)]
    for job in jobs:
        job.target.mkdir()
        (job.target / "old").write_bytes(f"{job.target}:".encode())
    assert isinstance(jobs[0], FileJob)
    where = runner.run(copy, jobs)
    assert [path == str(job.target.absolute()) for path, job in zip(where, jobs, strict=True)] == [
        is_seen
    ] * 3
    for job in jobs:
        assert _files(job.target) == {Path("inner/new")}
        assert (job.target / "inner" / "new").read_bytes() == f"{job.target}:content\0".encode()
    assert sorted(path.name for path in tmp_path.glob(".*")) == []
    assert not any(Path(path).exists() for path in where if not is_seen)


def test_members_on_nodes_that_do_not_see_the_folder_are_those_of_a_local_run(
    runner: Runner, examples: Examples, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = _train(examples, tmp_path / "here", Workers(0))
    monkeypatch.setattr("octodon.ensemble.ray_runner._Mark.write", lambda _: None)
    there = _train(examples, tmp_path / "there", runner)
    assert _same(there, expected)
    assert _files(tmp_path / "there") == _files(tmp_path / "here")
    codes = examples.codes[:50]
    execution = Execution(workers=runner)
    assert (
        there.predict_members(codes, execution=execution).mean == expected.predict_members(codes).mean
    ).all()


def test_a_stream_through_the_cluster_is_that_of_this_process(runner: Runner) -> None:
    def numbers(last: int) -> Iterator[int]:
        yield from range(20)
        if last:
            raise DataError(f"row {last}: bad")

    def square(number: int) -> tuple[int, int]:
        if number == -1:
            raise DataError("no")
        return number * number, os.getpid()

    answers = list(runner.stream(partial(numbers, 0), square))
    assert [answer for answer, _ in answers] == [number * number for number in range(20)]
    assert os.getpid() not in {process for _, process in answers}
    with pytest.raises(DataError, match=r"^row 20: bad$"):
        list(runner.stream(partial(numbers, 20), square))
    with pytest.raises(DataError, match=r"^no$"):
        list(runner.stream(lambda: iter([1, -1, 2]), square))


@pytest.mark.usefixtures("no_figures")
def test_a_sweep_side_by_side_is_that_of_one_after_the_other(
    cli: Cli, cluster: Any, experiment: Path, tmp_path: Path
) -> None:
    text = experiment.read_text().replace("epochs = 2", "epochs = 1").replace("copies = 2", "copies = 0")
    experiment.write_text(text.replace("processes = 0", ""))
    command = ("sweep", experiment, "--fractions", "0.5,1", "--quiet", "--out")
    code, _, err = cli(*command, tmp_path / "there", "--executor", "ray", "--address", cluster.address)
    assert code == 0, err
    assert "fraction_0.5: ensemble finished" in err
    code, _, err = cli(*command, tmp_path / "here", "--set", "run.processes=0")
    assert code == 0, err
    for name in ("results/metrics.tsv", "fraction_0.5/student/weights.safetensors"):
        assert (tmp_path / "there" / name).read_bytes() == (tmp_path / "here" / name).read_bytes()


WAITING = """
import time
from pathlib import Path
from torch import nn

class Waiting(nn.Module):
    # three steps an epoch: two epochs, and in the third until there is a file to go on
    def __init__(self, length):
        super().__init__()
        self.layers, self.steps = nn.Sequential(nn.Conv1d(4, 4, 5), nn.ReLU(), nn.Flatten()), 0

    def forward(self, x):
        if self.training:
            self.steps += 1
            while self.steps > 6 and not Path(__file__).with_name("go").exists():
                time.sleep(0.02)
        return self.layers(x)
"""


def test_a_node_killed_in_mid_training_costs_no_bit(
    cluster: Any, runner: Runner, examples: Examples, tmp_path: Path
) -> None:
    (tmp_path / "waiting.py").write_text(WAITING)
    backbone, go, folder = f"{tmp_path / 'waiting.py'}:Waiting", tmp_path / "go", tmp_path / "there"
    members = [folder / f"member_{index:03d}" for index in range(2)]

    def kill_a_node() -> None:
        begun = all((member / "checkpoint.safetensors").is_file() for member in members)
        if begun and not go.exists():  # one member on each node, both in mid-training
            cluster.remove_node(cluster.worker_nodes.copy().pop(), allow_graceful=False)
            assert not any((member / "done.json").is_file() for member in members)
            go.touch()

    trained = _train(examples, folder, runner, backbone, tick=kill_a_node)
    assert go.exists()
    assert _same(trained, _train(examples, tmp_path / "here", Workers(0), backbone))


@pytest.mark.parametrize(("address", "environment"), [("ray://head:10001", ""), ("auto", "ray://head:10001")])
def test_a_client_outside_the_cluster_streams_nothing(
    address: str, environment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("ray")
    from octodon.ensemble import ray_runner

    monkeypatch.setenv("RAY_ADDRESS", environment)
    monkeypatch.setattr(ray_runner.ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray_runner, "_connect", lambda *_: None)  # nobody need be there
    monkeypatch.setattr(ray_runner, "_resources", lambda _: 2.0)
    runner = ray_runner.RayRunner(address, None, "cpu")
    with pytest.raises(RunError, match=r"cannot read the files of a ray:// client; run this on a machine of"):
        next(runner.stream(lambda: iter([1]), abs))


def test_the_mark_of_one_job_lies_beside_its_folder(tmp_path: Path) -> None:
    """A sweep of one fraction: its folder is made by the job, which removes what looks half written there."""
    pytest.importorskip("ray")
    from octodon.ensemble.ray_runner import _Mark
    from octodon.experiment.config import resolve
    from octodon.experiment.folder import RunFolder
    from octodon.experiment.sweep import SweepPoint

    point = SweepPoint(config=resolve({"data": {}}), folder=tmp_path / "fraction_1")
    mark = _Mark.of([point])
    assert mark is not None
    mark.write()
    point.folder.mkdir()
    RunFolder(point.folder).resume()
    assert mark.is_seen


def test_what_is_bound_to_a_head_without_cores_asks_for_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """The documented cluster of the cloud: a sweep's points wait on its head, members are computed by its workers."""
    pytest.importorskip("ray")
    from octodon.ensemble import ray_runner

    @dataclass(frozen=True, kw_only=True)
    class Bound:
        """A job that says what it needs."""

        needs: Needs
        reads: tuple[Path, ...] = ()
        writes: tuple[Path, ...] = ()

        def moved(self, to: Callable[[Path], Path]) -> Bound:
            return self

    class Asked(list[float]):
        """In the place of Ray's task."""

        def options(self, *, num_cpus: float, **_: Any) -> Asked:
            self.append(num_cpus)
            return self

        def remote(self, *_: Any) -> int:
            return len(self)

    nodes = [
        {"NodeID": name, "Alive": True, "Resources": {"CPU": cpus}}
        for name, cpus in (("aa" * 28, 0.0), ("bb" * 28, 2.0))
    ]
    monkeypatch.setattr(ray_runner.ray, "nodes", lambda: nodes)
    monkeypatch.setattr(ray_runner, "_this_node", lambda: "aa" * 28)
    monkeypatch.setattr(ray_runner, "_versions", lambda: "")
    jobs = [Bound(needs=Needs(here=True)), Bound(needs=Needs(cpus=4))]
    batch = ray_runner._Batch(abs, jobs)
    batch._task = asked = Asked()
    for number in range(2):
        batch._submit(number, seen=True)
    assert asked == [0, 2]


def test_what_cannot_work_is_one_line(
    cli: Cli, experiment: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = ("run", experiment, "--out", tmp_path / "run", "--quiet")
    for given, line in (
        (("--executor", "rya"), "error: executor: no 'rya'; did you mean 'ray'? Known: local, ray\n"),
        (
            ("--address", "auto"),
            "error: address: 'auto' is that of a cluster; add --executor ray (run.executor)\n",
        ),
    ):
        code, printed, err = cli(*command, *given)
        assert (code, printed, err.endswith(line)) == (2, "", True), err
    with (
        pytest.raises(ConfigError, match="0 computes in this process"),
        executing(executor="ray", processes=0),
    ):
        pass
    monkeypatch.setattr("octodon.ensemble.execution.find_spec", lambda _: None)
    code, printed, err = cli(*command, "--executor", "ray")
    assert (code, printed) == (2, "")
    assert (
        err
        == "error: executor: Ray is not installed; pip install 'octodon[cluster]', or leave --executor ray out\n"
    )
