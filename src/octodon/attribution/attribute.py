"""One call for every method, model and scalar."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import UInt8
from numpy import ndarray
from torch import nn

from octodon.attribution.background import Background
from octodon.attribution.background import background as make_background
from octodon.attribution.methods import Explanation, Method, methods
from octodon.attribution.record import Attribution
from octodon.attribution.scalar import Explained, Output, Target, explain
from octodon.distillation.student import Student
from octodon.ensemble.ensemble import Ensemble, check_length, name_rows
from octodon.ensemble.workers import pick_device
from octodon.errors import ConfigError
from octodon.models.inference import evaluating
from octodon.seeds import derive_seed
from octodon.seq.codes import as_codes
from octodon.seq.onehot import one_hot

_logger = logging.getLogger(__name__)

BLOCK = 16
"""Sequences at once; their references, or mutants, multiply."""
INSTEAD = "integrated_gradients"
"""The method by which all maps are made where the one that was asked for does not fit one of them."""


def attribute(
    model: Student | Ensemble | nn.Module,
    sequences: Any,
    ids: Sequence[str] | None = None,
    *,
    method: str = "deep_lift_shap",
    output: Output = "activity",
    target: Target = None,
    member: int | str | None = None,
    background: Any = None,
    seed: int = 0,
    device: str = "auto",
    options: Mapping[str, Any] | None = None,
    on_rows: Callable[[int, int], None] | None = None,
) -> Attribution:
    """Return which bases a scalar of a model's prediction rests on.

    Parameters
    ----------
    model : Student, Ensemble or nn.Module
        A module of your own maps (n, 4, l), in the order A C G T, to (n, targets).
    sequences : list of str or (n, l) uint8 codes
    ids : sequence of str, optional
        Default "1", "2", ...
    method : str
        One of ``octodon list methods``.
    output : str or callable
        "activity", "epistemic_std", "aleatoric_std", "total_std", or a function of ``Moments`` (each (n, t)) that returns
        (n,). An ensemble's activity is explained member by member and averaged; what only all members have
        together (its epistemic std) is explained as one function.
    target : str, int, pair or None
        Which target; a pair explains the first minus the second; None where the model has one.
    member : int, "each" or None
        One member of an ensemble, each by itself (maps averaged), or the ensemble.
    background : int or sequences, optional
        Number of dinucleotide shuffles of each sequence (default 20), or a set of sequences shared by all; of methods that
        compare with such.
    seed : int
        Of the shuffles and of random points.
    device : str
        "auto", "cpu" or "cuda".
    options : mapping, optional
        Of the method, such as ``{"steps": 32}``.
    on_rows : callable, optional
        Called with the number of maps (members times sequences) that are finished, and of all.

    Raises
    ------
    ConfigError
        For a method, option, output, target or member that is not there; a background for a method that has none.
    DataError
        For no sequence, a letter that is no base, another number of ids, or a background of another length.
    BundleError
        For sequences of another length than the model's.
    """
    way = _method(method, options or {})
    if background is not None and not way.needs_background:
        raise ConfigError(f"background: {method} compares with none; leave it out, or use deep_lift_shap")
    explained = explain(model, output, target, member)
    codes = as_codes(sequences)
    codes = check_length(codes, explained.length if explained.length is not None else codes.shape[1])
    rows = name_rows(ids, len(codes))
    reference = make_background(background, codes.shape[1], seed) if way.needs_background else None
    job = _Job(
        explained=explained,
        codes=codes,
        reference=reference,
        seed=seed,
        device=_home(model, device),
        on_rows=on_rows,
    )
    pieces = job.run(way)
    fallback = next((piece.fallback for parts in pieces for piece in parts if piece.fallback), "")
    if fallback:
        _logger.warning("%s: %s", method, fallback)
        if not all(piece.fallback for parts in pieces for piece in parts):
            # Maps are compared between members and sequences: all by one method.
            pieces = job.run(methods[INSTEAD]())
    found = [_join(parts) for parts in pieces]
    maps = np.stack([one.maps.float().cpu().numpy() for one in found])
    return Attribution(
        ids=rows,
        codes=codes,
        maps=maps.mean(axis=0),
        member_maps=maps if explained.by_member else None,
        method=method,
        output=explained.name,
        units=explained.units,
        background=reference.description if reference is not None else "",
        deltas=_deltas(found),
        fallback=fallback,
    )


def _method(name: str, options: Mapping[str, Any]) -> Method:
    try:
        return methods[name](**options)
    except TypeError as error:
        raise ConfigError(f"options of {name}: {str(error).split('__init__() ')[-1]}") from None


@dataclass(frozen=True, kw_only=True, eq=False)
class _Job:
    """What is to be explained, whatever the method."""

    explained: Explained
    codes: UInt8[ndarray, "n l"]
    reference: Background | None
    seed: int
    device: torch.device
    on_rows: Callable[[int, int], None] | None

    def run(self, way: Method) -> list[list[Explanation]]:
        """Return the explanations of every scalar, block by block."""
        scalars = self.explained.scalars
        pieces: list[list[Explanation]] = [[] for _ in scalars]
        for scalar in scalars:
            scalar.to(self.device)
        done = 0
        for start in range(0, len(self.codes), BLOCK):
            block = self.codes[start : start + BLOCK]
            x, references = _hot(block, self.device), None
            if self.reference is not None:
                chosen = self.reference.of(block)
                references = _hot(chosen.reshape(-1, chosen.shape[2]), self.device)
                references = references.unflatten(0, chosen.shape[:2])
            for number, scalar in enumerate(scalars):
                with evaluating(scalar):
                    pieces[number].append(way(scalar, x, references, derive_seed(self.seed, "points")))
                done += len(block)
                if self.on_rows is not None:
                    self.on_rows(done, len(self.codes) * len(scalars))
        return pieces


def _home(model: Any, device: str) -> torch.device:
    """Return where to compute: a module of the caller's stays where it lies."""
    if isinstance(model, nn.Module):
        found = next((parameter.device for parameter in model.parameters()), None)
        if found is not None:
            return found
    return torch.device(pick_device(device))


def _hot(codes: UInt8[ndarray, "n l"], device: torch.device) -> torch.Tensor:
    return one_hot(torch.from_numpy(np.array(codes)).to(device)).contiguous()


def _join(parts: list[Explanation]) -> Explanation:
    deltas = [part.deltas for part in parts if part.deltas is not None]
    return Explanation(
        maps=torch.cat([part.maps.detach() for part in parts]),
        deltas=torch.cat(deltas) if deltas else None,
        fallback=next((part.fallback for part in parts if part.fallback), ""),
    )


def _deltas(found: list[Explanation]) -> ndarray | None:
    present = [one.deltas.float().cpu().numpy() for one in found if one.deltas is not None]
    return np.stack(present) if present else None
