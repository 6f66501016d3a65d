"""Words that the panels of a reproduction share: what it is about, what stands in, and numbers as they are read."""

from __future__ import annotations

import math

from octodon.report.blocks import Key
from octodon.report.reproduction.record import Reproduction
from octodon.report.style import COLOURS, LINES, MARKERS, NAMES


def summary(one: Reproduction) -> str:
    """Return what was reproduced, from how much."""
    train = one.run.data["splits"].get("train", 0)
    words = f"{one.title} from {one.data}: {train:,} training sequences of {one.run.data['length_bp']} bp."
    if one.scale == "full":
        return words
    return (
        words
        + " Published values are of the full data set and stand beside for orientation; what can be compared is the order of the models."
    )


def in_place(one: Reproduction) -> str:
    """Return the end of a phrase that says which data stand in; "" where none do."""
    return f", {one.stand_in}" if one.stand_in else ""


def in_place_sentence(one: Reproduction) -> str:
    """Return ``in_place`` as a sentence of its own."""
    return f" Ours: {one.stand_in}." if one.stand_in else ""


def number(value: float, how: str = ".3g") -> str:
    """Return a number as text; "-" for NaN."""
    return "-" if math.isnan(value) else format(value, how)


def model_keys(*names: str) -> list[Key]:
    """Return the entries of a legend for these models."""
    return [Key(label=NAMES[m], colour=COLOURS[m], marker=MARKERS[m], line=LINES[m]) for m in names]
