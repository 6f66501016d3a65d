"""The student: one network that answers with activity and its uncertainty."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from octodon.calibration.answer import answer
from octodon.calibration.calibration import Calibration
from octodon.ensemble.ensemble import check_length, name_rows, restore
from octodon.ensemble.network import FittedNetwork
from octodon.ensemble.workers import pick_device
from octodon.models.factors import Factors, with_factors
from octodon.models.inference import BATCH_SIZE, read_in_batches
from octodon.models.model import Model, ModelConfig
from octodon.models.observe import with_ood
from octodon.ood.detector import Detector
from octodon.records import Prediction
from octodon.seq.codes import as_codes


@dataclass(frozen=True, kw_only=True, eq=False)
class Student:
    """A distilled network.

    Attributes
    ----------
    model : ModelConfig
    target_names : tuple of str
    units : str
        Unit of mean and std.
    fitted : FittedNetwork
    calibration : Calibration or None
        Made on rows that no network saw; ``octodon.calibrate`` returns a student with one.
    detector : Detector or None
        Of sequences unlike the training sequences; ``octodon.fit_ood`` returns a student with one.
    factors : Factors or None
        What its members would differ in, for the std of a difference; see ``distillation.effects``.
    """

    model: ModelConfig
    target_names: tuple[str, ...]
    units: str
    fitted: FittedNetwork
    calibration: Calibration | None = None
    detector: Detector | None = None
    factors: Factors | None = None

    @cached_property
    def network(self) -> Model:
        """The torch module, in evaluation mode, on the device of the last prediction (at first the CPU)."""
        return restore(self.model, self.fitted.weights)

    def predict(
        self,
        sequences: Any,
        ids: Sequence[str] | None = None,
        *,
        batch_size: int = BATCH_SIZE,
        device: str = "auto",
        level: float | None = None,
        calibrated: bool = True,
    ) -> Prediction:
        """Return activity and uncertainty of each sequence, in input order; with an interval if it is calibrated.

        Parameters
        ----------
        sequences : list of str, or (n, l) uint8 codes
            Of the length that the student was trained on.
        ids : sequence of str, optional
            Default "1", "2", ...
        batch_size : int
            Sequences at once.
        device : str
            "auto" (a GPU where there is one), "cpu" or "cuda".
        level : float, optional
            Of the interval, by default that of the calibration.
        calibrated : bool
            False: as if the student had never been calibrated.

        Raises
        ------
        DataError
            For no sequence, a letter that is no base, another number of ids, or a level without a calibration.
        ConfigError
            For a level outside (0, 1).
        BundleError
            For sequences of another length than the model's.
        RunError
            When a GPU is asked for that is not there.
        """
        said = self._said(self.network, sequences, ids, batch_size, device)
        return answer(said, self.calibration, level=level, calibrated=calibrated)

    def predict_with_factors(
        self,
        sequences: Any,
        ids: Sequence[str] | None = None,
        *,
        device: str = "auto",
        calibrated: bool = True,
    ) -> Prediction:
        """Return what ``predict`` says with ``epistemic_factors``, if it has learnt them; for differences of sequences.

        Raises
        ------
        DataError, BundleError, RunError
            As ``predict``.
        """
        network = self.network if self.factors is None else self._network_with_factors
        said = self._said(network, sequences, ids, BATCH_SIZE, device)
        return answer(said, self.calibration, calibrated=calibrated)

    @cached_property
    def _network_with_factors(self) -> Model:
        assert self.factors is not None
        return with_factors(self.network, self.factors)

    def _said(
        self, network: Model, sequences: Any, ids: Sequence[str] | None, batch_size: int, device: str
    ) -> Prediction:
        codes = check_length(as_codes(sequences), self.model.length)
        output = read_in_batches(network.to(pick_device(device)), codes, batch_size)
        said = Prediction(
            ids=name_rows(ids, len(codes)),
            target_names=self.target_names,
            mean=output["mean"],
            epistemic_std=output.get("epistemic_std"),
            aleatoric_std=output.get("aleatoric_std"),
            epistemic_factors=output.get("epistemic_factors"),
        )
        return with_ood(said, self.detector, codes, self.network)
