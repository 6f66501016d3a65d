"""Attributions on disk: HDF5 and npz in the layouts that modisco-lite reads, the HDF5 also by octodon itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from octodon.atomic import atomic_file
from octodon.attribution.record import Attribution
from octodon.errors import ConfigError, DataError

_TEXTS = ("method", "output", "units", "background", "fallback")


def save_attribution(attribution: Attribution, out: Path) -> list[Path]:
    """Write maps to ``out`` and return the files made.

    ``.h5``: ``shap/seq`` (n, 4, l), the maps, and ``raw/seq``, the one-hot (``modisco motifs -i``), beside ids, member maps and
    how the maps came about; ``load_attribution`` reads it. ``.npz``: the maps, and the one-hot in ``NAME.one_hot.npz``, each as
    ``arr_0`` (``modisco motifs -a NAME.npz -s NAME.one_hot.npz``).

    modisco-lite takes a window (-w, default 400) from the middle; it must be at most the sequence length.

    Raises
    ------
    ConfigError
        For another suffix.
    RunError
        When a file cannot be written.
    """
    check_suffix(out)
    if out.suffix == ".npz":
        one_hot = out.with_suffix(".one_hot.npz")
        for path, values in ((one_hot, attribution.one_hot.astype(np.int8)), (out, attribution.maps)):
            with atomic_file(path) as partial:
                np.savez_compressed(partial, values)
        return [out, one_hot]
    import h5py

    with atomic_file(out) as partial, h5py.File(partial, "w") as file:
        file["raw/seq"] = attribution.one_hot.astype(np.int8)
        file["shap/seq"] = attribution.maps
        file["ids"] = [str(name) for name in attribution.ids]
        file["codes"] = attribution.codes
        for name in ("member_maps", "deltas"):
            if (values := getattr(attribution, name)) is not None:
                file.create_dataset(name, data=values, compression="gzip", compression_opts=1)
        for name in _TEXTS:
            file.attrs[name] = getattr(attribution, name)
    return [out]


def check_suffix(out: Path) -> None:
    """Refuse, before anything is computed, a name that says nothing of the format.

    Raises
    ------
    ConfigError
        For a suffix other than .h5 and .npz.
    """
    if out.suffix not in (".h5", ".npz"):
        raise ConfigError(f"--out {out}: expected a name ending in .h5 or .npz")


def load_attribution(path: Path) -> Attribution:
    """Return what ``save_attribution`` wrote as ``.h5``.

    Raises
    ------
    DataError
        When there is no such file, or it is no HDF5 of ours.
    """
    import h5py

    if not path.is_file():
        raise DataError(f"{path}: no such file; expected maps as octodon attribute writes them (.h5)")
    try:
        with h5py.File(path, "r") as file:
            read: Any = file.__getitem__  # h5py's stubs know groups only
            texts: dict[str, Any] = {name: str(file.attrs[name]) for name in _TEXTS}
            arrays = {name: read(name)[()] for name in ("member_maps", "deltas") if name in file}
            return Attribution(
                ids=read("ids").asstr()[()],
                codes=read("codes")[()],
                maps=read("shap/seq")[()],
                **arrays,
                **texts,
            )
    except (OSError, KeyError, TypeError) as error:
        raise DataError(
            f"{path}: not maps of octodon ({error}); write them with octodon attribute --out NAME.h5"
        ) from None
