"""Fit one network: fresh optimiser, seeded batches and dropout, best weights kept by copy."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

import torch
from jaxtyping import UInt8
from torch import Tensor, nn

from octodon.errors import RunError
from octodon.models.model import Model
from octodon.models.precision import Precision, autocast
from octodon.models.seeded import seeded
from octodon.seeds import derive_seed
from octodon.seq.onehot import one_hot
from octodon.training.augment import ALTERED, Batches
from octodon.training.batches import batch_slices, epoch_order
from octodon.training.best import keep_best
from octodon.training.checkpoint import Checkpoint
from octodon.training.config import TrainingConfig
from octodon.training.optimiser import build_optimiser
from octodon.training.schedule import Schedule
from octodon.training.state import EpochRecord, TrainingState

_VALIDATION_BATCH = 256


class DivergedError(RunError):
    """The loss became infinite or NaN; the weights are useless."""


@dataclass(frozen=True, kw_only=True, eq=False)
class LabelledCodes:
    """Sequences with labels by quantity, on the device where they are used."""

    codes: UInt8[Tensor, "n l"]
    labels: Mapping[str, Tensor]

    def __len__(self) -> int:
        return len(self.codes)

    def to(self, device: torch.device) -> LabelledCodes:
        """Return the same rows on a device."""
        labels = {name: label.to(device) for name, label in self.labels.items()}
        return LabelledCodes(codes=self.codes.to(device), labels=labels)


def fit(
    model: Model,
    train: LabelledCodes,
    valid: LabelledCodes,
    config: TrainingConfig,
    seed: int,
    on_epoch: Callable[[EpochRecord], None] | None = None,
    checkpoint: Checkpoint | None = None,
    batches: Batches = ALTERED,
) -> list[EpochRecord]:
    """Train ``model`` in place and leave it, in evaluation mode, with the weights of its best validation epoch.

    Where ``checkpoint`` holds a state of this training, it goes on from there and ends, on a CPU, with the same bits as
    a training that was never interrupted.

    Parameters
    ----------
    model : Model
        A freshly built network; its head takes label scales from ``train``.
    train, valid : LabelledCodes
        On the device of the model.
    seed : int
        Determines data order and dropout; the global generator is left as found.
    on_epoch : callable, optional
        Called with the record of every epoch that is finished here.
    checkpoint : Checkpoint, optional
        Where to go on from, and where to leave the state at the end of an epoch when it is due.
    batches : Batches
        Alters the batches of an epoch by ``config.recipe_of`` it, and says what their labels are then.

    Returns
    -------
    list of EpochRecord
        The history, one record an epoch, those before an interruption included.

    Raises
    ------
    RunError
        The checkpoint is damaged, belongs to another training, or cannot be written.
    DivergedError
        When the training loss or a validation loss (a second backbone has its own) is not finite.
    """
    device = next(model.parameters()).device
    model.head.fit_scale(train.labels)
    set_layers(model, config)
    optimiser = build_optimiser(model, config)
    schedule = Schedule(config, steps_per_epoch=len(batch_slices(len(train), config.batch_size)))
    history: list[EpochRecord] = []
    best: dict[str, Tensor] = {}
    state = None if checkpoint is None else checkpoint.load()
    if checkpoint is not None and state is not None:
        _restore(model, optimiser, schedule, state, checkpoint)
        best, history = dict(state.best), list(state.history)
    while len(history) < config.epochs and not schedule.should_stop:
        epoch = len(history)
        start = time.perf_counter()
        with seeded(derive_seed(seed, "dropout", epoch), device):
            train_loss = _train_epoch(model, train, optimiser, schedule, (seed, epoch), batches)
        valid_loss, second_loss = validation_losses(model, valid, config.precision)
        if not all_finite(train_loss, valid_loss, second_loss):
            raise DivergedError(
                f"training: loss is {train_loss} (validation {valid_loss}) in epoch {epoch + 1}"
            )
        rate = optimiser.param_groups[0]["lr"]
        is_best = schedule.update(epoch, valid_loss)
        is_best_second = second_loss is not None and schedule.update_second(second_loss)
        of_second = None if second_loss is None else is_best_second
        best = keep_best(best, model.state_dict(), is_best, of_second)
        record = EpochRecord(
            epoch=epoch,
            train_loss=train_loss,
            valid_loss=valid_loss,
            learning_rate=rate,
            seconds=time.perf_counter() - start,
            is_best=is_best,
            second_loss=second_loss,
            is_best_second=is_best_second,
        )
        history.append(record)
        if on_epoch is not None:
            on_epoch(record)
        if checkpoint is not None and checkpoint.is_due:
            checkpoint.save(_state(model, optimiser, schedule, best, history))
    model.load_state_dict(best)
    model.eval()
    return history


def mean_loss(model: Model, data: LabelledCodes, precision: Precision = "float32") -> float:
    """Return the loss in evaluation mode, each label column averaged over the labels that are present in IT.

    Validation activity may be missing where the ensemble's std is known; divided by the count of activities, the errors
    of the std would weigh more the more activities are missing.
    """
    return validation_losses(model, data, precision)[0]


def validation_losses(
    model: Model, data: LabelledCodes, precision: Precision = "float32"
) -> tuple[float, float | None]:
    """Return ``mean_loss``, and that of a second backbone; None where there is none."""
    head = model.head
    losses = _column_losses(model, data, (*head.judges, *head.second_judged_by), precision)
    second = sum(losses[name] for name in head.second_judged_by) if head.second_judged_by else None
    return sum(losses[name] for name in head.judges), second


def _column_losses(
    model: Model, data: LabelledCodes, names: Collection[str], precision: Precision
) -> dict[str, float]:
    model.eval()
    totals = {name: torch.zeros((), dtype=torch.float64, device=data.codes.device) for name in names}
    with torch.inference_mode():
        for rows in batch_slices(len(data), _VALIDATION_BATCH):
            labels = {name: data.labels[name][rows] for name in model.head.needs}
            raw = _forward(model, one_hot(data.codes[rows]), precision)
            for name in names:
                # A column without labels adds nothing (every head promises it), so this is the share of one column.
                hidden = {
                    other: torch.full_like(label, math.nan)
                    for other, label in labels.items()
                    if other in model.head.columns and other != name
                }
                totals[name] += model.head.loss(raw, labels | hidden).double().sum()
    return {name: float(totals[name] / n_present(data.labels[name])) for name in names}


def _forward(model: Model, inputs: Tensor, precision: Precision) -> Tensor:
    """Return the raw columns; the head, whose few products cost nothing, is computed in the numbers of its weights."""
    with autocast(precision, inputs.device):
        features = model.backbone(inputs)
    return model.head(features.to(model.head.linear.weight.dtype))


def _train_epoch(
    model: Model,
    train: LabelledCodes,
    optimiser: torch.optim.Optimizer,
    schedule: Schedule,
    seed_and_epoch: tuple[int, int],
    batches: Batches,
) -> float:
    model.train()
    seed, epoch = seed_and_epoch
    order = torch.from_numpy(epoch_order(seed, epoch, len(train))).to(train.codes.device)
    slices = batch_slices(len(train), schedule.config.batch_size)
    recipe = schedule.config.recipe_of(epoch)
    total = torch.zeros(2, dtype=torch.float64, device=train.codes.device)  # loss, and labels that it is of
    for step, piece in enumerate(slices):
        rows = order[piece]
        labels = {name: label[rows] for name, label in train.labels.items()}
        rate = schedule.step_rate(epoch * len(slices) + step, schedule.config.epochs * len(slices))
        for group in optimiser.param_groups:
            group["lr"] = rate
        inputs, labels = batches.make(
            train.codes[rows], labels, recipe, derive_seed(seed, "augment", epoch, step)
        )
        raw = _forward(model, inputs, schedule.config.precision)
        loss = model.head.loss(raw, labels).sum()
        optimiser.zero_grad(set_to_none=True)
        # Training labels of a student are those of the ensemble: activity and std are there together, or neither.
        present = n_present(labels["activity"])
        (loss / present).backward()
        optimiser.step()
        total += torch.stack([loss.detach(), present]).double()
    return float(total[0] / total[1])


def all_finite(*losses: float | None) -> bool:
    """Return whether every loss that there is (None: there is no second backbone) is a number."""
    return all(math.isfinite(loss) for loss in losses if loss is not None)


def set_layers(model: Model, config: TrainingConfig) -> None:
    """Give every BatchNorm and dropout layer what the training says of it, if it says a number."""
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and config.norm_momentum != "backbone":
            module.momentum = config.norm_momentum
        if isinstance(module, nn.modules.dropout._DropoutNd) and not isinstance(config.dropout, str):
            module.p = config.dropout


def n_present(label: Tensor) -> Tensor:
    """Return rows x targets with a label, as a tensor: a GPU is not made to wait for the number at every step."""
    present = torch.isfinite(label)
    # of replicates (n, t, r) one is enough
    return (present.any(2) if present.dim() == 3 else present).sum().clamp(min=1)


def _state(
    model: Model,
    optimiser: torch.optim.Optimizer,
    schedule: Schedule,
    best: Mapping[str, Tensor],
    history: list[EpochRecord],
) -> TrainingState:
    """Return the state to be written now: its tensors are the live ones, which the next step changes."""
    moments = {
        name: dict(optimiser.state[parameter])
        for name, parameter in model.named_parameters()
        if parameter in optimiser.state
    }
    return TrainingState(
        weights=model.state_dict(),
        best=best,
        optimiser=moments,
        schedule=schedule.state(),
        history=tuple(history),
    )


def _restore(
    model: Model,
    optimiser: torch.optim.Optimizer,
    schedule: Schedule,
    state: TrainingState,
    checkpoint: Checkpoint,
) -> None:
    try:
        model.load_state_dict(dict(state.weights))
        schedule.restore(state.schedule)
        for name, parameter in model.named_parameters():
            for key, value in state.optimiser.get(name, {}).items():
                # empty_like: fused kernels walk parameter and moments alike, whatever the layout of the parameter.
                kept = torch.empty_like(parameter) if value.shape == parameter.shape else value
                optimiser.state[parameter][key] = kept.copy_(value).to(parameter.device)
    except (RuntimeError, KeyError) as error:
        raise RunError(
            f"{checkpoint.path}: checkpoint does not fit the network ({str(error).splitlines()[-1].strip()}); remove it "
            f"to train the network from its beginning"
        ) from None
