"""The two tables of results: tidy metrics (TSV), and predictions with one row per sequence."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Float
from numpy import ndarray

from octodon.atomic import atomic_file
from octodon.errors import DataError
from octodon.records import Prediction

COLUMNS = ("model", "index", "split", "target", "quantity", "metric", "value")
# The index of a row that belongs to all members together, such as their pairwise correlation.
ALL_MEMBERS = -1


def write_metrics(frame: pd.DataFrame, path: Path) -> None:
    """Write a metrics table as TSV, whole or not at all.

    Numbers take the shortest form that reads back exactly. Columns beyond `COLUMNS` (``fraction`` in a sweep)
    are written too.

    Raises
    ------
    DataError
        A column of the metrics table is missing.
    RunError
        The file cannot be written.
    """
    _need_columns(frame, "metrics table")
    write_tsv(frame, path)


def write_tsv(frame: pd.DataFrame, path: Path) -> None:
    """Write a table of results as TSV, whole or not at all; a missing value is "NaN"."""
    with atomic_file(path) as partial:
        frame.to_csv(partial, sep="\t", index=False, na_rep="NaN", lineterminator="\n")


def read_metrics(path: Path) -> pd.DataFrame:
    """Read what `write_metrics` wrote: ``index`` integer, ``value`` (and further numeric columns) float64.

    Raises
    ------
    DataError
        The file is missing, is no such table or holds text where a number belongs.
    """
    if not path.is_file():
        raise DataError(f"{path}: no such file; expected a metrics table (results/metrics.tsv of a run)")
    try:
        # Everything as text first, so that a target called "NA" or "1" stays what it is.
        frame = pd.read_csv(path, sep="\t", dtype=str, keep_default_na=False)
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise DataError(
            f"{path}: not a metrics table ({error}); expected columns {', '.join(COLUMNS)}"
        ) from error
    _need_columns(frame, str(path))
    try:
        frame["index"] = frame["index"].astype(np.int64)
        frame["value"] = frame["value"].astype(np.float64)
    except ValueError as error:
        raise DataError(f"{path}: text where a number belongs ({error}); write the table anew") from error
    for name in frame.columns.difference(list(COLUMNS)):
        try:
            frame[name] = frame[name].astype(np.float64)
        except ValueError:
            continue  # a further column of text is fine
    return frame


def predictions_frame(prediction: Prediction, measured: Float[ndarray, "n t"] | None = None) -> pd.DataFrame:
    """Return one row per sequence: id, then per target what was measured and predicted, in its units.

    Columns: ``id``; for each target ``T_measured`` (if given; NaN = missing), ``T_mean``, and
    ``T_epistemic_std``, ``T_aleatoric_std``, ``T_calibrated_std``, ``T_lower``, ``T_upper`` where the prediction has
    them; ``ood_score`` and ``ood`` where it says them; with an interval, a last column ``interval``: its method, its level, and what it is an interval for.

    Raises
    ------
    DataError
        ``measured`` does not have the prediction's shape, or two columns would carry one name.
    """
    if measured is not None and measured.shape != prediction.mean.shape:
        raise DataError(
            f"predictions table: measured has shape {measured.shape}, the mean {prediction.mean.shape}; "
            "expected the same (rows, targets); give the measurements of exactly the predicted sequences"
        )
    parts = {
        "measured": measured,
        "mean": prediction.mean,
        "epistemic_std": prediction.epistemic_std,
        "aleatoric_std": prediction.aleatoric_std,
        "calibrated_std": prediction.calibrated_std,
        "lower": prediction.lower,
        "upper": prediction.upper,
    }
    columns: dict[str, ndarray] = {"id": prediction.ids}
    for position, target in enumerate(prediction.target_names):
        for suffix, values in parts.items():
            name = f"{target}_{suffix}"
            if values is not None and name in columns:
                raise DataError(
                    f"predictions table: two columns would be called {name!r}; rename target {target!r}"
                )
            if values is not None:
                columns[name] = values[:, position]
    for name, values in (("ood_score", prediction.ood_score), ("ood", prediction.ood)):
        if values is not None:
            columns[name] = values
    frame = pd.DataFrame(columns)
    return frame if prediction.interval is None else frame.assign(interval=prediction.interval)


def _need_columns(frame: pd.DataFrame, where: str) -> None:
    missing = [name for name in COLUMNS if name not in frame.columns]
    if missing:
        raise DataError(
            f"{where}: no column {', '.join(map(repr, missing))}; "
            f"found {', '.join(map(str, frame.columns))}; expected {', '.join(COLUMNS)}"
        )
