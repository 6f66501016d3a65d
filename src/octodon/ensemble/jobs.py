"""What a job says of itself to whoever runs it on another machine: what it computes with, which files it reads and writes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable


@dataclass(frozen=True, kw_only=True)
class Needs:
    """What a job occupies while it runs.

    Attributes
    ----------
    cpus : int
        Cores.
    gpus : int
        0 or 1.
    here : bool
        Only on the machine of the process that asks: it works with files that it does not name.
    """

    cpus: int = 1
    gpus: int = 0
    here: bool = False


@runtime_checkable
class FileJob(Protocol):
    """A job whose function works on files; any other job is a value that needs one core."""

    @property
    def needs(self) -> Needs:
        """What it computes with."""
        ...

    @property
    def reads(self) -> tuple[Path, ...]:
        """Files, and folders of files, that must be there before it begins."""
        ...

    @property
    def writes(self) -> tuple[Path, ...]:
        """Files and folders that it leaves; what an earlier try left there, it goes on from."""
        ...

    def moved(self, to: Callable[[Path], Path]) -> FileJob:
        """Return the same job on files that lie elsewhere: ``to`` says where."""
        ...
