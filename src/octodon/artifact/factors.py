"""What a student learnt of differences, in its bundle: ``factors.safetensors``. An older octodon does not look for it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load as from_bytes
from safetensors.numpy import save as to_bytes

from octodon.atomic import atomic_file
from octodon.errors import BundleError
from octodon.models.factors import Factors

FILE = "factors.safetensors"


def write_factors(folder: Path, factors: Factors) -> Path:
    """Write the file into a bundle, in the place of an earlier one.

    Raises
    ------
    RunError
        It cannot be written.
    """
    with atomic_file(folder / FILE) as partial:
        partial.write_bytes(to_bytes({name: np.ascontiguousarray(v) for name, v in factors.arrays.items()}))
    return folder / FILE


def read_factors(folder: Path, n_features: int | None, n_targets: int) -> Factors | None:
    """Return the factors of a bundle; None if it has none.

    Raises
    ------
    BundleError
        A damaged file, or one of another network.
    """
    path = folder / FILE
    if not path.is_file():
        return None
    advice = "copy the bundle again, or remove the file to score variants without a std"
    try:
        found = Factors(arrays=from_bytes(path.read_bytes()))
        made = found.build()
    except (OSError, ValueError, SafetensorError) as error:
        reason = " ".join(str(error).split())[:100]
        raise BundleError(f"{path}: damaged ({reason}); {advice}") from None
    if made.n_targets != n_targets or n_features not in (None, made.hidden.in_features):
        raise BundleError(
            f"{path}: made for {made.n_targets} targets and {made.hidden.in_features} features, the bundle has "
            f"{n_targets} and {n_features}; {advice}"
        )
    return found
