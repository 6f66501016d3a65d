"""Fetch a published file once, keep it, and check its sha256 at every use."""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
import tarfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pooch
from filelock import FileLock

from octodon.atomic import atomic_file, expanded, write_text
from octodon.errors import DataError

TIMEOUT_S = 30.0
CHUNK_BYTES = 1 << 20


@dataclass(frozen=True, kw_only=True)
class DataFile:
    """One published file.

    Attributes
    ----------
    name : str
        Name under which it is kept.
    url : str
        Published address.
    sha256 : str or None
        Published hash of the kept file; None where none was published. Then the first copy is trusted: its hash
        is stored beside it (``NAME.sha256``) and checked at every later use.
    in_archive : bool
        Whether ``url`` is a tar.gz that holds the file (in any folder of the archive).
    """

    name: str
    url: str
    sha256: str | None = None
    in_archive: bool = False

    @property
    def download_name(self) -> str:
        """Last part of the published address."""
        return self.url.rsplit("/", 1)[1]


def default_folder() -> Path:
    """Return the folder named by OCTODON_CACHE, else the user's cache folder for octodon."""
    return expanded(os.environ.get("OCTODON_CACHE") or pooch.os_cache("octodon"))


def fetch(file: DataFile, folder: Path, *, base_url: str | None = None, label: str = "data set") -> Path:
    """Return the path of a file that is present and has the expected sha256, downloading it if it is absent.

    Parameters
    ----------
    file : DataFile
        What to fetch.
    folder : Path
        Where it is kept; made if absent.
    base_url : str, optional
        Address of a mirror, to which the published file name is appended.
    label : str
        What to call the data in a message.

    Raises
    ------
    DataError
        Without network and without the file (the line says what to put where), for a server's refusal, a broken
        archive, a folder that cannot be made, or a hash that differs (nothing is deleted or replaced).
    RunError
        Where a file cannot be put into the folder.
    """
    target = folder / file.name
    if not target.is_file() or _expected_hash(file, target) is None:
        with _locked(target, label):
            if not target.is_file():
                _bring(file, target, base_url, label)
            if _expected_hash(file, target) is None:
                write_text(_record_of(target), f"{_sha256(target)}\n")
    expected, found = _expected_hash(file, target), _sha256(target)
    if found != expected:
        source = "published" if file.sha256 else f"recorded at first use in {_record_of(target).name}"
        raise DataError(
            f"{label}: {target} has sha256 {found}, expected {expected} ({source}); delete the file to download "
            f"it again, or its .sha256 too if you trust the new content"
        )
    return target


def _bring(file: DataFile, target: Path, base_url: str | None, label: str) -> None:
    """Put the file at ``target``: from the download itself, or out of the archive that holds it."""
    url = file.url if base_url is None else f"{base_url.rstrip('/')}/{file.download_name}"
    archive = target.with_name(file.download_name)
    wanted = archive if file.in_archive else target
    if not wanted.is_file():
        either = f"{archive.name} or {file.name}" if file.in_archive else file.name
        with atomic_file(wanted) as part:
            _download(url, part, label, f"{either} into {target.parent}")
    if file.in_archive:
        _extract(archive, target, label)


def _download(url: str, part: Path, label: str, by_hand: str) -> None:
    responses: list[Any] = []
    options = {
        "timeout": TIMEOUT_S,
        # Without "identity" a server may label a tar.gz as an encoding, and it would be unpacked on the way.
        "headers": {"Accept-Encoding": "identity"},
        # pooch leaves the connection of a failed transfer open; remember it, to close it.
        "hooks": {"response": lambda response, **_: responses.append(response)},
    }
    try:
        with _progress(url) as bar, part.open("wb") as out:
            pooch.HTTPDownloader(progressbar=bar, chunk_size=CHUNK_BYTES, **options)(url, out, None)
    except OSError as error:  # every failure of the network or of the disk arrives as an OSError
        raise DataError(
            f"{label}: cannot fetch {url} ({_reason(error)}); download it by hand and put {by_hand}"
        ) from error
    finally:
        for response in responses:
            response.close()


def _extract(archive: Path, target: Path, label: str) -> None:
    """Copy the one member called like the target out of a tar.gz, read from front to back; no other is unpacked."""
    unpacking = partial(_unpacking, archive, target, label)
    with unpacking(), tarfile.open(archive, mode="r|gz") as members:
        for member in members:
            stream = members.extractfile(member) if Path(member.name).name == target.name else None
            if stream is not None:
                # Once more inside: a damaged archive is no failure to write.
                with atomic_file(target) as part, unpacking(), part.open("wb") as out:
                    shutil.copyfileobj(stream, out)
                return
    raise DataError(f"{label}: {archive} holds no {target.name}; put that file into {target.parent} by hand")


@contextmanager
def _unpacking(archive: Path, target: Path, label: str) -> Iterator[None]:
    """Turn what goes wrong while an archive is read into one DataError."""
    try:
        yield
    except (tarfile.TarError, EOFError, zlib.error, OSError) as error:
        raise DataError(
            f"{label}: {archive} cannot be unpacked ({_reason(error)}); delete it to download it again, or put "
            f"{target.name} into {target.parent} by hand"
        ) from error


@contextmanager
def _locked(target: Path, label: str) -> Iterator[None]:
    """Make the folder and keep other processes from fetching the same file meanwhile."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(target.with_name(f".{target.name}.lock"))
        lock.acquire()
    except OSError as error:
        raise DataError(
            f"{label}: cannot write into {target.parent} ({_reason(error)}); choose another folder, or set "
            f"OCTODON_CACHE"
        ) from error
    try:
        yield
    finally:
        lock.release()


@contextmanager
def _progress(url: str) -> Iterator[Any]:
    """Yield a progress bar for pooch on a terminal, False elsewhere."""
    if not sys.stderr.isatty():
        yield False
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=Console(stderr=True)) as shown:
        yield _Bar(shown, shown.add_task(url.rsplit("/", 1)[1], total=None))


class _Bar:
    """The four things that pooch asks of a progress bar, told to rich."""

    def __init__(self, shown: Any, task: Any) -> None:
        self._shown, self._task = shown, task

    @property
    def total(self) -> int | None:
        return self._shown.tasks[0].total

    @total.setter
    def total(self, n_bytes: int) -> None:
        self._shown.update(self._task, total=n_bytes or None)

    def update(self, n_bytes: int) -> None:
        self._shown.update(self._task, advance=n_bytes)

    def reset(self) -> None:
        self._shown.update(self._task, completed=0)

    def close(self) -> None:
        self._shown.refresh()


def _record_of(target: Path) -> Path:
    return target.with_name(f"{target.name}.sha256")


def _expected_hash(file: DataFile, target: Path) -> str | None:
    record = _record_of(target)
    if file.sha256 is not None:
        return file.sha256
    return record.read_text().strip() if record.is_file() else None


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _reason(error: BaseException) -> str:
    """Return "HTTP 404", or the error's own short name: the network's long chains of causes are left out."""
    response = getattr(error, "response", None)
    if response is not None:
        return f"HTTP {response.status_code}"
    return getattr(error, "strerror", None) or type(error).__name__
