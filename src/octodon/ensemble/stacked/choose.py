"""Which strategy is fastest for this backbone on this device: timed on real steps of copies, so that nothing is changed."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from octodon.ensemble.stacked.state import StackState
from octodon.ensemble.stacked.step import MemberEpoch, Stepper
from octodon.ensemble.stacked.strategies import Strategy, strategies
from octodon.ensemble.stacked.unsuitable import Unsuitable
from octodon.errors import ConfigError
from octodon.models.model import Model
from octodon.training.config import TrainingConfig
from octodon.training.loop import LabelledCodes
from octodon.training.schedule import Schedule

logger = logging.getLogger(__name__)

REFERENCE = "loop"
"""What every other strategy must agree with."""
_COMPILING_PAYS_STEPS = 20_000
"""A compiler takes half a minute; at 1 ms a step it must save a few per cent of this many steps."""
_TIMED_STEPS = {"cpu": 2, "cuda": 20}
_TOLERANCE = {"float32": 1e-3, "tf32": 2e-2, "bfloat16": 5e-2}
"""Largest difference of a member's loss in the first step, relative or absolute."""


@dataclass(frozen=True, kw_only=True)
class Choice:
    """How the members of a stack are computed, and why.

    Attributes
    ----------
    strategy : str
    members : int
    milliseconds : dict
        Time of one step of all members, by strategy; empty where there was no choice.
    refused : dict
        Why others were not candidates, by strategy.
    eager_because : str or None
        Why the step of the chosen one is not captured; None where it is.
    seconds : float
        What choosing took.
    """

    strategy: str
    members: int
    milliseconds: dict[str, float]
    refused: dict[str, str]
    eager_because: str | None
    seconds: float

    def line(self) -> str:
        """Return one line for people."""
        times = sorted(self.milliseconds.items(), key=lambda item: item[1])
        said = ", ".join(f"{name} {value:.2f} ms" for name, value in times)
        captured = "" if self.eager_because is None else f"; not captured: {self.eager_because}"
        timed = f" (a step: {said}; chosen in {self.seconds:.1f} s)" if times else ""
        return f"{self.members} members in one stack: {self.strategy}{timed}{captured}"


@dataclass(frozen=True, kw_only=True, eq=False)
class StackPlan:
    """What a stack is trained on, and how; the same for all its members.

    Attributes
    ----------
    template : Model
        One member's network with dropout from streams.
    train : LabelledCodes
        On the device.
    training : TrainingConfig
    precision : str
    capture : bool
        Whether to capture the steps.
    """

    template: Model
    train: LabelledCodes
    training: TrainingConfig
    precision: str = "float32"
    capture: bool = False

    def stepper(self, name: str, state: StackState) -> Stepper:
        """Return a stepper that trains ``state`` with one strategy.

        Raises
        ------
        Unsuitable
            With the reason, when the strategy is not for this backbone or device.
        """
        strategy: Strategy = strategies[name](self.template, state)
        return Stepper(strategy, self.train, self.training, self.precision, self.capture)


def choose(plan: StackPlan, state: StackState, names: Sequence[str] | None = None) -> Choice:
    """Return the fastest strategy; ``state`` is left untouched.

    Each candidate makes the same steps from a copy of the state. One that fails, or whose losses differ from those of plain
    networks, is no candidate.

    Parameters
    ----------
    plan : StackPlan
    state : StackState
    names : sequence of str, optional
        Candidates; default all that apply.

    Raises
    ------
    ConfigError
        When no candidate works.
    """
    start = time.perf_counter()
    names = candidates(plan, state) if names is None else list(names)
    milliseconds: dict[str, float] = {}
    refused: dict[str, str] = {}
    eager: dict[str, str | None] = {}
    expected: torch.Tensor | None = None
    for name in [REFERENCE, *(name for name in names if name != REFERENCE)]:
        try:
            took, losses, because = _timed(plan, name, state)
        except (Unsuitable, RuntimeError, NotImplementedError, ValueError) as error:
            refused[name] = (str(error).splitlines() or [type(error).__name__])[0]
            continue
        if expected is None:
            expected = losses
        if not _agree(losses, expected, _TOLERANCE[plan.precision]):
            refused[name] = f"its losses differ from those of {REFERENCE}"
            continue
        if name in names:
            milliseconds[name], eager[name] = took, because
    if not milliseconds:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in refused.items())
        raise ConfigError(f"run.strategy: none can train this backbone here ({reasons}); choose separate")
    best = min(milliseconds, key=milliseconds.__getitem__)
    return Choice(
        strategy=best,
        members=len(state),
        milliseconds={name: round(value, 4) for name, value in milliseconds.items()},
        refused=refused,
        eager_because=eager[best],
        seconds=round(time.perf_counter() - start, 2),
    )


def candidates(plan: StackPlan, state: StackState) -> list[str]:
    """Return the strategies worth timing here: without a GPU none that needs one, for a short training none that compiles."""
    on_gpu = state.flat.is_cuda
    steps = plan.training.epochs * len(plan.train) / plan.training.batch_size
    return [
        name
        for name in strategies
        if (on_gpu or not (strategies[name].only_cuda or strategies[name].compiles))
        and (steps >= _COMPILING_PAYS_STEPS or not strategies[name].compiles)
    ]


def _timed(plan: StackPlan, name: str, state: StackState) -> tuple[float, torch.Tensor, str | None]:
    """Return milliseconds of a step, the losses of the first steps, and why the step is not captured."""
    stepper = plan.stepper(name, state.clone())
    device = state.flat.device
    steps = min(_TIMED_STEPS.get(device.type, 2), max(1, stepper.full_steps))
    # The seed is that of no member; every candidate sees the same rows and dropout.
    schedule = Schedule(plan.training, steps_per_epoch=len(stepper.slices))
    members = [MemberEpoch(seed=k, epoch=0, schedule=schedule) for k in range(len(state))]
    stepper.begin(members)
    stepper.run(1)
    _wait(device)
    losses = stepper.train_losses()
    stepper.begin(members)
    _wait(device)
    start = time.perf_counter()
    stepper.run(steps)
    _wait(device)
    took = (time.perf_counter() - start) / steps * 1e3
    return took, losses.cpu(), stepper.eager_because


def _agree(losses: torch.Tensor, expected: torch.Tensor, tolerance: float) -> bool:
    return bool(torch.allclose(losses, expected, rtol=tolerance, atol=tolerance, equal_nan=True))


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
