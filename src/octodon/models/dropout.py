"""Dropout that stays on for an answer: a pass is one thinned network, the same for every sequence."""

from __future__ import annotations

import copy
from dataclasses import dataclass, fields

import numpy as np
import torch
from jaxtyping import Float, UInt8
from numpy import ndarray
from torch import Tensor, fx, nn

from octodon.errors import ConfigError
from octodon.models.heads import Moments
from octodon.models.inference import BATCH_SIZE, evaluating
from octodon.models.lowering.graph import layer_of, trace
from octodon.models.model import Model
from octodon.seeds import derive_seed
from octodon.seq.onehot import one_hot

_KNOWN = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d)


@dataclass(frozen=True, kw_only=True)
class DropoutPasses:
    """How often a network answers with dropout on, and which units are dropped.

    Attributes
    ----------
    rate : float
        Probability of dropping a unit, in every dropout layer; above 0 and below 1.
    passes : int
        Answers, at least 2.
    seed : int
        Pass k drops the units that (seed, k) say.
    """

    rate: float = 0.25
    passes: int = 100
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.rate < 1:
            raise ConfigError(f"dropout rate: {self.rate}; expected above 0 and below 1 (published: 0.25)")
        if self.passes < 2:
            raise ConfigError(
                f"dropout passes: {self.passes}; one gives no spread, expected at least 2 (published: 100)"
            )


def read_with_dropout(
    model: Model, codes: UInt8[ndarray, "n l"], how: DropoutPasses, batch_size: int = BATCH_SIZE
) -> dict[str, Float[ndarray, "p n t"]]:
    """Return what a network says of every sequence in each pass, by moment; all else (BatchNorm) is in evaluation mode.

    A pass is a network of its own, as a member of an ensemble is: it drops the same units for every sequence, so that rows
    are independent of their neighbours and the passes' answers for two sequences can be subtracted. For one sequence the
    distribution over passes is that of independent masks. The model is not changed.

    Raises
    ------
    ConfigError
        The network has no dropout layer, or one that cannot be set (dropout inside a recurrent layer is not seen).
    """
    stream = torch.Generator()
    device = next(model.parameters()).device
    pieces = []
    with evaluating(model), torch.inference_mode():
        backbone = _Thinned(model.backbone, how.rate, stream)
        for start in range(0, len(codes), batch_size):
            backbone.take(one_hot(torch.from_numpy(np.array(codes[start : start + batch_size])).to(device)))
            answers = []
            for number in range(how.passes):
                stream.manual_seed(derive_seed(how.seed, "dropout pass", number))
                answers.append(model.head.read(model.head(backbone.features())))
            pieces.append(answers)
    return _by_moment(pieces)


def require_dropout(model: Model) -> None:
    """Refuse a network whose backbone has no dropout layer, or one that ``read_with_dropout`` cannot set.

    Raises
    ------
    ConfigError
        With what was found.
    """
    _dropout_layers(model.backbone)


def _dropout_layers(module: nn.Module) -> list[tuple[str, nn.Module]]:
    found: list[tuple[str, nn.Module]] = [
        (path, layer)
        for path, layer in module.named_modules(remove_duplicate=False)
        if isinstance(layer, nn.modules.dropout._DropoutNd)
    ]
    strange = [type(layer).__name__ for _, layer in found if type(layer) not in _KNOWN]
    if not found or strange:
        raise ConfigError(
            f"dropout passes: {type(module).__name__} has {strange[0] if strange else 'no dropout layer'}, expected nn.Dropout "
            f"or nn.Dropout1d to 3d; choose another backbone (dropout inside a recurrent layer is not seen)"
        )
    return found


class _Mask(nn.Module):
    """Stands for a dropout layer: drops the same units of every row, as the stream says."""

    def __init__(self, layer: nn.Module, rate: float, stream: torch.Generator) -> None:
        super().__init__()
        self.whole_channels = isinstance(layer, nn.Dropout1d | nn.Dropout2d | nn.Dropout3d)
        self.rate, self.stream = rate, stream

    def forward(self, input: Tensor) -> Tensor:  # PyTorch's name, by which a backbone may give it
        shape = (1, *input.shape[1:])
        if self.whole_channels:
            shape = (*shape[:2], *[1] * (input.dim() - 2))
        # drawn on the CPU: the same masks wherever the rest is computed
        kept = torch.rand(shape, generator=self.stream) >= self.rate
        return input * (kept.to(input.dtype) / (1 - self.rate)).to(input.device)


class _Thinned:
    """A backbone with masks for its dropout layers; what comes before the first of them is computed once a batch.

    Where its steps cannot be followed, all of it is computed anew for every pass: slower, the same numbers.
    """

    def __init__(self, backbone: nn.Module, rate: float, stream: torch.Generator) -> None:
        _dropout_layers(backbone)
        graph = trace(backbone)
        # the graph calls the backbone's own layers, but which it calls is its own
        self._module = copy.deepcopy(backbone) if graph is None else graph
        for path, layer in _dropout_layers(self._module):
            self._module.set_submodule(path, _Mask(layer, rate, stream))
        self._graph = graph
        self._interpreter = None if graph is None else fx.Interpreter(graph, garbage_collect_values=False)
        self._varying = [] if graph is None else _varying_steps(graph)

    def take(self, inputs: Float[Tensor, "n 4 l"]) -> None:
        """Begin a batch."""
        self._inputs = inputs
        if self._interpreter is None or self._graph is None:
            return
        self._interpreter.env, self._interpreter.args_iter = {}, iter([inputs])
        for step in self._graph.graph.nodes:
            if step not in self._varying:
                self._interpreter.env[step] = self._interpreter.run_node(step)

    def features(self) -> Float[Tensor, "n f"]:
        """Return what the backbone says of the batch, thinned by the masks that come from the stream now."""
        if self._interpreter is None:
            return self._module(self._inputs)
        for step in self._varying:
            self._interpreter.env[step] = self._interpreter.run_node(step)
        return self._interpreter.env[self._varying[-1]]


def _varying_steps(graph: fx.GraphModule) -> list[fx.Node]:
    """Return the masks and all that follows from them, in order; the last is the output."""
    varying: dict[fx.Node, None] = {}
    for step in graph.graph.nodes:
        if isinstance(layer_of(graph, step), _Mask) or any(
            before in varying for before in step.all_input_nodes
        ):
            varying[step] = None
    return list(varying)


def _by_moment(pieces: list[list[Moments]]) -> dict[str, Float[ndarray, "p n t"]]:
    """Return arrays by moment from the answers of each batch and pass."""
    return {
        field.name: np.concatenate(
            [
                np.stack([getattr(answer, field.name).float().cpu().numpy() for answer in answers])
                for answers in pieces
            ],
            axis=1,
        )
        for field in fields(Moments)
        if getattr(pieces[0][0], field.name) is not None and field.name != "epistemic_factors"
    }
