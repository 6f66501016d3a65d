"""Assign examples to train, valid and test so that copies of one element stay together, or say where they do not."""

from __future__ import annotations

import inspect
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Bool, Int
from numpy import ndarray

from octodon.data._options import typed_options
from octodon.data._split_ways import fold_labels, way_of
from octodon.data.examples import Examples
from octodon.data.related import counts_per_label, related_groups
from octodon.data.split_names import SPLITS
from octodon.errors import ConfigError, DataError
from octodon.registry import suggest

ON_LEAK = ("refuse", "drop", "allow")
_MOST_BYTES = 100
"""Of the name of a split: file systems take 255 for a file's, of which other parts need some."""


def split_examples(examples: Examples, by: str = "fraction", **options: Any) -> Examples:
    """Return the same rows, each assigned to a split.

    Parameters
    ----------
    examples : Examples
    by : str
        "column": ``column=`` a column of the examples (default: the split that the reader found). Train, training /
        valid, val, validation, dev / test, testing are understood in either case; any other value becomes a split of
        that name, which is kept aside: predicted, never trained on.
        "chromosome": ``valid=[...]``, ``test=[...]`` name values of ``column`` (default: "chrom" or "chromosome",
        whichever is there), all others train; ``missing=`` names the split of rows without a value (refused by default).
        "fraction": ``valid=0.1, test=0.1, seed=0`` of the rows, at random, related rows together.
        "group": ``column=`` as by fraction, and rows with the same value of the column stay together too.
        "fold": ``folds=5, fold=0, seed=0`` for cross-validation: the rows are dealt at random into ``folds`` (3 or more)
        parts of nearly equal size, related rows together; test = part ``fold`` (from 0), valid = the next one (the first
        after the last), the rest trains. With one seed, ``fold`` = 0 ... ``folds`` - 1 test every row once. An optional
        ``column=`` keeps rows with the same value of it together too.
    **options
        Those above, and ``on_leak``: "refuse" (default), "drop" or "allow", see ``refuse_leaks``.

    Raises
    ------
    ConfigError
        For an unknown way or option, one of the wrong type or out of range, or a chromosome that is not there.
    DataError
        For an unknown column, a missing value, a split whose name cannot be part of a file's, train, valid or test without
        rows, fewer families than folds, or (with
        ``on_leak`` "refuse") related rows that straddle splits.
    """
    way = way_of(by)
    on_leak = check_on_leak(options.pop("on_leak", "refuse"))
    known = list(inspect.signature(way).parameters)[1:]
    for name in options:
        if name not in known:
            raise ConfigError(f"split by {by}: no option {name!r}; {suggest(name, [*known, 'on_leak'])}")
    splits = np.asarray(way(examples, **typed_options(way, options, "split"))).astype(np.str_)
    groups = options.get("column") if by in ("group", "fold") else None
    result = refuse_empty(_refuse_names(replace(examples, splits=splits, split_groups=groups)))
    return refuse_leaks(result, on_leak)


def k_folds(examples: Examples, k: int, seed: int = 0, groups: Sequence[ndarray] = ()) -> Int[ndarray, " n"]:
    """Return the fold (0 to k - 1) of every row; folds are of nearly equal size and related rows share one.

    ``groups`` are further labels (gene ...): rows with equal values share a fold too.

    Raises
    ------
    ConfigError
        For k < 2.
    DataError
        Where related rows leave fewer than k folds with rows.
    """
    return fold_labels(related_groups(examples.codes, examples.ids, *groups), k, seed)


@dataclass(frozen=True, kw_only=True, eq=False)
class Leaks:
    """Related rows that lie on both sides of a split.

    Attributes
    ----------
    n_groups : int
        Groups of related rows with rows in train or valid AND in another split. (Copies shared by two splits that
        are never trained on, such as test and "random", tell the network nothing: they do not count.)
    n_rows : int
        Rows of those groups.
    between : mapping of (str, str) to int
        Groups that straddle each pair of splits.
    first : tuple of tuple of str
        The first groups, as "id (split)", at most 5 groups of 4 rows.
    rows : (n,) bool
        True for the rows of those groups.
    redundant : (n,) bool
        The rows that ``on_leak="drop"`` leaves out: those in train whose group has rows in another split, and those
        in valid whose group has rows in test or in a split of another name.
    """

    n_groups: int
    n_rows: int
    between: Mapping[tuple[str, str], int]
    first: tuple[tuple[str, ...], ...]
    rows: Bool[ndarray, " n"]
    redundant: Bool[ndarray, " n"]

    def describe(self) -> str:
        """Return "3 groups of related rows (7 rows) straddle splits: train/test 2, ...; first: ..."."""
        if not self.n_groups:
            return "no related rows straddle splits"
        pairs = ", ".join(f"{a}/{b} {count}" for (a, b), count in self.between.items())
        first = " = ".join(self.first[0])
        return f"{self.n_groups} groups of related rows ({self.n_rows} rows) straddle splits: {pairs}; first: {first}"


def find_leaks(examples: Examples) -> Leaks:
    """Return which duplicates, reverse complements and name partners straddle the splits of the examples.

    Raises
    ------
    DataError
        Where the examples have no split.
    """
    splits = examples.required_splits()
    groups = related_groups(examples.codes, examples.ids)
    names, of_row = np.unique(splits.astype(np.str_), return_inverse=True)
    family = np.flatnonzero(counts_per_label(groups) > 1)
    present = np.zeros((int(groups.max(initial=-1)) + 1, len(names)), dtype=bool)
    present[groups[family], of_row[family]] = True
    column = {str(name): index for index, name in enumerate(names)}
    trained = [column[name] for name in ("train", "valid") if name in column]
    held = np.any(np.delete(present, trained, axis=1), axis=1)
    leaking = (present.sum(axis=1) > 1) & np.any(present[:, trained], axis=1)
    rows = leaking[groups]
    is_train, is_valid = splits == "train", splits == "valid"
    return Leaks(
        n_groups=int(leaking.sum()),
        n_rows=int(rows.sum()),
        between=_pairs(present[leaking], names),
        first=_first_groups(examples, groups, rows),
        rows=rows,
        redundant=(rows & is_train) | (rows & is_valid & held[groups]),
    )


