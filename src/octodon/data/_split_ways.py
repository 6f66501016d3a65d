"""The ways to assign rows to splits; each returns one name per row, and its parameters are the options of that way."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, Any

import numpy as np
import pyarrow as pa
from jaxtyping import Int
from numpy import ndarray
from pydantic import Field

from octodon.data._arrow import NO_VALUE, compute
from octodon.data.examples import Examples
from octodon.data.related import related_groups
from octodon.data.split_names import split_name
from octodon.errors import ConfigError, DataError
from octodon.registry import suggest

# Where the chromosome is looked for, if no column is named: as tables and as our readers call it.
CHROMOSOME_COLUMNS = ("chrom", "chromosome")

Fraction = Annotated[float, Field(gt=0, lt=1)]
Seed = Annotated[int, Field(ge=0)]


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
    return np.array([split_name(word) for word in words.tolist()])[labels]


def _by_chromosome(
    examples: Examples,
    column: str | None = None,
    valid: Sequence[str | int] = (),
    test: Sequence[str | int] = (),
    missing: str | None = None,
) -> ndarray:
    column = chromosome_column(list(examples.columns)) if column is None else column
    text = _text(_column(examples, column))
    if text.null_count and missing is None:
        raise DataError(
            f"split by chromosome: column {column!r}: {_missing(examples, text)}; say where they go, as in "
            f"missing = 'train' (or another name, to keep them aside)"
        )
    known = [str(word) for word in compute.unique(text.drop_null()).to_pylist()]
    chosen = {split: _names(split, values, known) for split, values in (("valid", valid), ("test", test))}
    both = sorted(set(chosen["valid"]) & set(chosen["test"]))
    if both:
        raise ConfigError(f"split by chromosome: {both[0]!r} is in valid and in test; name it once")
    values = text.fill_null("").to_numpy(zero_copy_only=False).astype(np.str_)
    splits = np.full(len(examples), "train", dtype=object)
    for split, names in chosen.items():
        splits[np.isin(values, names)] = split
    if missing is not None:
        splits[text.is_null().to_numpy(zero_copy_only=False)] = split_name(missing)
    return splits


def chromosome_column(known: Sequence[str]) -> str:
    """Return which of the known columns holds the chromosome, where none was named.

    Raises
    ------
    ConfigError
        For both "chrom" and "chromosome".
    DataError
        For neither.
    """
    found = [name for name in CHROMOSOME_COLUMNS if name in known]
    if len(found) > 1:
        raise ConfigError(
            f"split by chromosome: the data have columns {found[0]!r} and {found[1]!r}; say which with column"
        )
    if not found:
        columns = ", ".join(known[:30]) or "none"
        raise DataError(
            f"split by chromosome: no column 'chrom' or 'chromosome' (there are: {columns}); give column = 'NAME'"
        )
    return found[0]


def _by_fraction(examples: Examples, valid: Fraction = 0.1, test: Fraction = 0.1, seed: Seed = 0) -> ndarray:
    return _fractions(examples, valid, test, seed)


def _by_group(
    examples: Examples,
    column: str | None = None,
    valid: Fraction = 0.1,
    test: Fraction = 0.1,
    seed: Seed = 0,
) -> ndarray:
    if column is None:
        raise ConfigError("split by group: which column holds the groups? give column = 'NAME'")
    return _fractions(examples, valid, test, seed, _groups(examples, column))


def _fractions(examples: Examples, valid: float, test: float, seed: int, *groups: ndarray) -> ndarray:
    if valid + test >= 1:
        raise ConfigError(
            f"split.valid: {valid} and split.test: {test}; expected fractions whose sum is below 1"
        )
    families = related_groups(examples.codes, examples.ids, *groups)
    middle = _random_positions(families, seed)
    splits = np.select([middle < test, middle < test + valid], ["test", "valid"], "train")
    if len(np.unique(splits)) < 3:
        raise DataError(
            f"split: {len(examples):,} rows are {int(families.max()) + 1:,} families of related rows, too few for train, valid "
            f"and test (valid {valid:g}, test {test:g}); give more rows, larger fractions, or another seed"
        )
    return splits


def _by_fold(
    examples: Examples,
    folds: Annotated[int, Field(ge=3)] = 5,
    fold: Annotated[int, Field(ge=0)] = 0,
    seed: Seed = 0,
    column: str | None = None,
) -> ndarray:
    if fold >= folds:
        raise ConfigError(f"split.fold: {fold}, expected 0 to {folds - 1} (split.folds = {folds})")
    groups = () if column is None else (_groups(examples, column),)
    part = fold_labels(related_groups(examples.codes, examples.ids, *groups), folds, seed)
    return np.select([part == fold, part == (fold + 1) % folds], ["test", "valid"], "train")


WAYS: dict[str, Callable[..., ndarray]] = {
    "column": _by_column,
    "chromosome": _by_chromosome,
    "fraction": _by_fraction,
    "group": _by_group,
    "fold": _by_fold,
}


def way_of(by: Any) -> Callable[..., ndarray]:
    """Return the way of that name; raise ConfigError, with the nearest one, for any other."""
    if not isinstance(by, str):
        raise ConfigError(f"split.by: {by!r}, expected one of: {', '.join(WAYS)}")
    if by not in WAYS:
        raise ConfigError(f"split.by: no way {by!r}; {suggest(by, list(WAYS))}")
    return WAYS[by]


def fold_labels(families: Int[ndarray, " n"], k: int, seed: int) -> Int[ndarray, " n"]:
    """Return the fold (0 to k - 1) of every row, families kept together; see ``octodon.data.splits.k_folds``."""
    if k < 2:
        raise ConfigError(f"folds: k = {k}, expected at least 2")
    middle = _random_positions(families, seed)
    folds = np.minimum((middle * k).astype(np.int64), k - 1)
    filled = len(np.unique(folds))
    if filled < k:
        raise DataError(
            f"folds: related rows fill only {filled} of {k} folds; choose fewer folds or more examples"
        )
    return folds


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


def _groups(examples: Examples, column: str) -> ndarray:
    """Return the group of every row as text; refuses rows without one, which would be one large family."""
    text = _text(_column(examples, column))
    if text.null_count:
        raise DataError(
            f"split: group column {column!r}: {_missing(examples, text)}; give each its own group, or leave those rows out"
        )
    return text.to_numpy(zero_copy_only=False)


def _text(values: Any) -> Any:
    """Values as strings, with nulls for NaN, None, "" and "NA"; whole floats (1.0) are written as integers ("1")."""
    values = np.asarray(values)
    if values.dtype.kind == "f":
        whole = np.isfinite(values) & (values == np.round(values))
        if whole[np.isfinite(values)].all():
            return pa.array(np.where(whole, values, 0).astype(np.int64), mask=~whole).cast(pa.string())
    array = pa.array(values.tolist(), from_pandas=True).cast(pa.string())
    return compute.if_else(
        compute.is_in(array, value_set=pa.array(NO_VALUE)), pa.scalar(None, pa.string()), array
    )


def _missing(examples: Examples, text: Any) -> str:
    empty = np.flatnonzero(text.is_null().to_numpy(zero_copy_only=False))
    return f"{len(empty)} of {len(text)} rows have no value (first: row {empty[0] + 1}, {examples.ids[empty[0]]!s})"


def _names(split: str, values: Sequence[Any], known: list[str]) -> list[str]:
    names = [str(value) for value in values]
    for name in names:
        if name not in known:
            raise ConfigError(
                f"split by chromosome: {split}: no {name!r} in the data; {suggest(name, known[:30])}"
            )
    return names
