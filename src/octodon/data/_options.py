"""Plain values of a configuration file as the types that a function declares; problems are one line that names the key."""

from __future__ import annotations

import json
import typing
from collections.abc import Callable, Mapping
from typing import Any

from pydantic import TypeAdapter, ValidationError

from octodon.errors import ConfigError


def typed_options(function: Callable[..., Any], options: Mapping[str, Any], section: str) -> dict[str, Any]:
    """Return the options as the types (and within the ranges) that the function's parameters declare.

    Raises
    ------
    ConfigError
        ``section.key: what is expected; got ...``.
    """
    hints = typing.get_type_hints(function, include_extras=True)
    return {key: _typed(section, key, value, hints.get(key, Any)) for key, value in options.items()}


def _typed(section: str, key: str, value: Any, hint: Any) -> Any:
    try:
        # As JSON and strict: a list may become a tuple and a text a path, but "1" is no number and 1 no text.
        return TypeAdapter(hint).validate_json(json.dumps(value, default=_plain), strict=True)
    except ValidationError as error:
        raise ConfigError(_message(section, key, value, error)) from None


def _plain(value: Any) -> Any:
    """Return what JSON holds: numpy values as those of Python, anything else (a path) as text."""
    return value.tolist() if hasattr(value, "tolist") else str(value)


def _message(section: str, key: str, value: Any, error: ValidationError) -> str:
    """Return one line for the problem that names the deepest place (other branches of a union matched less)."""
    details = error.errors(include_url=False)
    depths = [len(_keys(value, detail["loc"])) for detail in details]
    worst = details[depths.index(max(depths))]
    place = ".".join([f"{section}.{key}", *_keys(value, worst["loc"])])
    expected = dict.fromkeys(
        detail["msg"] for detail, depth in zip(details, depths, strict=True) if depth == max(depths)
    )
    # JSON's words, where the file is TOML.
    said = "; or ".join(expected).replace("valid array", "list").replace("an object", "a table of keys")
    return f"{place}: {said}; got {worst['input']!r}"


def _keys(value: Any, location: tuple[int | str, ...]) -> list[str]:
    """Return the parts of a location that are keys of the value, not pydantic's names for branches of a union."""
    keys: list[str] = []
    place: Any = value
    for part in location:
        is_item = isinstance(place, (list, tuple)) and isinstance(part, int) and part < len(place)
        if is_item or (isinstance(place, Mapping) and part in place):
            place = place[part]  # type: ignore[index]  # an int for a list, a key for a mapping, as checked
            keys.append(str(part))
    return keys
