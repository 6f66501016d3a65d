"""Dropout whose mask is a function of (key of the member and epoch, step, layer, element): no generator, no neighbours.

A generator would have to be drawn from in turn by all members of a stack. A hash of where an element is and of a key
gives every member its own stream whatever else is in the stack, the same in every strategy and on every device, and inside
captured and compiled steps.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Int32
from torch import Tensor, nn

from octodon.models.kernels.blocks import has_triton
from octodon.seeds import derive_seed

_GOLDEN = -1640531527  # 2^32 / golden ratio, as signed
_FIRST, _SECOND = 0x7FEB352D, 0x846CA68B - 2**32  # multipliers of lowbias32 (C. Wellons, hash-prospector)
_CALLS = 64
"""Calls of one layer in one forward pass that have masks of their own."""


class StreamDropout(nn.Module):
    """Dropout with masks from ``keys``: (2,) for one member, (m, 2) for m members stacked on the batch axis."""

    keys: Tensor
    in_one_pass = True
    """Whether a kernel may be asked; ``torch.func`` cannot look into one."""

    def __init__(self, probability: float, layer: int) -> None:
        super().__init__()
        self.probability = probability
        self.layer = layer
        self.calls = 0
        self.register_buffer("keys", torch.zeros(2, dtype=torch.int32), persistent=False)
        self._places: dict[tuple[object, ...], Tensor] = {}

    def forward(self, x: Tensor) -> Tensor:
        """Return x with elements dropped and the others scaled to keep the mean; x itself in evaluation mode."""
        if not self.training or self.probability == 0:
            return x
        call = self.layer * _CALLS + self.calls % _CALLS
        self.calls += 1
        stacked = self.keys.unflatten(0, (-1,)) if self.keys.dim() == 2 else None
        y = x if stacked is None else x.unflatten(0, (len(stacked), -1))
        shape = y.shape if stacked is None else y.shape[1:]
        if self.in_one_pass and x.is_cuda and has_triton() and not torch.compiler.is_compiling():
            return _InOnePass.apply(x, self._place(shape, call, x.device), self.keys, self.probability)  # type: ignore[no-any-return]
        keep = _keep(self._place(shape, call, x.device), self.keys, self.probability)
        y = y * (keep.to(x.dtype) * (1 / (1 - self.probability)))
        return y if stacked is None else y.flatten(0, 1)

    def _place(self, shape: torch.Size, call: int, device: torch.device) -> Tensor:
        """Return a hash of every element's place; kept, since it is the same at every step."""
        if torch.compiler.is_compiling():
            return _hash_places(shape, call, device)
        key = (*shape, call, device)
        if key not in self._places:
            self._places[key] = _hash_places(shape, call, device)
        return self._places[key]


class _InOnePass(torch.autograd.Function):
    """The same in one kernel; the gradient is dropped by the same mask, computed again."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, places: Tensor, keys: Tensor, probability: float) -> Tensor:
        # A captured step writes its next keys into the same memory: no version to check.
        ctx.places, ctx.keys, ctx.probability = places, keys, probability
        return _dropped(x, places, keys, probability)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Any, ...]:  # type: ignore[override]
        return _dropped(grad_outputs[0], ctx.places, ctx.keys, ctx.probability), None, None, None


def _dropped(x: Tensor, places: Tensor, keys: Tensor, probability: float) -> Tensor:
    from octodon.models.kernels.hashed_dropout import dropped  # an optional package

    keys = keys.reshape(-1, 2) if keys.dim() == 1 else keys
    flat = x.contiguous().view(len(keys), -1)
    return dropped(flat, places.flatten(), keys, (_threshold(probability), 1 / (1 - probability))).view_as(x)


def epoch_keys(seeds: Sequence[int], epochs: Sequence[int], device: torch.device) -> Int32[Tensor, "m 2"]:
    """Return the two halves of the seed of every member's dropout stream in its epoch."""
    streams = [derive_seed(seed, "dropout", epoch) for seed, epoch in zip(seeds, epochs, strict=True)]
    halves = [(stream & 0xFFFFFFFF, stream >> 32) for stream in streams]
    return torch.tensor(halves, dtype=torch.int64).to(torch.int32).to(device)


def step_keys(keys: Int32[Tensor, "m 2"], step: Tensor) -> Int32[Tensor, "m 2"]:
    """Return the keys of one step of the epoch; ``step`` is a tensor, so that a captured step counts by itself."""
    return _mix(_mix(keys + step.to(torch.int32) * _GOLDEN) ^ keys.flip(1))


def _hash_places(shape: torch.Size, call: int, device: torch.device) -> Tensor:
    places = torch.arange(shape.numel(), dtype=torch.int32, device=device)
    salt = torch.full((1,), call + 1, dtype=torch.int32, device=device) * _GOLDEN
    return _mix(_mix(places) + salt).reshape(shape)


def _keep(places: Tensor, keys: Tensor, probability: float) -> Tensor:
    """Return which elements stay: uniform signed 32-bit numbers compared with a threshold."""
    first, second = keys.unbind(-1)
    if keys.dim() == 2:
        first, second = (half.reshape(-1, *[1] * places.dim()) for half in (first, second))
    x = (places ^ first) * _FIRST
    x = (_fold(x, 15) + second) * _SECOND
    return _fold(x, 16) * _FIRST >= _threshold(probability)


def _threshold(probability: float) -> int:
    return round(probability * 2**32) - 2**31


def _mix(x: Tensor) -> Tensor:
    """Return lowbias32 of 32-bit integers: every input bit flips every output bit with probability near one half."""
    return _fold(_fold(_fold(x, 16) * _FIRST, 15) * _SECOND, 16)


def _fold(x: Tensor, bits: int) -> Tensor:
    """Return x ^ (x >> bits), the shift filling with zeros as for unsigned numbers."""
    return x ^ ((x >> bits) & ((1 << (32 - bits)) - 1))
