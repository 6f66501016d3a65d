"""The changed windows of all mutants of one phase, layer after layer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from octodon.attribution.fast_ism.program import Add, Conv, Pointwise, Pool, Program, Scale, Sink
from octodon.attribution.fast_ism.trace import Trace
from octodon.attribution.fast_ism.windows import Window, strides_of, windows_of

_CHUNK_NUMBERS = 1_000_000
"""Numbers of a layer at once, 4 MB of float32: fewer are quicker to read again, more are fewer calls (250,000: a fifth slower)."""
_PRODUCT_ROWS = 512
"""Rows of a matrix product at once: its result is still in cache when it is added (1536 rows: a quarter slower)."""


class References:
    """Values of the unmutated sequences, position-major, with room on both sides for windows that reach over the ends."""

    def __init__(self, program: Program, passed: Trace, length: int) -> None:
        self._program, self._passed = program, passed
        self.dtype = passed.calls[program.sinks[0].call].result.dtype
        self._padded: dict[int, Tensor] = {}
        phases = min(max(strides_of(program)), length)
        self.windows = [windows_of(program, phase) for phase in range(phases)]
        self.strides = strides_of(program)
        self.counts = [len(range(phase, length, max(self.strides))) for phase in range(phases)]
        self.lengths = [self._value(number).shape[1] for number in range(len(program.layers))]
        self.margins = [self._margin(number) for number in range(len(program.layers))]
        self._dense: dict[int, Tensor] = {}
        self._side_by_side: dict[int, Tensor] = {}

    def features(self, sink: Sink) -> Float[Tensor, "n f"]:
        """Return the result of a linear step."""
        return self._passed.calls[sink.call].result.detach()

    def dense(self, sink: Sink) -> Float[Tensor, "l c o"]:
        """Return the weights of a linear step, with room on both sides."""
        if sink.call not in self._dense:
            assert sink.dense is not None
            left, right = self.margins[sink.last]
            self._dense[sink.call] = F.pad(sink.dense, (0, 0, 0, 0, left, right)).contiguous()
        return self._dense[sink.call]

    def side_by_side(self, layer: Conv) -> Float[Tensor, "c p"]:
        """Return the k matrices of a convolution beside each other."""
        if id(layer) not in self._side_by_side:
            self._side_by_side[id(layer)] = layer.weight.transpose(0, 1).flatten(1).contiguous()
        return self._side_by_side[id(layer)]

    def window(
        self, number: int, window: Window, rows: slice, first: int, count: int
    ) -> Float[Tensor, "n j 1 w c"]:
        """Return a view of the windows ``first`` to ``first + count`` of a layer."""
        if number not in self._padded:
            left, right = self.margins[number]
            self._padded[number] = F.pad(self._value(number), (0, 0, left, right)).contiguous()
        value = self._padded[number][rows]
        _, positions, channels = value.shape
        offset = (self.margins[number][0] + window.start + first * window.step) * channels
        return value.as_strided(
            (len(value), count, 1, window.width, channels),
            (positions * channels, window.step * channels, 0, channels, 1),
            value.storage_offset() + offset,
        )

    def _margin(self, number: int) -> tuple[int, int]:
        left = right = 0
        for windows, count in zip(self.windows, self.counts, strict=True):
            window = windows[number]
            left = max(left, -window.start)
            last = window.start + (count - 1) * window.step + window.width
            right = max(right, last - self.lengths[number])
        return left, right

    def _value(self, number: int) -> Float[Tensor, "n l c"]:
        layer = self._program.layers[number]
        value = (self._passed.x if layer.call < 0 else self._passed.calls[layer.call].result).detach()
        if layer.layout == "nc1l":
            value = value.squeeze(2)
        return value if layer.layout == "nlc" else value.transpose(1, 2)


@dataclass(eq=False)
class _Chunk:
    """Some mutants on their way: what is known of each layer, as difference to the reference or as it is."""

    rows: slice
    first: int
    count: int
    deltas: dict[int, Tensor] = field(default_factory=dict)
    values: dict[int, Tensor] = field(default_factory=dict)


class Phase:
    """Mutations at every s-th position, s the product of the poolings.

    Parameters
    ----------
    codes : (n, j)
        The bases that are there.
    others : (n, j, 3)
        The bases that take their place.
    """

    def __init__(
        self,
        program: Program,
        references: References,
        phase: int,
        codes: Int[Tensor, "n j"],
        others: Int[Tensor, "n j 3"],
    ) -> None:
        self._program, self._references = program, references
        self._windows = references.windows[phase]
        self._codes, self._others = codes, others
        self._outside = [self._outside_of(number) for number in range(len(program.layers))]
        self._wants_value = _wants_value(program)

    def features(self, sink: Sink) -> Float[Tensor, "r f"]:
        """Return the result of a linear step for every mutant, rows (j, n, 3)."""
        n, count = self._codes.shape
        needed = _needed(self._program, sink)
        pieces = [
            torch.cat(
                [
                    self._last(_Chunk(rows=rows, first=first, count=size), needed)
                    for first, size in self._spans(count)
                ],
                1,
            )
            for rows in self._rows(n, count)
        ]
        delta = torch.cat(pieces)
        reference = self._references.features(sink)[:, None]
        if sink.dense is None:
            changed = delta.sum(3) / self._references.lengths[sink.last]
            return (changed.transpose(0, 1) + reference).flatten(0, 2)
        changed = torch.bmm(
            delta.permute(1, 0, 2, 3, 4).reshape(count, n * 3, -1), self._dense_windows(sink, count)
        )
        return (changed.unflatten(1, (n, 3)) + reference).flatten(0, 2)

    def _dense_windows(self, sink: Sink, count: int) -> Float[Tensor, "j w o"]:
        """Return the dense layer's weights at the windows of each mutation."""
        dense = self._references.dense(sink)
        _, channels, outputs = dense.shape
        window, left = self._windows[sink.last], self._references.margins[sink.last][0]
        return dense.as_strided(
            (count, window.width * channels, outputs),
            (window.step * channels * outputs, outputs, 1),
            (left + window.start) * channels * outputs,
        )

    def _largest(self) -> int:
        """Return the most numbers that one mutant has in a layer."""
        sizes = [
            self._windows[number].width * self._channels(number)
            for number in range(len(self._program.layers))
        ]
        return max(sizes)

    def _channels(self, number: int) -> int:
        layer = self._program.layers[number]
        if isinstance(layer, Conv):
            return layer.weight.shape[2]
        return self._channels(layer.inputs[0]) if layer.inputs else 4

    def _rows(self, n: int, count: int) -> list[slice]:
        size = max(1, _CHUNK_NUMBERS // (3 * count * self._largest()))
        return [slice(start, min(start + size, n)) for start in range(0, n, size)]

    def _spans(self, count: int) -> list[tuple[int, int]]:
        size = max(1, _CHUNK_NUMBERS // (3 * self._largest()))
        return [(first, min(size, count - first)) for first in range(0, count, size)]

    def _last(self, chunk: _Chunk, needed: Sequence[int]) -> Float[Tensor, "n j 3 w c"]:
        """Return the difference of the last of the layers ``needed``; the input needs no computing."""
        for number in needed[1:]:
            self._compute(chunk, number)
        return self._delta(chunk, needed[-1])

    def _compute(self, chunk: _Chunk, number: int) -> None:
        layer = self._program.layers[number]
        source = layer.inputs[0]
        if isinstance(layer, Conv):
            self._convolve(chunk, number, layer)
        elif isinstance(layer, Scale):
            chunk.deltas[number] = self._delta(chunk, source) * layer.factor
        elif isinstance(layer, Pointwise):
            chunk.values[number] = layer.function(self._value(chunk, source))
        elif isinstance(layer, Pool):
            chunk.values[number] = _pool(self._value(chunk, source), layer.size)
        elif isinstance(layer, Add):
            total = None
            for other in layer.inputs:
                total = self._placed(chunk, other, number, total)
            assert total is not None
            chunk.deltas[number] = total

    def _placed(self, chunk: _Chunk, source: int, number: int, total: Tensor | None) -> Tensor:
        """Return ``total`` plus the difference of a layer, in the window of layer ``number``."""
        delta, window, inside = self._delta(chunk, source), self._windows[number], self._windows[source]
        if total is None:
            total = delta.new_zeros((*delta.shape[:3], window.width, delta.shape[4]))
        at = inside.start - window.start
        total[..., at : at + inside.width, :] += delta
        return total

    def _convolve(self, chunk: _Chunk, number: int, layer: Conv) -> None:
        source, window = layer.inputs[0], self._windows[number]
        n = chunk.rows.stop - chunk.rows.start
        shape = (n, chunk.count, 3, window.width, layer.weight.shape[2])
        wanted = self._wants_value[number]
        if source == 0:
            result = self._first(chunk, number, layer)
            if wanted:
                result += self._reference(chunk, number)
        else:
            result = layer.weight.new_empty(shape)
            if wanted:
                result.copy_(self._reference(chunk, number).expand(shape))
            else:
                result.zero_()
            self._fold(self._delta(chunk, source), layer, window.before, result)
        (chunk.values if wanted else chunk.deltas)[number] = result

    def _fold(self, delta: Float[Tensor, "n j m w c"], layer: Conv, before: int, result: Tensor) -> None:
        """Add a convolution of the differences to ``result``: one product, its k parts shifted against each other."""
        size, channels, outputs = layer.weight.shape
        width = delta.shape[3]
        weight = self._references.side_by_side(layer)
        delta, result = delta.flatten(0, 2), result.flatten(0, 2)
        rows = max(1, _PRODUCT_ROWS // width)
        for some, into in zip(delta.split(rows), result.split(rows), strict=True):
            parts = (some.reshape(-1, channels) @ weight).view(len(some), width, size, outputs)
            for tap in range(size):
                at = before + (size - 1 - tap) * layer.dilation
                into[:, at : at + width] += parts[:, :, tap]

    def _first(self, chunk: _Chunk, number: int, layer: Conv) -> Float[Tensor, "n j 3 w o"]:
        """Return the difference of the first convolution: two of its columns, a look-up instead of a product."""
        window = self._windows[number]
        table = layer.weight.new_zeros(4, 4, window.width, layer.weight.shape[2])
        size = len(layer.weight)
        for tap in range(size):
            at = window.before + self._windows[0].before + (size - 1 - tap) * layer.dilation
            table[:, :, at] += layer.weight[tap][None] - layer.weight[tap][:, None]
        span = slice(chunk.first, chunk.first + chunk.count)
        pair = self._codes[chunk.rows, span, None] * 4 + self._others[chunk.rows, span]
        found = table.flatten(2).flatten(0, 1).index_select(0, pair.flatten())
        return found.view(*pair.shape, window.width, -1)

    def _reference(self, chunk: _Chunk, number: int) -> Tensor:
        return self._references.window(number, self._windows[number], chunk.rows, chunk.first, chunk.count)

    def _value(self, chunk: _Chunk, number: int) -> Tensor:
        """Return a layer's value; the caller may not change it."""
        if number not in chunk.values:
            chunk.values[number] = self._delta(chunk, number) + self._reference(chunk, number)
        return chunk.values[number]

    def _delta(self, chunk: _Chunk, number: int) -> Tensor:
        """Return a layer's difference to the reference, 0 outside the sequence."""
        if number == 0 and number not in chunk.deltas:
            span = slice(chunk.first, chunk.first + chunk.count)
            eye = torch.eye(4, device=self._codes.device, dtype=self._references.dtype)
            new, old = eye[self._others[chunk.rows, span]], eye[self._codes[chunk.rows, span]]
            window = self._windows[0]
            chunk.deltas[0] = new.new_zeros((*new.shape[:3], window.width, 4))
            chunk.deltas[0][..., window.before, :] = new - old[:, :, None]
        elif number not in chunk.deltas:
            chunk.deltas[number] = chunk.values[number] - self._reference(chunk, number)
        delta = chunk.deltas[number]
        mutation, position = self._outside[number]
        if len(mutation):
            here = (mutation >= chunk.first) & (mutation < chunk.first + chunk.count)
            delta[:, mutation[here] - chunk.first, :, position[here]] = 0
        return delta

    def _outside_of(self, number: int) -> tuple[Tensor, Tensor]:
        """Return (mutation, place in its window) of every position that lies before or after the sequence."""
        window, count = self._windows[number], self._codes.shape[1]
        position = window.start + torch.arange(count)[:, None] * window.step + torch.arange(window.width)
        outside = (position < 0) | (position >= self._references.lengths[number])
        mutation, place = outside.nonzero(as_tuple=True)
        return mutation.to(self._codes.device), place.to(self._codes.device)


def _pool(value: Float[Tensor, "n j m w c"], size: int) -> Float[Tensor, "n j m k c"]:
    if size == 2:  # 1.5 times faster than amax
        return torch.maximum(value[..., 0::2, :], value[..., 1::2, :])
    return value.unflatten(3, (-1, size)).amax(4)


def _needed(program: Program, sink: Sink) -> list[int]:
    """Return the layers that a linear step depends on, in order, from the input to the one that it reads."""
    needed = {0, sink.last}
    for number in range(sink.last, 0, -1):
        if number in needed:
            needed.update(program.layers[number].inputs)
    return sorted(needed)


def _wants_value(program: Program) -> list[bool]:
    """Return, per layer, whether a layer that is not linear reads it: then its value is built, not its difference."""
    wanted = [False] * len(program.layers)
    for layer in program.layers:
        if isinstance(layer, Pool | Pointwise):
            wanted[layer.inputs[0]] = True
    return wanted
