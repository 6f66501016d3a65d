"""Which strategy is fastest for this backbone on this device: timed on real steps of copies, so that nothing is changed."""

from __future__ import annotations

import gc
import time
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from octodon.ensemble.stacked.state import StackState
from octodon.ensemble.stacked.step import MemberEpoch, Stepper
from octodon.ensemble.stacked.strategies import Strategy, strategies
from octodon.ensemble.stacked.unsuitable import Unsuitable
from octodon.errors import ConfigError
from octodon.models.model import Model
from octodon.training.config import TrainingConfig
from octodon.training.loop import LabelledCodes
from octodon.training.schedule import Schedule

REFERENCE = "loop"
"""What every other strategy must agree with."""
_COMPILING_PAYS_SECONDS = 300
"""A compiler takes half a minute a strategy; where the fastest of the others needs less than this in all, it cannot pay."""
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
    search = _Search(plan, state, {}, {}, {})
    search.time([REFERENCE])
    if names is not None:
        search.time(names)
    else:
        here = [name for name in strategies if _may_win(name, state)]
        search.time([name for name in here if not strategies[name].compiles])
        search.time_compiled([name for name in here if strategies[name].compiles])
    milliseconds = {k: v for k, v in search.milliseconds.items() if names is None or k in names}
    refused = search.refused
    if not milliseconds:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in refused.items())
        raise ConfigError(f"run.strategy: none can train this backbone here ({reasons}); choose separate")
    best = min(milliseconds, key=milliseconds.__getitem__)
    return Choice(
        strategy=best,
        members=len(state),
        milliseconds={name: round(value, 4) for name, value in milliseconds.items()},
        refused=refused,
        eager_because=search.eager[best],
        seconds=round(time.perf_counter() - start, 2),
    )


def _may_win(name: str, state: StackState) -> bool:
    """Whether a strategy is worth its time: one network alone gains nothing from being beside others."""
    strategy = strategies[name]
    alone = len(state) == 1 and state.flat.is_cuda
    return (state.flat.is_cuda or not strategy.only_cuda) and not (alone and strategy.for_several)


@dataclass(eq=False)
class _Search:
    """What is known of the candidates so far."""

    plan: StackPlan
    state: StackState
    milliseconds: dict[str, float]
    refused: dict[str, str]
    eager: dict[str, str | None]
    expected: Tensor | None = None

    def time(self, names: Sequence[str]) -> None:
        """Time strategies that were not timed yet."""
        for name in names:
            if name in self.milliseconds or name in self.refused:
                continue
            try:
                took, losses, because = _timed(self.plan, name, self.state)
            except torch.OutOfMemoryError:
                if name == REFERENCE:
                    raise  # nothing needs less
                self.refused[name] = "no room on the GPU"
                continue
            except (Unsuitable, RuntimeError, NotImplementedError, ValueError) as error:
                self.refused[name] = (str(error).splitlines() or [type(error).__name__])[0]
                continue
            finally:
                tidy(self.state.flat.device)
            self.expected = losses if self.expected is None else self.expected
            if _agree(losses, self.expected, _TOLERANCE[self.plan.precision]):
                self.milliseconds[name], self.eager[name] = took, because
            else:
                self.refused[name] = f"its losses differ from those of {REFERENCE}"

    def time_compiled(self, names: Sequence[str]) -> None:
        """Time strategies that compile, if the training is long enough and on a GPU."""
        if not (self.state.flat.is_cuda and self.milliseconds):
            return
        training = self.plan.training
        steps = training.epochs * len(self.plan.train) / training.batch_size
        if min(self.milliseconds.values()) / 1e3 * steps >= _COMPILING_PAYS_SECONDS:
            self.time(names)
        else:
            self.refused |= dict.fromkeys(names, "the training is too short for a compiler to pay")


def _timed(plan: StackPlan, name: str, state: StackState) -> tuple[float, Tensor, str | None]:
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


def tidy(device: torch.device) -> None:
    """Free what a stepper held that is not needed any more: its captured step keeps memory of its own."""
    if device.type == "cuda":
        gc.collect()
        torch.cuda.empty_cache()


def _agree(losses: Tensor, expected: Tensor, tolerance: float) -> bool:
    return bool(torch.allclose(losses, expected, rtol=tolerance, atol=tolerance, equal_nan=True))


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
