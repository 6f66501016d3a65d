"""Sets of sequences given by the user: FASTA, or a table with or without measurements."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from octodon.data._batches import column_names
from octodon.data.examples import Examples
from octodon.data.formats.table import target_groups
from octodon.data.lengths import LengthPolicy
from octodon.data.read import infer_format, read
from octodon.errors import ConfigError, DataError


def read_set(path: Path, data: Mapping[str, Any], like: Examples, *, crop: bool = False) -> Examples:
    """Return the sequences of a file, with measurements if it is a table with the columns of the run's targets.

    Parameters
    ----------
    path : Path
        FASTA, or a table with the run's column of sequences.
    data : mapping
        The ``[data]`` section of the run.
    like : Examples
        Of the run: length and targets.
    crop : bool
        Cut longer sequences to their centre; else every other length is refused.

    Raises
    ------
    ConfigError
        A file of another kind.
    DataError
        From the reader; a table with some of the columns of the targets, but not all.
    """
    policy = LengthPolicy(policy="crop" if crop else "refuse", length_bp=like.length)
    options: dict[str, Any] = {"path": path, "length": policy}
    if infer_format(options) == "table":
        options |= _columns(path, data, like)
    elif infer_format(options) != "fasta":
        raise ConfigError(f"{path}: expected FASTA (.fa) or a table (.tsv, .csv, .parquet)")
    options["length"] = vars(policy)
    try:
        return read(options)
    except DataError as error:
        if not crop and "length polic" in str(error):
            raise DataError(f"{error}: --length crop") from None
        raise


def parse_sets(texts: list[str]) -> dict[str, Path]:
    """Return the files of ``["ecoli=ecoli.fa"]`` by name.

    Raises
    ------
    ConfigError
        Not NAME=FILE, or a name given twice.
    """
    found: dict[str, Path] = {}
    for text in texts:
        name, equals, path = text.partition("=")
        if not equals or not name.strip() or not path.strip():
            raise ConfigError(f"--also {text!r}: expected NAME=FILE, for example ecoli=ecoli.fa")
        if name.strip() in found:
            raise ConfigError(f"--also {text!r}: {name.strip()!r} is given twice; name every set differently")
        found[name.strip()] = Path(path.strip())
    return found


def _columns(path: Path, data: Mapping[str, Any], like: Examples) -> dict[str, Any]:
    """Return the options of the table reader: the run's columns, of the targets all or none."""
    header = column_names(path)
    options: dict[str, Any] = {"sequence": data.get("sequence", "sequence"), "units": like.units}
    given = data.get("targets")
    # other readers name targets by their place in a file, or not at all: a table has columns of their names then
    names_columns = isinstance(given, Mapping) and not any(isinstance(value, int) for value in given.values())
    groups = target_groups(given if names_columns and given else {name: name for name in like.target_names})
    wanted = [column for group in groups.values() for column in group]
    missing = [column for column in wanted if column not in header]
    if missing and len(missing) < len(wanted):
        raise DataError(
            f"{path}: no column {missing[0]!r} of the run's targets, but others of them; give all, or none for sequences "
            f"without measurements"
        )
    if missing:
        return options
    return options | {"targets": groups, "missing": "mask"}
