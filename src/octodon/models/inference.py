"""Answer for many sequences in batches, leaving the model as it was found."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import fields

import numpy as np
import torch
from jaxtyping import UInt8
from numpy import ndarray
from torch import Tensor, nn

from octodon.models.heads import Moments
from octodon.models.inference_gpu import gpu_batch, read_on_gpu
from octodon.models.lowering import lower
from octodon.models.model import Model
from octodon.seq.onehot import one_hot

BATCH_SIZE = 128
"""Sequences at once: activations of a DeepSTARR network stay in cache (512 was six times slower on a CPU)."""
_LOWERED_BATCH = 64
"""Sequences at once on each core through a lowered network."""


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

    Rows are independent: batch size and neighbours change nothing but the last bits of float32. Many sequences on a CPU go
    through an equal form of the network that takes fewer operations (``octodon.models.lowering``), a batch per core.
    """
    device = next(model.parameters()).device

    def read(batch: Tensor) -> Moments:
        return model.read(one_hot(batch.to(device)))

    with evaluating(model):
        lowered = lower(model, *codes.shape)
        if device.type == "cuda":
            moments = read_on_gpu(model, codes, max(batch_size, gpu_batch(device)))
        elif lowered is None:
            moments = [_read_batch(read, piece) for piece in _pieces(codes, batch_size)]
        else:
            moments = _read_on_every_core(lowered.read, _pieces(codes, min(batch_size, _LOWERED_BATCH)))
    return {
        field.name: torch.cat([getattr(piece, field.name) for piece in moments]).float().cpu().numpy()
        for field in fields(Moments)
        if moments and getattr(moments[0], field.name) is not None
    }


def _pieces(codes: UInt8[ndarray, "n l"], size: int) -> list[ndarray]:
    return [codes[start : start + size] for start in range(0, len(codes), size)]


def _read_batch(read: Callable[[Tensor], Moments], codes: UInt8[ndarray, "n l"]) -> Moments:
    with torch.inference_mode():
        # A copy, since torch refuses to wrap read-only shared arrays without a warning; a batch is small.
        return read(torch.from_numpy(np.array(codes)))


def _read_on_every_core(read: Callable[[Tensor], Moments], pieces: list[ndarray]) -> list[Moments]:
    """Answer for batches side by side, one thread each: a small batch split over the cores keeps them waiting for each other."""
    count = torch.get_num_threads()
    if count == 1 or len(pieces) == 1:
        return [_read_batch(read, piece) for piece in pieces]
    try:
        with ThreadPoolExecutor(count, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            return list(pool.map(lambda piece: _read_batch(read, piece), pieces))
    finally:
        torch.set_num_threads(count)  # what a thread sets is also what later threads begin with
