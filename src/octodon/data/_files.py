"""Opening files: one clear line for a missing, unreadable or truncated one; gzip is recognised by content."""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from octodon.atomic import expanded
from octodon.errors import ConfigError, DataError

GZIP_MAGIC = b"\x1f\x8b"
_OTHER_MAGIC = {
    b"\x28\xb5\x2f\xfd": "compressed by zstd",
    b"\xfd7zXZ\x00": "compressed by xz",
    b"BZh91A": "compressed by bzip2",
    b"PK\x03\x04": "a zip archive or a spreadsheet",
}


def existing_file(path: str | Path) -> Path:
    """Return the path of a file that exists and is not empty.

    Raises
    ------
    DataError
        Anything else: no such file, a folder, a pipe, an empty file, a path that the system refuses.
    """
    file = expanded(path)
    try:
        _refuse_other_kinds(file)
    except OSError as error:
        # a name that is too long, such as a sequence in the place of its file; no permission
        raise DataError(
            f"{str(file)[:80]}: cannot be read: {error.strerror}; give the path of a file that you may read"
        ) from None
    return file


def _refuse_other_kinds(file: Path) -> None:
    if not file.exists():
        raise DataError(f"{file}: no such file; check the path (relative to {Path.cwd()})")
    if file.is_dir():
        raise DataError(f"{file}: is a folder, expected a file")
    if not file.is_file():
        raise DataError(f"{file}: is a pipe or device, which cannot be read twice; write it to a file first")
    if file.stat().st_size == 0:
        raise DataError(f"{file}: the file is empty (0 bytes)")


def refuse_input(out: Path, source: Path) -> None:
    """Refuse to write the file that is read.

    Raises
    ------
    ConfigError
        ``out`` is ``source``, by whatever name.
    """
    try:
        is_same = source.exists() and out.exists() and out.samefile(source)
    except OSError:  # whoever reads the one, or writes the other, says why that cannot be
        return
    if is_same:
        raise ConfigError(f"--out {out}: this is the input, which would be lost; choose another name")


def plain_suffix(path: str | Path) -> str:
    """Return the last suffix in lower case, not counting ``.gz``: ".tsv" for "x.tsv.gz", ".gz" for "x.gz"."""
    suffixes = [suffix.lower() for suffix in Path(path).suffixes]
    if len(suffixes) > 1 and suffixes[-1] in (".gz", ".bgz"):
        return suffixes[-2]
    return suffixes[-1] if suffixes else ""


@contextmanager
def reading(file: Path) -> Iterator[None]:
    """Turn what goes wrong while reading ``file`` into one DataError that names it."""
    try:
        yield
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(
            f"{file}: the gzip stream is truncated or damaged ({one_line(error)}); copy or download it again"
        ) from error
    except OSError as error:
        raise DataError(f"{file}: cannot be read: {one_line(error)}") from error


@contextmanager
def open_binary(path: str | Path) -> Iterator[io.BufferedIOBase]:
    """Open a plain or gzipped file for reading bytes."""
    file = existing_file(path)
    with reading(file):
        with file.open("rb") as stream:
            start = stream.read(6)
        kind = next((what for magic, what in _OTHER_MAGIC.items() if start.startswith(magic)), None)
        if kind is not None:
            raise DataError(f"{file}: {kind}, expected plain text or gzip; unpack it, or export it as text")
        zipped = start.startswith(GZIP_MAGIC)
        # gzip.open reads members one after another (bgzip) and notices a missing end.
        with gzip.open(file, "rb") if zipped else file.open("rb") as stream:
            yield stream


def one_line(error: BaseException) -> str:
    """Return a library's message as one line of at most 200 characters."""
    return " ".join(str(error).split())[:200]