def refuse_leaks(examples: Examples, on_leak: str = "refuse") -> Examples:
    """Return examples in which no related rows straddle a split, or those given if leaks are allowed.

    Parameters
    ----------
    on_leak : {"refuse", "drop", "allow"}
        "refuse": raise. "drop": leave out ``Leaks.redundant`` (rows of train and valid; test and other splits are kept whole)
        and count them in ``Examples.dropped``. "allow": change nothing.

    Raises
    ------
    ConfigError
        For another ``on_leak``.
    DataError
        For examples without a split, a leak under "refuse", or a split that "drop" would empty.
    """
    if check_on_leak(on_leak) == "allow":
        return examples
    leaks = find_leaks(examples)
    if not leaks.n_groups:
        return examples
    if on_leak == "refuse":
        raise DataError(
            f"split: {leaks.describe()}; leave the training copies out with on_leak = 'drop', keep them with 'allow', "
            f"or split by 'fraction'"
        )
    kept = examples.take(np.flatnonzero(~leaks.redundant))
    dropped = dict(examples.dropped)
    for split in ("train", "valid"):
        count = int((leaks.redundant & (examples.splits == split)).sum())
        if count:
            dropped[f"{split} rows related to a row of another split"] = count
    emptied = [name for name in split_sizes(examples) if name not in split_sizes(kept)]
    if emptied:
        raise DataError(
            f"split: on_leak = 'drop' leaves no rows in {', '.join(emptied)}: all are related to rows of another split; "
            f"split by 'fraction'"
        )
    return replace(kept, dropped=dropped)


def check_way(by: Any) -> str:
    """Return the way to split; raise ConfigError, with the nearest known one, for anything else."""
    way_of(by)
    return by


def check_on_leak(on_leak: Any) -> str:
    """Return what to do with leaks; raise ConfigError for anything but "refuse", "drop" and "allow"."""
    if on_leak not in ON_LEAK:
        raise ConfigError(f"split.on_leak: no {on_leak!r}; {suggest(str(on_leak), ON_LEAK)}")
    return on_leak


def refuse_empty(examples: Examples) -> Examples:
    """Return the examples; raise DataError where train, valid or test has no rows."""
    sizes = split_sizes(examples)
    empty = [name for name in SPLITS if name not in sizes]
    if empty:
        found = ", ".join(f"{name} {count}" for name, count in list(sizes.items())[:12])
        raise DataError(
            f"split: no rows in {', '.join(empty)}; found {found}; expected rows in train, valid and test "
            f"(name them so, or split by 'chromosome' or 'fraction')"
        )
    return examples


def _refuse_names(examples: Examples) -> Examples:
    """Return the examples; raise DataError for a split after which no file can be named, as a run does after training."""
    for name, count in split_sizes(examples).items():
        if "/" in name or not name.isprintable() or len(name.encode()) > _MOST_BYTES:
            raise DataError(
                f"split: {name[:60]!r} ({count:,} rows) cannot be part of a file name (predictions_NAME.parquet); rename it, at "
                f"most {_MOST_BYTES} printable characters without '/'"
            )
    return examples


def split_sizes(examples: Examples) -> dict[str, int]:
    """Return rows per split: train, valid, test first, then the others by name."""
    if examples.splits is None:
        return {}
    counts = Counter({str(name): int(count) for name, count in zip(*_unique(examples.splits), strict=True)})
    return {name: counts[name] for name in (*SPLITS, *sorted(set(counts) - set(SPLITS))) if name in counts}


def _unique(values: ndarray) -> tuple[list[str], list[int]]:
    names, counts = np.unique(values.astype(np.str_), return_counts=True)
    return names.tolist(), counts.tolist()


def _pairs(present: Bool[ndarray, "g s"], names: ndarray) -> dict[tuple[str, str], int]:
    rank = {name: index for index, name in enumerate(SPLITS)}
    order = sorted(range(len(names)), key=lambda i: (rank.get(str(names[i]), len(rank)), str(names[i])))
    both = present.astype(np.int64).T @ present.astype(np.int64)
    pairs = [(a, b) for index, a in enumerate(order) for b in order[index + 1 :] if both[a, b]]
    pairs = [(a, b) for a, b in pairs if str(names[a]) in ("train", "valid")]
    return {(str(names[a]), str(names[b])): int(both[a, b]) for a, b in pairs}


def _first_groups(
    examples: Examples, groups: Int[ndarray, " n"], rows: Bool[ndarray, " n"], most: int = 5, members: int = 4
) -> tuple[tuple[str, ...], ...]:
    assert examples.splits is not None
    found = []
    for group in np.unique(groups[rows])[:most]:  # numbered in the order of their first row
        inside = np.flatnonzero(groups == group)
        # One row of every split first, so that both sides of the leak are seen.
        _, leaders = np.unique(examples.splits[inside].astype(np.str_), return_index=True)
        shown = np.sort(np.concatenate([leaders, np.setdiff1d(np.arange(len(inside)), leaders)])[:members])
        found.append(tuple(f"{examples.ids[i]!s} ({examples.splits[i]!s})" for i in inside[shown]))
    return tuple(found)
