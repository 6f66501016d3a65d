"""Which bases a prediction rests on: maps as a table, or as logos."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from jaxtyping import Float, UInt8
from numpy import ndarray
from pydantic import Field

from octodon.attribution.attribute import INSTEAD, attribute
from octodon.attribution.doubt import asked_of_doubt, beneath_of
from octodon.attribution.methods import methods
from octodon.attribution.record import Attribution
from octodon.attribution.scalar import target_minus
from octodon.ensemble.ensemble import Ensemble
from octodon.report.logo import logo_figure
from octodon.seq.codes import ALPHABET
from octodon.serve.bodies import LengthOptions
from octodon.serve.limits import Refusal
from octodon.serve.rows import join_maps
from octodon.serve.service import Service

MOST_MAPS = 16
"""A map takes the model for itself, for as long as it lasts."""
_COST = 100
"""Sequences that a map without references costs about as much as: a mutant of each base."""
_COST_OF_REFERENCE = 5
"""The same of one reference, forward and backward, at each point of a path."""


class AttributeOptions(LengthOptions):
    """What to explain and how; as the options of ``octodon attribute``."""

    method: str = Field("deep_lift_shap", description="See octodon list methods.")
    output: Literal["activity", "epistemic_std", "aleatoric_std", "total_std"] = "activity"
    target: str | None = Field(None, description="Needed where there are several.")
    minus: str | None = Field(None, description="Explain the target minus this one: what makes them differ.")
    background: int = Field(20, ge=1, le=100, description="Number of dinucleotide shuffles of each sequence.")
    seed: int = Field(0, ge=0, le=2**31, description="Same seed, same maps.")
    format: Literal["json", "tsv", "csv", "svg"] = "json"


@dataclass(frozen=True, kw_only=True, eq=False)
class Explained:
    """Maps, and the logos where they were asked for."""

    found: Attribution
    svg: bytes | None


async def explain(
    service: Service, ids: list[str], codes: UInt8[ndarray, "n l"], options: AttributeOptions
) -> Explained:
    """Return the maps of a few sequences.

    Raises
    ------
    Refusal
        413 for more than ``MOST_MAPS``; 503 where too much waits already.
    ConfigError
        For a method, output or target that is not there.
    """
    if len(codes) > MOST_MAPS:
        raise Refusal(413, f"{len(codes):,} sequences, at most {MOST_MAPS} maps in one request")
    how: dict[str, Any] = {
        "output": options.output,
        "target": target_minus(options.target, options.minus),
        "method": options.method,
        "background": options.background if methods[options.method].needs_background else None,
        "seed": options.seed,
        "device": service.device,
    }
    with service.places(len(codes) * _cost_of_map(service, options)):
        found = await _maps(service, ids, codes, **how)
        if options.format != "svg":
            return Explained(found=found, svg=None)
        beneath, label = None, ""
        if "epistemic_std" in service.outputs:
            asked = asked_of_doubt(service.model, found, output=options.output, target=how["target"])
            doubt = None if asked is None else await _maps(service, ids, codes, **how | asked)
            beneath, label = beneath_of(found, doubt)
        # by the model's thread, too: matplotlib bears one at a time
        return Explained(found=found, svg=await service.call(lambda: _drawn(found, beneath, label)))


def maps_frame(found: Attribution) -> pd.DataFrame:
    """Return one row per base: id, position (from 1), base, contribution, its std where it has one, and A, C, G, T.

    A to T are the map itself: what each base would contribute there.
    """
    n, length = found.codes.shape
    columns: dict[str, ndarray] = {
        "id": np.repeat(found.ids, length),
        "position": np.tile(np.arange(1, length + 1), n),
        "base": np.array(list(ALPHABET + "N"), dtype=object)[found.codes.ravel()],
        "contribution": found.observed.ravel(),
    }
    if found.observed_std is not None:
        columns["contribution_std"] = found.observed_std.ravel()
    columns |= {letter: found.maps[:, code].ravel() for code, letter in enumerate(ALPHABET)}
    return pd.DataFrame(columns)


def _cost_of_map(service: Service, options: AttributeOptions) -> int:
    """Return about how many sequences could be predicted in the time of one map."""
    way = methods[options.method]
    members = len(service.model.members) if isinstance(service.model, Ensemble) else 1
    points = getattr(way(), "steps", 1)
    return members * (_COST_OF_REFERENCE * options.background * points if way.needs_background else _COST)


async def _maps(
    service: Service, ids: list[str], codes: UInt8[ndarray, "n l"], *, method: str, **how: Any
) -> Attribution:
    """Return maps that are made one by one, so that others have their turn between and who has given up is not served on.

    A call that has begun cannot be stopped: one for all would hold the model beyond the time of its request.
    """

    async def ask(row: int, way: str) -> Attribution:
        one = slice(row, row + 1)
        return await service.call(lambda: attribute(service.model, codes[one], ids[one], method=way, **how))

    found: list[Attribution] = []
    fallback = ""
    for row in range(len(codes)):
        found.append(await ask(row, INSTEAD if fallback else method))
        if found[-1].fallback:
            fallback = found[-1].fallback
            # as ``attribute`` does it: maps are compared between sequences, so all by one method
            found[:row] = [await ask(earlier, INSTEAD) for earlier in range(row)]
    return replace(join_maps(found), method=method, fallback=fallback)


def _drawn(found: Attribution, beneath: Float[ndarray, "n l"] | None, label: str) -> bytes:
    with tempfile.TemporaryDirectory(prefix="octodon-") as folder:
        out = Path(folder) / "logos.svg"
        by = f" (by {INSTEAD}: {found.method} did not fit)" if found.fallback else ""
        titles = [f"{name}: {found.output}{by}" for name in found.ids]
        logo_figure(
            found.codes, found.observed, beneath, titles, out, units=found.units, std_label=label, first=1
        )
        return out.read_bytes()
