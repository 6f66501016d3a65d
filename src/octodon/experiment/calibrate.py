"""Calibrate a bundle that exists already, on a table of sequences that its networks have not seen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from octodon.artifact.bundle import load, read_provenance, save, save_calibration
from octodon.artifact.seen import SEEN, refuse_known
from octodon.calibration.calibration import Calibration
from octodon.data.read import read
from octodon.errors import ConfigError
from octodon.predict.calibrate import calibrate, calibration_rows


def calibrate_bundle(
    bundle: Path,
    data: Path,
    out: Path | None,
    *,
    targets: Sequence[str] = (),
    sequence: str = "sequence",
    id: str | None = None,
    split: str | None = None,
    method: str,
    level: float = 0.9,
    options: Mapping[str, Any] | None = None,
    device: str = "auto",
    backbone: str | None = None,
    seed: int = 0,
) -> tuple[Calibration, Path]:
    """Calibrate a bundle in place, or a copy of it in ``out``; return what was learnt and where it lies.

    Parameters
    ----------
    bundle, data : path
        Folder of a student or an ensemble; table of sequences and measurements.
    out : path or None
        A new bundle with the calibration; None, or ``bundle`` itself = into ``bundle``, in the place of an earlier calibration.
    targets : sequence of str
        "T=column" or "T=column,column" for replicates; a target that is not named has the column of its name.
    sequence, id, split : str
        Columns of the table.
    method, level, options, device, seed
        As for ``octodon.calibrate``.

    Raises
    ------
    BundleError
        No bundle, or an ``out`` that holds something else.
    ConfigError, DataError
        From the reader and from ``octodon.calibrate``; sequences that the bundle's networks have seen.
    """
    model = load(bundle, backbone=backbone)
    # named, since by its suffix a FASTA file would be read as one, and has no measurements
    reading: dict[str, Any] = {"format": "table", "path": str(data), "sequence": sequence}
    reading["units"] = model.units
    reading |= {"targets": _columns(targets, model.target_names), "missing": "mask"}
    reading |= {name: value for name, value in (("id", id), ("split", split)) if value is not None}
    examples = read(reading)
    # with splits, only its calibration rows count; those of train and valid may stand beside them
    refuse_known(bundle, calibration_rows(examples))
    done = calibrate(model, examples, method=method, level=level, options=options, device=device, seed=seed)
    assert done.calibration is not None
    if out is None or out.resolve() == bundle.resolve():
        return done.calibration, save_calibration(bundle, done.calibration)
    # appears with the bundle: one without it would let itself be calibrated on its own training sequences
    guard = [file for file in (bundle / SEEN,) if file.is_file()]
    save(done, out, read_provenance(bundle), files=guard)
    return done.calibration, out


def _columns(texts: Sequence[str], names: tuple[str, ...]) -> dict[str, str | list[str]]:
    """Return the columns of each target, in the order of the model's targets."""
    columns: dict[str, str | list[str]] = {name: name for name in names}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not value or name not in columns:
            raise ConfigError(
                f"--target {text!r}: expected TARGET=COLUMN or TARGET=COLUMN,COLUMN with a target of the model: "
                f"{', '.join(names)}"
            )
        columns[name] = value.split(",") if "," in value else value
    return columns
