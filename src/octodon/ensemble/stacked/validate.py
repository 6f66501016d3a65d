"""The validation loss of every member in one stacked pass."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float64
from torch import Tensor

from octodon.ensemble.stacked.precision import autocast
from octodon.ensemble.stacked.strategies import Strategy
from octodon.models.heads import Head
from octodon.seq.onehot import one_hot
from octodon.training.batches import batch_slices
from octodon.training.loop import LabelledCodes, n_present

_ROWS = {"cpu": 256, "cuda": 2048}
"""Sequences at once, of every member: on a CPU as in ``training.loop``, on a GPU enough to fill it."""


def validation_losses(
    strategy: Strategy, data: LabelledCodes, head: Head, precision: str
) -> tuple[Float64[Tensor, " m"], Float64[Tensor, " m"] | None]:
    """Return what ``training.loop.validation_losses`` says of every member: each label column averaged over ITS labels."""
    losses = _column_losses(strategy, data, head, precision)
    first, second = (
        torch.stack([losses[name] for name in names]).sum(0) if names else None
        for names in (head.judges, head.second_judged_by)
    )
    assert first is not None
    return first, second


def _column_losses(
    strategy: Strategy, data: LabelledCodes, head: Head, precision: str
) -> dict[str, Float64[Tensor, " m"]]:
    strategy.train(False)
    flat = strategy.state.flat
    names = (*head.judges, *head.second_judged_by)
    totals = {name: flat.new_zeros(len(flat), dtype=torch.float64) for name in names}
    with torch.no_grad():
        for rows in batch_slices(len(data), _ROWS.get(flat.device.type, 256)):
            # All members see the same rows: expanded, not copied.
            x = one_hot(data.codes[rows], flat.dtype).expand(len(flat), -1, -1, -1)
            labels = {name: data.labels[name][rows] for name in head.needs}
            labels = {name: label.expand(len(flat), *label.shape) for name, label in labels.items()}
            with autocast(precision, flat.device):
                raw = strategy.raw(x)
            raw = raw.to(flat.dtype)
            for name in names:
                # A column without labels adds nothing (every head promises it), so this is the share of one column.
                hidden = {
                    other: torch.full_like(labels[other], math.nan) for other in head.columns if other != name
                }
                totals[name] += strategy.losses(raw, labels | hidden).double().flatten(1).sum(1)
    return {name: totals[name] / n_present(data.labels[name]) for name in names}
