"""Train networks of one architecture together, into the folders that each would have if trained alone."""

from __future__ import annotations

import json
import logging
import math
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import torch
from numpy import ndarray

from octodon.atomic import write_json
from octodon.ensemble.jobs import Needs
from octodon.ensemble.network import NetworkJob, fit_network, load_split, no_room
from octodon.ensemble.stacked.choose import Choice, StackPlan, choose, tidy
from octodon.ensemble.stacked.member import EpochLosses, StackMember
from octodon.ensemble.stacked.precision import check_precision, matrix_units, resolve_precision
from octodon.ensemble.stacked.replace_modules import with_streams
from octodon.ensemble.stacked.state import StackState
from octodon.ensemble.stacked.step import Stepper, epoch_orders
from octodon.ensemble.stacked.strategies import strategies
from octodon.ensemble.stacked.unsuitable import Unsuitable
from octodon.ensemble.stacked.validate import validation_losses
from octodon.ensemble.workers import pick_device, threads
from octodon.errors import ConfigError
from octodon.registry import suggest
from octodon.training.augment import ALTERED
from octodon.training.batches import batch_slices
from octodon.training.checkpoint import Checkpoint
from octodon.training.state import TrainingState

logger = logging.getLogger(__name__)

MOST_MEMBERS = 32
"""Networks in one stack; more wait for the next."""


def check_strategy(name: str) -> None:
    """Refuse a name that is no way to train networks.

    Raises
    ------
    ConfigError
    """
    known = ("auto", "separate", "stacked", *strategies)
    if name not in known:
        raise ConfigError(f"strategy: no {name!r}; {suggest(name, known)}")


def choice_file(job: NetworkJob) -> Path:
    """Return where it is kept how the stack was computed whose first network this is: beside the networks' folders."""
    return job.folder.parent / f"stack_{job.index:03d}.json"


def read_choices(folder: Path) -> list[Choice]:
    """Return how the networks in ``folder`` were trained together, stack by stack; none where each was trained alone."""
    return [Choice(**json.loads(path.read_text())) for path in sorted(folder.glob("stack_*.json"))]


def is_stacked(name: str, device: str) -> bool:
    """Return whether networks are trained in a stack: always if it is asked for by name, under "auto" on a GPU."""
    return name != "separate" and (name != "auto" or device.startswith("cuda"))


def stacks(jobs: Sequence[NetworkJob], strategy: str, gpus: int = 0) -> list[StackJob]:
    """Return the jobs in stacks of one kind each, of at most ``MOST_MEMBERS``, and enough of them for every GPU of a cluster."""
    most = min(MOST_MEMBERS, math.ceil(len(jobs) / gpus)) if gpus > 1 and jobs else MOST_MEMBERS
    kinds: dict[str, list[NetworkJob]] = {}
    for job in jobs:
        kinds.setdefault(_kind(job), []).append(job)
    return [
        StackJob(jobs=tuple(alike[start : start + most]), strategy=strategy)
        for alike in kinds.values()
        for start in range(0, len(alike), most)
    ]


def _kind(job: NetworkJob) -> str:
    """Return a name of everything that the networks of one stack share: each reads its own rows of the same ones."""
    return repr((job.model, job.training, job.arrays, job.left_out, job.device, job.batches.identity))


@dataclass(frozen=True, kw_only=True)
class StackJob:
    """Networks to fit together.

    Attributes
    ----------
    jobs : tuple of NetworkJob
        Of one architecture, training and data; they differ in role, index and seed.
    strategy : str
        A name in the registry; "stacked": the fastest on this device; "auto": the same, or one network after another where
        the backbone cannot be stacked.
    precision : str, optional
        Other than that of the training: "float32", "tf32" or "bfloat16".
    """

    jobs: tuple[NetworkJob, ...]
    strategy: str = "auto"
    precision: str | None = None

    def __post_init__(self) -> None:
        if self.precision is not None:
            check_precision(self.precision)
        check_strategy(self.strategy)
        shared = {_kind(job) for job in self.jobs}
        if len(shared) != 1:
            raise ConfigError(
                f"stack: {len(shared)} kinds of networks (model, training, data, batches or device differ); a stack holds one kind"
            )

    @property
    def needs(self) -> Needs:
        """Those of one of its networks: they share a device."""
        return self.jobs[0].needs

    @property
    def reads(self) -> tuple[Path, ...]:
        """What its networks read."""
        return self.jobs[0].reads

    @property
    def writes(self) -> tuple[Path, ...]:
        """The folders of its networks, and how they were trained: in parts, where the GPU has no room for all at once."""
        return (*(job.folder for job in self.jobs), *map(choice_file, self.jobs))

    def moved(self, to: Callable[[Path], Path]) -> StackJob:
        """Return the same stack on files that lie elsewhere."""
        return replace(self, jobs=tuple(job.moved(to) for job in self.jobs))


