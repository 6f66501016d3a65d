"""A trace read as layers over positions, up to where positions end."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from octodon.attribution.fast_ism.trace import Call, Trace
from octodon.attribution.modular import ELEMENTWISE


class UnsupportedError(Exception):
    """The network does something that cannot be followed by position; the plain way computes it."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Layer:
    """One step over positions. Values are kept as (n, positions, channels).

    Attributes
    ----------
    inputs : tuple of int
        Layers that it reads, by number.
    call : int
        The call whose result is its value; -1 = the input of the network.
    layout : str
        Axes of that result: "ncl", "nc1l" or "nlc".
    """

    inputs: tuple[int, ...]
    call: int
    layout: str


@dataclass(frozen=True, kw_only=True, eq=False)
class Conv(Layer):
    """A convolution, a BatchNorm after it folded in; differences need no bias. ``weight`` is (k, c, o)."""

    weight: Tensor
    padding: int
    dilation: int


@dataclass(frozen=True, kw_only=True, eq=False)
class Scale(Layer):
    """A factor per channel: BatchNorm in evaluation mode, as differences see it."""

    factor: Tensor


@dataclass(frozen=True, kw_only=True, eq=False)
class Pointwise(Layer):
    """A function of the channels of each position: an activation, or a softmax over the last axis."""

    function: Callable[[Tensor], Tensor]


@dataclass(frozen=True, kw_only=True, eq=False)
class Pool(Layer):
    """The maximum of each ``size`` positions."""

    size: int


