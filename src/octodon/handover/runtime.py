"""onnxruntime-web, the engine inside the page: two files that are too large for this repository."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from octodon.data.sets._fetch import DataFile, default_folder, fetch
from octodon.errors import DataError

VERSION = "1.30.0"
_URL = f"https://registry.npmjs.org/onnxruntime-web/-/onnxruntime-web-{VERSION}.tgz"
CODE = DataFile(
    name="ort.wasm.bundle.min.mjs",
    url=_URL,
    sha256="11e64bd8ffe11bd1a2a2f0d6275fdfbbba7262f0b76b99b53d228a8a22ef3d90",
    in_archive=True,
)
WASM = DataFile(
    name="ort-wasm-simd-threaded.wasm",
    url=_URL,
    sha256="3398c10d07d229bd91b364548e130e0e51a8e5704b88c7c083ebbeb78842dee2",
    in_archive=True,
)
_LABEL = f"onnxruntime-web {VERSION}"


@dataclass(frozen=True, kw_only=True)
class Runtime:
    """Where the two files are; their content is that of the pinned version, byte for byte."""

    code: Path
    wasm: Path


def find_runtime(folder: Path | None = None) -> Runtime:
    """Return the engine: from a folder, or from the cache, which is filled from the npm registry at first use.

    Parameters
    ----------
    folder : path, optional
        One that holds the two files, for example ``node_modules/onnxruntime-web/dist``.

    Raises
    ------
    DataError
        A file that is missing, of another version or not to be had without a network; the line says what to put where.
    """
    if folder is None:
        cache = cache_folder()
        return Runtime(code=fetch(CODE, cache, label=_LABEL), wasm=fetch(WASM, cache, label=_LABEL))
    return Runtime(code=_checked(CODE, folder), wasm=_checked(WASM, folder))


def cache_folder() -> Path:
    """Return the folder of the cache that keeps this version."""
    return default_folder() / f"onnxruntime-web-{VERSION}"


def _checked(file: DataFile, folder: Path) -> Path:
    path = folder / file.name
    if not path.is_file():
        raise DataError(
            f"{_LABEL}: no {file.name} in {folder}; give the folder dist/ of that package (npm pack onnxruntime-web@{VERSION})"
        )
    if hashlib.sha256(path.read_bytes()).hexdigest() != file.sha256:
        raise DataError(
            f"{_LABEL}: {path} is not that of version {VERSION} (its SHA-256 differs); npm pack onnxruntime-web@{VERSION}"
        )
    return path
