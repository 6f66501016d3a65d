"""The DeepSTARR release (de Almeida et al. 2022): the tutorial's single table, or FASTA files with activities."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import Float, Int
from numpy import ndarray

from octodon.data._arrow import texts_of
from octodon.data._batches import NUMBER, TEXT
from octodon.data._files import plain_suffix
from octodon.data.assemble import (
    Measurements,
    Missing,
    RepeatedIds,
    assemble,
)
from octodon.data.examples import Examples
from octodon.data.formats import readers
from octodon.data.formats._published_table import header, read_columns
from octodon.data.formats.fasta import FASTA_SUFFIXES, fasta_blocks
from octodon.data.formats.table import read_rows
from octodon.data.lengths import REFUSE
from octodon.data.split_names import NO_SPLIT, named_splits, split_name
from octodon.errors import ConfigError, DataError
from octodon.registry import suggest

UNITS = "log2 enrichment"
TARGETS = {"Dev": "Dev_log2_enrichment", "Hk": "Hk_log2_enrichment"}
SETS = ("Train", "Val", "Test")
# chr2L_5587_5835_+_positive_peaks: position (1-based, both ends included), strand, class.
ID_PATTERN = r"^(?P<chromosome>.+)_(?P<start>[0-9]+)_(?P<stop>[0-9]+)_(?P<strand>[+-])_(?P<class>.+)$"


@readers.register("deepstarr")
def read_deepstarr(
    path: str | Path,
    *,
    activity: str | Path | None = None,
    split: str | None = "set",
    repeated_ids: RepeatedIds = "refuse",
    missing: Missing = "refuse",
) -> Examples:
    """Read the published DeepSTARR table, or its FASTA and activities.

    Parameters
    ----------
    path : path
        One of: the tutorial's table (``Sequences_activity_all.txt`` or ``_subset.txt``; .gz too); a folder with
        ``Sequences_{Train,Val,Test}.fa`` and ``Sequences_activity_{Train,Val,Test}.txt``; one FASTA file, with
        ``activity``.
    activity : path, optional
        Activities of the one FASTA file. With a column ``ID`` they are joined by it; without (as released) row i
        belongs to record i, and the counts must agree.
    split : str or None
        Column of the single table that holds the split; Train, Val, Test become "train", "valid", "test", other
        values are kept. None, "" or "none" leaves the examples without a split. A folder gives the split by its
        file names.
    repeated_ids : "refuse" or "number"
        What to do with an ID that occurs again: refuse, or append "#2", "#3" ... in file order (no row is dropped,
        and the leak check sees the equal sequences).
    missing : "refuse", "drop" or "mask"
        What to do with rows that lack an activity (see ``octodon.data.assemble.assemble``).

    Returns
    -------
    examples : Examples
        Targets Dev and Hk in log2 enrichment. Columns ``chromosome``, ``start`` and ``stop`` (0-based, half-open),
        ``strand`` and ``class``, where the IDs are of the form chromosome_start_end_strand_class; the two
        orientations of a window are two rows.

    Raises
    ------
    DataError
        For a missing file or column, counts or IDs that disagree, an ID that occurs twice or is not of the form of
        the others, a letter that is no base.
    """
    path = Path(path)
    if path.is_dir():
        if activity is not None:
            raise ConfigError(
                f"deepstarr: {path} is a folder, which has its own activities; leave out 'activity'"
            )
        ids, codes, targets, splits = _from_folder(path)
    elif activity is not None:
        ids, codes, targets = _from_pair(path, Path(activity))
        splits = None
    else:
        ids, codes, targets, splits = _from_table(path, None if split in NO_SPLIT else split)
    return assemble(
        codes,
        ids,
        Measurements(names=tuple(TARGETS), values=tuple(targets.T[:, :, None]), units=UNITS),
        missing=missing,
        repeated_ids=repeated_ids,
        where=str(path),
        splits=splits,
        columns=_parts_of_ids(ids, path),
    )


def _from_table(path: Path, split: str | None) -> tuple[ndarray, ndarray, ndarray, ndarray | None]:
    """Return ids, codes, targets and splits of the tutorial's single table."""
    if plain_suffix(path) in FASTA_SUFFIXES:
        raise DataError(f"{path}: a FASTA file alone has no activities; give them with activity = '...'")
    texts = ["ID", *([split] if split else [])]
    types = dict.fromkeys([*texts, "Sequence"], TEXT) | dict.fromkeys(TARGETS.values(), NUMBER)
    rows = read_rows(path, "Sequence", types, REFUSE, keep=texts)
    splits = named_splits(texts_of(rows.texts[split])) if split else None
    return texts_of(rows.texts["ID"]), rows.codes, _targets(rows.numbers), splits


