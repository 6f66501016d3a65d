"""The folder of a run: claimed by one process, never written over, with a log of what happened."""

from __future__ import annotations

import itertools
import json
import shutil
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout

from octodon.atomic import append_json, atomic_file, is_partial, remove_partials, write_json, write_text
from octodon.errors import RunError

if TYPE_CHECKING:
    import pandas as pd

POOL = "distill.pool"
"""Among the sources in ``data.json``; the others are keys of ``[data]``."""
_LOCK = ".lock"
_MADE_OF = ("sha256", "teachers", "beside_weights", "code")


@contextmanager
def hold(out: Path) -> Iterator[None]:
    """Keep the folder for this process for as long as the block lasts; it is made, and nothing but a lock is written.

    Raises
    ------
    RunError
        When the folder cannot be made or written, or is in use by another run.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(f"--out {out}: cannot make the folder: {error.strerror}") from None
    # The lock file stays: removing it would let a third process lock a new file while a second holds the old one.
    lock = FileLock(out / _LOCK)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise RunError(f"--out {out}: in use by another run; wait for it, or choose another folder") from None
    except OSError as error:
        raise RunError(f"--out {out}: cannot write there: {error.strerror}; choose another folder") from None
    try:
        yield
    finally:
        lock.release()


@contextmanager
def claim(out: Path, config_toml: str) -> Iterator[RunFolder]:
    """Give the run folder to this process for as long as the block lasts.

    Nothing but a lock is written: a run that is refused for its data leaves the folder free for the mended command.

    Raises
    ------
    RunError
        When the folder is in use by another run, holds a run with another configuration, or holds something else.
    """
    with hold(out):
        _refuse_other_content(out, config_toml)
        yield RunFolder(out)


class RunFolder:
    """Paths of a run and its event log."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.results = path / "results"
        self.figures = path / "figures"
        self.work = path / "work"

    @property
    def is_finished(self) -> bool:
        """Whether the run ended well."""
        return (self.results / "complete.json").is_file()

    @property
    def is_begun(self) -> bool:
        """Whether a run has recorded here what it is made of."""
        return (self.path / "config.toml").is_file()

    def resume(self) -> None:
        """Remove the half-written files that a killed run left; the folder is claimed, so nobody is writing them."""
        removed = remove_partials(self.path)
        self.event("resumed", removed=[str(path.relative_to(self.path)) for path in removed])

    def begin(self, config_toml: str, data: dict[str, Any]) -> None:
        """Record what the run is made of, or refuse to go on with other data or teachers than it began with.

        Raises
        ------
        RunError
            When the folder's networks were trained on other rows, or labelled by other teachers.
        """
        path = self.path / "data.json"
        if path.is_file():
            now = {name: data[name] for name in _MADE_OF if name in data}
            # of the files only the pool: what networks learn from the others is in sha256, whatever else stands there
            pool = {name: value for name, value in data.get("sources", {}).items() if name == POOL}
            self.refuse_changed(now | {"sources": pool})
        if self.is_begun:
            _refuse_other_content(self.path, config_toml)  # again, now that its heads are named
        # first the configuration: by it the folder is known as a run, should the next line be the last
        write_text(self.path / "config.toml", config_toml)
        write_json(path, data)

    def refuse_changed(self, now: dict[str, Any]) -> None:
        """Refuse values that differ from those in ``data.json``; what a run of an earlier version did not record is let pass.

        Raises
        ------
        RunError
            With what has changed.
        """
        file = self.path / "data.json"
        if not file.is_file():
            raise RunError(f"{self.path}: no data.json here; give the folder of a run (octodon run)")
        before = json.loads(file.read_text(encoding="utf-8"))
        for name, value in now.items():
            changed = _changed(before, name, value)
            if changed is not None:
                raise RunError(
                    f"{self.path}: {changed} since this run began; take back the change, or begin a run in another folder"
                )

    def clean(self, *, but: str = "") -> None:
        """Remove what only an unfinished run needs; ``but`` names a folder of it that is kept, unless it is empty."""
        for path in self.work.glob("*"):
            with suppress(OSError):  # kept and not empty, or not ours to remove
                if not path.is_dir():
                    path.unlink()
                elif path.name == but:
                    path.rmdir()
                else:
                    shutil.rmtree(path)
        with suppress(OSError):
            self.work.rmdir()

    def event(self, what: str, **details: Any) -> None:
        """Append one line to ``events.jsonl``."""
        record = {"time": datetime.now(UTC).isoformat(timespec="milliseconds"), "event": what} | details
        append_json(self.path / "events.jsonl", record)


