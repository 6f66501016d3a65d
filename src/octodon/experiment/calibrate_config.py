"""The section [calibrate] of an experiment."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from octodon.calibration.fit import DEFAULT_METHOD
from octodon.settings import Config


class CalibrateSection(Config):
    """How stds and intervals are made to mean what they say."""

    method: str = Field(
        default=DEFAULT_METHOD, description='see octodon list calibrations; "none" = not at all'
    )
    fraction_of_valid: float = Field(
        default=0.5,
        gt=0,
        lt=1,
        description="share of the validation rows that is set aside for it before training, unless the table has a split "
        "called calibration",
    )
    level: float = Field(default=0.9, gt=0, lt=1, description="of intervals where none is asked for")
    options: dict[str, Any] = Field(default={}, description="options of the method")
