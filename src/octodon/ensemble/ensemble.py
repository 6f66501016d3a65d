"""An ensemble: M fitted members of one architecture, and what they predict."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import UInt8
from numpy import ndarray

from octodon.calibration.answer import answer
from octodon.calibration.calibration import Calibration
from octodon.ensemble.arrays import SharedArrays
from octodon.ensemble.execution import Execution
from octodon.ensemble.folds import Folds
from octodon.ensemble.jobs import Needs
from octodon.ensemble.network import FittedNetwork
from octodon.ensemble.workers import pick_device, threads
from octodon.errors import BundleError, DataError
from octodon.models.dropout import DropoutPasses, read_with_dropout
from octodon.models.inference import BATCH_SIZE, read_in_batches
from octodon.models.model import Model, ModelConfig, build_model
from octodon.models.observe import with_ood
from octodon.ood.detector import Detector
from octodon.records import MemberPredictions, Prediction, joined
from octodon.seq.codes import as_codes


@dataclass(frozen=True, kw_only=True, eq=False)
class Ensemble:
    """M members of one architecture.

    Attributes
    ----------
    model : ModelConfig
    target_names : tuple of str
    units : str
        Unit of the predictions.
    members : tuple of FittedNetwork
        In the order of their index; each distinct.
    calibration : Calibration or None
        Made on rows that no network saw; ``octodon.calibrate`` returns an ensemble with one.
    folds : Folds or None
        Which training rows which members never saw; None where all saw all.
    detector : Detector or None
        Of sequences unlike the training sequences; ``octodon.fit_ood`` returns an ensemble with one.
    dropout : DropoutPasses or None
        Each network answers this often with its dropout on, and each answer counts as a member's (Monte Carlo dropout);
        None: once, without.
    """

    model: ModelConfig
    target_names: tuple[str, ...]
    units: str
    members: tuple[FittedNetwork, ...]
    calibration: Calibration | None = None
    folds: Folds | None = None
    detector: Detector | None = None
    dropout: DropoutPasses | None = None

    def network(self, position: int) -> Model:
        """Return the network of one member, ready to predict; each call gives a new one, free to be changed.

        Raises
        ------
        BundleError
            When the weights do not fit the architecture.
        """
        return restore(self.model, self.members[position].weights)

    @cached_property
    def _networks(self) -> tuple[Model, ...]:
        """All members' networks, kept: a file is predicted in many calls."""
        return tuple(self.network(position) for position in range(len(self.members)))

    def predict_members(
        self,
        sequences: Any,
        ids: Sequence[str] | None = None,
        execution: Execution | None = None,
    ) -> MemberPredictions:
        """Return what every member predicts; with Monte Carlo dropout, what every pass of every member predicts.

        Parameters
        ----------
        sequences : list of str or (n, l) uint8 codes
        ids : sequence of str, optional
            Default "1", "2", ...
        execution : Execution, optional
            Its workers share the members; where it has none, this process computes on its device. Default: this process,
            on a GPU where there is one.

        Raises
        ------
        DataError
            For no sequence, a letter that is no base, or another number of ids.
        BundleError
            For sequences of another length than the model's.
        RunError
            When a GPU is asked for that is not there, or a worker process dies.
        """
        codes = check_length(as_codes(sequences), self.model.length)
        execution = execution or Execution(device="auto")
        if execution.workers.processes > 0:
            outputs = self._predict_in_processes(codes, execution)
        else:
            device = pick_device(execution.device)
            outputs = [_answers(network.to(device), codes, self.dropout) for network in self._networks]
        return MemberPredictions(
            ids=name_rows(ids, len(codes)),
            target_names=self.target_names,
            mean=np.concatenate([output["mean"] for output in outputs]),
            aleatoric_std=joined([output.get("aleatoric_std") for output in outputs]),
            epistemic_std=joined([output.get("epistemic_std") for output in outputs]),
        )

    def predict(
        self,
        sequences: Any,
        ids: Sequence[str] | None = None,
        *,
        device: str = "auto",
        level: float | None = None,
        calibrated: bool = True,
    ) -> Prediction:
        """Return the ensemble's mean and stds (law of total variance); with an interval if it is calibrated.

        Parameters
        ----------
        level : float, optional
            Of the interval, by default that of the calibration.
        calibrated : bool
            False: as if the ensemble had never been calibrated.

        Raises
        ------
        DataError, BundleError, RunError
            As ``predict_members``; a DataError for a level without a calibration.
        ConfigError
            For a level outside (0, 1).
        """
        codes = check_length(as_codes(sequences), self.model.length)
        said = self.predict_members(codes, ids, Execution(device=device)).combine()
        said = with_ood(said, self.detector, codes, self._networks[0])
        return answer(said, self.calibration, level=level, calibrated=calibrated)

    def _predict_in_processes(
        self, codes: UInt8[ndarray, "n l"], execution: Execution
    ) -> list[dict[str, Any]]:
        with tempfile.TemporaryDirectory(prefix="octodon-") as folder:
            arrays = SharedArrays.write(Path(folder), {"codes": codes})
            jobs = [
                _PredictJob(
                    model=self.model,
                    weights=m.weights,
                    arrays=arrays,
                    dropout=self.dropout,
                    device=execution.device,
                )
                for m in self.members
            ]
            return execution.workers.run(_predict_member, jobs)


