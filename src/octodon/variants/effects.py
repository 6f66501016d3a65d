"""The effect of a variant and its uncertainty, from windows of both alleles."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from jaxtyping import Float, UInt8
from numpy import ndarray
from scipy.special import ndtr

from octodon.errors import ConfigError
from octodon.models.factors import Factors
from octodon.predict.predictor import Predictor
from octodon.records import Prediction, joined
from octodon.seq.codes import reverse_complement

UNSURE = "this model cannot tell how sure it is of a difference"
_LEVEL = 0.95
_SEQUENCES = 16_384


@dataclass(frozen=True, kw_only=True, eq=False)
class Effects:
    """Effects of variants, one row a variant, one column a target, in the units of the model.

    Attributes
    ----------
    ref, alt : (v, t) arrays
        Predicted activity with either allele, averaged over windows and strands.
    epistemic_std : (v, t) array or None
        Of ``alt - ref``: the std over members (``correction=0``) of their own differences. None where the model cannot
        tell: adding the variances of the two predictions would be wrong, since their errors are correlated.
    ref_ood, alt_ood : (v,) array or None
        Percentile of the out-of-distribution score; None without a detector.
    """

    ref: Float[ndarray, "v t"]
    alt: Float[ndarray, "v t"]
    epistemic_std: Float[ndarray, "v t"] | None = None
    ref_ood: Float[ndarray, " v"] | None = None
    alt_ood: Float[ndarray, " v"] | None = None

    @property
    def effect(self) -> Float[ndarray, "v t"]:
        """Alternative minus reference."""
        return self.alt - self.ref

    @property
    def z(self) -> Float[ndarray, "v t"] | None:
        """Effect over its std; 0 where both are 0."""
        if self.epistemic_std is None:
            return None
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = self.effect / self.epistemic_std
        return np.where(self.effect == 0, 0.0, ratio)

    @property
    def sign_prob(self) -> Float[ndarray, "v t"] | None:
        """Probability that the effect has the sign of ``effect``, for normal epistemic errors: 0.5 to 1."""
        return None if self.z is None else ndtr(np.abs(self.z))

    def interval(self, level: float) -> tuple[Float[ndarray, "v t"], Float[ndarray, "v t"]] | None:
        """Return both ends of the central interval of the effect, for normal epistemic errors."""
        if self.epistemic_std is None:
            return None
        half = NormalDist().inv_cdf((1 + level) / 2) * self.epistemic_std
        return self.effect - half, self.effect + half


def effects_of(
    predictor: Predictor,
    ref: UInt8[ndarray, "v o l"],
    alt: UInt8[ndarray, "v o l"],
    *,
    both_strands: bool = False,
    device: str = "auto",
) -> Effects:
    """Return the effects of variants given as windows of both alleles; ``o`` windows are averaged.

    With ``both_strands`` the reverse complement of every window counts as another window.
    """
    n_windows = ref.shape[1] * (2 if both_strands else 1)
    step = max(1, _SEQUENCES // (2 * n_windows))
    pieces = [
        _block(predictor, ref[at : at + step], alt[at : at + step], both_strands, device)
        for at in range(0, len(ref), step)
    ]
    return Effects(
        ref=np.concatenate([piece.ref for piece in pieces]),
        alt=np.concatenate([piece.alt for piece in pieces]),
        epistemic_std=joined([piece.epistemic_std for piece in pieces]),
        ref_ood=joined([piece.ref_ood for piece in pieces]),
        alt_ood=joined([piece.alt_ood for piece in pieces]),
    )


def knows_std(predictor: Predictor, device: str = "auto") -> bool:
    """Return whether the model can tell how sure it is of a difference; one sequence is asked about."""
    one = np.zeros((1, 1, predictor.model.length), dtype=np.uint8)
    return effects_of(predictor, one, one, device=device).epistemic_std is not None


def level_of(level: float | None, knows: bool, name: str) -> float:
    """Return the level of the interval of an effect, 0.95 where none is given, of a model that ``knows_std`` or does not.

    Raises
    ------
    ConfigError
        For the level of an interval that there will not be; ``name`` is what the caller's users call it.
    """
    if level is not None and not knows:
        raise ConfigError(f"{name} {level:g}: {UNSURE}, so that there is no interval; leave it out")
    return _LEVEL if level is None else level


def _block(predictor: Predictor, ref: ndarray, alt: ndarray, both_strands: bool, device: str) -> Effects:
    windows = np.stack([ref, alt])
    if both_strands:
        windows = np.concatenate([windows, reverse_complement(windows)], axis=2)
    rows, learnt = windows.reshape(-1, windows.shape[3]), getattr(predictor, "factors", None)
    if learnt is None:
        prediction = predictor.predict(rows, device=device)
    else:  # the factors were learnt beside stds as the network says them
        prediction = predictor.predict_with_factors(rows, device=device, calibrated=False)  # type: ignore[attr-defined]
    return effects_said(prediction, windows.shape[:3], learnt)


def effects_said(prediction: Prediction, shape: tuple[int, ...], learnt: Factors | None = None) -> Effects:
    """Return the effects that a prediction of all windows says, whose rows go by allele (2), variant and window.

    ``learnt`` reads the factors of a student; those of an ensemble are its members' deviations, whose differences are the
    deviations of the difference.
    """

    def averaged(values: ndarray) -> ndarray:
        return values.astype(np.float64).reshape(*shape, *values.shape[1:]).mean(axis=2)

    activity = averaged(prediction.mean)
    std = None
    if prediction.epistemic_factors is not None and learnt is not None:
        assert prediction.epistemic_std is not None
        factors = averaged(prediction.epistemic_factors)
        std = learnt.std(factors, activity, averaged(prediction.epistemic_std))
    elif prediction.epistemic_factors is not None:
        std = np.sqrt(np.square(np.subtract(*averaged(prediction.epistemic_factors))).sum(axis=1))
    unusual = prediction.ood_score
    ood_ref, ood_alt = (None, None) if unusual is None else averaged(unusual)
    return Effects(ref=activity[0], alt=activity[1], epistemic_std=std, ref_ood=ood_ref, alt_ood=ood_alt)
