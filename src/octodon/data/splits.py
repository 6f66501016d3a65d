"""Assign examples to train, valid and test so that copies of one element stay together, or say where they do not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute
from jaxtyping import Bool, Int
from numpy import ndarray

from octodon.data._arrow import NO_VALUE
from octodon.data.examples import Examples
from octodon.data.related import counts_per_label, related_groups
from octodon.errors import ConfigError, DataError
from octodon.registry import suggest

pc: Any = pyarrow.compute  # its functions are made at import, unseen by type checkers

SPLITS = ("train", "valid", "test")
SYNONYMS = {
    "train": "train",
    "training": "train",
    "valid": "valid",
    "val": "valid",
    "validation": "valid",
    "dev": "valid",
    "test": "test",
    "testing": "test",
}
ON_LEAK = ("refuse", "drop", "allow")


def split_examples(examples: Examples, by: str = "fraction", **options: Any) -> Examples:
    """Return the same rows, each assigned to a split.

    Parameters
    ----------
    examples : Examples
    by : str
        "column": ``column=`` a column of the examples (default: the split that the reader found). Train, training /
        valid, val, validation, dev / test, testing are understood in either case; any other value becomes a split of
        that name, which is kept aside: predicted, never trained on.
        "chromosome": ``valid=[...]``, ``test=[...]`` name values of ``column`` (default "chrom"), all others train;
        ``missing=`` names the split of rows without a value (refused by default).
        "fraction": ``valid=0.1, test=0.1, seed=0`` of the rows, at random, related rows together.
        "group": ``column=`` as by fraction, and rows with the same value of the column stay together too.
    **options
        Those above, and ``on_leak``: "refuse" (default), "drop" or "allow", see ``refuse_leaks``.

    Raises
    ------
    ConfigError
        For an unknown way or option, or a fraction out of range.
    DataError
        For an unknown column, a missing value, or train, valid or test without rows.
    """
    if by not in _WAYS:
        raise ConfigError(f"split: no way {by!r}; {suggest(by, list(_WAYS))}")
    way, known = _WAYS[by]
    on_leak = options.pop("on_leak", "refuse")
    for name in options:
        if name not in known:
            raise ConfigError(f"split by {by}: no option {name!r}; {suggest(name, [*known, 'on_leak'])}")
    splits = np.asarray(way(examples, **options)).astype(np.str_)
    result = refuse_empty(replace(examples, splits=splits))
    return refuse_leaks(result, on_leak)


def k_folds(examples: Examples, k: int, seed: int = 0) -> Int[ndarray, " n"]:
    """Return the fold (0 to k - 1) of every row; folds are of nearly equal size and related rows share one.

    Raises
    ------
    ConfigError
        For k < 2.
    DataError
        Where related rows leave fewer than k folds with rows.
    """
    if k < 2:
        raise ConfigError(f"folds: k = {k}, expected at least 2")
    middle = _random_positions(related_groups(examples.codes, examples.ids), seed)
    folds = np.minimum((middle * k).astype(np.int64), k - 1)
    filled = len(np.unique(folds))
    if filled < k:
        raise DataError(
            f"folds: related rows fill only {filled} of {k} folds; choose fewer folds or more examples"
        )
    return folds


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
    """Return which duplicates, reverse complements and name partners straddle the splits of the examples."""
    if examples.splits is None:
        raise DataError("examples have no split yet; call .split(by=...) or name a split column")
    groups = related_groups(examples.codes, examples.ids)
    names, of_row = np.unique(examples.splits.astype(np.str_), return_inverse=True)
    family = np.flatnonzero(counts_per_label(groups) > 1)
    present = np.zeros((int(groups.max(initial=-1)) + 1, len(names)), dtype=bool)
    present[groups[family], of_row[family]] = True
    column = {str(name): index for index, name in enumerate(names)}
    trained = [column[name] for name in ("train", "valid") if name in column]
    held = np.any(np.delete(present, trained, axis=1), axis=1)
    leaking = (present.sum(axis=1) > 1) & np.any(present[:, trained], axis=1)
    rows = leaking[groups]
    is_train, is_valid = examples.splits == "train", examples.splits == "valid"
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
    DataError
        For a leak under "refuse", or a split that "drop" would empty.
    """
    if on_leak not in ON_LEAK:
        raise ConfigError(f"on_leak: no {on_leak!r}; {suggest(str(on_leak), ON_LEAK)}")
    if on_leak == "allow":
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
    return refuse_empty(replace(kept, dropped=dropped))


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


def split_sizes(examples: Examples) -> dict[str, int]:
    """Return rows per split: train, valid, test first, then the others by name."""
    if examples.splits is None:
        return {}
    counts = Counter({str(name): int(count) for name, count in zip(*_unique(examples.splits), strict=True)})
    return {name: counts[name] for name in (*SPLITS, *sorted(set(counts) - set(SPLITS))) if name in counts}


