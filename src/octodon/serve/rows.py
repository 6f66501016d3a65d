"""Rows of predictions and maps taken and put together: requests share a batch, and one request may need several."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy import ndarray

from octodon.attribution.record import Attribution
from octodon.records import Prediction

_BY_ROW = ("ids", "mean", "epistemic_std", "aleatoric_std", "epistemic_factors", "ood_score", "ood")
"""What a prediction without an interval holds by row."""


def take_rows(prediction: Prediction, rows: slice | ndarray) -> Prediction:
    """Return some rows of a prediction that has no interval yet."""
    found = {name: values[rows] for name in _BY_ROW if (values := getattr(prediction, name)) is not None}
    return replace(prediction, **found)


def join_rows(parts: Sequence[Prediction]) -> Prediction:
    """Return the rows of predictions of one model, which have no interval yet, one after another."""
    if len(parts) == 1:
        return parts[0]
    names = [name for name in _BY_ROW if getattr(parts[0], name) is not None]
    return replace(
        parts[0], **{name: np.concatenate([getattr(part, name) for part in parts]) for name in names}
    )


def join_maps(parts: Sequence[Attribution]) -> Attribution:
    """Return the maps of one scalar by one method, one after another."""

    def joined(name: str, axis: int) -> ndarray | None:
        found = [getattr(part, name) for part in parts]
        return None if found[0] is None else np.concatenate(found, axis=axis)

    by_row = {name: joined(name, 0) for name in ("ids", "codes", "maps")}
    by_member = {name: joined(name, 1) for name in ("member_maps", "deltas")}
    return replace(parts[0], **by_row, **by_member)
