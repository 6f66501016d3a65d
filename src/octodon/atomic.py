"""Writes that are either done or not there: temporary name, fsync, rename."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

from octodon.errors import RunError

_PARTIAL = re.compile(r"\..+\.\d+\.(partial(\..+)?|old)")
"""Names that a writer in progress gives, see below: ``.NAME.PID.partial.SUFFIX``, ``.NAME.PID.old``."""


@contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """Give a temporary path beside ``path``; on success it takes its place, on an error it is removed.

    The suffix is kept, because writers choose the format by it.

    Raises
    ------
    RunError
        The file cannot be written: no such folder, no permission, no space.
    """
    _require_name(path)
    partial = path.with_name(f".{path.stem}.{os.getpid()}.partial{path.suffix}")
    try:
        yield partial
        _sync(partial)
        partial.replace(path)
    except OSError as error:
        raise _refusal(path, error, partial) from error
    finally:
        with suppress(OSError):  # where nothing can be written there is nothing to remove
            partial.unlink()


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Give a temporary folder beside ``path``; on success it replaces ``path``, on an error it is removed."""
    _require_name(path)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        partial.mkdir(parents=True)
        yield partial
        for file in partial.rglob("*"):
            if file.is_file():
                _sync(file)
        if path.exists():
            old = path.with_name(f".{path.name}.{os.getpid()}.old")
            path.rename(old)
            partial.rename(path)
            shutil.rmtree(old)
        else:
            partial.rename(path)
    except OSError as error:
        raise _refusal(path, error, partial) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def write_text(path: Path, text: str) -> None:
    """Write a text file atomically."""
    with atomic_file(path) as partial:
        partial.write_text(text, encoding="utf-8")


def write_json(path: Path, content: Any) -> None:
    """Write JSON atomically, readable by people."""
    write_text(path, json.dumps(content, indent=2, allow_nan=False) + "\n")


def append_json(path: Path, record: Any) -> None:
    """Append one line of JSON to a log; what a full disk left of an earlier line is cut off first.

    Raises
    ------
    RunError
        The line cannot be written.
    """
    try:
        with path.open("ab+") as file:
            _cut_unfinished_line(file)
            file.write(json.dumps(record).encode() + b"\n")
    except OSError as error:
        raise _refusal(path, error) from error


def _cut_unfinished_line(file: BinaryIO) -> None:
    size = file.seek(0, os.SEEK_END)
    if size == 0:
        return
    file.seek(size - 1)
    if file.read(1) == b"\n":
        return
    file.seek(0)
    file.truncate(file.read().rfind(b"\n") + 1)


def is_partial(path: Path) -> bool:
    """Whether the name is that of a file or folder which a writer has not finished."""
    return _PARTIAL.fullmatch(path.name) is not None


def remove_partials(folder: Path) -> list[Path]:
    """Remove what killed writers left under ``folder`` and return it; nobody may be writing there."""
    found = [path for path in folder.rglob(".*") if is_partial(path)]
    for path in found:
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
    return found


def _require_name(path: Path) -> None:
    if not path.name:  # "." and "/"
        raise RunError(f"cannot write {path}: is a folder; give it the name of the file or folder to make")


def _refusal(path: Path, error: OSError, partial: Path | None = None) -> RunError:
    # what went wrong inside the block may be another file's fault
    elsewhere = error.filename is not None and Path(os.fsdecode(error.filename)) not in (path, partial)
    what = str(error) if elsewhere else error.strerror or error
    return RunError(f"cannot write {path}: {what}; check folder, space and permissions")


def _sync(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())
