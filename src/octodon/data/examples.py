"""Examples: sequences with what was measured for them, the one record that every reader returns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8
from numpy import ndarray

from octodon.errors import DataError
from octodon.small_samples import sample_std


@dataclass(frozen=True, kw_only=True, eq=False)
class Examples:
    """Sequences of one length and their measurements.

    Attributes
    ----------
    codes : (n, l) uint8
        Bases as A C G T N = 0 1 2 3 4.
    ids : (n,) array of str
        Unique identifiers, in input order.
    targets : (n, t) float32
        Measured activity (the mean where there are replicates); NaN = missing. t = 0 for unlabelled sequences.
    target_names : tuple of str
        Length t.
    units : str
        Unit of the targets, for axes and tables ("log2(RNA/DNA)").
    replicates : (n, t, r) float32 or None
        The measurements behind the mean; NaN = missing.
    replicate_se : (n, t, r) float32 or None
        Standard error of each replicate, where it is known (barcode counts).
    n_barcodes : (n, t, r) float32 or None
        Barcodes behind each replicate, where they were counted.
    splits : (n,) array of str or None
        "train", "valid", "test" or another name (kept aside and predicted, never trained on).
    columns : mapping of str to (n,) array
        Further columns that were asked for (chromosome, group, class ...).
    split_groups : str or None
        Which of the columns has the groups that the split kept together; folds of the training rows keep them together, too.
    dropped : mapping of str to int
        Rows that a reader left out on request, by reason.
    n_repeated_ids : int
        Rows that a reader renamed on request, because their id occurred in an earlier row of the file.
    """

    codes: UInt8[ndarray, "n l"]
    ids: ndarray
    targets: Float[ndarray, "n t"]
    target_names: tuple[str, ...]
    units: str = "activity"
    replicates: Float[ndarray, "n t r"] | None = None
    replicate_se: Float[ndarray, "n t r"] | None = None
    n_barcodes: Float[ndarray, "n t r"] | None = None
    splits: ndarray | None = None
    columns: Mapping[str, ndarray] = field(default_factory=dict)
    split_groups: str | None = None
    dropped: Mapping[str, int] = field(default_factory=dict)
    n_repeated_ids: int = 0

    def __post_init__(self) -> None:
        n = len(self.codes)
        rows = {
            "ids": self.ids,
            "targets": self.targets,
            "replicates": self.replicates,
            "splits": self.splits,
        }
        rows |= {"replicate_se": self.replicate_se, "n_barcodes": self.n_barcodes}
        rows |= {f"column {name!r}": values for name, values in self.columns.items()}
        for name, values in rows.items():
            if values is not None and len(values) != n:
                raise DataError(
                    f"examples: {name} has {len(values)} rows, codes have {n}; they must be equal"
                )
        if self.targets.shape[1] != len(self.target_names):
            raise DataError(
                f"examples: {self.targets.shape[1]} target columns but {len(self.target_names)} target names"
            )

    def __len__(self) -> int:
        return len(self.codes)

    @property
    def length(self) -> int:
        """Length of every sequence, in bases."""
        return self.codes.shape[1]

    @property
    def n_replicates(self) -> ndarray | None:
        """Number of replicates present, (n, t); None without replicates."""
        return None if self.replicates is None else np.isfinite(self.replicates).sum(axis=2)

    @property
    def replicate_std(self) -> Float[ndarray, "n t"] | None:
        """Sample standard deviation over the replicates present (``correction=1``); NaN where fewer than two."""
        if self.replicates is None:
            return None
        return sample_std(self.replicates)[0].astype(np.float32)

    def take(self, rows: ndarray) -> Examples:
        """Return the rows chosen by an index or a boolean mask, in that order."""
        per_row = ("codes", "ids", "targets", "replicates", "replicate_se", "n_barcodes", "splits")
        chosen: dict[str, Any] = {
            name: None if (values := getattr(self, name)) is None else values[rows] for name in per_row
        }
        return replace(self, **chosen, columns={name: values[rows] for name, values in self.columns.items()})

    def required_splits(self) -> ndarray:
        """Return the split of every row.

        Raises
        ------
        DataError
            There is none.
        """
        if self.splits is None:
            raise DataError("examples have no split yet; call .split(by=...) or name a split column")
        return self.splits

    def subset(self, split: str) -> Examples:
        """Return the rows of one split.

        Raises
        ------
        DataError
            Without a split, or where that split has no rows.
        """
        splits = self.required_splits()
        rows = np.flatnonzero(splits == split)
        if not len(rows):
            known = ", ".join(sorted(map(str, np.unique(splits))))
            raise DataError(f"split {split!r} has no rows; splits present: {known}")
        return self.take(rows)

    def split(self, by: str = "fraction", **options: Any) -> Examples:
        """Return the same examples with every row assigned to a split; see ``octodon.data.splits.split_examples``.

        Raises
        ------
        ConfigError, DataError
            As ``split_examples``.
        """
        from octodon.data.splits import split_examples

        return split_examples(self, by=by, **options)
