"""Arrays on disk that every worker maps: one copy in the page cache, however many processes read it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy import ndarray

from octodon.atomic import atomic_file, is_partial


@dataclass(frozen=True)
class SharedArrays:
    """A folder of ``NAME.npy`` files, opened shared."""

    folder: Path

    @classmethod
    def write(cls, folder: Path, arrays: Mapping[str, ndarray]) -> SharedArrays:
        """Write arrays and return the handle that workers receive."""
        folder.mkdir(parents=True, exist_ok=True)
        for name, values in arrays.items():
            with atomic_file(folder / f"{name}.npy") as partial:
                np.save(partial, values)
        return cls(folder)

    def fingerprint(self) -> str:
        """Return a hash of every array's name, type, shape and values; a GB takes about a second."""
        digest = hashlib.blake2b(digest_size=16)
        for path in sorted(self.folder.glob("*.npy")):
            if is_partial(path):  # left by a writer that was killed
                continue
            values = np.load(path, mmap_mode="r")
            digest.update(f"{path.stem} {values.dtype} {values.shape}".encode())
            digest.update(np.ascontiguousarray(values).data)
        return digest.hexdigest()

    def __getitem__(self, name: str) -> ndarray:
        # "c": pages are shared until written, and nobody writes; torch wraps such arrays without a copy or a warning.
        return np.load(self.folder / f"{name}.npy", mmap_mode="c")

    def group(self, prefix: str) -> dict[str, ndarray]:
        """Return the arrays called ``prefix.NAME``, by NAME."""
        names = sorted(path.stem for path in self.folder.glob(f"{prefix}.*.npy"))
        return {name.removeprefix(f"{prefix}."): self[name] for name in names}
