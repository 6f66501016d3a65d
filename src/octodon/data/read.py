"""The ``[data]`` section of a configuration to ``Examples``: chooses the reader and checks its options."""

from __future__ import annotations

import inspect
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from octodon.atomic import expanded
from octodon.data._batches import TABLE_SUFFIXES
from octodon.data._files import plain_suffix
from octodon.data._options import typed_options
from octodon.data.examples import Examples
from octodon.data.formats import Reader, readers
from octodon.data.formats.fasta import FASTA_SUFFIXES
from octodon.errors import ConfigError
from octodon.registry import suggest

HDF5_SUFFIXES = (".h5", ".hdf5")
BED_SUFFIXES = (".bed",)


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
    chosen = {key: value for key, value in options.items() if key != "format"}
    reader = reader_of(options)
    return reader(**checked_options(reader, chosen, Path(base)))


def absolute_paths(options: Mapping[str, Any], base: str | Path) -> dict[str, Any]:
    """Return a ``[data]`` section whose relative paths are made absolute, so that a copy of it elsewhere reads the same.

    Raises
    ------
    ConfigError
        As ``read``.
    """
    chosen = {key: value for key, value in options.items() if key != "format"}
    reader = reader_of(options)
    checked = checked_options(reader, chosen, Path(base))
    hints = typing.get_type_hints(reader)
    paths = {
        key: str(Path(checked[key]).resolve())
        for key in chosen
        if _takes_path(hints.get(key, Any)) and checked[key]
    }
    return dict(options) | paths


def reader_of(options: Mapping[str, Any]) -> Reader:
    """Return the reader of a ``[data]`` section: that of ``format``, or of what the suffix of ``path`` stands for.

    Raises
    ------
    ConfigError
        For an unknown format, or where none is given and the suffix tells none.
    """
    name = options.get("format")
    if name is not None and not isinstance(name, str):
        raise ConfigError(f"data.format: {name!r}, expected one of: {', '.join(readers.names())}")
    return readers[name or infer_format(options)]


def infer_format(options: Mapping[str, Any]) -> str:
    """Return the format that the suffix of ``path`` stands for.

    Raises
    ------
    ConfigError
        Without a path, or where its suffix tells no format.
    """
    path = options.get("path")
    if not isinstance(path, (str, Path)):
        raise ConfigError(f"data: give path (a file), or format (one of: {', '.join(readers.names())})")
    suffix = plain_suffix(path)
    by_suffix = {"table": TABLE_SUFFIXES, "fasta": FASTA_SUFFIXES, "hdf5": HDF5_SUFFIXES, "bed": BED_SUFFIXES}
    for name, suffixes in by_suffix.items():
        if suffix in suffixes:
            return name
    raise ConfigError(
        f"data.path: {str(path)!r}: the suffix {suffix!r} tells no format; set data.format to one of: "
        f"{', '.join(readers.names())}"
    )


def checked_options(reader: Any, options: Mapping[str, Any], base: Path) -> dict[str, Any]:
    """Return the options of a reader as the types that it declares, paths made relative to ``base``.

    Raises
    ------
    ConfigError
        For an unknown key (with a suggestion), a missing one, or a value of the wrong type.
    """
    parameters = inspect.signature(reader).parameters
    for key in options:
        if key not in parameters:
            raise ConfigError(f"data: no key {key!r}; {suggest(key, ['format', *parameters])}")
    for key, parameter in parameters.items():
        if key not in options and parameter.default is inspect.Parameter.empty:
            raise ConfigError(f"data: the key {key!r} is missing; this format needs it")
    hints = typing.get_type_hints(reader)
    typed = typed_options(reader, options, "data")
    return {
        key: _resolved(value, base) if _takes_path(hints.get(key, Any)) else value
        for key, value in typed.items()
    }


def _takes_path(hint: Any) -> bool:
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return any(_takes_path(part) for part in typing.get_args(hint))
    return isinstance(hint, type) and issubclass(hint, Path)


def _resolved(value: Any, base: Path) -> Any:
    return base / expanded(value) if isinstance(value, (str, Path)) else value
