"""The section [examine] of an experiment."""

from __future__ import annotations

from pydantic import Field, field_validator

from octodon.attribution.methods import methods
from octodon.errors import ConfigError
from octodon.settings import Config


class ExamineSection(Config):
    """What a run looks at beyond its test set, for its report; the commands named do the same later, and more of it."""

    shift: int = Field(
        default=2000,
        ge=0,
        description="most test rows of which shifted copies are judged (octodon shift); 0 = not at all",
    )
    attribution: int = Field(
        default=200,
        ge=0,
        description="most test sequences of highest measured activity, per target, whose maps by members and students are "
        "compared (octodon attribution-study); 0 = not at all",
    )
    method: str = Field(default="saliency", description="of the maps; see octodon list methods")

    @field_validator("method")
    @classmethod
    def _is_known(cls, name: str) -> str:
        try:
            methods[name]
        except ConfigError as error:
            raise ValueError(str(error)) from None
        return name


NOTHING = ExamineSection(shift=0, attribution=0)
