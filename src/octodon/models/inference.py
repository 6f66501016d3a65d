"""Answer for many sequences in batches, leaving the model as it was found."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from jaxtyping import UInt8
from numpy import ndarray
from torch import nn

from octodon.models.heads import Moments
from octodon.models.model import Model
from octodon.seq.onehot import one_hot

BATCH_SIZE = 128
"""Sequences at once: activations of a DeepSTARR network stay in cache (512 was six times slower on a CPU)."""


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Run a block with every sub-module in evaluation mode; each mode comes back as found, also after an error."""
    was_training = {module: module.training for module in model.modules()}
    model.eval()
    try:
        yield
    finally:
        for module, flag in was_training.items():
            module.training = flag


def read_in_batches(
    model: Model, codes: UInt8[ndarray, "n l"], batch_size: int = BATCH_SIZE
) -> dict[str, ndarray]:
    """Return the moments of every sequence as float32 arrays (n, t) by name (factors: (n, k, t)), in input order.

    Rows are independent: batch size and neighbours change nothing but the last bits of float32.
    """
    device = next(model.parameters()).device
    pieces: list[Moments] = []
    with evaluating(model), torch.inference_mode():
        for start in range(0, len(codes), batch_size):
            # A copy, since torch refuses to wrap read-only shared arrays without a warning; a batch is small.
            batch = torch.from_numpy(np.array(codes[start : start + batch_size])).to(device)
            pieces.append(model.read(one_hot(batch)))
    return {
        name: np.concatenate([getattr(piece, name).float().cpu().numpy() for piece in pieces])
        for name in ("mean", "epistemic_std", "aleatoric_std", "epistemic_factors")
        if pieces and getattr(pieces[0], name) is not None
    }
