"""Save and load an ensemble or a student; loading runs no code from the folder."""

from __future__ import annotations

import json
import platform
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from safetensors.torch import save as to_bytes

import octodon
from octodon.artifact.detector import ARRAYS, CARD, read_detector, write_detector
from octodon.artifact.factors import FILE as FACTORS
from octodon.artifact.factors import read_factors, write_factors
from octodon.artifact.seen import SEEN
from octodon.artifact.selftest import SELFTEST, recalibrate_selftest, write_selftest
from octodon.atomic import atomic_folder, is_partial, settled, write_json
from octodon.calibration.calibration import Calibration
from octodon.distillation.student import Student
from octodon.ensemble.ensemble import Ensemble, restore
from octodon.ensemble.folds import Folds
from octodon.ensemble.network import FittedNetwork
from octodon.errors import BundleError, ConfigError
from octodon.models.backbones import backbones
from octodon.models.dropout import DropoutPasses
from octodon.models.heads import heads
from octodon.models.model import ModelConfig
from octodon.registry import suggest

FORMAT = 3
"""One higher whenever the files change so that an older octodon would misread them: that one then refuses them. 2: an ensemble
may have ``dropout``; 3: its ``folds`` may have ``groups``. Bundles without these are still written as 1."""

CALIBRATION = "calibration.json"
"""Beside config.json where the model was calibrated. An older octodon does not look for it and predicts without: no new format."""
HISTORY = "history.parquet"
"""How the networks were trained, epoch by epoch; a run leaves it beside config.json."""
_PARTS = frozenset(
    {"config.json", "weights.safetensors", "provenance.json", CALIBRATION, CARD, ARRAYS, FACTORS, SELFTEST, SEEN, HISTORY}
)  # fmt: skip
"""What a bundle may hold: a folder with anything else is never replaced."""


