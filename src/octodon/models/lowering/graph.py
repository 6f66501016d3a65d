"""What a backbone computes in evaluation mode as a graph, with equal but cheaper steps in place of some."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import jaxtyping
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, fx, nn

from octodon.models import layers

_INCREASING: tuple[Any, ...] = (
    torch.relu,
    F.relu,
    "relu",
    nn.ReLU,
    torch.sigmoid,
    nn.Sigmoid,
    torch.tanh,
    nn.Tanh,
)
"""Never decreasing, so each commutes exactly with taking a maximum, which leaves it fewer numbers to read."""

_SOFTMAX: tuple[Any, ...] = (torch.softmax, F.softmax, "softmax")


class _Tracer(fx.Tracer):
    """Keeps our layers whole, as it does those of PyTorch."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return isinstance(m, layers.Conv1d | layers.BatchNorm1d) or super().is_leaf_module(
            m, module_qualified_name
        )


def trace(backbone: nn.Module) -> fx.GraphModule | None:
    """Return the backbone, which must be in evaluation mode, as a graph; None where its steps depend on the numbers.

    The graph uses the layers of the backbone itself; ``simplify`` puts new ones beside them and changes none.
    """
    try:
        with _shapes_unchecked():
            return fx.GraphModule(backbone, _Tracer().trace(backbone))
    except Exception:  # noqa: BLE001  # a user's forward may do anything with a stand-in; it then stays as it is
        return None


@contextmanager
def _shapes_unchecked() -> Iterator[None]:
    """Trace without checks of shapes (tests switch them on): what runs through a network then is no tensor."""
    before = jaxtyping.config.jaxtyping_disable
    jaxtyping.config.update("jaxtyping_disable", True)
    try:
        yield
    finally:
        jaxtyping.config.update("jaxtyping_disable", before)


def simplify(graph: fx.GraphModule) -> None:
    """Drop dropout, fold BatchNorm into the layer before it, pool before activating, run plain Conv1d channels-last."""
    for node in list(graph.graph.nodes):
        if is_dropout(graph, node):
            node.replace_all_uses_with(node.all_input_nodes[0])
            graph.graph.erase_node(node)
    for node in list(graph.graph.nodes):
        _fold_norm(graph, node)
    for node in list(graph.graph.nodes):
        _pool_first(graph, node)
    for node in list(graph.graph.nodes):
        _lay_channels_last(graph, node)
    graph.graph.lint()
    graph.recompile()


def layer_of(graph: fx.GraphModule, node: Any) -> nn.Module | None:
    """Return the layer that a node calls; None for any other node."""
    is_layer = isinstance(node, fx.Node) and node.op == "call_module"
    return graph.get_submodule(str(node.target)) if is_layer else None


def kind_of(graph: fx.GraphModule, node: fx.Node) -> Any:
    """Return what a node calls: the class of a layer, a function, or the name of a method."""
    layer = layer_of(graph, node)
    return node.target if layer is None else type(layer)


def pool_size(graph: fx.GraphModule, node: fx.Node) -> int | None:
    """Return the window of a maximum over neighbouring windows of positions; None for any other node."""
    if node.target is _max_of_pairs:
        return 2
    if node.op == "call_function" and node.target is layers.max_pool:
        size = node.args[1] if len(node.args) > 1 else node.kwargs.get("size")
        return size if isinstance(size, int) else None
    layer = layer_of(graph, node)
    if isinstance(layer, nn.MaxPool1d) and not (layer.ceil_mode or layer.return_indices):
        size, stride, padding, dilation = (
            value[0] if isinstance(value, tuple) else value
            for value in (layer.kernel_size, layer.stride, layer.padding, layer.dilation)
        )
        if size == stride and padding == 0 and dilation == 1:
            return int(size)
    return None


def is_dropout(graph: fx.GraphModule, node: fx.Node) -> bool:
    """Return whether a node passes on what it gets (in evaluation mode)."""
    return isinstance(layer_of(graph, node), nn.modules.dropout._DropoutNd | nn.Identity)


def _replace_layer(graph: fx.GraphModule, node: fx.Node, layer: nn.Module) -> None:
    """Let a node call a new layer; the old one, and other calls of it, stay."""
    name = f"lowered_{node.name}"
    graph.add_submodule(name, layer.eval())
    node.target = name


