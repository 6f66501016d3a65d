"""The examples of an experiment: read, split, checked for leaks, thinned; and what is reported about them."""

from __future__ import annotations

import hashlib
import inspect
from pathlib import Path
from typing import Any

import numpy as np
from numpy import ndarray

from octodon.data.audit import audit
from octodon.data.calibration_rows import set_aside_calibration
from octodon.data.examples import Examples
from octodon.data.formats.deepstarr import files_of
from octodon.data.read import read, reader_of
from octodon.data.split_column import with_split_column
from octodon.data.splits import check_on_leak, check_way, refuse_leaks, split_examples, split_sizes
from octodon.data.subsample import subsample
from octodon.ensemble.workers import give_back_memory
from octodon.errors import DataError
from octodon.experiment.config import ExperimentConfig
from octodon.experiment.folder import POOL
from octodon.seeds import derive_seed

# What lets a reader return rows that it would refuse, so that they can be counted.
LENIENT = {"missing": "mask", "repeated_ids": "number"}


def read_split(config: ExperimentConfig, *, lenient: bool = False) -> Examples:
    """Return the examples with their split, leaks not judged.

    Parameters
    ----------
    config : ExperimentConfig
    lenient : bool
        Let missing values and repeated ids pass where the reader has a choice and the configuration makes none, so
        that ``octodon check`` can count them.

    Raises
    ------
    ConfigError, DataError
        From the reader and from ``split_examples``.
    """
    check_on_leak(config.split.get("on_leak", "refuse"))
    data = with_split_column(config.data, config.split)
    if lenient:
        choices = inspect.signature(reader_of(data)).parameters
        data = {key: value for key, value in LENIENT.items() if key in choices} | data
    examples = read(data)
    give_back_memory()  # what reading needed, before the search for related sequences needs as much again
    options = dict(config.split) | {"on_leak": "allow"}
    if "by" not in options:
        options["by"] = "column" if examples.splits is not None or "column" in options else "fraction"
    if check_way(options["by"]) in ("fraction", "group", "fold"):
        options.setdefault("seed", config.seed)
    return split_examples(examples, **options)


def prepare(config: ExperimentConfig) -> Examples:
    """Return the examples that a run trains and tests on.

    Raises
    ------
    ConfigError, DataError
        As ``read_split``; without a target; for a leaking split unless ``split.on_leak`` says otherwise; for calibration
        rows of the table's own that are related to rows of train or valid.
    """
    examples = read_split(config)
    if not examples.target_names:
        raise DataError("data.targets: none given; a run needs at least one measured target")
    examples = refuse_leaks(examples, on_leak=config.split.get("on_leak", "refuse"))
    if config.calibrate.method != "none":
        seed = derive_seed(config.seed, "calibration rows")
        examples = set_aside_calibration(examples, config.calibrate.fraction_of_valid, seed).examples
    if config.train_fraction < 1:
        examples = subsample(examples, config.train_fraction, seed=config.seed)
    return examples


def describe(examples: Examples) -> dict[str, Any]:
    """Return what ``data.json`` holds: rows, drops with reasons, split sizes, hashes and the audit."""
    return {
        "rows": len(examples),
        "length_bp": examples.length,
        "targets": list(examples.target_names),
        "units": examples.units,
        "splits": split_sizes(examples),
        "dropped": dict(examples.dropped),
        "sha256": hashes(examples),
        "audit": audit(examples).to_dict(),
    }


def hashes(examples: Examples) -> dict[str, str | None]:
    """Return the SHA-256 of everything that networks learn from, by part, the split of every row among them.

    Rows that change sides between two calls would train some members and test them all.
    """
    return {
        "codes": _hash(examples.codes),
        "targets": _hash(examples.targets),
        "replicates": _hash(examples.replicates),
        "replicate_se": _hash(examples.replicate_se),
        "ids": _hash_names(examples.ids),
        "splits": _hash_names(examples.splits),
    }


def _hash(values: ndarray | None) -> str | None:
    return None if values is None else hashlib.sha256(np.ascontiguousarray(values).tobytes()).hexdigest()


def _hash_names(names: ndarray | None) -> str | None:
    return None if names is None else hashlib.sha256("\n".join(map(str, names)).encode()).hexdigest()


def source_hashes(config: ExperimentConfig) -> dict[str, str]:
    """Return the SHA-256 of each file that ``[data]`` names, by its key, of those in a folder, and of the pool.

    A file that is no longer there is left out.
    """
    named = {name: Path(value) for name, value in config.data.items() if isinstance(value, str)}
    files = {name: path for name, path in named.items() if path.is_absolute() and path.is_file()}
    # data.folder, where published sets are kept, is none of these: it fills with others
    folder = named.get("path")
    if folder is not None and folder.is_absolute() and folder.is_dir():
        files |= {f"path ({path.name})": path for path in files_of(folder)}
    pool = config.distill.pool
    if pool is not None and pool.is_file():
        files[POOL] = pool
    return {name: _hash_file(path) for name, path in files.items()}


def _hash_file(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
