"""A model is a backbone with a head, built from a plain description and a seed."""

from __future__ import annotations

import importlib.util
import inspect
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from octodon.atomic import expanded
from octodon.errors import ConfigError
from octodon.models.backbones import backbones
from octodon.models.beside import Beside, narrower
from octodon.models.heads import Head, Moments, heads
from octodon.models.seeded import seeded
from octodon.registry import suggest
from octodon.seeds import derive_seed
from octodon.seq.onehot import one_hot


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """Everything that determines a network but its weights.

    Attributes
    ----------
    backbone : str or type
        A registered name, ``"path/to/file.py:Class"``, or an ``nn.Module`` class.
    length : int
        Sequence length in bases.
    n_targets : int
    head : str
        A registered head.
    options : mapping
        Keyword arguments of the backbone.
    """

    backbone: str | type
    length: int
    n_targets: int
    head: str = "mean"
    options: Mapping[str, Any] = field(default_factory=dict)


class Model(nn.Module):
    """A backbone ``(n, 4, l) -> (n, f)`` and a head ``(n, f) -> (n, r, t)``."""

    def __init__(self, backbone: nn.Module, head: Head) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = head

    def forward(self, x: Float[Tensor, "n 4 l"]) -> Float[Tensor, "n r t"]:
        """Return the head's raw columns."""
        return self.head(self.backbone(x))

    def read(self, x: Float[Tensor, "n 4 l"]) -> Moments:
        """Return mean and uncertainties in the units of the labels."""
        return self.head.read(self(x))


def build_model(config: ModelConfig, seed: int) -> Model:
    """Return a fresh network whose weights depend on (config, seed) alone; the global generator is left as found.

    Raises
    ------
    ConfigError
        For a backbone, head or option that is unknown or does not work, or sequences too short for the backbone.
    """
    backbone_class = find_backbone(config.backbone)
    head_class = heads[config.head]
    with seeded(seed):
        backbone = _construct(backbone_class, config)
        n_features = _n_features(backbone, config)
        if head_class.second_width is None:
            return Model(backbone, head_class(n_features, config.n_targets))
        narrow = replace(config, options=narrower(backbone_class, config.options, head_class.second_width))
        with seeded(
            derive_seed(seed, "second backbone")
        ):  # what is drawn for the rest stays as it is without it
            second = _construct(backbone_class, narrow)
            n_second = _n_features(second, narrow)
        both = Beside(backbone, second, n_features + n_second)
        return Model(both, head_class(n_features, config.n_targets, n_second))


def check_model(config: ModelConfig) -> None:
    """Refuse a network that cannot answer for two sequences, before any is trained; the global generator is left as found.

    Raises
    ------
    ConfigError
        As ``build_model``; the backbone fails, or gives other than its ``n_features`` columns.
    """
    backbone = build_model(config, seed=0).backbone
    with seeded(0):
        found = _dry_run(backbone, config)
    declared = _n_features(backbone, config)
    if found != declared:
        raise ConfigError(
            f"model.backbone: {type(backbone).__name__} gives {found} features, its n_features is {declared}; correct it, or "
            f"leave n_features out"
        )


def find_backbone(backbone: str | type) -> type:
    """Return the class behind a registered name, ``"file.py:Class"`` or the class itself.

    A file is run once for as long as it does not change.

    Raises
    ------
    ConfigError
        For an unknown name, a file that is not there or fails, or one without such an ``nn.Module`` class.
    """
    if not isinstance(backbone, str):
        return backbone
    file = backbone_file(backbone)
    if file is None:
        return backbones[backbone]
    path, name = backbone.rsplit(":", 1)
    found = getattr(_run_file(file, file.stat().st_mtime_ns), name, None)
    if not (inspect.isclass(found) and issubclass(found, nn.Module)):
        raise ConfigError(f"model.backbone: {path!r} has no nn.Module class {name!r}")
    return found


def backbone_file(backbone: str) -> Path | None:
    """Return the file of ``"file.py:Class"``, None for a registered name.

    Raises
    ------
    ConfigError
        There is no such file.
    """
    if ".py:" not in backbone:
        return None
    path = backbone.rsplit(":", 1)[0]
    file = expanded(path).resolve()
    if not file.is_file():
        raise ConfigError(f"model.backbone: no file {path!r}; expected 'path/to/file.py:Class'")
    return file


@cache
def _run_file(file: Path, changed_ns: int) -> ModuleType:
    """Return the module of a file; ``changed_ns`` tells its states apart."""
    del changed_ns
    module_name = f"octodon_user_{file.stem}"
    spec = importlib.util.spec_from_file_location(module_name, file)
    if spec is None or spec.loader is None:
        raise ConfigError(f"model.backbone: '{file}' is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:  # the user's file may raise anything
        raise ConfigError(
            f"model.backbone: '{file}' does not import: {type(error).__name__}: {_first_line(error)}"
        ) from error
    return module


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [""])[0]


def _construct(backbone_class: type, config: ModelConfig) -> nn.Module:
    min_length = getattr(backbone_class, "min_length", 1)
    if config.length < min_length:
        raise ConfigError(
            f"model: sequences of {config.length} bp are too short for {backbone_class.__name__}, which needs at "
            f"least {min_length} bp; choose another backbone or flank the sequences"
        )
    known = [
        name
        for name in inspect.signature(backbone_class.__init__).parameters
        if name not in ("self", "length")
    ]
    for name in config.options:
        if name not in known:
            raise ConfigError(
                f"model.options: {backbone_class.__name__} has no {name!r}; {suggest(name, known)}"
            )
    try:
        return backbone_class(length=config.length, **config.options)
    except (TypeError, ValueError) as error:
        arguments = {"length": config.length} | dict(config.options)
        given = ", ".join(f"{name}={value!r}" for name, value in arguments.items())
        raise ConfigError(
            f"model.options: {backbone_class.__name__}({given}) fails: {_first_line(error)}; give values of the right "
            f"kind (a backbone's constructor takes length and the options)"
        ) from error


def _n_features(backbone: nn.Module, config: ModelConfig) -> int:
    """Return the width of the backbone's output, from its attribute or from one dry run."""
    declared = getattr(backbone, "n_features", None)
    return declared if isinstance(declared, int) else _dry_run(backbone, config)


def _dry_run(backbone: nn.Module, config: ModelConfig) -> int:
    """Return the features that a backbone gives for each of two sequences.

    Raises
    ------
    ConfigError
        It fails, or gives something else.
    """
    backbone.eval()
    x = one_hot(torch.zeros(2, config.length, dtype=torch.uint8))
    try:
        with torch.no_grad():
            backbone(x.contiguous())
            # position by position in memory, as in training and prediction: no view() of it can be taken
            features = backbone(x)
    except Exception as error:  # the user's code may raise anything
        raise ConfigError(
            f"model.backbone: {type(backbone).__name__} fails for one-hot sequences of shape (2, 4, {config.length}): "
            f"{type(error).__name__}: {_first_line(error)}; correct its forward"
        ) from error
    backbone.train()
    shape = tuple(features.shape) if isinstance(features, Tensor) else type(features).__name__
    if not isinstance(features, Tensor) or features.dim() != 2 or len(features) != 2:
        raise ConfigError(
            f"model.backbone: {type(backbone).__name__} returns shape {shape} for 2 sequences, "
            f"expected (2, features); flatten or pool the positions"
        )
    return features.shape[1]
