"""The scalar that is explained: one number per sequence, from one network or from all members of an ensemble."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from octodon.distillation.student import Student
from octodon.ensemble.ensemble import Ensemble
from octodon.errors import ConfigError
from octodon.models.combine import LEAST_VARIANCE, combine
from octodon.models.heads import Moments
from octodon.registry import suggest

OUTPUTS = ("activity", "epistemic_std", "aleatoric_std", "total_std")
Output = str | Callable[[Moments], Tensor]
"""One of ``OUTPUTS``, or a function of the moments, each (n, t), that returns (n,)."""
Target = str | int | tuple[str | int, str | int] | None
"""A target by name or position; a pair = the first minus the second; None where there is only one."""


class Scalar(nn.Module):
    """Networks ``(n, 4, l)`` -> moments, and a function of their moments -> ``(n,)``.

    Attributes
    ----------
    networks : nn.ModuleList
        Each with ``read(x) -> Moments``.
    """

    def __init__(self, networks: Sequence[nn.Module], pick: Callable[[list[Moments]], Tensor]) -> None:
        super().__init__()
        self.networks = nn.ModuleList(networks)
        self._pick = pick

    def forward(self, x: Float[Tensor, "n 4 l"]) -> Float[Tensor, " n"]:
        """Return the scalar of every sequence."""
        return self.of([network.read(x) for network in self.networks])  # type: ignore[operator]  # a ModuleList forgets

    def of(self, moments: list[Moments]) -> Float[Tensor, " n"]:
        """Return the scalar of moments that are known already, one record per network."""
        value = self._pick(moments)
        if value.shape != moments[0].mean.shape[:1]:
            raise ConfigError(
                f"output: the function returns shape {tuple(value.shape)} for moments of shape "
                f"{tuple(moments[0].mean.shape)}; expected one number per sequence, shape ({len(moments[0].mean)},)"
            )
        return value


@dataclass(frozen=True, kw_only=True, eq=False)
class Explained:
    """What will be explained: scalars whose maps are averaged, and their name.

    Attributes
    ----------
    scalars : tuple of Scalar
        One, or one per member.
    by_member : bool
        Whether the scalars are members (their maps are kept and averaged).
    name, units : str
    length : int or None
        Sequence length that the networks accept; None where any may do.
    """

    scalars: tuple[Scalar, ...]
    by_member: bool
    name: str
    units: str
    length: int | None


def explain(
    model: Student | Ensemble | nn.Module,
    output: Output = "activity",
    target: Target = None,
    member: int | str | None = None,
) -> Explained:
    """Return the scalars that answer a question about a model.

    An ensemble's activity is a mean over members, so its map is the average of their maps and each is kept. Any other
    output is a function of all members together (law of total variance) and is explained as one scalar; with
    ``member="each"`` every member's own output is explained instead.

    Raises
    ------
    ConfigError
        For an output, target or member that the model does not have.
    """
    networks, names, units, length = _parts(model)
    columns = _columns(target, names) if isinstance(output, str) else ()
    pick = _picker(output, columns)
    label = _label(output, columns, names)
    several = isinstance(model, Ensemble)
    if member is not None and not several:
        raise ConfigError("member: this model has no members; leave it out")
    if isinstance(member, int):
        if not -len(networks) <= member < len(networks):
            raise ConfigError(f"member: {member}, the ensemble has members 0 to {len(networks) - 1}")
        networks, several, label = networks[member : member + 1 or None], False, f"{label}, member {member}"
    elif member not in (None, "each"):
        raise ConfigError(f"member: {member!r}, expected a number or 'each'")
    if several and (output == "activity" or member == "each"):
        scalars = tuple(Scalar([network], lambda moments: pick(moments[0])) for network in networks)
    else:
        scalars = (Scalar(networks, lambda moments: pick(combine(moments))),)
    return Explained(scalars=scalars, by_member=len(scalars) > 1, name=label, units=units, length=length)


def target_minus(target: str | None, minus: str | None) -> Target:
    """Return the target, or the difference of two, that the options ``target`` and ``minus`` ask for.

    Raises
    ------
    ConfigError
        For ``minus`` alone.
    """
    if minus is None:
        return target
    if target is None:
        raise ConfigError(
            f"minus: {minus!r} alone is no difference of two targets; name the first one (target), too"
        )
    return target, minus


class _Plain(nn.Module):
    """A torch module from elsewhere, ``(n, 4, l) -> (n, t)``."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def read(self, x: Float[Tensor, "n 4 l"]) -> Moments:
        return Moments(mean=self.module(x))


