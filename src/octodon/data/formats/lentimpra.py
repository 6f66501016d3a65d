"""The lentiMPRA release (Agarwal et al. 2023): a sequence table and a replicate activity table, joined by name."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Int, UInt8
from numpy import ndarray

from octodon.data._arrow import texts_of
from octodon.data._batches import TEXT
from octodon.data.assemble import Measurements, Missing, assemble, refuse_duplicates
from octodon.data.examples import Examples
from octodon.data.formats import readers
from octodon.data.formats._published_table import header, read_columns
from octodon.data.formats.table import read_rows
from octodon.data.lengths import REFUSE
from octodon.data.related import partner_name
from octodon.data.split_names import NO_SPLIT
from octodon.errors import ConfigError, DataError

UNITS = "log2(RNA/DNA)"
MEAN_TOLERANCE = (
    0.0015  # replicates and mean are printed with three decimals: two roundings of 0.0005, and slack
)

# Published split: forward/reverse pairs and other sequences of HepG2, drawn before K562 from the same stream.
# By the least number of replicates: 1 = rows with a mean, 2 = rows with a mean and a standard deviation.
HEPG2_PAIRS_AND_OTHERS = {1: (61_668, 16_541), 2: (61_253, 16_893)}
PUBLISHED_SEED = 1234

# Ours, and what the tabs call it: hg38 first, since only that is given for both cell lines.
EXTRA_COLUMNS = {
    "category": ("category",),
    "chromosome": ("chr.hg38", "chr.hg19"),
    "strand": ("str.hg38", "str.hg19"),
}


@readers.register("lentimpra")
def read_lentimpra(
    path: str | Path,
    *,
    activity: str | Path,
    split: str | None = None,
    cell: str | None = None,
    min_replicates: int = 0,
    missing: Missing = "refuse",
) -> Examples:
    """Read the published lentiMPRA release: sequences and activities, in the order of the activity table.

    Parameters
    ----------
    path : path
        Sequence table (TSV or CSV, .gz too): a column ``name``, then category, coordinates, strand; the last
        column is the 230 nt sequence (15 nt adaptor, 200 nt element, 15 nt adaptor), used whole.
    activity : path
        Activity table: ``name``, ``replicate 1 [log2(rna/dna)]`` and so on, ``mean``, ``std``.
    split : None or "published"
        None, "" or "none" leaves the splits to ``Examples.split`` (which keeps forward and reverse together). "published"
        repeats the published random split, see ``published_splits``; it needs ``cell`` and ``min_replicates``
        1 (the set with means) or 2 (the set with means and standard deviations).
    cell : "HepG2" or "K562", optional
        Whose published split is meant.
    min_replicates : int
        Rows with fewer replicates are left out and counted; 0 keeps all.
    missing : "refuse", "drop" or "mask"
        What to do with rows without any replicate (see ``octodon.data.assemble.assemble``).

    Returns
    -------
    examples : Examples
        One target, ``activity``, in log2(RNA/DNA): the plain mean of the replicates that are present, which the
        printed column ``mean`` must equal to its three decimals; replicates (n, 1, r).
        Columns: ``element`` (the name without its mark of orientation, so equal for forward and reverse),
        ``category``, ``chromosome``, ``strand`` (hg38 where given). ``dropped`` counts activity rows whose name has
        no sequence, and rows below ``min_replicates``.

    Raises
    ------
    DataError
        For a missing file or column, a name that occurs twice, a letter that is no base, or a mean that is not
        the mean of its replicates.
    """
    path, activity = Path(path), Path(activity)
    split = None if split in NO_SPLIT else split
    _check_split(split, cell, min_replicates)
    sequence_names, codes, columns = _sequence_table(path)
    names, replicates = _activity_table(activity)
    row = pd.Index(sequence_names).get_indexer(pd.Index(names))
    known = row >= 0
    enough = np.isfinite(replicates).sum(axis=1) >= min_replicates
    dropped = {"name without a sequence": int((~known).sum())}
    dropped[f"fewer than {min_replicates} replicates"] = int((known & ~enough).sum())
    keep = known & enough
    if not keep.any():
        raise DataError(
            f"{activity}: none of {len(names)} rows is left ({_in_words(dropped)}; sequences from {path}); check "
            f"that both tables are of one cell line"
        )
    names, row = names[keep], row[keep]
    examples = assemble(
        codes[row],
        names,
        Measurements(names=("activity",), values=(replicates[keep],), units=UNITS),
        missing=missing,
        where=str(activity),
        splits=None if split is None else published_splits(names, str(cell), min_replicates),
        columns={"element": partner_name(names), **{name: values[row] for name, values in columns.items()}},
    )
    counts = {reason: count for reason, count in dropped.items() if count}
    return replace(examples, dropped={**counts, **examples.dropped})


def published_splits(names: ndarray, cell: str, min_replicates: int) -> ndarray:
    """Return "train", "valid" or "test" for each name, as the published random split assigns them.

    The published rule: numpy's legacy generator with seed 1234 draws, first for HepG2 and then, going on, for K562:
    training pairs, training others, test pairs, test others, each without replacement, round(0.8 n) and
    round(0.1 n) of the n pairs (or other sequences); validation is the rest. Names must be in the order of the
    published activity table and filtered alike, or the draw means other sequences.

    Pairs are told apart as published. Names that end in ``_Reversed_0`` (153 in HepG2) were paired with none and
    drawn singly, and ``str.strip`` removed a set of characters instead of the suffix; so a few elements may have
    their two orientations in different splits. That flaw is part of the published assignment; a split made by
    ``Examples.split`` does not have it.

    Parameters
    ----------
    names : (n,) array of str
        Names in the order of the activity table.
    cell : "HepG2" or "K562"
    min_replicates : 1 or 2
        Which published set: all rows with a mean, or only those with a standard deviation.

    Raises
    ------
    DataError
        Where two reverse names have one forward partner.
    """
    forward_rows, reverse_rows = _published_pairs(names)
    others = np.setdiff1d(np.arange(len(names)), np.concatenate([forward_rows, reverse_rows]))
    stream = np.random.RandomState(PUBLISHED_SEED)  # the legacy generator is what makes the draw reproducible
    if cell == "K562":
        _draw(stream, *HEPG2_PAIRS_AND_OTHERS[min_replicates])
    pairs_drawn, others_drawn = _draw(stream, len(forward_rows), len(others))
    splits = np.full(len(names), "valid")
    for name in ("train", "test"):
        splits[forward_rows[pairs_drawn[name]]] = name
        splits[reverse_rows[pairs_drawn[name]]] = name
        splits[others[others_drawn[name]]] = name
    return splits


def _published_pairs(names: ndarray) -> tuple[Int[ndarray, " p"], Int[ndarray, " p"]]:
    """Return the rows of the forward and of the reverse members of pairs, in the order of the reverse names."""
    reverse_rows = np.flatnonzero(pd.Series(names).str.endswith("_Reversed").to_numpy(bool))
    # A set of characters, at both ends: as published.
    forward = np.char.strip(names[reverse_rows].astype(np.str_), "_Reversed")
    forward_rows = pd.Index(names).get_indexer(pd.Index(forward))
    paired = forward_rows >= 0
    if len(np.unique(forward_rows[paired])) != paired.sum():
        raise DataError(
            "published split: a forward name has two reverse partners, so the published draw is not defined; use "
            "split = 'none' and split by fraction"
        )
    return forward_rows[paired], reverse_rows[paired]


def _draw(
    stream: np.random.RandomState, n_pairs: int, n_others: int
) -> tuple[dict[str, ndarray], dict[str, ndarray]]:
    """Draw train and test among pairs and others, in the published order of calls."""
    pairs: dict[str, ndarray] = {}
    others: dict[str, ndarray] = {}
    for n, drawn in ((n_pairs, pairs), (n_others, others)):
        drawn["train"] = stream.choice(n, round(0.8 * n), replace=False)
    for n, drawn in ((n_pairs, pairs), (n_others, others)):
        rest = np.setdiff1d(np.arange(n), drawn["train"])
        drawn["test"] = stream.choice(rest, round(0.1 * n), replace=False)
    return pairs, others


def _check_split(split: str | None, cell: str | None, min_replicates: int) -> None:
    if split is None:
        return
    if split != "published":
        raise ConfigError(
            f"lentimpra: split is {split!r}, expected 'none' or 'published'; split the examples instead"
        )
    if cell not in ("HepG2", "K562"):
        raise ConfigError(f"lentimpra: the published split needs cell = 'HepG2' or 'K562', got {cell!r}")
    if min_replicates not in HEPG2_PAIRS_AND_OTHERS:
        raise ConfigError(
            f"lentimpra: the published split needs min_replicates = 1 (means) or 2 (means and standard deviations), "
            f"got {min_replicates}"
        )


def _sequence_table(
    path: Path,
) -> tuple[ndarray, UInt8[ndarray, "n l"], dict[str, ndarray]]:
    """Return names, codes, and what is there of category, chromosome and strand."""
    names = _header_with_name(path)
    sequence = names[-1]
    if "sequence" not in sequence.lower():
        raise DataError(
            f"{path}: the last column is {sequence!r}, expected '230nt sequence (...)'; check the tab"
        )
    found = {}
    for ours, theirs in EXTRA_COLUMNS.items():
        present = [column for column in theirs if column in names]
        if present:
            found[ours] = present[0]
    texts = ["name", *found.values()]
    rows = read_rows(path, sequence, dict.fromkeys([*texts, sequence], TEXT), REFUSE, keep=texts)
    elements = texts_of(rows.texts["name"])
    refuse_duplicates(elements, str(path))
    return elements, rows.codes, {ours: texts_of(rows.texts[theirs]) for ours, theirs in found.items()}


def _activity_table(path: Path) -> tuple[ndarray, Float[ndarray, "n r"]]:
    """Return names and replicates (NaN = missing), after comparing their mean with the printed one."""
    names = _header_with_name(path)
    replicate_columns = [column for column in names if re.match(r"replicate\s*\d+\b", column)]
    if not replicate_columns:
        raise DataError(f"{path}: no column 'replicate 1 [log2(rna/dna)]'; columns are {', '.join(names)}")
    texts, numbers = read_columns(path, texts=["name"], numbers=[*replicate_columns, "mean"])
    replicates = np.stack([numbers[column] for column in replicate_columns], axis=1)
    refuse_duplicates(texts["name"], str(path))
    _refuse_other_mean(path, texts["name"], numbers["mean"], replicates)
    return texts["name"], replicates


def _header_with_name(path: Path) -> list[str]:
    names = header(path)
    if "name" not in names:
        raise DataError(
            f"{path}: no column 'name' in line 1 ({', '.join(names)[:60]!r}); remove any title or empty line above the "
            f"column names"
        )
    return names


def _refuse_other_mean(
    path: Path, names: ndarray, mean: Float[ndarray, " n"], replicates: Float[ndarray, "n r"]
) -> None:
    """Raise unless ``mean`` is the plain mean of the replicates that are present, to the printed precision."""
    present = np.isfinite(replicates)
    count = present.sum(axis=1)
    plain = np.where(present, replicates, 0.0).sum(axis=1) / np.maximum(count, 1)
    off: Bool[ndarray, " n"] = (count > 0) & ~(np.abs(mean - plain) <= MEAN_TOLERANCE)
    if off.any():
        first = int(np.flatnonzero(off)[0])
        raise DataError(
            f"{path}: in {int(off.sum())} of {len(mean)} rows 'mean' is not the mean of the replicates (first "
            f"{str(names[first])!r}: {mean[first]:.4g}, expected {plain[first]:.4g}); correct the table, or leave "
            f"the replicates' columns to the reader 'table'"
        )


def _in_words(counts: dict[str, int]) -> str:
    return ", ".join(f"{count} {reason}" for reason, count in counts.items() if count)