def _changed(before: dict[str, Any], name: str, value: Any) -> str | None:
    """Return what has changed, in words, or None."""
    if name == "sha256":
        known = before.get(name, {})
        parts = [part for part in value if part in known and known[part] != value[part]]
        return f"the data have changed ({', '.join(parts)})" if parts else None
    if name == "sources":
        known = before.get(name, {})
        parts = [part for part in value if part in known and known[part] != value[part]]
        named = [part if part == POOL else f"data.{part}" for part in parts]
        return f"the file of {named[0]} has changed" if named else None
    later = {
        "code": "the file of the backbone has",
        "beside_weights": "the code of the teachers, or their dropout, has",
    }
    if name in later:
        return f"{later[name]} changed" if name in before and before[name] != value else None
    return "other teachers were given" if before.get(name) != value else None


def refuse_restart(out: Path) -> None:
    """Refuse to start anew in a folder that is not empty: nothing is ever deleted.

    Raises
    ------
    RunError
        With the name of a folder that is free.
    """
    if not out.is_dir() or not _content(out):
        return
    free = next(path for n in itertools.count(2) if not (path := out.with_name(f"{out.name}-{n}")).exists())
    raise RunError(
        f"--restart: {out} is not empty and nothing is deleted; start anew in a folder of its own, for example --out {free}"
    )


def _refuse_other_content(out: Path, config_toml: str) -> None:
    existing = out / "config.toml"
    if existing.is_file():
        finished = RunFolder(out).is_finished
        before = _what_is_kept(existing.read_text(encoding="utf-8"), finished=finished)
        if before != _with_heads_of(before, _what_is_kept(config_toml, finished=finished)):
            raise RunError(
                f"--out {out}: holds a run with another configuration (see {existing}); choose another folder, nothing "
                f"is written over"
            )
        return
    strangers = _content(out)
    if strangers:
        raise RunError(
            f"--out {out}: not empty and not a run (it holds {strangers[0]!r}); choose another folder"
        )


def _content(out: Path) -> list[str]:
    """Return what is in a folder, but for the lock and half-written files that a refused or killed run leaves."""
    return [path.name for path in out.iterdir() if path.name != _LOCK and not is_partial(path)]


def _what_is_kept(config_toml: str, *, finished: bool) -> dict[str, Any]:
    """Return the settings that a run which goes on, or is finished, must have begun with."""
    # where it is computed may change between two calls: fewer processes after running out of memory; and so may what is looked at
    # when all is trained, as in the last fraction of a sweep, which another call makes the last but one
    kept = {
        name: value for name, value in tomllib.loads(config_toml).items() if name not in ("run", "examine")
    }
    calibrate = kept.get("calibrate")
    if calibrate is not None and not finished:
        # a method that turned out not to fit may be changed: it is learnt behind the networks; which rows it learns from may not
        kept["calibrate"] = {
            "fraction_of_valid": calibrate.get("fraction_of_valid"),
            "none": calibrate.get("method") == "none",
        }
    return kept


def _with_heads_of(before: dict[str, Any], now: dict[str, Any]) -> dict[str, Any]:
    """Return ``now`` with heads that are "auto", which only the data will name, as they were named before."""
    named = {
        section: now[section] | {"head": before[section]["head"]}
        for section in ("ensemble", "distill")
        if now.get(section, {}).get("head") == "auto" and "head" in before.get(section, {})
    }
    return now | named


def write_parquet(frame: pd.DataFrame, path: Path) -> None:
    """Write a table in one piece."""
    with atomic_file(path) as partial:
        frame.to_parquet(partial, index=False)