def _parts(model: Any) -> tuple[list[nn.Module], tuple[str, ...] | None, str, int | None]:
    """Return networks, target names (None = unknown), units and length."""
    if isinstance(model, Ensemble):
        if model.dropout is not None:
            raise ConfigError(
                "attribute: a model that answers with dropout on (mc_dropout) is not explained; distil it into a student, or "
                "explain dataclasses.replace(model, dropout=None)"
            )
        networks: list[nn.Module] = [model.network(position) for position in range(len(model.members))]
        return networks, model.target_names, model.units, model.model.length
    if isinstance(model, Student):
        return [model.network], model.target_names, model.units, model.model.length
    if isinstance(model, nn.Module):
        return [model if hasattr(model, "read") else _Plain(model)], None, "activity", None
    raise ConfigError(
        f"attribute: got {type(model).__name__}, expected a student, an ensemble or a torch module"
    )


def _columns(target: Target, names: tuple[str, ...] | None) -> tuple[int, ...]:
    """Return one column, or the two of a difference."""
    if target is None:
        if names is not None and len(names) > 1:
            raise ConfigError(
                f"target: the model has {len(names)} targets ({', '.join(names)}); name one, or a pair for a difference"
            )
        return (0,)
    if isinstance(target, tuple):
        return tuple(_column(part, names) for part in target)
    return (_column(target, names),)


def _column(target: str | int, names: tuple[str, ...] | None) -> int:
    if isinstance(target, int):
        if target < 0 or (names is not None and target >= len(names)):
            raise ConfigError(f"target: {target}, expected 0 to {len(names) - 1 if names else 'the last'}")
        return target
    if names is None or target not in names:
        raise ConfigError(f"target: no {target!r}; {suggest(target, names or ('0', '1', '...'))}")
    return names.index(target)


def _picker(output: Output, columns: tuple[int, ...]) -> Callable[[Moments], Tensor]:
    if not isinstance(output, str):
        return output
    if output not in OUTPUTS:
        raise ConfigError(f"output: no {output!r}; {suggest(output, OUTPUTS)}")

    def pick(moments: Moments) -> Tensor:
        values = _quantity(moments, output)
        if max(columns) >= values.shape[1]:
            raise ConfigError(f"target: {max(columns)}, the model has {values.shape[1]} targets")
        chosen = values[:, columns[0]]
        return chosen if len(columns) == 1 else chosen - values[:, columns[1]]

    return pick


def _quantity(moments: Moments, output: str) -> Float[Tensor, "n t"]:
    if output == "activity":
        return moments.mean
    if output == "total_std":
        stds = [s for s in (moments.epistemic_std, moments.aleatoric_std) if s is not None]
        if stds:
            return torch.stack([std.square() for std in stds]).sum(0).clamp(min=LEAST_VARIANCE).sqrt()
        found = None
    else:
        found = getattr(moments, output)
    if found is None:
        raise ConfigError(
            f"output {output!r}: this model gives none; explain a student or the whole ensemble, or another output"
        )
    return found


def _label(output: Output, columns: tuple[int, ...], names: tuple[str, ...] | None) -> str:
    if not isinstance(output, str):
        return f"function {getattr(output, '__name__', 'of the moments')}"
    called = [names[i] if names is not None else f"target {i}" for i in columns]
    return f"{output} of {' - '.join(called)}"
