"""A stream of random numbers of its own for a block, on exactly the devices that are named."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

_CPU = torch.device("cpu")


@contextmanager
def seeded(seed: int, device: torch.device = _CPU) -> Iterator[None]:
    """Draw from the stream of ``seed`` on the CPU and on ``device`` inside the block; every generator comes back as found.

    ``torch.manual_seed`` would also reseed the generators of all GPUs, which nobody puts back; on the CPU the stream is
    the same as after that call.
    """
    on_gpu = device.type == "cuda"
    with torch.random.fork_rng(devices=[device] if on_gpu else [], device_type="cuda"):
        torch.default_generator.manual_seed(seed)
        if on_gpu:
            with torch.cuda.device(device):
                torch.cuda.manual_seed(seed)
        yield
