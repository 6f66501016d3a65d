"""The effects of one region, from a table that ``octodon variants`` wrote."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Int64
from numpy import ndarray

from octodon.data._files import existing_file
from octodon.data.frame import read_frame
from octodon.data.intervals import are_positions, numbers_of
from octodon.errors import ConfigError, DataError
from octodon.registry import suggest

_PLACE = ("chrom", "pos", "ref", "alt")


def read_region(path: str | Path, region: str) -> pd.DataFrame:
    """Return the rows of a table of effects that lie in ``CONTIG`` or ``CONTIG:FIRST-LAST`` (1-based, both ends included).

    Raises
    ------
    DataError
        No such file, one that is no table of effects with positions, a row without contig or position, a contig without
        variants.
    ConfigError
        A region of another form.
    """
    file = existing_file(path)
    table = read_frame(file, ["chrom", "id", "ref", "alt"])
    missing = [repr(name) for name in _PLACE if name not in table.columns]
    if not _with_effect(table):
        missing.append("that ends in '_effect'")
    if missing:
        raise DataError(
            f"{file}: no column {missing[0]}; expected a table that octodon variants wrote for a VCF"
        )
    table = table.assign(pos=_positions(file, table))
    contigs = sorted(set(table["chrom"]))
    contig, first, last = _parsed(region, contigs)
    if contig not in contigs:
        raise DataError(f"{file}: no variant on {contig!r}; {suggest(contig, contigs)}")
    chosen = (table["chrom"] == contig) & (table["pos"] >= first)
    chosen = chosen if last is None else chosen & (table["pos"] <= last)
    return table.loc[chosen.to_numpy()]


def targets_of(table: pd.DataFrame, target: str | None) -> list[str]:
    """Return the targets with an effect, or the one that is asked for.

    Raises
    ------
    ConfigError
        It is not there.
    """
    known = _with_effect(table)
    if target is None:
        return known
    if target not in known:
        raise ConfigError(f"--target: no effect on {target!r}; {suggest(target, known)}")
    return [target]


def _with_effect(table: pd.DataFrame) -> list[str]:
    return [name.removesuffix("_effect") for name in table.columns if name.endswith("_effect")]


def _positions(file: Path, table: pd.DataFrame) -> Int64[ndarray, " v"]:
    """Return the positions, where every row has one and a contig."""
    homeless = np.flatnonzero(table["chrom"].isna())
    if len(homeless):
        raise DataError(f"{file}: row {homeless[0] + 1} has no chrom; give every variant its contig")
    given = table["pos"].to_numpy(dtype=object)
    values = numbers_of(given)
    wrong = np.flatnonzero(~are_positions(values))
    if len(wrong):
        raise DataError(
            f"{file}: row {wrong[0] + 1}, column 'pos': {given[wrong[0]]!r} is no whole number from 0 on; give every variant its "
            f"position"
        )
    return np.asarray(values, dtype=np.int64)


def _parsed(region: str, contigs: list[str]) -> tuple[str, int, int | None]:
    if region in contigs:  # names may hold a colon
        return region, 0, None
    found = re.fullmatch(r"(.+):(\d[\d,]*)-(\d[\d,]*)", region)
    if found is None:
        if ":" in region:
            raise ConfigError(
                f"--region {region!r}: expected CONTIG or CONTIG:FIRST-LAST, such as chr1:100-500"
            )
        return region, 0, None
    first, last = (int(text.replace(",", "")) for text in found.groups()[1:])
    if last < first:
        raise ConfigError(f"--region {region!r}: ends before it starts")
    return found[1], first, last