def fit_stack(stack: StackJob) -> list[Choice]:
    """Fit the networks of a stack, each into its folder, going on from its checkpoint if there is one.

    Returns
    -------
    list of Choice
        How it was computed; more than one where the GPU has no room for all members at once.

    Raises
    ------
    ConfigError
        The strategy that is asked for cannot train this backbone.
    RunError
        A GPU is asked for that is not there or has no room for one network, or a network diverges from every seed.
    """
    jobs = [job for job in stack.jobs if not job.is_done]
    if not jobs:
        return []
    device = torch.device(pick_device(jobs[0].device))
    asked = jobs[0].training.precision if stack.precision is None else stack.precision
    precision = resolve_precision(asked, device)
    on_device = torch.cuda.device(device) if device.type == "cuda" else nullcontext()
    with on_device, threads(jobs[0].threads), matrix_units(precision, device):
        try:
            return _fit_what_fits(jobs, stack.strategy, precision, device)
        except Unsuitable as reason:
            if stack.strategy != "auto":
                raise ConfigError(
                    f"run.strategy: {jobs[0].model.backbone} cannot be trained in a stack: {reason}; set "
                    f"run.strategy = 'separate'"
                ) from None
            logger.warning("%s is trained one by one: %s", jobs[0].model.backbone, reason)
    for job in jobs:
        fit_network(job)
    return []


def _fit_what_fits(
    jobs: Sequence[NetworkJob], strategy: str, precision: str, device: torch.device
) -> list[Choice]:
    """Fit all jobs at once, or the halves of those that are left after one another where memory does not allow it."""
    try:
        return [_Training(jobs, strategy, precision, device).run()]
    except torch.OutOfMemoryError:
        if len(jobs) == 1:
            raise no_room(jobs[0]) from None
        logger.warning("no room on the GPU for %d members at once; trained in two halves", len(jobs))
    tidy(device)
    # memory may end when some members are done: without a checkpoint to go on from, they would begin again
    left = [job for job in jobs if not job.is_done]
    half = len(left) // 2
    return [
        choice
        for part in (left[:half], left[half:])
        if part
        for choice in _fit_what_fits(part, strategy, precision, device)
    ]


