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
) -> Float64[Tensor, " m"]:
    """Return what ``training.loop.mean_loss`` says of every member: each label column averaged over ITS labels present."""
    strategy.train(False)
    flat = strategy.state.flat
    names = head.judged_by or head.columns
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
    return torch.stack([totals[name] / n_present(data.labels[name]) for name in names]).sum(0)
