"""Published HDF5 layouts: one-hot sequences and activities per split, converted to codes in chunks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import h5py
import numpy as np
from numpy import ndarray

from octodon.data._files import existing_file, one_line
from octodon.data.assemble import Measurements, Missing, assemble, row_ids
from octodon.data.examples import Examples
from octodon.data.formats import readers
from octodon.data.split_names import SPLIT_SPELLINGS, split_name
from octodon.errors import ConfigError, DataError
from octodon.registry import suggest
from octodon.seq.codes import N_CODE

Layout = Literal["auto", "flat", "groups"]
# About 32 MB of float64 one-hot for sequences of 249 bp.
_ROWS = 4096
_X_NAMES, _Y_NAMES = ("X", "x"), ("y", "Y")


@readers.register("hdf5")
def read_hdf5(
    path: str | Path,
    *,
    targets: Sequence[str] | Mapping[str, int] | None = None,
    splits: Sequence[str] | None = None,
    layout: Layout = "auto",
    x: Mapping[str, str] | None = None,
    y: Mapping[str, str] | None = None,
    units: str = "activity",
    missing: Missing = "refuse",
) -> Examples:
    """Read one-hot sequences (channel order A, C, G, T) and their activities.

    Parameters
    ----------
    path : path
        HDF5 file. X is (n, l, 4) or (n, 4, l) of any number type; a position of four zeros, or of four times 0.25, is
        N. y is (n, t), (n,) or transposed, (t, n).
    targets : list of str, mapping of str to int, or None
        Names of the columns of y, all of them in order; or the column (from 0) of each target that is wanted; None:
        "y1", "y2", ...
    splits : list of str or None
        Splits to read, in this order; None: train, valid, test as far as they exist.
    layout : str
        "flat": datasets ``X_Train`` or ``x_train``, ``y_Train`` ...; "groups": ``Train/X``, ``Train/y`` ...;
        "auto": whichever is there. Train, Val, Valid, Validation, Test in any case.
    x, y : mapping of split to dataset, optional
        Names the datasets of any other layout; without ``y`` the sequences are unlabelled.
    units, missing : str
        As in ``read_table``.

    Returns
    -------
    examples : Examples
        With ids "train1", "train2", ..., numbered within each split.

    Raises
    ------
    DataError
        For a truncated file or another format, missing datasets, shapes that do not fit, a position that is neither
        one-hot nor N (row and position), and what ``assemble`` refuses.
    """
    file = existing_file(path)
    parts: list[_Part] = []
    with _open(file) as store:
        for split, x_name, y_name in _datasets(store, file, splits, layout, x, y):
            where = f"{file}: {x_name}"
            codes = _codes(_dataset(store, x_name, file), where)
            values = None if y_name is None else _values(_dataset(store, y_name, file), len(codes), file)
            parts.append(_Part(split=split, codes=codes, values=values))
    _refuse_unlike(parts, file)
    return assemble(
        np.concatenate([part.codes for part in parts]),
        np.concatenate([row_ids(len(part.codes), part.split) for part in parts]),
        _measured(parts, targets, units, file),
        missing=missing,
        where=str(file),
        splits=np.repeat(np.array([part.split for part in parts]), [len(part.codes) for part in parts]),
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class _Part:
    split: str
    codes: ndarray
    values: ndarray | None


@contextmanager
def _open(file: Path) -> Iterator[h5py.File]:
    try:
        with h5py.File(file, "r") as store:
            yield store
    except OSError as error:
        raise DataError(
            f"{file}: truncated, damaged or no HDF5 file ({one_line(error)}); copy or download it again"
        ) from error


def _dataset(store: h5py.File, name: str, file: Path) -> h5py.Dataset:
    found = store.get(name)
    if not isinstance(found, h5py.Dataset):
        raise DataError(f"{file}: no dataset {name!r}; {suggest(name, _dataset_names(store))}")
    return found


def _dataset_names(store: h5py.File) -> list[str]:
    names: list[str] = []
    store.visititems(lambda name, item: names.append(name) if isinstance(item, h5py.Dataset) else None)
    return names


def _datasets(
    store: h5py.File,
    file: Path,
    splits: Sequence[str] | None,
    layout: Layout,
    x: Mapping[str, str] | None,
    y: Mapping[str, str] | None,
) -> list[tuple[str, str, str | None]]:
    """Return (split, dataset of X, dataset of y) for each split to read."""
    if x is not None:
        found = {split: (name, (y or {}).get(split)) for split, name in x.items()}
    elif y is not None:
        raise ConfigError("y: names datasets, but x does not; give both")
    else:
        found = _recognised(set(_dataset_names(store)), layout)
    if not found:
        raise DataError(
            f"{file}: no known layout ({layout}); expected X_Train and y_Train, or Train/X and Train/y, found "
            f"{', '.join(sorted(_dataset_names(store))) or 'no dataset'}; name them with x and y"
        )
    wanted = list(found) if splits is None else [split_name(split) for split in splits]
    for split in wanted:
        if split not in found:
            raise DataError(f"{file}: no split {split!r}; {suggest(split, list(found))}")
    return [(split, *found[split]) for split in wanted]


def _recognised(names: set[str], layout: Layout) -> dict[str, tuple[str, str | None]]:
    """Return the datasets of train, valid and test in one of the published layouts."""
    found: dict[str, tuple[str, str | None]] = {}
    for split, spellings in SPLIT_SPELLINGS.items():
        cases = [case for word in spellings for case in (word, word.capitalize(), word.upper())]
        patterns = [] if layout == "groups" else [("{letter}_{case}", case) for case in cases]
        patterns += [] if layout == "flat" else [("{case}/{letter}", case) for case in cases]
        for pattern, case in patterns:
            xs = [n for letter in _X_NAMES if (n := pattern.format(letter=letter, case=case)) in names]
            ys = [n for letter in _Y_NAMES if (n := pattern.format(letter=letter, case=case)) in names]
            if xs:
                if split in found or len(xs) > 1 or len(ys) > 1:
                    raise DataError(
                        f"HDF5: split {split!r} is there twice ({found.get(split, xs)}, {xs}); name x and y, or layout"
                    )
                found[split] = (xs[0], ys[0] if ys else None)
    return found


def _codes(one_hot: h5py.Dataset, where: str) -> ndarray:
    """Return the (n, l) codes of an (n, l, 4) or (n, 4, l) one-hot, ``_ROWS`` rows at a time."""
    shape = one_hot.shape
    if len(shape) != 3 or 4 not in shape[1:]:
        raise DataError(f"{where}: shape {shape}, expected (n, length, 4) or (n, 4, length)")
    if shape[1:] == (4, 4):
        raise DataError(
            f"{where}: shape {shape}: which axis holds the bases cannot be told; expected length != 4"
        )
    channels_last = shape[2] == 4
    codes = np.empty((shape[0], shape[1] if channels_last else shape[2]), dtype=np.uint8)
    for start in range(0, len(codes), _ROWS):
        block = one_hot[start : start + _ROWS]
        codes[start : start + _ROWS] = _chunk_codes(
            block if channels_last else block.transpose(0, 2, 1), where, start
        )
    return codes


def _chunk_codes(block: ndarray, where: str, first_row: int) -> ndarray:
    """Return the codes of an (n, l, 4) one-hot; refuses anything but one 1, four 0 or four 0.25."""
    ones = (block == 1).sum(axis=2)
    n_nonzero = (block != 0).sum(axis=2)
    unknown = (n_nonzero == 0) | (block == 0.25).all(axis=2)
    wrong = ~unknown & ~((ones == 1) & (n_nonzero == 1))
    if wrong.any():
        row, position = (int(i[0]) for i in np.nonzero(wrong))
        raise DataError(
            f"{where}: row {first_row + row + 1}, position {position + 1}: {block[row, position].tolist()} is not "
            f"one-hot; expected one 1 and three 0 (or all 0, or all 0.25, for N)"
        )
    return np.where(unknown, N_CODE, block.argmax(axis=2)).astype(np.uint8)


def _values(labels: h5py.Dataset, n: int, file: Path) -> ndarray:
    """Return (n, t) float values from (n,), (n, t) or (t, n)."""
    shape, where = labels.shape, f"{file}: {labels.name}"
    if labels.dtype.kind not in "fiub":
        raise DataError(f"{where}: holds {labels.dtype}, expected numbers")
    if shape == (n,):
        return np.asarray(labels[:], dtype=np.float64)[:, None]
    if len(shape) != 2 or n not in shape:
        raise DataError(f"{where}: shape {shape}, expected ({n}, targets) or (targets, {n})")
    if shape == (n, n):
        raise DataError(
            f"{where}: shape {shape}: rows and targets cannot be told apart; read more rows at once"
        )
    values = np.asarray(labels[:], dtype=np.float64)
    return values if shape[0] == n else values.T


def _refuse_unlike(parts: list[_Part], file: Path) -> None:
    """Refuse splits that differ in length or number of targets."""
    first = parts[0]
    for part in parts:
        if part.codes.shape[1] != first.codes.shape[1]:
            raise DataError(
                f"{file}: {part.split} has {part.codes.shape[1]} bases, {first.split} has {first.codes.shape[1]}; "
                f"read them apart with splits"
            )
        got, expected = (None if p.values is None else p.values.shape[1] for p in (part, first))
        if got != expected:
            raise DataError(
                f"{file}: {part.split} has {got or 'no'} target(s), {first.split} has {expected or 'none'}; choose "
                f"splits that agree"
            )
    if not sum(len(part.codes) for part in parts):
        raise DataError(f"{file}: no rows, expected at least one")


def _measured(
    parts: list[_Part], targets: Sequence[str] | Mapping[str, int] | None, units: str, file: Path
) -> Measurements:
    """Return the targets by name; refuses names that do not fit the columns of y."""
    labels = [part.values for part in parts if part.values is not None]
    if not labels:
        if targets:
            raise DataError(
                f"{file}: no activities (y) for targets {list(targets)}; leave targets out, or name y"
            )
        return Measurements()
    values = np.concatenate(labels)
    n_columns = values.shape[1]
    if targets is None:
        columns = {f"y{i + 1}": i for i in range(n_columns)}
    elif isinstance(targets, Mapping):
        columns = dict(targets)
    elif len(targets) == n_columns and len(set(targets)) == n_columns:
        columns = {name: i for i, name in enumerate(targets)}
    else:
        raise ConfigError(
            f"targets: {list(targets)}, but y in {file} has {n_columns} column(s); give each another name, or choose "
            f"columns as in {{Dev = 0}}"
        )
    for name, column in columns.items():
        if not 0 <= column < n_columns:
            raise ConfigError(
                f"targets.{name}: column {column}, but y in {file} has {n_columns} (0 to {n_columns - 1})"
            )
    return Measurements(
        names=tuple(columns), values=tuple(values[:, [i]] for i in columns.values()), units=units
    )