def save(
    model: Ensemble | Student,
    path: str | Path,
    provenance: Mapping[str, Any] | None = None,
    *,
    files: Sequence[Path] = (),
) -> Path:
    """Write a bundle folder and return its path; it appears only when it is complete.

    Parameters
    ----------
    model : Ensemble or Student
    path : path
        The folder to make; a bundle that is there is replaced, anything else is refused. One of the same weights hands on
        what only it knows: which sequences they have seen, and their history.
    provenance : mapping, optional
        How the model came about, as JSON values; default: as a bundle of the same weights that is replaced says.
    files : sequence of Path
        Further files, copied into the folder under their own names before it appears.

    Raises
    ------
    BundleError
        When the path holds something that is no bundle, or a bundle and further files: nothing is written over.
    RunError
        When the folder cannot be written.
    """
    members = model.members if isinstance(model, Ensemble) else (model.fitted,)
    config = {
        "format": 1,
        "kind": "ensemble" if isinstance(model, Ensemble) else "student",
        "backbone": _backbone_name(model.model.backbone),
        "options": dict(model.model.options),
        "length": model.model.length,
        "head": model.model.head,
        "target_names": list(model.target_names),
        "units": model.units,
        "networks": [{"index": m.index, "attempt": m.attempt, "seed": m.seed} for m in members],
    }
    if isinstance(model, Ensemble):
        config |= _of_ensemble(model)
    weights = {
        name: torch.stack([m.weights[name] for m in members]).contiguous() for name in members[0].weights
    }
    _refuse_other_content(Path(path), [file.name for file in files])
    kept: list[Path] = []
    if _has_weights(Path(path), weights):
        kept = [file for name in (SEEN, HISTORY) if (file := Path(path) / name).is_file()]
        provenance = read_provenance(path) if provenance is None else provenance
    with atomic_folder(Path(path)) as folder:
        # as bytes: a full disk is then an OSError, not an error of safetensors
        (folder / "weights.safetensors").write_bytes(to_bytes(weights))
        (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")
        (folder / "provenance.json").write_text(json.dumps(_provenance(provenance), indent=2) + "\n")
        if model.calibration is not None:
            write_json(folder / CALIBRATION, model.calibration.to_dict())
        if model.detector is not None:
            write_detector(folder, model.detector)
        if isinstance(model, Student) and model.factors is not None:
            write_factors(folder, model.factors)
        write_selftest(folder, model)
        for file in (*kept, *files):
            shutil.copyfile(file, folder / file.name)
    return Path(path)


def load(path: str | Path, backbone: str | type | None = None) -> Ensemble | Student:
    """Return the ensemble or student saved in a bundle folder.

    Parameters
    ----------
    path : path
        A bundle folder.
    backbone : str or type, optional
        The class, or ``"path/to/file.py:Class"``, of a backbone that is not part of octodon; a bundle of one that is
        needs none and takes its own. A bundle never brings or names code to run: what is run is named here, by the caller.

    Raises
    ------
    BundleError
        No bundle, a newer format, a truncated or damaged file, an unknown backbone or one that fails, weights that do
        not fit.
    """
    folder = Path(path)
    config = _read_config(folder)
    model = ModelConfig(
        backbone=_known_backbone(config["backbone"], backbone, folder),
        length=config["length"],
        n_targets=len(config["target_names"]),
        head=config["head"],
        options=config["options"],
    )
    if model.head not in heads:
        raise BundleError(
            f"{folder}: made with the head {model.head!r}; {suggest(model.head, heads.names())}"
        )
    stacked = _read_weights(folder / "weights.safetensors")
    networks = config["networks"]
    wrong = [name for name, value in stacked.items() if value.shape[:1] != (len(networks),)]
    if wrong:
        raise BundleError(
            f"{folder}: {wrong[0]} does not hold {len(networks)} networks; the bundle is damaged"
        )
    members = tuple(
        FittedNetwork(
            **network, weights={name: value[i].clone() for name, value in stacked.items()}, history=[]
        )
        for i, network in enumerate(networks)
    )
    try:
        restore(model, members[0].weights)
    except (ConfigError, BundleError) as error:
        raise BundleError(f"{folder}: {error}") from None
    common: dict[str, Any] = {
        "model": model,
        "target_names": tuple(config["target_names"]),
        "units": config["units"],
        "calibration": _read_calibration(folder / CALIBRATION, tuple(config["target_names"])),
        "detector": read_detector(folder),
    }
    if config["kind"] == "ensemble":
        folds = Folds(**config["folds"]) if "folds" in config else None
        dropout = DropoutPasses(**config["dropout"]) if "dropout" in config else None
        return Ensemble(**common, members=members, folds=folds, dropout=dropout)
    found = restore(model, members[0].weights).head.linear.in_features
    factors = read_factors(folder, found, len(config["target_names"]))
    return Student(**common, fitted=members[0], factors=factors)


def save_calibration(path: str | Path, calibration: Calibration) -> Path:
    """Write the calibration into an existing bundle, in the place of an earlier one, and return the file.

    Raises
    ------
    BundleError
        No bundle there, or one of other targets.
    RunError
        When it cannot be written.
    """
    folder = Path(path)
    targets = tuple(_read_config(folder)["target_names"])
    if calibration.target_names != targets:
        raise BundleError(
            f"{folder}: has targets {targets}, the calibration {calibration.target_names}; calibrate this bundle"
        )
    write_json(folder / CALIBRATION, calibration.to_dict())
    recalibrate_selftest(folder, calibration)
    return folder / CALIBRATION


def read_provenance(path: str | Path) -> dict[str, Any]:
    """Return how the model of a bundle came about, as it was given to ``save``; empty if that was lost."""
    file = Path(path) / "provenance.json"
    try:
        plain = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, json.JSONDecodeError, UnicodeDecodeError):
        return {}
    return plain if isinstance(plain, dict) else {}


def _read_calibration(path: Path, targets: tuple[str, ...]) -> Calibration | None:
    if not path.is_file():
        return None
    try:
        plain = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BundleError(
            f"{path}: cannot be read ({error.strerror}); check permissions, or copy the bundle again"
        ) from None
    except (json.JSONDecodeError, UnicodeDecodeError):
        raise BundleError(
            f"{path}: not JSON; the file is damaged: calibrate again, or remove it to predict without"
        ) from None
    calibration = Calibration.from_dict(plain, str(path))
    if calibration.target_names != targets:
        raise BundleError(
            f"{path}: made for targets {calibration.target_names}, the bundle has {targets}; calibrate this bundle"
        )
    return calibration


def _read_config(folder: Path) -> dict[str, Any]:
    path = folder / "config.json"
    try:
        if not path.is_file():
            settled(folder)
        if not path.is_file():
            raise BundleError(
                f"{folder}: no bundle here (no config.json); give the folder, for example run/student"
            )
        config = json.loads(path.read_text())
        version = config["format"]
    except OSError as error:
        # a name that is too long, such as a sequence in the place of a folder; no permission
        raise BundleError(
            f"{str(folder)[:80]}: no bundle can be read here ({error.strerror}); give a folder that you may read, for example "
            f"run/student"
        ) from None
    except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError):
        raise BundleError(
            f"{path}: not a bundle's config.json; the file is damaged, copy the bundle again"
        ) from None
    if not isinstance(version, int) or version > FORMAT:
        raise BundleError(
            f"{folder}: bundle format {version}, this octodon {octodon.__version__} reads up to {FORMAT}; upgrade octodon"
        )
    wrong = [key for key, is_right in _EXPECTED.items() if key not in config or not is_right(config[key])]
    wrong += ["folds"] if not _are_folds(config.get("folds")) else []
    wrong += ["dropout"] if not _are_passes(config.get("dropout")) else []
    if wrong:
        raise BundleError(
            f"{path}: {wrong[0]!r} is {config.get(wrong[0], 'missing')!r}; the file is damaged, copy the bundle again"
        )
    return config