@dataclass(frozen=True, kw_only=True, eq=False)
class _PredictJob:
    model: ModelConfig
    weights: dict[str, torch.Tensor]
    arrays: SharedArrays
    dropout: DropoutPasses | None
    device: str

    @property
    def needs(self) -> Needs:
        return Needs(gpus=0 if self.device == "cpu" else 1)

    @property
    def reads(self) -> tuple[Path, ...]:
        return (self.arrays.folder,)

    @property
    def writes(self) -> tuple[Path, ...]:
        return ()

    def moved(self, to: Callable[[Path], Path]) -> _PredictJob:
        return replace(self, arrays=SharedArrays(to(self.arrays.folder)))


def _predict_member(job: _PredictJob) -> dict[str, ndarray]:
    with threads(1):
        network = restore(job.model, job.weights).to(pick_device(job.device))
        return _answers(network, job.arrays["codes"], job.dropout)


def _answers(
    network: Model, codes: UInt8[ndarray, "n l"], dropout: DropoutPasses | None
) -> dict[str, ndarray]:
    """Return the moments of one network by name, each (passes, n, t); one pass where dropout is off."""
    if dropout is not None:
        return read_with_dropout(network, codes, dropout)
    return {name: values[None] for name, values in read_in_batches(network, codes, BATCH_SIZE).items()}


def restore(config: ModelConfig, weights: dict[str, torch.Tensor]) -> Model:
    """Return the network with exactly these weights, in evaluation mode.

    Raises
    ------
    BundleError
        For a missing or unexpected tensor, or one of another shape.
    ConfigError
        As ``build_model``.
    """
    model = build_model(config, seed=0)
    try:
        model.load_state_dict(weights, strict=True)
    except RuntimeError as error:
        raise BundleError(
            f"weights do not fit the architecture: {str(error).splitlines()[-1].strip()}"
        ) from None
    return model.eval()


def check_length(codes: UInt8[ndarray, "n l"], length: int) -> UInt8[ndarray, "n l"]:
    """Return the codes if they have the length that the network was trained on.

    Raises
    ------
    DataError
        When there is no sequence.
    BundleError
        For another length.
    """
    if len(codes) == 0:
        raise DataError("sequences: none given, expected at least one")
    if codes.shape[1] != length:
        raise BundleError(
            f"sequences have {codes.shape[1]} bp, the model was trained on {length} bp; crop or flank them first "
            f"(octodon predict: --length; nothing is padded in silence)"
        )
    return codes


def name_rows(ids: Sequence[str] | None, n: int) -> ndarray:
    """Return identifiers as an array, "1" to "n" by default.

    Raises
    ------
    DataError
        For another number of identifiers than ``n``.
    """
    names = [str(i + 1) for i in range(n)] if ids is None else list(ids)
    if len(names) != n:
        raise DataError(f"ids: {len(names)} for {n} sequences; give one for each")
    return np.array(names, dtype=object)