def _by_column(examples: Examples, column: str | None = None) -> ndarray:
    if column is None and examples.splits is None:
        raise ConfigError("split by column: the data have no split column; give column = 'NAME'")
    values = examples.splits if column is None else _column(examples, column)
    text = _text(values)
    if text.null_count:
        raise DataError(
            f"split column {column or 'of the reader'!r}: {_missing(examples, text)}; fill it, or leave those rows out"
        )
    words, labels = np.unique(text.to_numpy(zero_copy_only=False).astype(np.str_), return_inverse=True)
    return np.array([SYNONYMS.get(word.strip().lower(), word) for word in words.tolist()])[labels]


def _by_chromosome(
    examples: Examples,
    column: str = "chrom",
    valid: Sequence[str | int] = (),
    test: Sequence[str | int] = (),
    missing: str | None = None,
) -> ndarray:
    text = _text(_column(examples, column))
    if text.null_count and missing is None:
        raise DataError(
            f"split by chromosome: column {column!r}: {_missing(examples, text)}; say where they go, as in "
            f"missing = 'train' (or another name, to keep them aside)"
        )
    known = [str(word) for word in pc.unique(text.drop_null()).to_pylist()]
    chosen = {split: _names(split, values, known) for split, values in (("valid", valid), ("test", test))}
    both = sorted(set(chosen["valid"]) & set(chosen["test"]))
    if both:
        raise ConfigError(f"split by chromosome: {both[0]!r} is in valid and in test; name it once")
    values = text.fill_null("").to_numpy(zero_copy_only=False).astype(np.str_)
    splits = np.full(len(examples), "train", dtype=object)
    for split, names in chosen.items():
        splits[np.isin(values, names)] = split
    if missing is not None:
        splits[text.is_null().to_numpy(zero_copy_only=False)] = SYNONYMS.get(missing.lower(), missing)
    return splits


def _by_fraction(
    examples: Examples, valid: float = 0.1, test: float = 0.1, seed: int = 0, *, groups: Sequence[Any] = ()
) -> ndarray:
    if not (0 < valid < 1 and 0 < test < 1 and valid + test < 1):
        raise ConfigError(
            f"split: valid = {valid}, test = {test}; expected fractions above 0 whose sum is below 1"
        )
    middle = _random_positions(related_groups(examples.codes, examples.ids, *groups), seed)
    return np.select([middle < test, middle < test + valid], ["test", "valid"], "train")


def _by_group(examples: Examples, column: str | None = None, **options: Any) -> ndarray:
    if column is None:
        raise ConfigError("split by group: which column holds the groups? give column = 'NAME'")
    return _by_fraction(examples, groups=[_column(examples, column)], **options)


_WAYS: dict[str, tuple[Callable[..., ndarray], tuple[str, ...]]] = {
    "column": (_by_column, ("column",)),
    "chromosome": (_by_chromosome, ("column", "valid", "test", "missing")),
    "fraction": (_by_fraction, ("valid", "test", "seed")),
    "group": (_by_group, ("column", "valid", "test", "seed")),
}


def _random_positions(groups: Int[ndarray, " n"], seed: int) -> ndarray:
    """Return for every row the middle (0 to 1) of its group when all groups are laid end to end in random order."""
    sizes = np.bincount(groups)
    order = np.random.default_rng(seed).permutation(len(sizes))
    stops = np.cumsum(sizes[order])
    middle = np.empty(len(sizes))
    middle[order] = (stops - sizes[order] / 2) / len(groups)
    return middle[groups]


def _column(examples: Examples, column: str) -> ndarray:
    if column not in examples.columns:
        known = list(examples.columns)
        hint = suggest(column, known) if known else "no column was read; list it among the columns to read"
        raise DataError(f"split: no column {column!r}; {hint}")
    return examples.columns[column]


def _text(values: Any) -> Any:
    """Values as strings, with nulls for NaN, None, "" and "NA"; whole floats (1.0) are written as integers ("1")."""
    values = np.asarray(values)
    if values.dtype.kind == "f":
        whole = np.isfinite(values) & (values == np.round(values))
        if whole[np.isfinite(values)].all():
            return pa.array(np.where(whole, values, 0).astype(np.int64), mask=~whole).cast(pa.string())
    array = pa.array(values.tolist(), from_pandas=True).cast(pa.string())
    return pc.if_else(pc.is_in(array, value_set=pa.array(NO_VALUE)), pa.scalar(None, pa.string()), array)


def _missing(examples: Examples, text: Any) -> str:
    empty = np.flatnonzero(text.is_null().to_numpy(zero_copy_only=False))
    return f"{len(empty)} of {len(text)} rows have no value (first: row {empty[0] + 1}, {examples.ids[empty[0]]!s})"


def _names(split: str, values: Sequence[Any], known: list[str]) -> list[str]:
    if isinstance(values, str):
        raise ConfigError(f"split by chromosome: {split} = {values!r}, expected a list, as in ['{values}']")
    names = [str(value) for value in values]
    for name in names:
        if name not in known:
            raise ConfigError(
                f"split by chromosome: {split}: no {name!r} in the data; {suggest(name, known[:30])}"
            )
    return names


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
