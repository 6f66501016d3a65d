"""The folder of a run: claimed by one process, never written over, with a log of what happened."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from octodon.atomic import write_text
from octodon.errors import RunError


@contextmanager
def claim(out: Path, config_toml: str) -> Iterator[RunFolder]:
    """Give the run folder to this process for as long as the block lasts.

    Raises
    ------
    RunError
        When the folder is in use by another run, holds a run with another configuration, or holds something else.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(f"--out {out}: cannot make the folder: {error.strerror}") from None
    # The lock lies beside the folder's files but is no result: it goes with the block.
    lock = FileLock(out / ".lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise RunError(f"--out {out}: in use by another run; wait for it, or choose another folder") from None
    except OSError as error:
        raise RunError(f"--out {out}: cannot write there: {error.strerror}; choose another folder") from None
    try:
        _refuse_other_content(out, config_toml)
        yield RunFolder(out)
    finally:
        lock.release()
        (out / ".lock").unlink(missing_ok=True)


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
        return (self.path / "results" / "complete.json").is_file()

    def event(self, what: str, **details: Any) -> None:
        """Append one line to ``events.jsonl``."""
        record = {"time": datetime.now(UTC).isoformat(timespec="milliseconds"), "event": what} | details
        with (self.path / "events.jsonl").open("a") as file:
            file.write(json.dumps(record) + "\n")


def _refuse_other_content(out: Path, config_toml: str) -> None:
    existing = out / "config.toml"
    if existing.is_file():
        if existing.read_text() != config_toml:
            raise RunError(
                f"--out {out}: holds a run with another configuration (see {existing}); choose another folder, nothing "
                f"is written over"
            )
        return
    strangers = [path.name for path in out.iterdir() if path.name != ".lock"]
    if strangers:
        raise RunError(
            f"--out {out}: not empty and not a run (it holds {strangers[0]!r}); choose another folder"
        )
    write_text(existing, config_toml)
