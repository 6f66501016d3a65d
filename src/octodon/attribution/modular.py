"""A network whose functional operations run as modules, so that rules which hook modules see every one of them.

Networks call ``torch.relu`` and ``F.max_pool2d``; DeepLIFT as implemented in tangermeme (and captum) knows ``nn.ReLU`` and
``nn.MaxPool2d`` and would silently take functions for linear. Here each such call is handed to a module on its way.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

ELEMENTWISE = frozenset(
    [
        "relu",
        "relu_",
        "relu6",
        "silu",
        "gelu",
        "elu",
        "celu",
        "selu",
        "leaky_relu",
        "hardtanh",
        "hardswish",
        "mish",
        "sigmoid",
        "hardsigmoid",
        "logsigmoid",
        "tanh",
        "softplus",
        "softsign",
        "exp",
        "expm1",
        "log",
        "log1p",
        "sqrt",
        "rsqrt",
        "square",
        "pow",
        "__pow__",
        "abs",
        "clamp",
        "clamp_min",
        "clamp_max",
        "erf",
    ]
)
_POOLS = frozenset(["max_pool1d", "max_pool2d"])
_SAME = 1e-6
"""Inputs closer than this to their reference get the derivative instead of the secant (tangermeme, captum)."""


class Elementwise(nn.Module):
    """Any function applied to every number by itself."""

    def forward(self, x: Tensor, function: Callable[[Tensor], Tensor]) -> Tensor:
        """Return ``function(x)``."""
        return function(x)


def _rescale(module: Any, grad_input: tuple[Any, ...], grad_output: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return the gradient by DeepLIFT's rescale rule: the secant between input and reference for the derivative.

    The first half of the batch holds the sequences, the second half their references.
    """
    change_in = torch.sub(*module.input.chunk(2)).repeat(2, *[1] * (module.input.dim() - 1))
    change_out = torch.sub(*module.output.chunk(2)).repeat(2, *[1] * (module.output.dim() - 1))
    same = change_in.abs() < _SAME
    secant = change_out / torch.where(same, 1.0, change_in)
    return torch.where(same, grad_input[0], grad_output[0] * secant), *grad_input[1:]


RULES = {Elementwise: _rescale}
"""Rules of the modules that tangermeme does not know, as it takes them."""


class Modular(nn.Module):
    """``f: (n, 4, l) -> (n,)`` as ``(n, 4, l) -> (n, 1)``, its elementwise functions, softmax and max pooling as modules.

    Parameters
    ----------
    f : nn.Module
    example : (1, 4, l) tensor
        Passed through once, so that all modules exist before anything hooks them.
    """

    def __init__(self, f: nn.Module, example: Float[Tensor, "1 4 l"]) -> None:
        super().__init__()
        self.f = f
        self.elementwise = Elementwise()
        self.others = nn.ModuleDict()
        self.training = f.training
        with torch.enable_grad():
            self(example.detach().requires_grad_(True))

    def forward(self, x: Float[Tensor, "n 4 l"]) -> Float[Tensor, "n 1"]:
        """Return f(x)."""
        with _Redirect(self):
            return self.f(x).unsqueeze(1)

    def module_for(
        self, name: str, x: Tensor, args: tuple[Any, ...], options: dict[str, Any]
    ) -> nn.Module | None:
        """Return the module that does what the function called ``name`` does with these options; None if there is none."""
        if name == "softmax":
            dim = options.get("dim", args[0] if args else None)
            return self._kept(f"softmax {dim}", lambda: nn.Softmax(dim)) if isinstance(dim, int) else None
        given = (
            dict(zip(("kernel_size", "stride", "padding", "dilation", "ceil_mode"), args, strict=False))
            | options
        )
        given.pop("return_indices", None)
        kind = nn.MaxPool1d if name == "max_pool1d" else nn.MaxPool2d
        return self._kept(f"{name} {sorted(given.items())}".replace(".", "_"), lambda: kind(**given))

    def _kept(self, key: str, make: Callable[[], nn.Module]) -> nn.Module:
        if key not in self.others:
            self.others[key] = make()
        return self.others[key]


class _Redirect(TorchFunctionMode):
    """Hands calls of known functions to the modules of ``owner``; all else passes through."""

    def __init__(self, owner: Modular) -> None:
        super().__init__()
        self._owner = owner

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        options = kwargs or {}
        name = getattr(func, "__name__", "")
        if args and isinstance(args[0], Tensor) and args[0].requires_grad:
            if name in ELEMENTWISE and not any(isinstance(a, Tensor) and a.requires_grad for a in args[1:]):
                return self._owner.elementwise(args[0], lambda x: func(x, *args[1:], **options))
            if name in _POOLS or name == "softmax":
                module = self._owner.module_for(name, args[0], args[1:], options)
                if module is not None:
                    return module(args[0])
        return func(*args, **options)
