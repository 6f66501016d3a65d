"""The section [ood] of an experiment."""

from __future__ import annotations

from pydantic import Field

from octodon.ood.detector import DEFAULT_SCORE, DEFAULT_THRESHOLD
from octodon.settings import Config


class OodSection(Config):
    """How bundles learn to say which sequences are unlike their training sequences."""

    score: str = Field(default=DEFAULT_SCORE, description='see octodon list ood; "none" = not at all')
    threshold: float = Field(
        default=DEFAULT_THRESHOLD,
        gt=0,
        le=100,
        description="percentile among the training sequences from which a sequence is flagged",
    )
