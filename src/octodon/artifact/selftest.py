"""The self-test of a bundle: a few sequences and what the model said of them when it was saved, as plain arrays."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import UInt8
from numpy import ndarray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save as to_bytes

import octodon
from octodon.atomic import atomic_file
from octodon.calibration.calibration import Calibration
from octodon.distillation.student import Student
from octodon.ensemble.ensemble import Ensemble, name_rows
from octodon.errors import BundleError
from octodon.records import Prediction
from octodon.seq.codes import N_CODE, random_codes

SELFTEST = "selftest.safetensors"
"""Beside config.json. An older octodon does not look for it: no new format. A bundle without it predicts as well."""

QUANTITIES = ("mean", "epistemic_std", "aleatoric_std", "calibrated_std", "lower", "upper", "ood_score")
"""What is kept of a prediction, where the model gives it."""
BESIDE = ("ood_threshold", "effect_std")
"""What else is kept: where the detector's flag begins, and of a student that has learnt differences the std of that between each
sequence and the next. Bundles saved before lack them."""
_RAW = ("mean", "epistemic_std", "aleatoric_std", "ood_score")
_SEQUENCES = 16


@dataclass(frozen=True, kw_only=True, eq=False)
class SelfTest:
    """Sequences, and what was said of them.

    Attributes
    ----------
    codes : (n, l) uint8
    said : dict of str to (n, t) or (n,) array
        By the names of ``QUANTITIES`` and ``BESIDE``.
    versions : dict of str to str
        Of octodon, torch and so on, and the platform, on the day of saving.
    """

    codes: UInt8[ndarray, "n l"]
    said: dict[str, ndarray]
    versions: dict[str, str]


def selftest_codes(length: int) -> UInt8[ndarray, "n l"]:
    """Return random sequences of that length, from 30 to 70 % GC, one in eight with some N."""
    rng = np.random.default_rng(length)
    rows = [random_codes((1, length), rng, gc=float(gc)) for gc in np.linspace(0.3, 0.7, _SEQUENCES)]
    codes = np.concatenate(rows)
    codes[::8][rng.random((len(codes[::8]), length)) < 0.05] = N_CODE
    return codes


def said_by(model: Student | Ensemble, codes: UInt8[ndarray, "n l"], device: str) -> dict[str, ndarray]:
    """Return what a self-test keeps of what a model says."""
    said = _said_of(model.predict(codes, device=device))
    if model.detector is not None:
        said["ood_threshold"] = np.array([model.detector.threshold])
    if isinstance(model, Student) and model.factors is not None:
        found = model.predict_with_factors(codes, device=device, calibrated=False)
        factors, mean, std = (
            np.stack([values[:-1], values[1:]])
            for values in (found.epistemic_factors, found.mean, found.epistemic_std)
            if values is not None
        )
        said["effect_std"] = model.factors.std(factors, mean, std)
    return said


def _said_of(prediction: Prediction) -> dict[str, ndarray]:
    parts = {name: getattr(prediction, name) for name in QUANTITIES}
    return {name: np.ascontiguousarray(values) for name, values in parts.items() if values is not None}


def versions() -> dict[str, str]:
    """Return today's versions and platform."""
    return {
        "octodon": octodon.__version__,
        "torch": torch.__version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
    }


def write_selftest(folder: Path, model: Student | Ensemble) -> None:
    """Ask the model on the CPU, and keep what it says in its bundle.

    Raises
    ------
    RunError
        It cannot be written.
    """
    codes = selftest_codes(model.model.length)
    _write(folder, SelfTest(codes=codes, said=said_by(model, codes, "cpu"), versions=versions()))


def recalibrate_selftest(folder: Path, calibration: Calibration) -> None:
    """Let the self-test of a bundle, if it has one, expect the intervals of another calibration; no network is asked."""
    kept = read_selftest(folder)
    if kept is None:
        return
    raw: dict[str, Any] = {name: values for name, values in kept.said.items() if name in _RAW}
    plain = Prediction(ids=name_rows(None, len(kept.codes)), target_names=calibration.target_names, **raw)
    beside = {name: values for name, values in kept.said.items() if name in BESIDE}
    said = _said_of(calibration.apply(plain)) | beside
    _write(folder, SelfTest(codes=kept.codes, said=said, versions=kept.versions))


def read_selftest(folder: Path) -> SelfTest | None:
    """Return the self-test of a bundle; None if it has none.

    Raises
    ------
    BundleError
        A damaged file.
    """
    path = folder / SELFTEST
    if not path.is_file():
        return None
    try:
        with safe_open(path, framework="numpy") as file:
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # no mapping
            written = dict(file.metadata() or {})
        codes = arrays.pop("codes")
    except (SafetensorError, OSError, KeyError) as error:
        raise BundleError(f"{path}: truncated or damaged ({error}); copy the bundle again") from None
    return SelfTest(codes=codes, said=arrays, versions=written)


def _write(folder: Path, test: SelfTest) -> None:
    with atomic_file(folder / SELFTEST) as partial:
        partial.write_bytes(to_bytes({"codes": test.codes} | test.said, test.versions))
