"""What a network calls on its way from sequences to moments, in order, with every result."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from octodon.models.heads import Moments


@dataclass(frozen=True, kw_only=True, eq=False)
class Call:
    """One call of a torch function that returned a tensor."""

    name: str
    function: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    result: Tensor

    def argument(self, position: int, name: str, default: Any = None) -> Any:
        """Return an argument, given by position or by name."""
        if len(self.args) > position:
            return self.args[position]
        return self.kwargs.get(name, default)


@dataclass(frozen=True, kw_only=True, eq=False)
class Trace:
    """The calls of one pass, the input they began with and the moments they ended in."""

    x: Tensor
    calls: list[Call]
    moments: Moments


def trace(network: nn.Module, x: Float[Tensor, "n 4 l"]) -> Trace:
    """Return the calls of ``network.read(x)``.

    The gradient of the input is asked for, though none is computed: a network's fused first block then steps aside for the
    plain layers, which can be read one by one.
    """
    x = x.detach().requires_grad_(True)
    recorder = _Recorder()
    with torch.enable_grad(), recorder:
        moments = network.read(x)  # type: ignore[operator]  # every network of a Scalar has it
    return Trace(x=x, calls=recorder.calls, moments=moments)


class _Recorder(TorchFunctionMode):
    def __init__(self) -> None:
        super().__init__()
        self.calls: list[Call] = []

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if isinstance(result, Tensor):
            name = getattr(func, "__name__", "")
            self.calls.append(
                Call(name=name, function=func, args=tuple(args), kwargs=dict(kwargs or {}), result=result)
            )
        return result