@dataclass(frozen=True, kw_only=True, eq=False)
class Add(Layer):
    """The sum of two layers."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Sink:
    """A linear step that leaves positions behind.

    Attributes
    ----------
    last : int
        The layer that it reads.
    dense : (l, c, o) tensor or None
        Its weights; None = the mean over positions.
    call : int
        The call whose result it gives.
    """

    last: int
    dense: Tensor | None
    call: int


@dataclass(frozen=True, kw_only=True, eq=False)
class Program:
    """Layers, then the linear steps that leave positions behind, then the calls that follow them.

    Attributes
    ----------
    layers : list of Layer
        ``layers[0]`` is the one-hot input.
    sinks : list of Sink
        One for each backbone of the network.
    """

    layers: list[Layer]
    sinks: list[Sink]


@dataclass(frozen=True, kw_only=True)
class _Place:
    """Where a tensor of the trace stands: a layer in some layout; "flat-..." = flattened from ``shape``, (l, c)."""

    layer: int
    layout: str
    shape: tuple[int, int] = (0, 0)


@dataclass(eq=False)
class _Reading:
    layers: list[Layer]
    places: dict[int, _Place] = field(default_factory=dict)


_SAME = frozenset(["dropout", "contiguous", "clone", "feature_dropout", "dropout1d"])
_SUMS = frozenset(["add", "__add__", "__radd__"])
_TRANSPOSED = {"ncl": "nlc", "nlc": "ncl"}


def read_program(trace: Trace) -> Program:
    """Return the program of a traced pass.

    Raises
    ------
    UnsupportedError
        At the first call that has no reading by position.
    """
    start = Layer(inputs=(), call=-1, layout="ncl")
    reading = _Reading(layers=[start], places={id(trace.x): _Place(layer=0, layout="ncl")})
    sinks: list[Sink] = []
    for number, call in enumerate(trace.calls):
        place = reading.places.get(id(call.args[0])) if call.args else None
        if place is None:
            if any(id(a) in reading.places for a in [*call.args, *call.kwargs.values()]):
                raise UnsupportedError(call.name)
            continue  # of weights alone
        if call.kwargs.get("inplace") or (call.name.endswith("_") and not call.name.endswith("__")):
            raise UnsupportedError(f"{call.name} in place")
        sink = _sink(number, call, place)
        if sink is not None:
            sinks.append(sink)
        else:
            reading.places[id(call.result)] = _step(reading, number, call, place)
    if not sinks:
        raise UnsupportedError("positions to the end")
    return Program(layers=reading.layers, sinks=sinks)


def _step(reading: _Reading, number: int, call: Call, place: _Place) -> _Place:
    """Add what a call does; return where its result stands."""
    layout, name = place.layout, call.name
    if name in _SAME:
        if call.argument(2, "training", False) and "dropout" in name:
            raise UnsupportedError("dropout in training")
        return place
    moved = _moved(call, layout)
    if moved is not None:
        return _Place(layer=place.layer, layout=moved, shape=_shape(call, place))
    if layout.startswith("flat"):
        raise UnsupportedError(f"{name} of flattened positions")
    common: dict[str, Any] = {"inputs": (place.layer,), "call": number, "layout": layout}
    before = reading.layers[place.layer]
    if name in ("conv1d", "conv2d") and layout in ("ncl", "nc1l"):
        layer: Layer = _conv(call, common)
    elif name == "batch_norm" and layout in ("ncl", "nc1l"):
        factor = _factor(call)
        if isinstance(before, Conv):
            common["inputs"] = before.inputs
            layer = Conv(
                **common, weight=before.weight * factor, padding=before.padding, dilation=before.dilation
            )
        else:
            layer = Scale(**common, factor=factor)
    elif name in ("max_pool1d", "max_pool2d") and layout in ("ncl", "nc1l"):
        layer = Pool(**common, size=_pool_size(call))
    elif name == "linear" and layout == "nlc":
        weight = call.argument(1, "weight")
        layer = Conv(**common, weight=weight.detach().T[None].contiguous(), padding=0, dilation=1)
    elif name in _SUMS and isinstance(other := call.args[1], Tensor):
        there = reading.places.get(id(other))
        if there is None or there.layout != layout or other.shape != call.args[0].shape:
            raise UnsupportedError("a sum of unlike tensors")
        common["inputs"] = (place.layer, there.layer)
        layer = Add(**common)
    elif (function := _pointwise(call, layout)) is not None:
        layer = Pointwise(**common, function=function)
    else:
        raise UnsupportedError(name)
    reading.layers.append(layer)
    return _Place(layer=len(reading.layers) - 1, layout=layout)


def _moved(call: Call, layout: str) -> str | None:
    """Return the new layout if the call only moves or adds axes."""
    name, dims = call.name, tuple(call.args[1:])
    if name == "unsqueeze" and layout == "ncl" and dims in ((2,), (-2,)):
        return "nc1l"
    if name == "squeeze" and layout == "nc1l" and dims in ((2,), (-2,)):
        return "ncl"
    if layout in _TRANSPOSED and (
        (name == "transpose" and set(dims) in ({1, 2}, {-1, -2}, {1, -1}))
        or (name == "permute" and (dims if len(dims) == 3 else dims[0]) == (0, 2, 1))
    ):
        return _TRANSPOSED[layout]
    flat = call.result.dim() == 2 and layout in _TRANSPOSED
    if name in ("flatten", "reshape", "view") and flat and len(call.result) == len(call.args[0]):
        return f"flat-{layout}"
    return None


def _sink(number: int, call: Call, place: _Place) -> Sink | None:
    """Return what a call is if it is a linear step that leaves positions behind."""
    dense = None
    if call.name == "linear" and place.layout.startswith("flat"):
        weight = call.argument(1, "weight").detach()
        if place.layout == "flat-nlc":
            dense = weight.T.unflatten(0, place.shape).contiguous()
        else:
            dense = weight.T.unflatten(0, place.shape[::-1]).transpose(0, 1).contiguous()
    elif call.name == "mean" and place.layout in _TRANSPOSED:
        dim = call.argument(1, "dim")
        dim = dim[0] if isinstance(dim, tuple | list) and len(dim) == 1 else dim
        over = {"ncl": (2, -1), "nlc": (1, -2)}[place.layout]
        if dim not in over or call.argument(2, "keepdim", False):
            raise UnsupportedError("a mean over other axes")
    else:
        return None
    return Sink(last=place.layer, dense=dense, call=number)


def _shape(call: Call, place: _Place) -> tuple[int, int]:
    """Return positions and channels of what the call reads."""
    if place.layout.startswith("flat"):
        return place.shape
    shape = call.args[0].shape
    return (shape[1], shape[2]) if place.layout == "nlc" else (shape[-1], shape[1])


def _conv(call: Call, common: dict[str, Any]) -> Conv:
    weight = call.argument(1, "weight").detach()
    stride, groups = call.argument(3, "stride", 1), call.argument(6, "groups", 1)
    padding, dilation = call.argument(4, "padding", 0), _last(call.argument(5, "dilation", 1))
    if _last(stride) != 1 or groups != 1 or (weight.dim() == 4 and weight.shape[2] != 1):
        raise UnsupportedError("a convolution with stride, groups or height")
    size = weight.shape[-1]
    if padding == "same":  # where the reach is odd, the smaller half is on the left
        padding = dilation * (size - 1) // 2
    left = 0 if padding == "valid" else _last(padding)
    weight = weight.flatten(2) if weight.dim() == 4 else weight
    return Conv(**common, weight=weight.permute(2, 1, 0).contiguous(), padding=left, dilation=dilation)


def _factor(call: Call) -> Tensor:
    """Return what BatchNorm multiplies each channel by, in evaluation mode."""
    if call.argument(5, "training", False):
        raise UnsupportedError("BatchNorm in training")
    variance, weight = call.argument(2, "running_var"), call.argument(3, "weight")
    factor = torch.rsqrt(variance.double() + call.argument(7, "eps", 1e-5))
    return (factor if weight is None else factor * weight.detach()).to(variance.dtype)


def _pool_size(call: Call) -> int:
    size = _last(call.argument(1, "kernel_size"))
    stride = call.argument(2, "stride")
    plain = _last(call.argument(3, "padding", 0)) == 0 and _last(call.argument(4, "dilation", 1)) == 1
    if (
        (stride not in (None, (), []) and _last(stride) != size)
        or not plain
        or call.argument(5, "ceil_mode", False)
    ):
        raise UnsupportedError("pooling with overlap, padding or a rest")
    return size


def _pointwise(call: Call, layout: str) -> Callable[[Tensor], Tensor] | None:
    rest = call.args[1:]
    if any(isinstance(a, Tensor) for a in rest):
        return None
    if call.name in ELEMENTWISE:
        return lambda x: call.function(x, *rest, **call.kwargs)
    channel = {"ncl": (1, -2), "nc1l": (1, -3), "nlc": (2, -1)}[layout]
    if call.name == "softmax" and call.argument(1, "dim") in channel:
        return lambda x: torch.softmax(x, -1)
    return None


def _last(value: Any) -> int:
    """Return the number for the axis of positions."""
    return value[-1] if isinstance(value, tuple | list) else value
