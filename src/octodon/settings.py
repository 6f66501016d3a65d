"""Sections of a configuration: frozen values that refuse unknown keys, and their problems in one line."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, ValidationError

from octodon.errors import ConfigError
from octodon.registry import suggest

Section = TypeVar("Section", bound=BaseModel)

Preset = Literal["default", "paper", "paper-lentimpra"]
"""Names of coherent sets of choices; what one changes stands beside the section that it changes."""
PRESET_NAMES: tuple[str, ...] = get_args(Preset)


class Config(BaseModel):
    """A frozen section of the configuration that refuses unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def checked(model: type[Section], values: Mapping[str, Any], where: str) -> Section:
    """Return the configuration of plain values.

    Raises
    ------
    ConfigError
        ``where: section.key: got ..., expected ...``; an unknown key comes with a suggestion.
    """
    try:
        return model.model_validate(dict(values))
    except ValidationError as error:
        raise ConfigError(f"{where}: {first_problem(error, model)}") from None


def merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``base`` with the values of ``over``, section by section."""
    merged = dict(base)
    for key, value in over.items():
        below = merged.get(key)
        merged[key] = (
            merge(below, value) if isinstance(below, Mapping) and isinstance(value, Mapping) else value
        )
    return merged


def preset_of(name: object, presets: Mapping[str, dict[str, Any]], where: str) -> dict[str, Any]:
    """Return what a preset changes; an unknown one is a ConfigError with a suggestion."""
    if not isinstance(name, str) or name not in presets:
        raise ConfigError(f"{where}: preset: no {name!r}; {suggest(str(name), list(presets))}")
    return presets[name]


def first_problem(error: ValidationError, model: type[BaseModel]) -> str:
    """Return the first problem that pydantic found as ``section.key: got ..., expected ...``."""
    problem = error.errors()[0]
    where = ".".join(map(str, problem["loc"]))
    more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
    if problem["type"] == "extra_forbidden":
        known = list(_fields_at(model, problem["loc"][:-1]))
        return f"{where}: unknown key; {suggest(str(problem['loc'][-1]), known)}{more}"
    if problem["type"] == "missing":
        return f"{where}: missing{more}"
    if problem["type"] == "value_error" and isinstance(problem["input"], Mapping):
        # two settings that do not go together: all of their section says no more
        return f"{where}{': ' if where else ''}{problem['ctx']['error']}{more}"  # type: ignore[typeddict-item]  # has an error
    message = problem["msg"][0].lower() + problem["msg"][1:]
    return f"{where}: got {problem['input']!r}, {message}{more}"


def _fields_at(model: type[BaseModel], location: tuple[int | str, ...]) -> dict[str, Any]:
    for name in location:
        annotation = model.model_fields[str(name)].annotation
        candidates = [annotation, *get_args(annotation)]
        model = next(c for c in candidates if isinstance(c, type) and issubclass(c, BaseModel))
    return dict(model.model_fields)
