"""octodon: ensembles of sequence-to-activity networks, distilled into one network that knows how sure it is.

Public names are loaded when they are first used, so that ``import octodon`` is instant.
"""

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

# Threads of one network wait for each other thousands of times a second, in a loop that takes a core from whoever has work:
# beside other programs a step then takes many times as long. A thirtieth of the default's turns costs a seventh where
# the machine is quiet (benchmarks/results/waiting.md). Read when torch is loaded; inherited by the processes that train.
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")

if TYPE_CHECKING:
    from octodon.artifact.bundle import load, save
    from octodon.attribution.attribute import attribute
    from octodon.attribution.record import Attribution
    from octodon.baselines.fit import baseline
    from octodon.data.calibration_rows import set_aside_calibration
    from octodon.data.examples import Examples
    from octodon.data.formats.barcodes import read_barcodes
    from octodon.data.formats.deepstarr import read_deepstarr
    from octodon.data.formats.fasta import read_fasta
    from octodon.data.formats.hdf5 import read_hdf5
    from octodon.data.formats.lentimpra import read_lentimpra
    from octodon.data.formats.table import read_table
    from octodon.data.simulate import simulate
    from octodon.distillation.distill import distill
    from octodon.distillation.student import Student
    from octodon.ensemble.ensemble import Ensemble
    from octodon.ensemble.train import train
    from octodon.errors import BundleError, ConfigError, DataError, OctodonError, RunError
    from octodon.experiment.config import load_config
    from octodon.experiment.run import run_experiment
    from octodon.experiment.shift import evaluate_shift
    from octodon.metrics.evaluate import evaluate_split
    from octodon.predict.calibrate import calibrate
    from octodon.predict.ood import fit_ood
    from octodon.records import MemberPredictions, Prediction
    from octodon.seq.codes import decode, encode

_HOMES = {
    "octodon.artifact.bundle": ("load", "save"),
    "octodon.attribution.attribute": ("attribute",),
    "octodon.attribution.record": ("Attribution",),
    "octodon.baselines.fit": ("baseline",),
    "octodon.data.calibration_rows": ("set_aside_calibration",),
    "octodon.data.examples": ("Examples",),
    "octodon.data.formats.barcodes": ("read_barcodes",),
    "octodon.data.formats.deepstarr": ("read_deepstarr",),
    "octodon.data.formats.fasta": ("read_fasta",),
    "octodon.data.formats.hdf5": ("read_hdf5",),
    "octodon.data.formats.lentimpra": ("read_lentimpra",),
    "octodon.data.formats.table": ("read_table",),
    "octodon.data.simulate": ("simulate",),
    "octodon.distillation.distill": ("distill",),
    "octodon.distillation.student": ("Student",),
    "octodon.ensemble.ensemble": ("Ensemble",),
    "octodon.ensemble.train": ("train",),
    "octodon.errors": ("BundleError", "ConfigError", "DataError", "OctodonError", "RunError"),
    "octodon.experiment.config": ("load_config",),
    "octodon.experiment.run": ("run_experiment",),
    "octodon.experiment.shift": ("evaluate_shift",),
    "octodon.metrics.evaluate": ("evaluate_split",),
    "octodon.predict.calibrate": ("calibrate",),
    "octodon.predict.ood": ("fit_ood",),
    "octodon.records": ("MemberPredictions", "Prediction"),
    "octodon.seq.codes": ("decode", "encode"),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "Attribution",
    "BundleError",
    "ConfigError",
    "DataError",
    "Ensemble",
    "Examples",
    "MemberPredictions",
    "OctodonError",
    "Prediction",
    "RunError",
    "Student",
    "attribute",
    "baseline",
    "calibrate",
    "decode",
    "distill",
    "encode",
    "evaluate_shift",
    "evaluate_split",
    "fit_ood",
    "load",
    "load_config",
    "read_barcodes",
    "read_deepstarr",
    "read_fasta",
    "read_hdf5",
    "read_lentimpra",
    "read_table",
    "run_experiment",
    "save",
    "set_aside_calibration",
    "simulate",
    "train",
]


def __getattr__(name: str) -> Any:
    if name in _HOME_OF:
        return getattr(import_module(_HOME_OF[name]), name)
    raise AttributeError(f"module 'octodon' has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
