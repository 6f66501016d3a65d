"""Writes that are either done or not there: temporary name, fsync, rename."""

from __future__ import annotations

import errno
import json
import logging
import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

from octodon.errors import RunError

_logger = logging.getLogger(__name__)

_PARTIAL = re.compile(r"\.(?P<name>.+)\.\d+\.(partial(\..+)?|(?P<old>old))")
"""Names that a writer in progress gives, see below: ``.NAME.PID.partial.SUFFIX``, ``.NAME.PID.old``.

What is aside under the second is whole: it may be put back.
"""
_TRIES = 5
"""To put a folder in place: one fails only where another process puts something there at that very moment."""
_MOMENT_SECONDS = 0.1
"""Much longer than a writer that is alive takes from one rename to the next."""


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
    """Give a temporary folder beside ``path``; on success it replaces ``path``, on an error it is removed.

    Where ``path`` is there already it is set aside for a moment: no system replaces a folder in one step. A process that is
    killed in that moment leaves it aside, and ``recover`` puts it back.
    """
    _require_name(path)
    recover(path)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        partial.mkdir(parents=True)
        yield partial
        for file in partial.rglob("*"):
            if file.is_file():
                _sync(file)
        _put_in_place(partial, path)
    except OSError as error:
        raise _refusal(path, error, partial) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
        recover(path)


def _put_in_place(partial: Path, path: Path) -> None:
    """Set aside what is at ``path`` and put ``partial`` there.

    Once more where something is there again: another process took this one for killed between the two renames, and put the
    old folder back, or it has written a folder of its own.
    """
    aside = path.with_name(f".{path.name}.{os.getpid()}.old")
    for tries_left in reversed(range(_TRIES)):
        with suppress(FileNotFoundError):  # nothing is there, or another writer has just set it aside
            path.rename(aside)
        try:
            partial.rename(path)
        except OSError as error:
            if not tries_left or error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
            recover(path)  # so that nothing is aside where the next try needs the name
        else:
            return


def settled(path: Path) -> Path:
    """Return ``path``, where the folder that a killed writer had set aside is back; asked before whether anything is there.

    A writer that is alive is given the moment that it needs to put the new folder in place.

    Raises
    ------
    RunError
        As ``recover``; or the system refuses the path.
    """
    try:
        is_there = path.exists()
    except OSError as error:  # a name that is too long, no permission
        raise RunError(
            f"{str(path)[:80]}: cannot be read ({error.strerror}); give a path that you may read"
        ) from None
    if not is_there and _set_aside(path):
        time.sleep(_MOMENT_SECONDS)
        if not path.exists():
            recover(path)
    return path


def recover(path: Path) -> None:
    """Put back the folder that a killed writer of ``path`` had set aside, or remove it where the new one is in place.

    Raises
    ------
    RunError
        It cannot be put back; says where it is.
    """
    for old in _set_aside(path):
        _put_back(old, path)


def _put_back(old: Path, path: Path) -> bool:
    """Put back what was set aside, or remove it where something is in its place; return whether it was removed."""
    if path.exists():
        _discard(old)
        return True
    try:
        old.rename(path)
    except OSError as error:
        if not path.exists():  # else another process has just put it back
            raise RunError(
                f"{path}: set aside by a writer that was stopped, and cannot be put back ({error.strerror}); rename {old}"
            ) from error
    else:
        _logger.warning("%s: a writer was stopped while replacing it; what was there is back", path)
    return False


def _discard(old: Path) -> None:
    """Remove what was set aside, under a name that is never put back: a removal that is killed leaves half a folder."""
    condemned = old.with_suffix(".partial.replaced")
    _remove(condemned)
    with suppress(OSError):  # another process has just done so; or not ours to remove
        old.rename(condemned)
    _remove(condemned)


def _set_aside(path: Path) -> list[Path]:
    try:
        found = [(at, _PARTIAL.fullmatch(at.name)) for at in path.parent.iterdir()]
    except OSError:  # no such folder, or not ours to read
        return []
    return [at for at, match in found if match and match["old"] and match["name"] == path.name]


def expanded(path: str | Path) -> Path:
    """Return a path with the home folder in the place of its "~" or "~user"; as it is where there is no such user."""
    path = Path(path)
    try:
        return path.expanduser()
    except RuntimeError:
        # a name that begins so, such as "~$data.csv", which a spreadsheet puts beside an open file; or a user without a home
        return path


def make_folder(path: Path) -> None:
    """Make a folder, and those that it lies in, where they are not there.

    Raises
    ------
    RunError
        It cannot be made: a file is in the place of one of them, no permission, no space.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(
            f"cannot make the folder {path}: {error.strerror}; choose another one, or check permissions"
        ) from None


def refuse_unwritable(folder: Path) -> None:
    """Refuse a folder in which no file can be made; asked before work whose result is to be written there.

    Raises
    ------
    RunError
        No such folder, no permission, no space.
    """
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise RunError(
            f"cannot write into {folder}: {error.strerror}; check folder, space and permissions"
        ) from None


def remove_file(path: Path) -> None:
    """Remove a file, if it is there.

    Raises
    ------
    RunError
        It cannot be removed: no permission, or the file system is read-only.
    """
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise _refusal(path, error) from error


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
    """Remove what killed writers left under ``folder`` and return it; nobody may be writing there.

    A folder that one of them had set aside, and not replaced, is put back first, and is not among what is returned.
    """
    # what lies in a folder before the folder, which may move
    found = sorted(folder.rglob(".*"), reverse=True)
    matches = {path: _PARTIAL.fullmatch(path.name) for path in found}
    aside = {old: old.with_name(match["name"]) for old, match in matches.items() if match and match["old"]}
    replaced = [old for old, path in aside.items() if _put_back(old, path)]
    partials = [path for path in folder.rglob(".*") if is_partial(path)]
    for path in partials:
        _remove(path)
    return replaced + partials


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


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
