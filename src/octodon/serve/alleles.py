"""Effects of alleles: pairs of sequences, or mutations of one."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

import numpy as np
import pandas as pd
from jaxtyping import Int64, UInt8
from numpy import ndarray
from pydantic import BaseModel, ConfigDict, Discriminator, Field, RootModel, Tag

from octodon.data.lengths import REFUSE
from octodon.errors import DataError
from octodon.seq.codes import ALPHABET, decode
from octodon.serve.bodies import Bases, Id, encoded, refuse_control_characters
from octodon.serve.limits import Limits
from octodon.serve.rows import take_rows
from octodon.serve.service import Service
from octodon.variants.effects import effects_said, level_of
from octodon.variants.frame import effects_frame

_MUTATION = re.compile(r"([ACGTNacgtn])([1-9][0-9]{0,6})([ACGTacgt])")


class MutationsIn(BaseModel):
    """One sequence and its mutations."""

    model_config = ConfigDict(extra="forbid")
    sequence: Bases
    mutations: list[str] | None = Field(
        None,
        min_length=1,
        fail_fast=True,
        description="Such as G45A (base, position from 1, base), or G45A+C47T together; default: every single one.",
    )


class PairsIn(BaseModel):
    """Sequences with the reference and with the alternative allele."""

    model_config = ConfigDict(extra="forbid")
    ref: list[Bases] = Field(min_length=1, fail_fast=True)
    alt: list[Bases] = Field(min_length=1, fail_fast=True)
    ids: list[Id] | None = Field(None, fail_fast=True, description='One for each; default "1", "2", ...')


def _which(given: Any) -> str:
    return "pairs" if isinstance(given, dict) and given.keys() & {"ref", "alt"} else "mutations"


class AllelesIn(
    RootModel[
        Annotated[
            Annotated[MutationsIn, Tag("mutations")] | Annotated[PairsIn, Tag("pairs")], Discriminator(_which)
        ]
    ]
):
    """Either; what is wrong is said of the one that was meant."""


class VariantOptions(BaseModel):
    """How to answer."""

    model_config = ConfigDict(extra="forbid")
    level: float | None = Field(
        None, gt=0, lt=1, description="Level of the interval of the effect; 0.95 where none is given."
    )
    format: Literal["json", "tsv", "csv"] = "json"


def read_alleles(
    given: MutationsIn | PairsIn, length_bp: int, limits: Limits
) -> tuple[list[str], UInt8[ndarray, "n l"], Int64[ndarray, " v"], Int64[ndarray, " v"]]:
    """Return ids, sequences, and in which of them either allele of each variant stands.

    Raises
    ------
    Refusal
        413 for too many sequences.
    DataError
        A letter that is no base, another length than the model's, unequal numbers, a mutation that is none of the sequence, or
        a control character in an id.
    """
    if isinstance(given, PairsIn):
        return _pairs(given, length_bp, limits)
    codes = encoded([given.sequence], REFUSE, length_bp, "sequence")[0]
    if given.mutations is None:
        # before they are made: they take the square of the length
        limits.refuse_sequences(int((codes[:, None] != np.arange(len(ALPHABET))).sum()) + 1)
        names, alts = _every_single_one(codes)
    else:
        limits.refuse_sequences(len(given.mutations) + 1)
        refuse_control_characters(given.mutations, "mutations")
        names, alts = given.mutations, np.stack([_mutated(codes, name) for name in given.mutations])
    at = np.arange(1, len(names) + 1)
    return names, np.concatenate([codes[None], alts]), np.zeros_like(at), at


async def effects(
    service: Service,
    ids: list[str],
    codes: UInt8[ndarray, "n l"],
    ref: Int64[ndarray, " v"],
    alt: Int64[ndarray, " v"],
    level: float | None,
) -> pd.DataFrame:
    """Return the table of ``octodon variants --table`` (without ``null_percentile``).

    Raises
    ------
    ConfigError
        For the level of an interval that the model cannot give.
    """
    said = await service.predict(codes)
    rows = take_rows(said, np.concatenate([ref, alt]))
    found = effects_said(rows, (2, len(ref), 1), getattr(service.model, "factors", None))
    level = level_of(level, found.epistemic_std is not None, "level")
    frame = effects_frame(found, service.model.target_names, None, level)
    frame.insert(0, "id", np.array(ids, dtype=object))
    return frame


def _pairs(
    given: PairsIn, length_bp: int, limits: Limits
) -> tuple[list[str], UInt8[ndarray, "n l"], Int64[ndarray, " v"], Int64[ndarray, " v"]]:
    n = len(given.ref)
    ids = [str(i + 1) for i in range(n)] if given.ids is None else given.ids
    if len(given.alt) != n or len(ids) != n:
        raise DataError(
            f"ref: {n:,} sequences, alt: {len(given.alt):,}, ids: {len(ids):,}; give as many of each"
        )
    limits.refuse_sequences(2 * n)
    refuse_control_characters(ids)
    both = [encoded(part, REFUSE, length_bp, name) for part, name in ((given.ref, "ref"), (given.alt, "alt"))]
    return ids, np.concatenate(both), np.arange(n), np.arange(n, 2 * n)


def _every_single_one(codes: UInt8[ndarray, " l"]) -> tuple[list[str], UInt8[ndarray, "v l"]]:
    """Return names and sequences of all single mutations, position by position."""
    letters = decode(codes[None])[0]
    places = [
        (position, base)
        for position, own in enumerate(codes.tolist())
        for base in range(len(ALPHABET))
        if base != own
    ]
    alts = np.repeat(codes[None], len(places), axis=0)
    positions, bases = np.array(places).T
    alts[np.arange(len(places)), positions] = bases
    return [f"{letters[position]}{position + 1}{ALPHABET[base]}" for position, base in places], alts


def _mutated(codes: UInt8[ndarray, " l"], name: str) -> UInt8[ndarray, " l"]:
    """Return the sequence with a mutation, or several joined by "+"."""
    made = codes.copy()
    for part in name.split("+"):
        found = _MUTATION.fullmatch(part.strip())
        if found is None:
            raise DataError(
                f"mutations: {name[:60]!r}, expected such as G45A (base, position, base), or G45A+C47T"
            )
        ref, position, alt = found[1].upper(), int(found[2]), found[3].upper()
        if position > len(codes):
            raise DataError(f"mutations: {name[:60]!r}: the sequence has {len(codes)} bases")
        own = (ALPHABET + "N")[codes[position - 1]]
        if own != ref:
            raise DataError(f"mutations: {name[:60]!r}: the sequence has {own} at position {position}")
        if made[position - 1] != codes[position - 1]:
            raise DataError(
                f"mutations: {name[:60]!r} changes position {position} twice; name one base for it"
            )
        if ref == alt:
            raise DataError(f"mutations: {name[:60]!r} changes nothing; name another base")
        made[position - 1] = ALPHABET.index(alt)
    return made
