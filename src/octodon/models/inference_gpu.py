"""Answer for many sequences on a GPU: large batches, copied ahead of their turn, and no waiting between them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import torch
from jaxtyping import Float, UInt8
from numpy import ndarray
from torch import Tensor

from octodon.models.heads import Moments
from octodon.models.lowering.graph import simplify, trace
from octodon.models.model import Model
from octodon.seq.onehot import one_hot

Backbone = Callable[[Float[Tensor, "n 4 l"]], Tensor]
logger = logging.getLogger(__name__)

GPU_BATCH = 4096
"""Sequences at once: the first layer of DeepSTARR then writes 1 GB, which fits a small GPU."""
_LARGE_GPU_BATCH, _LARGE_GPU_BYTES = 16_384, 24 * 2**30
"""The same where so much memory is free: twice as fast on an H200, where starting a batch takes longer than computing 4,096."""
_MANY_BATCHES = 8
"""From here on it pays to compute one batch in two ways."""
_TOLERANCE = 1e-4
"""Of the largest feature, in true float32."""


def read_on_gpu(model: Model, codes: UInt8[ndarray, "n l"], batch_size: int) -> list[Moments]:
    """Return the moments of every sequence, batch by batch, on the device of the model, which is in evaluation mode.

    Codes travel as one byte a base from pinned memory on a stream of their own, while the batch before is computed. Of many
    sequences the first ones are computed both by the network as it is, whose blocks may have kernels of their own
    (``models.kernels``), and by one with BatchNorm folded and pooling before the activation (``models.lowering``); the
    faster one goes on. Products are as precise as PyTorch's setting for convolutions says, by default TF32: answers differ
    from those of a CPU in the fourth digit.
    """
    device = next(model.parameters()).device
    with torch.inference_mode():
        ways, found = [_simplified(model, codes.shape[1]), model.backbone], []
    with torch.inference_mode(), _products_as_in_convolutions(device):
        for batch in _sent(codes, batch_size, device):
            if len(ways) > 1:
                ways = (
                    [_fastest(ways, one_hot(batch))] if len(codes) >= _MANY_BATCHES * batch_size else ways[:1]
                )
            found.append(model.head.read(model.head(ways[0](one_hot(batch)))))
        return found


def gpu_batch(device: torch.device) -> int:
    """Return how many sequences at once keep a device busy and fit it."""
    if device.type != "cuda":
        return GPU_BATCH
    free, _ = torch.cuda.mem_get_info(device)
    return _LARGE_GPU_BATCH if free >= _LARGE_GPU_BYTES else GPU_BATCH


def _fastest(ways: list[Backbone], x: Float[Tensor, "n 4 l"]) -> Backbone:
    """Return the fastest of several equal ways, each warmed up before it is timed."""
    if not x.is_cuda:
        return ways[0]
    times = []
    for way in ways:
        way(x)
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        way(x)
        end.record()
        end.synchronize()
        times.append(begin.elapsed_time(end))
    return ways[times.index(min(times))]


@contextmanager
def _products_as_in_convolutions(device: torch.device) -> Iterator[None]:
    """Let matrix products use TF32 where convolutions do: in the kernels a convolution is a product."""
    before = torch.get_float32_matmul_precision()
    if device.type == "cuda" and torch.backends.cudnn.allow_tf32:
        torch.set_float32_matmul_precision("high")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


def _sent(codes: UInt8[ndarray, "n l"], size: int, device: torch.device) -> Iterator[UInt8[Tensor, "b l"]]:
    """Give batches on the device, each sent while the one before is worked on."""
    starts = range(0, len(codes), size)
    if device.type != "cuda":
        for start in starts:
            yield torch.from_numpy(np.array(codes[start : start + size])).to(device)
        return
    beside, here = torch.cuda.Stream(device), torch.cuda.current_stream(device)

    def send(start: int) -> tuple[Tensor, torch.cuda.Event]:
        piece = codes[start : start + size]
        pinned = torch.empty(piece.shape, dtype=torch.uint8, pin_memory=True)
        np.copyto(pinned.numpy(), piece)
        with torch.cuda.stream(beside):
            batch = pinned.to(device, non_blocking=True)
            # Its memory must not be given away before those who read it on the other stream are done.
            batch.record_stream(here)
            arrived = torch.cuda.Event()
            arrived.record(beside)
            return batch, arrived

    following = send(0)
    for start in starts:
        batch, arrived = following
        if start + size < len(codes):
            following = send(start + size)
        here.wait_event(arrived)
        yield batch


def _simplified(model: Model, length: int) -> Backbone:
    """Return the backbone in an equal form of fewer steps; itself where there is none."""
    try:
        return _simplified_if_equal(model, length)
    except Exception:  # a user's layers may do anything with what is done to them here
        logger.debug("%s is computed as it is", type(model.backbone).__name__, exc_info=True)
        return model.backbone


def _simplified_if_equal(model: Model, length: int) -> Backbone:
    graph = trace(model.backbone)
    if graph is None:
        return model.backbone
    simplify(graph)
    device = next(model.parameters()).device
    graph.to(device)
    generator = torch.Generator().manual_seed(0)
    codes = torch.randint(0, 5, (6, length), generator=generator).to(torch.uint8).to(device)
    with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
        expected, got = model.backbone(one_hot(codes)), graph(one_hot(codes))
    if expected.shape == got.shape and (expected - got).abs().max() <= _TOLERANCE * expected.abs().max():
        return graph
    logger.warning("%s is computed as it is: its simpler form differs", type(model.backbone).__name__)
    return model.backbone