def _of_ensemble(model: Ensemble) -> dict[str, Any]:
    """Return what only an ensemble has, and the format it takes to read that."""
    found: dict[str, Any] = {}
    if model.dropout is not None:
        found |= {"format": 2, "dropout": asdict(model.dropout)}
    if model.folds is not None:
        found["folds"] = {name: value for name, value in asdict(model.folds).items() if value is not None}
    if model.folds is not None and model.folds.groups is not None:
        found["format"] = 3
    return found


def _are_networks(value: Any) -> bool:
    keys = {"index", "attempt", "seed"}
    return (
        isinstance(value, list)
        and len(value) > 0
        and all(
            isinstance(v, dict) and v.keys() == keys and all(isinstance(n, int) for n in v.values())
            for v in value
        )
    )


def _are_folds(value: Any) -> bool:
    kinds = {"count": int, "seed": int, "rows": str, "groups": str}
    return value is None or (
        isinstance(value, dict)
        and value.keys() | {"groups"} == kinds.keys()
        and all(isinstance(found, kinds[name]) for name, found in value.items())
    )


def _are_passes(value: Any) -> bool:
    if value is None:
        return True
    try:
        DropoutPasses(**value)
    except (TypeError, ConfigError):
        return False
    return True


_EXPECTED: dict[str, Callable[[Any], bool]] = {
    "kind": lambda value: value in ("ensemble", "student"),
    "backbone": lambda value: isinstance(value, str),
    "options": lambda value: isinstance(value, dict),
    "length": lambda value: isinstance(value, int) and value > 0,
    "head": lambda value: isinstance(value, str),
    "target_names": lambda value: (
        isinstance(value, list) and len(value) > 0 and all(isinstance(name, str) for name in value)
    ),
    "units": lambda value: isinstance(value, str),
    "networks": _are_networks,
}
"""What config.json must hold, by key."""


def _read_weights(path: Path) -> dict[str, torch.Tensor]:
    if not path.is_file():
        raise BundleError(f"{path}: missing; copy the whole bundle folder")
    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise BundleError(f"{path}: truncated or damaged ({error}); copy the bundle again") from None


def _has_weights(path: Path, weights: Mapping[str, torch.Tensor]) -> bool:
    """Return whether a bundle of these very weights is there, so that what it says of their training holds."""
    if not (path / "weights.safetensors").is_file():
        return False
    try:
        there = _read_weights(path / "weights.safetensors")
    except BundleError:
        return False
    return there.keys() == weights.keys() and all(
        there[name].dtype == value.dtype and torch.equal(there[name], value.cpu())
        for name, value in weights.items()
    )


def _refuse_other_content(path: Path, given: Sequence[str]) -> None:
    """Refuse a path that is neither free nor a bundle with nothing but its parts and the files that are ``given`` anew."""
    # a config.json alone tells nothing: Hugging Face's models and many a project have one
    advice = "choose another folder, nothing is written over"
    try:
        if not path.exists() or (path.is_dir() and not any(path.iterdir())):
            return
        if not (path / "config.json").is_file():
            raise BundleError(f"{path}: exists and is no bundle; {advice}")
        try:
            _read_config(path)
        except BundleError:
            raise BundleError(f"{path}: exists and is no bundle that this octodon reads; {advice}") from None
        names = sorted(file.name for file in path.iterdir() if not is_partial(file))
    except OSError as error:
        raise BundleError(f"{str(path)[:80]}: cannot be looked into ({error.strerror}); {advice}") from None
    strangers = [name for name in names if name not in _PARTS and name not in given]
    if strangers:
        raise BundleError(f"{path}: holds {strangers[0]!r}, which is no part of a bundle; {advice}")


def _backbone_name(backbone: str | type) -> str:
    if isinstance(backbone, str):
        return backbone
    for name in backbones:
        if backbones[name] is backbone:
            return name
    return f"custom:{backbone.__name__}"


def _known_backbone(name: str, given: str | type | None, folder: Path) -> str | type:
    if name in backbones:
        return name
    if given is not None:
        return given
    raise BundleError(
        f"{folder}: made with the backbone {name!r}, which is not part of octodon; name its code yourself with "
        f"--backbone path/to/file.py:Class (in Python: octodon.load(path, backbone=Class))"
    )


def _provenance(extra: Mapping[str, Any] | None) -> dict[str, Any]:
    return {
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "octodon": octodon.__version__,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
    } | dict(extra or {})
