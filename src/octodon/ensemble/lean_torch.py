"""Keep torch's compiler out of processes that never compile: an optimiser alone would import it, 70 MB and most of a second."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

import torch

_NAME = "torch._dynamo"


class _Absent(ModuleType):
    """Stands for ``torch._dynamo`` until something of it is really asked for; then the real one takes its place.

    ``torch.optim`` asks for two things at every step: to leave a function uncompiled, and to end a compiled graph. Where nothing
    is compiled, both do nothing.
    """

    def disable(self, fn: Any = None, *_: Any, **__: Any) -> Any:
        """Return the function as it is; as a decorator with arguments, one that does so."""
        return fn if fn is not None else lambda function: function

    def graph_break(self, *_: Any, **__: Any) -> None:
        """Do nothing: there is no graph."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(_real(), name)


class _Finder(MetaPathFinder, Loader):
    """Brings the real package when a module of it is imported, and gives that module as the package made it."""

    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        del path, target
        if not fullname.startswith(f"{_NAME}.") or not isinstance(sys.modules.get(_NAME), _Absent):
            return None
        _real()
        return ModuleSpec(fullname, self) if fullname in sys.modules else None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return sys.modules[spec.name]

    def exec_module(self, module: ModuleType) -> None:
        """Do nothing: it has run."""


def leave_compiler_out() -> None:
    """Have ``torch._dynamo`` imported only when more than an optimiser asks for it; for processes of our own."""
    if _NAME in sys.modules:
        return
    spec = importlib.util.find_spec(_NAME)
    if spec is None:
        return
    absent = _Absent(_NAME)
    absent.__spec__, absent.__path__ = spec, list(spec.submodule_search_locations or ())
    sys.modules[_NAME] = absent
    sys.meta_path.insert(0, _Finder())
    torch._dynamo = absent  # type: ignore[assignment]


def _real() -> ModuleType:
    if isinstance(sys.modules.get(_NAME), _Absent):
        del sys.modules[_NAME]
        torch.__dict__.pop("_dynamo", None)
    return importlib.import_module(_NAME)
