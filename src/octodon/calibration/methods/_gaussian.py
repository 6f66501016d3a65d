"""The interval of a normal distribution, and what methods without quantiles of their own share."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any, TypeVar

from jaxtyping import Float
from numpy import ndarray
from scipy.special import ndtri

from octodon.calibration._form import Form

Learnt = TypeVar("Learnt")


def gaussian_offsets(std: Float[ndarray, " n"], level: float) -> tuple[ndarray, ndarray]:
    """Return -z std and z std, with z the normal quantile at (1 + level) / 2: 1.645 for 0.9."""
    reach = ndtri((1 + level) / 2) * std
    return -reach, reach


def gaussian_form(level: float, factor: float = 1.0, **scale: Any) -> Form:
    """Return the form of std = factor * scale with the interval of a normal distribution."""
    reach = float(ndtri((1 + level) / 2)) * factor
    return Form(std=(factor,), lower=(-reach,), upper=(reach,), **scale)


class Plain:
    """A frozen dataclass of numbers and tuples of numbers, to JSON and back."""

    def to_plain(self) -> dict[str, Any]:
        """Return the fields as JSON holds them."""
        fields: dict[str, Any] = asdict(self)  # type: ignore[call-overload]  # every method is a dataclass
        return {name: list(value) if isinstance(value, tuple) else value for name, value in fields.items()}

    @classmethod
    def from_plain(cls: type[Learnt], plain: dict[str, Any]) -> Learnt:
        """Rebuild from ``to_plain``; a TypeError for another set of fields."""
        fields = {name: tuple(value) if isinstance(value, list) else value for name, value in plain.items()}
        return cls(**fields)
