"""Which positions of each layer a mutation can change.

With poolings whose sizes multiply to s, mutations at p, p + s, p + 2 s ... change windows of one width whose starts are equally
far apart in every layer. They are computed together, as one strided view; there are s such groups ("phases").
"""

from __future__ import annotations

from dataclasses import dataclass
from math import lcm

from octodon.attribution.fast_ism.program import Add, Conv, Layer, Pool, Program


@dataclass(frozen=True, kw_only=True)
class Window:
    """Positions ``start + j * step`` to ``+ width`` of a layer, for mutation j of a phase.

    ``before`` of them, on the left, cannot change: they are there because the pooling that reads them needs whole groups.
    """

    start: int
    width: int
    step: int
    before: int = 0


def windows_of(program: Program, phase: int) -> list[Window]:
    """Return the window of every layer for the mutations at ``phase``, ``phase + s`` ..."""
    strides = strides_of(program)
    total = max(strides)
    pools = _pooled_by(program)
    found: list[Window] = []
    for number, layer in enumerate(program.layers):
        step = total // strides[number]
        start, width = _extent(layer, found, phase)
        group = pools[number]
        low = start // group * group
        high = -(-(start + width) // group) * group
        found.append(Window(start=low, width=high - low, step=step, before=start - low))
    return found


def strides_of(program: Program) -> list[int]:
    """Return how many bases one position of each layer stands for."""
    strides: list[int] = []
    for layer in program.layers:
        stride = strides[layer.inputs[0]] if layer.inputs else 1
        strides.append(stride * layer.size if isinstance(layer, Pool) else stride)
    return strides


def _extent(layer: Layer, found: list[Window], phase: int) -> tuple[int, int]:
    if not layer.inputs:
        return phase, 1
    window = found[layer.inputs[0]]
    if isinstance(layer, Conv):
        reach = (len(layer.weight) - 1) * layer.dilation
        return window.start + layer.padding - reach, window.width + reach
    if isinstance(layer, Pool):
        first, last = window.start // layer.size, (window.start + window.width - 1) // layer.size
        return first, last - first + 1
    if isinstance(layer, Add):
        other = found[layer.inputs[1]]
        low = min(window.start, other.start)
        return low, max(window.start + window.width, other.start + other.width) - low
    return window.start, window.width


def _pooled_by(program: Program) -> list[int]:
    """Return, per layer, of how many positions its window must hold whole groups; 1 where no pooling follows."""
    groups = [1] * len(program.layers)
    for number in range(len(program.layers) - 1, 0, -1):
        layer = program.layers[number]
        if isinstance(layer, Pool):
            group = layer.size
        elif isinstance(layer, Conv):
            continue
        else:
            group = groups[number]
        for source in layer.inputs:
            groups[source] = lcm(groups[source], group)
    return groups
