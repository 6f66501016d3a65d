"""Rows of a prediction taken and put together: requests share a batch, and one request may need several."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy import ndarray

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