def _fold_norm(graph: fx.GraphModule, node: fx.Node) -> None:
    norm = layer_of(graph, node)
    if not isinstance(norm, nn.BatchNorm1d) or norm.running_mean is None or norm.running_var is None:
        return
    before = node.all_input_nodes[0]
    layer = layer_of(graph, before)
    if not isinstance(layer, nn.Conv1d | nn.Linear) or len(before.users) > 1:
        return
    if len(layer.weight) != norm.num_features:  # it is positions that are normalised
        return
    folded = copy.deepcopy(layer)
    scale = torch.rsqrt(norm.running_var.double() + norm.eps)
    if norm.weight is not None:
        scale = scale * norm.weight.double()
    bias = -norm.running_mean.double() * scale
    if layer.bias is not None:
        bias = bias + layer.bias.double() * scale
    if norm.bias is not None:
        bias = bias + norm.bias.double()
    wide = layer.weight.double() * scale.reshape(-1, *[1] * (layer.weight.dim() - 1))
    folded.weight = nn.Parameter(wide.to(layer.weight.dtype), requires_grad=False)
    folded.bias = nn.Parameter(bias.to(layer.weight.dtype), requires_grad=False)
    _replace_layer(graph, before, folded)
    node.replace_all_uses_with(before)
    graph.graph.erase_node(node)


def _pool_first(graph: fx.GraphModule, node: fx.Node) -> None:
    """Swap a maximum with the activation before it."""
    before: Any = node.args[0] if node.args else None
    if pool_size(graph, node) is None or not isinstance(before, fx.Node) or len(before.users) > 1:
        return
    if not (kind_of(graph, before) in _INCREASING and len(before.all_input_nodes) == 1):
        return
    node.replace_all_uses_with(before)
    node.replace_input_with(before, before.all_input_nodes[0])
    before.replace_input_with(before.all_input_nodes[0], node)
    node.append(before)


def _lay_channels_last(graph: fx.GraphModule, node: fx.Node) -> None:
    layer = layer_of(graph, node)
    if type(layer) is nn.Conv1d and is_simple(layer):
        ours = layers.Conv1d(
            layer.in_channels,
            layer.out_channels,
            layer.kernel_size[0],
            padding=layer.padding if isinstance(layer.padding, str) else layer.padding[0],
            dilation=layer.dilation[0],
            bias=layer.bias is not None,
        )
        ours.load_state_dict(layer.state_dict())
        _replace_layer(graph, node, ours.requires_grad_(False))
    elif pool_size(graph, node) == 2:
        _replace_step(graph, node, _max_of_pairs)
    elif is_softmax_of_channels(node):
        _replace_step(graph, node, _softmax_of_channels)


def _replace_step(graph: fx.GraphModule, node: fx.Node, function: Callable[[Tensor], Tensor]) -> None:
    with graph.graph.inserting_before(node):
        new = graph.graph.call_function(function, (node.all_input_nodes[0],))
    node.replace_all_uses_with(new)
    graph.graph.erase_node(node)


def is_softmax_of_channels(node: fx.Node) -> bool:
    """Return whether a node is a softmax over axis 1."""
    if node.target is _softmax_of_channels:
        return True
    return node.target in _SOFTMAX and 1 in (*node.args[1:2], node.kwargs.get("dim"))


def is_simple(conv: nn.Conv1d) -> bool:
    """Return whether a convolution is one of ours in all but its memory layout: neither strides, groups nor wrapping."""
    return conv.stride == (1,) and conv.groups == 1 and conv.padding_mode == "zeros"


def _max_of_pairs(x: Float[Tensor, "n c l"]) -> Float[Tensor, "n c k"]:
    """Return the maximum of positions 2i and 2i + 1, a third faster than pooling; an odd last position is left out."""
    stop = x.shape[2] // 2 * 2
    return torch.maximum(x[:, :, 0:stop:2], x[:, :, 1:stop:2])


def _softmax_of_channels(x: Float[Tensor, "n c *l"]) -> Float[Tensor, "n c *l"]:
    """Return the softmax over axis 1; along the last axis in memory it runs three times faster."""
    return torch.softmax(x.movedim(1, -1), dim=-1).movedim(-1, 1)


def after(graph: fx.GraphModule, node: fx.Node) -> fx.GraphModule | None:
    """Return what is left to compute once a node's output is known; None where something else is needed, too."""
    rest = fx.Graph()
    known = {node: rest.placeholder("known")}
    for later in graph.graph.nodes:
        if later not in known and later.op != "placeholder" and known.keys() >= set(later.all_input_nodes):
            known[later] = rest.node_copy(later, known.__getitem__)
    if not any(copied.op == "output" for copied in rest.nodes):
        return None
    return fx.GraphModule(graph, rest)
