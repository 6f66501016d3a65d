"""Files that are either whole or not there: write beside, flush to disk, rename."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from octodon.errors import RunError


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a temporary path beside ``path``; on success it takes its place, on an error it is removed.

    The suffix is kept, because writers choose the format by it.

    Raises
    ------
    RunError
        The file cannot be written: no such folder, no permission, no space.
    """
    partial = path.with_name(f".{path.stem}.{os.getpid()}.partial{path.suffix}")
    try:
        yield partial
        with partial.open("rb") as file:
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError as error:
        raise RunError(
            f"cannot write {path}: {error.strerror or error}; check folder, space and permissions"
        ) from error
    finally:
        partial.unlink(missing_ok=True)
