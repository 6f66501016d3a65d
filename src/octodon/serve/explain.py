"""Which bases a prediction rests on: maps as a table, or as logos."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
from jaxtyping import Float, UInt8
from numpy import ndarray
from pydantic import Field

from octodon.attribution.attribute import attribute
from octodon.attribution.doubt import doubt_beneath
from octodon.attribution.record import Attribution
from octodon.attribution.scalar import target_minus
from octodon.report.logo import logo_figure
from octodon.seq.codes import ALPHABET
from octodon.serve.bodies import LengthOptions
from octodon.serve.limits import Refusal
from octodon.serve.service import Service

MOST_MAPS = 16
"""A map takes the model for itself, for as long as it lasts."""
_COST = 100
"""Sequences that a map costs about as much as: 20 references or a mutant of each base, forward and backward."""


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
        413 for more than ``MOST_MAPS``.
    ConfigError
        For a method, output or target that is not there.
    """
    if len(codes) > MOST_MAPS:
        raise Refusal(413, f"{len(codes):,} sequences, at most {MOST_MAPS} maps in one request")
    return await service.call(lambda: _explain(service, ids, codes, options), cost=_COST * len(codes))


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


def _explain(
    service: Service, ids: list[str], codes: UInt8[ndarray, "n l"], options: AttributeOptions
) -> Explained:
    how = {
        "output": options.output,
        "target": target_minus(options.target, options.minus),
        "method": options.method,
        "background": options.background,
        "seed": options.seed,
        "device": service.device,
    }
    found = attribute(service.model, codes, ids, **how)
    if options.format != "svg":
        return Explained(found=found, svg=None)
    beneath, label = None, ""
    if "epistemic_std" in service.outputs:
        beneath, label = doubt_beneath(service.model, found, len(codes), **how)
    return Explained(found=found, svg=_drawn(found, beneath, label))


def _drawn(found: Attribution, beneath: Float[ndarray, "n l"] | None, label: str) -> bytes:
    with tempfile.TemporaryDirectory(prefix="octodon-") as folder:
        out = Path(folder) / "logos.svg"
        titles = [f"{name}: {found.output}" for name in found.ids]
        logo_figure(
            found.codes, found.observed, beneath, titles, out, units=found.units, std_label=label, first=1
        )
        return out.read_bytes()