class _Training:
    """The members that are in the stack now, epoch by epoch."""

    def __init__(
        self, jobs: Sequence[NetworkJob], strategy: str, precision: str, device: torch.device
    ) -> None:
        if jobs[0].batches != ALTERED:
            raise Unsuitable("its batches are labelled by teachers as they come")
        self.strategy, self.precision, self.config = strategy, precision, jobs[0].training
        train, valid = (load_split(jobs[0], name) for name in ("train", "valid"))
        steps = len(batch_slices(len(train), self.config.batch_size))
        self.members = [StackMember(job=job, steps_per_epoch=steps) for job in jobs]
        networks = [member.build(train.labels) for member in self.members]
        self.model = networks[0]
        self.names = list(self.model.state_dict())
        self.train, self.valid = train.to(device), valid.to(device)
        self.state = StackState.of([network.to(device) for network in networks], self.config.optimiser)
        self.plan = StackPlan(
            template=with_streams(self.model, jobs[0].model.length),
            train=self.train,
            training=self.config,
            precision=precision,
            capture=device.type == "cuda",
        )
        self.model.cpu()
        for row, member in enumerate(self.members):
            member.resume(self.state, row)

    def run(self) -> Choice:
        """Train every member to its end."""
        names = None if self.strategy in ("auto", "stacked") else [self.strategy]
        choice = choose(self.plan, self.state, names)
        logger.info("%s", choice.line())
        write_json(choice_file(self.members[0].job), asdict(choice))
        with _Writer() as writer:
            self._finish([row for row, member in enumerate(self.members) if member.is_over], writer)
            if all(member.is_done for member in self.members):
                return choice
            stepper = self._prepare(choice.strategy)
            orders: ndarray | None = None
            while True:
                orders = self._epoch(stepper, orders, writer)
                if all(member.is_done for member in self.members):
                    return choice
                if self._leaving_pays(choice):
                    del stepper  # before there is a second one: together they may need more than the GPU has
                    orders = orders[self._leave_done_behind()]
                    stepper = self._prepare(choice.strategy)

    def _leave_done_behind(self) -> list[int]:
        """Keep the members that are not done; return their rows."""
        kept = [row for row, member in enumerate(self.members) if not member.is_done]
        self.state = self.state.select(kept)
        self.members = [self.members[row] for row in kept]
        tidy(self.state.flat.device)
        return kept

    def _prepare(self, strategy: str) -> Stepper:
        start = time.perf_counter()
        stepper = self.plan.stepper(strategy, self.state)
        self.prepare_seconds = time.perf_counter() - start
        return stepper

    def _leaving_pays(self, choice: Choice) -> bool:
        """Whether the rest is faster by more than it costs to prepare (capture, compile) a smaller stack."""
        gone = sum(member.is_done for member in self.members)
        if gone == 0:
            return False
        left = max(self._epochs_left(member) for member in self.members if not member.is_done)
        step = choice.milliseconds[choice.strategy] / 1e3 / choice.members
        return gone * step * left * self.members[0].steps_per_epoch > self.prepare_seconds

    def _epochs_left(self, member: StackMember) -> int:
        left = self.config.epochs - len(member.history)
        return min(left, member.schedule.stop_patience) if self.config.schedule == "plateau" else left

    def _epoch(self, stepper: Stepper, orders: ndarray | None, writer: _Writer) -> ndarray:
        """Train and validate one epoch of every member; return the orders of the next."""
        start = time.perf_counter()
        stepper.begin([member.epoch() for member in self.members], orders)
        stepper.run()
        # While the GPU works through what is queued: the next epoch's orders.
        following = epoch_orders([member.epoch(ahead=1) for member in self.members], len(self.train))
        valid, second = validation_losses(stepper.strategy, self.valid, self.model.head, self.precision)
        train_losses, valid_losses = stepper.train_losses().tolist(), valid.tolist()
        second_losses = [None] * len(valid_losses) if second is None else second.tolist()
        rates = stepper.rates[-1].tolist()
        seconds = time.perf_counter() - start
        over = []
        for row, member in enumerate(self.members):
            if member.is_done:
                continue
            record = member.record(
                EpochLosses(train_losses[row], valid_losses[row], second_losses[row]), rates[row], seconds
            )
            attempt = member.attempt
            if not member.finish_epoch(record, self.state, row, self.names, self.train.labels):
                over.append(row)
            elif member.attempt != attempt:
                following[row] = epoch_orders([member.epoch()], len(self.train))[0]
        self._finish(over, writer)
        writer.save([(m, row) for row, m in enumerate(self.members) if not m.is_done], self.state, self.names)
        return following

    def _finish(self, rows: Sequence[int], writer: _Writer) -> None:
        writer.wait()  # a checkpoint that is still being written must not appear after its network is done
        for row in rows:
            self.members[row].write(self.model)


@dataclass(eq=False)
class _Writer:
    """Writes checkpoints in a thread: the next epoch does not wait for the disk."""

    pool: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1))
    pending: Future[None] | None = None

    def __enter__(self) -> _Writer:
        return self

    def __exit__(self, *_: object) -> None:
        self.pool.shutdown(wait=True)

    def wait(self) -> None:
        """Wait for what is being written; its error is raised here."""
        if self.pending is not None:
            self.pending.result()
            self.pending = None

    def save(self, members: Sequence[tuple[StackMember, int]], state: StackState, names: list[str]) -> None:
        """Write the checkpoints that are due, from copies made now."""
        self.wait()
        due = [
            (member.checkpoint, member.snapshot(state, row, names))
            for member, row in members
            if member.checkpoint.is_due and member.history
        ]
        if due:
            self.pending = self.pool.submit(_write, due)


def _write(due: Sequence[tuple[Checkpoint, TrainingState]]) -> None:
    for checkpoint, state in due:
        checkpoint.save(state)