def files_of(folder: Path) -> list[Path]:
    """Return the files that are read of a folder; what else lies there belongs to somebody else."""
    pairs = [(f"Sequences_{published}.fa", f"Sequences_activity_{published}.txt") for published in SETS]
    found = [_either(folder, name) for pair in pairs for name in pair]
    return [path for path in found if path is not None]


def _from_folder(folder: Path) -> tuple[ndarray, ndarray, ndarray, ndarray]:
    """Return ids, codes, targets and splits of the pairs of files in a folder."""
    parts, splits = [], []
    for published in SETS:
        fasta = _either(folder, f"Sequences_{published}.fa")
        activity = _either(folder, f"Sequences_activity_{published}.txt")
        if fasta is not None and activity is not None:
            parts.append(_from_pair(fasta, activity))
            splits.append(np.full(len(parts[-1][0]), split_name(published)))
        elif fasta is not None or activity is not None:
            missing = f"Sequences_{published}.fa" if fasta is None else f"Sequences_activity_{published}.txt"
            raise DataError(f"{folder}: {missing} is missing, though its partner is there; add it")
    if not parts:
        raise DataError(
            f"{folder}: none of Sequences_Train.fa, Sequences_Val.fa, Sequences_Test.fa is there; put the release's "
            f"FASTA and activity files into it, or name the single table"
        )
    lengths = {codes.shape[1] for _, codes, _ in parts}
    if len(lengths) > 1:
        raise DataError(
            f"{folder}: the FASTA files hold sequences of {sorted(lengths)} bases, expected one length"
        )
    ids, codes, targets = (np.concatenate(column) for column in zip(*parts, strict=True))
    return ids, codes, targets, np.concatenate(splits)


def _either(folder: Path, name: str) -> Path | None:
    return next((folder / kind for kind in (name, f"{name}.gz") if (folder / kind).is_file()), None)


def _from_pair(fasta: Path, activity: Path) -> tuple[ndarray, ndarray, ndarray]:
    """Return ids, codes and targets of one FASTA file and its activities."""
    blocks = list(fasta_blocks(fasta, REFUSE))
    ids, codes = texts_of([names for names, _ in blocks]), np.concatenate([codes for _, codes in blocks])
    has_ids = "ID" in header(activity)
    texts, numbers = read_columns(activity, texts=["ID"] if has_ids else [], numbers=list(TARGETS.values()))
    targets = _targets(numbers)
    if len(targets) != len(ids):
        raise DataError(
            f"{activity}: {len(targets)} rows, but {fasta} has {len(ids)} records; they belong together row by "
            f"row, copy or download both again"
        )
    return ids, codes, targets[_rows_by_id(ids, texts["ID"], fasta, activity)] if has_ids else targets


def _rows_by_id(wanted: ndarray, present: ndarray, fasta: Path, activity: Path) -> Int[ndarray, " n"]:
    index = pd.Index(present)
    if not index.is_unique:
        first = index[index.duplicated()][0]
        raise DataError(
            f"{activity}: ID {first!r} occurs more than once, so it cannot be joined; make IDs unique"
        )
    rows = index.get_indexer(pd.Index(wanted))
    if (rows < 0).any():
        first = str(wanted[rows < 0][0])
        raise DataError(
            f"{activity}: {int((rows < 0).sum())} of {len(wanted)} records of {fasta} have no row (first {first!r}; "
            f"{suggest(first, [str(name) for name in present[:20]])}); use files of one release"
        )
    return rows


def _targets(numbers: dict[str, Float[ndarray, " n"]]) -> Float[ndarray, "n t"]:
    return np.stack([numbers[column] for column in TARGETS.values()], axis=1)


def _parts_of_ids(ids: ndarray, path: Path) -> dict[str, ndarray]:
    """Return chromosome, start, stop (0-based, half-open), strand and class from the IDs; none from other IDs."""
    parts = pc.call_function(
        "extract_regex", [pa.array(ids.tolist(), pa.string())], pc.ExtractRegexOptions(ID_PATTERN)
    )
    if parts.null_count == len(ids):
        return {}
    if parts.null_count:
        row = int(np.flatnonzero(parts.is_null().to_numpy(zero_copy_only=False))[0])
        raise DataError(
            f"{path}: row {row + 1}: ID {str(ids[row])!r} is not of the form chromosome_start_end_strand_class "
            f"({parts.null_count} of {len(ids)} rows), though others are; correct these rows"
        )
    columns: dict[str, ndarray] = {}
    for name in ("chromosome", "start", "stop", "strand", "class"):
        part = parts.field(name)
        number = name in ("start", "stop")
        columns[name] = np.asarray(pc.cast(part, pa.int64())) if number else part.to_numpy(False)
    columns["start"] = columns["start"] - 1
    return columns
