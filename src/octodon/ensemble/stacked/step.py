"""One step of Adam (and Muon) on every member at once, and an epoch of them; on a GPU the step is captured as one CUDA graph."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Float64, Int64
from numpy import ndarray
from torch import Tensor

from octodon.ensemble.stacked.dropout import epoch_keys, step_keys
from octodon.ensemble.stacked.precision import autocast
from octodon.ensemble.stacked.state import StackState
from octodon.ensemble.stacked.strategies import Strategy
from octodon.models.kernels.blocks import has_triton
from octodon.seeds import derive_seed
from octodon.seq.onehot import one_hot
from octodon.training.augment import ALTERED
from octodon.training.batches import batch_slices, epoch_order
from octodon.training.config import TrainingConfig
from octodon.training.loop import LabelledCodes
from octodon.training.optimiser import BETAS, EPS, adam, muon_direction
from octodon.training.schedule import Schedule

logger = logging.getLogger(__name__)

_WARM_UP_STEPS = 3
"""Steps before a capture: libraries choose their kernels and allocate their workspaces (PyTorch's advice)."""


@dataclass(frozen=True, kw_only=True, eq=False)
class MemberEpoch:
    """What determines one epoch of one member, besides its weights."""

    seed: int
    epoch: int
    schedule: Schedule


class Stepper:
    """Trains the members of a stack epoch by epoch with one strategy.

    Rows are looked up, made one-hot and dropped out on the device: between the first and the last step of an epoch nothing
    is sent there and nothing is waited for.

    Parameters
    ----------
    strategy : Strategy
        Holds the state.
    train : LabelledCodes
        On the device; every member reads its own rows of it.
    config : TrainingConfig
    precision : str
        See ``ensemble.stacked.precision``, resolved.
    capture : bool
        Whether to capture the step; where that fails, it is launched kernel by kernel and ``eager_because`` says why.
    """

    def __init__(
        self,
        strategy: Strategy,
        train: LabelledCodes,
        config: TrainingConfig,
        precision: str = "float32",
        capture: bool = False,
    ) -> None:
        self.strategy, self.train, self.config, self.precision = strategy, train, config, precision
        self.state: StackState = strategy.state
        self.slices = batch_slices(len(train), config.batch_size)
        self.full_steps = sum(piece.stop - piece.start == config.batch_size for piece in self.slices)
        members, device = len(self.state), train.codes.device
        self.order = torch.zeros(members, len(train), dtype=torch.int64, device=device)
        # A fused optimiser reads float64 on a CPU, as from a Python number, and float32 on a GPU.
        kind = torch.float32 if device.type == "cuda" else torch.float64
        self.rates = torch.zeros(len(self.slices), members, dtype=kind, device=device)
        self.rate = torch.zeros(members, dtype=kind, device=device)
        self.epoch_keys = torch.zeros(members, 2, dtype=torch.int32, device=device)
        self.counter = torch.zeros(1, dtype=torch.int64, device=device)
        # of every member: the loss of its rows so far, and the labels that it is of
        self.totals = torch.zeros(2, members, dtype=torch.float64, device=device)
        self._batch = torch.arange(config.batch_size, device=device)
        self._members: Sequence[MemberEpoch] = ()
        self._optimiser = _optimiser(self.state, config, self.rate)
        self.eager_because: str | None = None if capture else "not asked for"
        self._graph: torch.cuda.CUDAGraph | None = None
        if capture and not self.full_steps:
            self.eager_because = "an epoch is less than one batch"
        elif capture:
            shape = (members, config.batch_size, 4, train.codes.shape[1])
            self._inputs = torch.zeros(
                shape if config.augment else 0, dtype=self.state.flat.dtype, device=device
            )
            self._capture()

    def begin(self, members: Sequence[MemberEpoch], orders: ndarray | None = None) -> None:
        """Set data order, learning rates and dropout streams of the next epoch.

        Parameters
        ----------
        members : sequence of MemberEpoch
            One a member; they may be in different epochs.
        orders : (m, n) array, optional
            What ``epoch_orders`` returns for them, if it was computed before.
        """
        orders = epoch_orders(members, len(self.train)) if orders is None else orders
        self._members = members
        self.order.copy_(torch.from_numpy(orders))
        self.rates.copy_(torch.from_numpy(self._rates(members)))
        seeds, epochs = [member.seed for member in members], [member.epoch for member in members]
        self.epoch_keys.copy_(epoch_keys(seeds, epochs, self.counter.device))
        self.counter.zero_()
        self.totals.zero_()
        self.strategy.train()

    def run(self, steps: int | None = None) -> None:
        """Make all steps of the epoch, or its first ``steps``; on a GPU they are queued, not awaited."""
        for step, piece in enumerate(self.slices[:steps]):
            self._step(step, piece)

    def losses_by_step(self, steps: int) -> list[Float64[Tensor, " m"]]:
        """Make the first steps of the epoch; return every member's mean loss up to each of them."""
        found = []
        for step, piece in enumerate(self.slices[:steps]):
            self._step(step, piece)
            found.append(self.train_losses())
        return found

    def train_losses(self) -> Float64[Tensor, " m"]:
        """Return the mean loss of the epoch so far, of every member."""
        return self.totals[0] / self.totals[1]

    def _step(self, step: int, piece: slice) -> None:
        altered = self._altered(step, piece) if self.config.augment else None
        if self._graph is not None and step < self.full_steps:
            if altered is not None:
                self._inputs.copy_(altered)
            self._graph.replay()
        else:
            self._advance(self._rows(piece), altered)

    def _rows(self, piece: slice) -> Int64[Tensor, "m b"]:
        return self.order[:, piece]

    def _inputs_of(self, rows: Int64[Tensor, "m b"]) -> Float[Tensor, "m b 4 l"]:
        codes = self.train.codes[rows.flatten()]
        return one_hot(codes, self.state.flat.dtype).unflatten(0, rows.shape)

    def _altered(self, step: int, piece: slice) -> Float[Tensor, "m b 4 l"]:
        """Return inputs altered as those of a member that is trained alone."""
        inputs = []
        for member, rows in zip(self._members, self._rows(piece), strict=True):
            recipe = self.config.recipe_of(member.epoch)
            seed = derive_seed(member.seed, "augment", member.epoch, step)
            # their own labels stay theirs (``AlteredBatches``): only the inputs are asked for
            inputs.append(ALTERED.make(self.train.codes[rows], {}, recipe, seed)[0])
        return torch.stack(inputs).to(self.state.flat.dtype)

    def _captured_step(self) -> None:
        """Make the step that the counter on the device points at; alterations are drawn outside, their seeds being the host's."""
        rows = self.order.index_select(1, self.counter * self.config.batch_size + self._batch)
        self._advance(rows, self._inputs if self.config.augment else None)

    def _advance(self, rows: Int64[Tensor, "m b"], inputs: Tensor | None) -> None:
        strategy, state = self.strategy, self.state
        self.rate.copy_(self.rates.index_select(0, self.counter)[0])
        strategy.keys.copy_(step_keys(self.epoch_keys, self.counter))
        labels = {name: label[rows] for name, label in self.train.labels.items()}
        inputs = self._inputs_of(rows) if inputs is None else inputs
        with autocast(self.precision, rows.device):
            raw = strategy.raw(inputs)
        losses = strategy.losses(raw.to(state.flat.dtype), labels).flatten(1).sum(1)
        # Members share no weights, so the gradient of the sum is every member's own gradient.
        present = _n_present(labels["activity"])
        total = (losses / present).sum()
        gradients = torch.autograd.grad(total, strategy.leaves, allow_unused=True, materialize_grads=True)
        torch._foreach_copy_(strategy.gradients, list(gradients))  # type: ignore[attr-defined]  # one kernel, no public name
        self._move()
        self.totals += torch.stack([losses.detach(), present]).double()
        self.counter += 1

    def _move(self) -> None:
        """Let the optimiser move the weights by the gradients that lie in the rows."""
        state = self.state
        directions = {}
        if state.matrices:
            kind = "bfloat16" if self.precision == "bfloat16" else "float32"
            gradients, momentum = state.views(state.gradients), state.views(state.momentum)
            for name in state.matrices:
                directions[name] = muon_direction(gradients[name], momentum[name], kind, stacked=True)
                gradients[name].zero_()  # Adam, which moves whole rows, leaves what never had a gradient
        self._optimiser.step()
        weights = state.views(state.flat)
        for name, direction in directions.items():
            rate = self.rate.to(direction.dtype).view(-1, *[1] * (direction.dim() - 1))
            weights[name].sub_(direction * rate)

    def _rates(self, members: Sequence[MemberEpoch]) -> ndarray:
        steps = len(self.slices)
        rates = np.empty((steps, len(members)))
        for k, member in enumerate(members):
            first, all_steps = member.epoch * steps, self.config.epochs * steps
            if self.config.schedule == "plateau":  # constant within an epoch
                rates[:, k] = member.schedule.step_rate(first, all_steps)
            else:
                rates[:, k] = [member.schedule.step_rate(first + step, all_steps) for step in range(steps)]
        return rates

    def _capture(self) -> None:
        """Record one step as a graph; the steps that this takes are undone."""
        tensors = self.state.tensors() | {"counter": self.counter, "totals": self.totals}
        before = {name: value.clone() for name, value in tensors.items()}
        try:
            self._graph = captured(self._captured_step, self.counter.zero_)
        except RuntimeError as error:
            self.eager_because = (str(error).splitlines() or [type(error).__name__])[0]
            logger.warning(
                "the training step is not captured (%s); it runs kernel by kernel", self.eager_because
            )
        for name, value in tensors.items():
            value.copy_(before[name])


def epoch_orders(members: Sequence[MemberEpoch], n: int) -> ndarray:
    """Return the order in which every member sees its ``n`` training rows, (m, n)."""
    return np.stack([epoch_order(member.seed, member.epoch, n) for member in members])


def captured(function: Callable[[], None], rewind: Callable[[], object]) -> torch.cuda.CUDAGraph:
    """Return a CUDA graph of one call, made after some calls on a side stream as PyTorch asks for.

    Parameters
    ----------
    function : callable
    rewind : callable
        Called before each call: an epoch of few batches ends before the calls do, and the next would read behind its end.

    Raises
    ------
    RuntimeError
        When an operation cannot be captured.
    """
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(_WARM_UP_STEPS):
            rewind()
            function()
        rewind()
    torch.cuda.current_stream().wait_stream(side)
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    # thread_local: the thread that shows progress must not spoil the capture.
    with torch.cuda.graph(graph, capture_error_mode="thread_local"):
        function()
    return graph


@dataclass(frozen=True, eq=False)
class _AdamOfRows:
    """Adam in one kernel: PyTorch's takes one a member, each of which keeps a tenth of a large GPU busy."""

    state: StackState
    config: TrainingConfig
    rate: Tensor

    def step(self) -> None:
        """Make one step of every member."""
        from octodon.models.kernels.adam import move_rows  # an optional package

        state = self.state
        state.steps.add_(1)
        moments = (state.exp_avg, state.exp_avg_sq)
        settings = (*BETAS, EPS, self.config.weight_decay)
        move_rows(state.flat, state.gradients, moments, state.steps, self.rate, settings)


def _n_present(label: Tensor) -> Tensor:
    """Return rows x targets with a label, (m, b, t) -> (m,), at least one; of replicates (m, b, t, r) one is enough."""
    present = torch.isfinite(label)
    return (present.any(3) if present.dim() == 4 else present).flatten(1).sum(1).clamp(min=1)


def _optimiser(
    state: StackState, config: TrainingConfig, rate: Tensor
) -> torch.optim.Optimizer | _AdamOfRows:
    """Return Adam, whose moments, counts of steps and learning rates are rows of the stack.

    With one group a member and the same fused kernel as for a network alone, so that the same gradients give the same bits; on
    a GPU with Triton one kernel for all members.
    """
    if state.flat.is_cuda and state.flat.dtype == torch.float32 and has_triton():
        return _AdamOfRows(state, config, rate)
    groups = []
    for member in range(len(state)):
        row = state.flat[member].detach().requires_grad_()
        row.grad = state.gradients[member]
        groups.append({"params": [row], "lr": rate[member]})
    optimiser = adam(groups, config, capturable=state.flat.is_cuda)
    for member, group in enumerate(optimiser.param_groups):
        optimiser.state[group["params"][0]] = {
            "step": state.steps[member],
            "exp_avg": state.exp_avg[member],
            "exp_avg_sq": state.exp_avg_sq[member],
        }
    return optimiser
