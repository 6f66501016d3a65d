"""The ``[data]`` section of a configuration to ``Examples``: chooses the reader and checks its options."""

from __future__ import annotations

import inspect
import json
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from octodon.data._batches import TABLE_SUFFIXES
from octodon.data._files import plain_suffix
from octodon.data.examples import Examples
from octodon.data.formats import readers
from octodon.data.formats.fasta import FASTA_SUFFIXES
from octodon.errors import ConfigError
from octodon.registry import suggest

HDF5_SUFFIXES = (".h5", ".hdf5")


def read(options: Mapping[str, Any], base: str | Path = ".") -> Examples:
    """Read the examples that a ``[data]`` section describes.

    Parameters
    ----------
    options : mapping
        ``format`` (a reader's name; inferred from the suffix of ``path`` where absent) and the reader's own options.
    base : path
        Folder to which relative paths are relative: that of the configuration file.

    Raises
    ------
    ConfigError
        For an unknown format or key (with a suggestion), a missing one, or a value of the wrong type.
    DataError
        From the reader.
    """
    chosen = dict(options)
    reader = readers[chosen.pop("format", None) or infer_format(chosen)]
    return reader(**checked_options(reader, chosen, Path(base)))


def absolute_paths(options: Mapping[str, Any], base: str | Path) -> dict[str, Any]:
    """Return a ``[data]`` section whose relative paths are made absolute, so that a copy of it elsewhere reads the same.

    Raises
    ------
    ConfigError
        As ``read``.
    """
    chosen = dict(options)
    reader = readers[chosen.pop("format", None) or infer_format(chosen)]
    checked = checked_options(reader, chosen, Path(base))
    hints = typing.get_type_hints(reader)
    paths = {
        key: str(Path(checked[key]).resolve())
        for key in chosen
        if _takes_path(hints.get(key, Any)) and checked[key]
    }
    return dict(options) | paths


def infer_format(options: Mapping[str, Any]) -> str:
    """Return the format that the suffix of ``path`` stands for."""
    path = options.get("path")
    if not isinstance(path, (str, Path)):
        raise ConfigError(f"data: give path (a file), or format (one of: {', '.join(readers.names())})")
    suffix = plain_suffix(path)
    for name, suffixes in (("table", TABLE_SUFFIXES), ("fasta", FASTA_SUFFIXES), ("hdf5", HDF5_SUFFIXES)):
        if suffix in suffixes:
            return name
    raise ConfigError(
        f"data.path: {str(path)!r}: the suffix {suffix!r} tells no format; set data.format to one of: "
        f"{', '.join(readers.names())}"
    )


def checked_options(reader: Any, options: Mapping[str, Any], base: Path) -> dict[str, Any]:
    """Return the options of a reader as the types that it declares, paths made relative to ``base``."""
    parameters = inspect.signature(reader).parameters
    for key in options:
        if key not in parameters:
            raise ConfigError(f"data: no key {key!r}; {suggest(key, ['format', *parameters])}")
    for key, parameter in parameters.items():
        if key not in options and parameter.default is inspect.Parameter.empty:
            raise ConfigError(f"data: the key {key!r} is missing; this format needs it")
    hints = typing.get_type_hints(reader)
    return {key: _checked(key, value, hints.get(key, Any), base) for key, value in options.items()}


def _checked(key: str, value: Any, hint: Any, base: Path) -> Any:
    try:
        # As JSON and strict: a list may become a tuple and a text a path, but "1" is no number and 1 no text.
        result = TypeAdapter(hint).validate_json(json.dumps(value, default=str), strict=True)
    except ValidationError as error:
        raise ConfigError(_message(key, value, error)) from None
    return _resolved(result, base) if _takes_path(hint) else result


def _message(key: str, value: Any, error: ValidationError) -> str:
    """Return one line for the problem that names the deepest place (other branches of a union matched less)."""
    details = error.errors(include_url=False)
    depths = [len(_keys(value, detail["loc"])) for detail in details]
    worst = details[depths.index(max(depths))]
    place = ".".join([f"data.{key}", *_keys(value, worst["loc"])])
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


def _takes_path(hint: Any) -> bool:
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return any(_takes_path(part) for part in typing.get_args(hint))
    return isinstance(hint, type) and issubclass(hint, Path)


def _resolved(value: Any, base: Path) -> Any:
    return base / Path(value).expanduser() if isinstance(value, (str, Path)) else value
