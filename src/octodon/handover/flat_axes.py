"""Take out of an ONNX graph the axis of size 1 that octodon's layers add and drop again around each of their steps.

Convolution, BatchNorm and pooling along a sequence are computed on images one pixel high, which is faster in torch. Each of these
layers adds the axis and drops it, so that in the graph a convolution and its BatchNorm do not touch, and onnxruntime neither folds
the one into the other nor keeps its blocked layout of channels in between.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

_ELEMENTWISE = {"Relu", "Elu", "Sigmoid", "Tanh", "Exp", "Identity"}


def without_flat_axes(graph: Any) -> int:
    """Join steps that are parted by dropping an axis and adding it again, in place; return how many were joined.

    Parameters
    ----------
    graph : onnx.GraphProto
        Axes are constants, as of opset 13.
    """
    made_by = {output: node for node in graph.node for output in node.output}
    axes = _axes_of(graph)
    uses = _uses(graph)
    results = {output.name for output in graph.output}
    joined = 0
    for node in graph.node:
        if node.op_type != "Unsqueeze" or node.output[0] in results:
            continue
        between = made_by.get(node.input[0])
        # an elementwise step does not mind the axis, if nobody else sees what it gives
        inner = between if between is not None and between.op_type in _ELEMENTWISE else None
        if inner is not None and uses(inner.output[0]) > 1:
            continue
        squeeze = made_by.get(inner.input[0]) if inner is not None else between
        if squeeze is None or squeeze.op_type != "Squeeze":
            continue
        if axes(squeeze) is None or axes(squeeze) != axes(node):
            continue
        if inner is not None:
            inner.input[0] = squeeze.input[0]
        source = inner.output[0] if inner is not None else squeeze.input[0]
        _replace(graph, node.output[0], source)
        joined += 1
    _drop_unused(graph)
    return joined


def _axes_of(graph: Any) -> Callable[[Any], tuple[int, ...] | None]:
    from onnx import numpy_helper

    known = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type == "Constant" and node.attribute and node.attribute[0].name == "value":
            known[node.output[0]] = numpy_helper.to_array(node.attribute[0].t)

    def axes(node: Any) -> tuple[int, ...] | None:
        found = known.get(node.input[1]) if len(node.input) > 1 else None
        return None if found is None else tuple(int(axis) for axis in found.ravel())

    return axes


def _uses(graph: Any) -> Callable[[str], int]:
    count: dict[str, int] = {output.name: 1 for output in graph.output}
    for node in graph.node:
        for name in node.input:
            count[name] = count.get(name, 0) + 1
    return lambda name: count.get(name, 0)


def _replace(graph: Any, name: str, other: str) -> None:
    for node in graph.node:
        for place, given in enumerate(node.input):
            if given == name:
                node.input[place] = other


def _drop_unused(graph: Any) -> None:
    """Drop steps, one after another, whose results nobody reads."""
    while True:
        uses = _uses(graph)
        idle = [node for node in graph.node if not any(uses(name) for name in node.output)]
        if not idle:
            return
        for node in idle:
            graph.node.remove(node)
