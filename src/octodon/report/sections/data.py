"""What the run was made of, and whether anything of the test split could be known beforehand."""

from __future__ import annotations

from typing import Any

import pandas as pd

from octodon.report.blocks import Block, Section, Table, Text, data_file, links
from octodon.report.results import RunResults


def data_section(run: RunResults) -> Section:
    """Return the section."""
    data, audit = run.data, run.data["audit"]
    blocks: list[Block] = [_rows(data, audit), _checks(audit)]
    if audit["agreement"]:
        blocks.append(_agreement(audit["agreement"]))
    else:
        blocks.append(
            Text(
                text="There are no replicates: neither the noise of a measurement nor the noise ceiling is known."
            )
        )
    return Section(
        anchor="data",
        title="Data and leakage",
        lead=f"{data['rows']:,} sequences of {data['length_bp']} bp; {', '.join(run.targets)} in {run.units}.",
        blocks=blocks,
    )


def _rows(data: dict[str, Any], audit: dict[str, Any]) -> Table:
    purpose = {
        "train": "weights are fitted to it",
        "valid": "decides when training stops, and which student is kept",
        "calibration": "widths of the intervals; no network has seen it",
        "test": "every number in this report, unless it says otherwise",
    }
    rows = [
        [name, f"{count:,}", purpose.get(name, "predicted, never trained on")]
        for name, count in data["splits"].items()
    ]
    rows += [
        [f"left out: {reason}", f"{count:,}", "not in any split"] for reason, count in data["dropped"].items()
    ]
    missing = ", ".join(f"{name} {count:,}" for name, count in audit["missing"].items() if count)
    return Table(
        caption="Splits",
        header=["split", "sequences", "what for"],
        rows=rows,
        note=f"Missing values: {missing or 'none'}.",
    )


def _checks(audit: dict[str, Any]) -> Table:
    leaks = audit["leaks"] or {"n_rows": 0, "n_groups": 0, "between": {}}
    between = ", ".join(f"{pair} {count:,}" for pair, count in leaks["between"].items())
    left, right = audit["constant_flanks_bp"]
    rows = [
        ["related rows in different splits", _count(leaks["n_rows"]), between or "none: no leak was found"],
        [
            "repeated sequences",
            _count(audit["n_duplicates"]),
            "rows whose sequence stands in an earlier row",
        ],
        [
            "reverse complements",
            _count(audit["n_reverse_complements"]),
            "further rows that are the other strand of an earlier one",
        ],
        [
            "named partners",
            _count(audit["n_partners"]),
            "rows whose other orientation, by name, is an earlier row",
        ],
        ["repeated ids", _count(audit["n_repeated_ids"]), "rows that were numbered to tell them apart"],
        ["rows with N", _count(audit["rows_with_n"]), f"{audit['n_fraction']:.3%} of all bases"],
        ["constant flanks", f"{left} + {right} bp", "the same in all rows (adaptors)"],
    ]
    return Table(
        caption="What was looked for",
        header=["check", "rows", "meaning"],
        rows=rows,
        note="Distant homology (paralogues, other species) is not looked for: split by chromosome does not rule it out.",
    )


def _agreement(agreement: list[dict[str, Any]]) -> Table:
    rows = [
        [
            one["target"],
            one["split"],
            f"{one['n_rows']:,}",
            f"{one['n_replicates']:.3g}",
            *(_number(one[name]) for name in ("pearson", "reliability", "ceiling_pearson")),
        ]
        for one in agreement
    ]
    return Table(
        caption="Agreement of replicates",
        header=["target", "split", "rows", "replicates", "pairwise r", "reliability", "noise ceiling r"],
        rows=rows,
        n_names=2,
        note="Reliability: share of the variance of the measured mean that repeats (Spearman-Brown). Its square root is the "
        "highest r that any model can expect.",
        data=links(data_file(pd.DataFrame(agreement), "agreement.tsv")),
        folded=len(rows) > 8,
    )


def _count(value: int) -> str:
    return f"{value:,}"


def _number(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.3f}"
