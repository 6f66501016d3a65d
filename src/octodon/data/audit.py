"""What ``octodon check`` says about examples before anybody trains on them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from octodon.data.agreement import Agreement, replicate_agreement, require_replicates
from octodon.data.assemble import NO_TARGET
from octodon.data.examples import Examples
from octodon.data.related import (
    constant_flanks,
    core_labels,
    counts_per_label,
    duplicate_labels,
    partner_labels,
    related_groups,
    repeats,
    strandless_labels,
)
from octodon.data.splits import Leaks, find_leaks, split_sizes
from octodon.seq.codes import N_CODE

__all__ = ["Audit", "audit", "require_replicates"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Audit:
    """Facts about examples.

    Attributes
    ----------
    n_rows, length_bp : int
    splits : mapping of str to int
        Rows per split; empty where none is assigned.
    dropped : mapping of str to int
        Rows left out on request, by reason.
    n_repeated_ids : int
        Rows whose id occurred in an earlier row of the file, where the reader was told to number them.
    rows_with_n : int
        Sequences with at least one N.
    n_fraction : float
        Share of N among all bases, 0 to 1.
    constant_flanks_bp : (int, int)
        Bases at the start and at the end that all rows share (adaptors).
    n_duplicates : int
        Rows whose sequence occurs in an earlier row.
    n_reverse_complements : int
        Further rows whose reverse complement occurs in an earlier row.
    n_core_reverse_complements : int
        Further rows of which that is true between the constant flanks.
    n_partners : int
        Rows whose forward or reverse partner (by name) is an earlier row.
    n_families : int
        Groups of two or more related rows, by any of these.
    leaks : Leaks or None
        None without a split.
    missing : mapping of str to int
        Rows without a value, by target; those left out because they have none for any target are counted too.
    constant_targets : tuple of str
        Targets with fewer than two different values.
    agreement : tuple of Agreement
        Per target and split; empty without replicates.
    """

    n_rows: int
    length_bp: int
    splits: Mapping[str, int]
    dropped: Mapping[str, int]
    n_repeated_ids: int
    rows_with_n: int
    n_fraction: float
    constant_flanks_bp: tuple[int, int]
    n_duplicates: int
    n_reverse_complements: int
    n_core_reverse_complements: int
    n_partners: int
    n_families: int
    leaks: Leaks | None
    missing: Mapping[str, int]
    constant_targets: tuple[str, ...]
    agreement: tuple[Agreement, ...]

    def lines(self) -> list[str]:
        """Return the facts as lines of text."""
        return [*self._row_lines(), *self._relation_lines(), *self._target_lines(), *self._agreement_lines()]

    def to_dict(self) -> dict[str, Any]:
        """Return the facts as JSON holds them; what is undefined (NaN) is None."""
        plain = {
            name: getattr(self, name)
            for name in self.__dataclass_fields__
            if name not in ("leaks", "agreement")
        }
        plain |= {name: dict(plain[name]) for name in ("splits", "dropped", "missing")}
        plain |= {name: list(plain[name]) for name in ("constant_flanks_bp", "constant_targets")}
        leaks = self.leaks
        plain["leaks"] = None if leaks is None else _plain_leaks(leaks)
        plain["agreement"] = [
            {key: None if value != value else value for key, value in asdict(agreement).items()}
            for agreement in self.agreement
        ]
        return plain

    def _row_lines(self) -> list[str]:
        splits = ", ".join(f"{name} {count:,}" for name, count in self.splits.items()) or "none assigned"
        left, right = self.constant_flanks_bp
        flanks = f"; the first {left} and last {right} bp are the same in all rows" if left or right else ""
        return [
            f"rows                 {self.n_rows:,}",
            f"splits               {splits}",
            *(f"left out             {count:,} rows: {reason}" for reason, count in self.dropped.items()),
            f"repeated ids         {self.n_repeated_ids:,} rows repeat an earlier id",
            f"length               {self.length_bp} bp, all rows{flanks}",
            f"N                    {self.rows_with_n:,} rows with N; {self.n_fraction:.3%} of all bases",
        ]

    def _relation_lines(self) -> list[str]:
        leaks = "unknown without splits" if self.leaks is None else self.leaks.describe()
        cores = f"; {self.n_core_reverse_complements:,} more between the constant flanks"
        lines = [
            f"duplicates           {self.n_duplicates:,} rows repeat an earlier sequence",
            f"reverse complements  {self.n_reverse_complements:,} more rows are the other strand of an earlier one"
            + cores * (self.constant_flanks_bp != (0, 0)),
            f"partners by name     {self.n_partners:,} rows have their other orientation among earlier rows",
            f"families             {self.n_families:,} groups of related rows",
            f"leaks                {leaks}",
        ]
        if self.leaks is not None:
            lines += [f"                     {' = '.join(group)}" for group in self.leaks.first[1:]]
        return lines

    def _target_lines(self) -> list[str]:
        if not self.missing:
            return ["targets              none: unlabelled sequences"]
        n_rows = self.n_rows + self.dropped.get(NO_TARGET, 0)
        return [
            f"target {name:<13} {count:,} of {n_rows:,} values missing"
            + "; CONSTANT, nothing to learn" * (name in self.constant_targets)
            for name, count in self.missing.items()
        ]

    def _agreement_lines(self) -> list[str]:
        if not self.agreement:
            return ["replicates           none: measurement noise and its ceiling are unknown"] * bool(
                self.missing
            )
        return [
            f"replicates {a.target} [{a.split}]: pairwise r {_number(a.pearson)} over {a.n_rows:,} rows with "
            f"{a.n_replicates:.3g} replicates; reliability of the mean {_number(a.reliability)}; "
            f"noise ceiling r {_number(a.ceiling_pearson)}"
            for a in self.agreement
        ]


def audit(examples: Examples) -> Audit:
    """Return what can be said about examples without training on them; 400,000 x 249 bp take seconds."""
    duplicate = repeats(duplicate_labels(examples.codes))
    strandless = repeats(strandless_labels(examples.codes))
    flanks = constant_flanks(examples.codes)
    core = repeats(core_labels(examples.codes)) if flanks != (0, 0) else strandless
    groups = related_groups(examples.codes, examples.ids)
    is_n = examples.codes == N_CODE
    return Audit(
        n_rows=len(examples),
        length_bp=examples.length,
        splits=split_sizes(examples),
        dropped=dict(examples.dropped),
        n_repeated_ids=examples.n_repeated_ids,
        rows_with_n=int(is_n.any(axis=1).sum()),
        n_fraction=float(is_n.mean()) if is_n.size else 0.0,
        constant_flanks_bp=flanks,
        n_duplicates=int(duplicate.sum()),
        n_reverse_complements=int((strandless & ~duplicate).sum()),
        n_core_reverse_complements=int((core & ~strandless).sum()),
        n_partners=int(repeats(partner_labels(examples.ids)).sum()),
        n_families=len(np.unique(groups[counts_per_label(groups) > 1])),
        leaks=None if examples.splits is None else find_leaks(examples),
        missing={
            name: int(count) + examples.dropped.get(NO_TARGET, 0)
            for name, count in zip(
                examples.target_names, (~np.isfinite(examples.targets)).sum(axis=0), strict=True
            )
        },
        constant_targets=tuple(
            name
            for name, values in zip(examples.target_names, examples.targets.T, strict=True)
            if len(np.unique(values[np.isfinite(values)])) < 2
        ),
        agreement=replicate_agreement(examples),
    )


def _plain_leaks(leaks: Leaks) -> dict[str, Any]:
    return {
        "n_groups": leaks.n_groups,
        "n_rows": leaks.n_rows,
        "between": {f"{a}/{b}": count for (a, b), count in leaks.between.items()},
        "first": [list(group) for group in leaks.first],
        "n_redundant": int(leaks.redundant.sum()),
    }


def _number(value: float) -> str:
    return "undefined" if math.isnan(value) else f"{value:.3f}"
