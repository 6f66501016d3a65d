"""What every out-of-distribution score promises. A new file in the registry's folder is tested here without an edit."""

import numpy as np
import pytest

from octodon.errors import ConfigError, DataError
from octodon.ood import Observed, scores
from octodon.ood.detector import fit_detector
from octodon.seq.codes import random_codes

every_score = pytest.mark.parametrize("name", list(scores))


def _observed(n: int, seed: int, shift: float = 0.0) -> Observed:
    """Return sequences around one centre; ``shift`` moves composition, features and std away from it."""
    rng = np.random.default_rng(seed)
    return Observed(
        codes=random_codes((n, 60), rng, gc=0.5 + shift / 10),
        features=(rng.normal(size=(n, 8)) + shift * np.eye(8)[0] * 3 + np.arange(8)).astype(np.float32),
        epistemic_std=np.exp(0.3 * rng.normal(size=(n, 2)) + shift / 2).astype(np.float32),
    )


@every_score
def test_the_training_set_has_even_percentiles_and_the_unusual_lies_high(name: str) -> None:
    reference = _observed(600, 0)
    detector = fit_detector(reference, name, threshold=95.0)
    # fresh draws of the same kind: half of them below the median, one in twenty flagged
    same = detector.percentile(_observed(2000, 1))
    assert 30 < np.median(same) < 60  # 256 counts from 480 sequences: cautious
    assert 0.02 < detector.flag(same).mean() < 0.1
    far = detector.percentile(_observed(200, 2, shift=4.0))
    assert np.median(far) > 99
    assert np.logical_and(far >= 0, far <= 100).all()


@every_score
def test_rows_are_independent(name: str) -> None:
    detector = fit_detector(_observed(100, 0), name)
    observed, order = _observed(30, 1, shift=0.5), np.random.default_rng(3).permutation(30)
    whole = detector.percentile(observed)
    np.testing.assert_allclose(detector.percentile(observed.take(order)), whole[order], atol=1e-3)
    np.testing.assert_allclose(detector.percentile(observed.take(order[:1])), whole[order[:1]], atol=1e-3)


@every_score
def test_what_is_learnt_is_plain_arrays_and_a_function_of_the_seed(name: str) -> None:
    first, again = (fit_detector(_observed(60, 0), name, seed=5) for _ in range(2))
    assert all(
        isinstance(values, np.ndarray) and values.dtype == np.float32 for values in first.arrays.values()
    )
    assert all(np.array_equal(first.arrays[key], again.arrays[key]) for key in first.arrays)
    assert np.array_equal(first.quantiles, again.quantiles)
    assert (np.diff(first.quantiles) >= 0).all()


@every_score
def test_constant_inputs_stay_finite(name: str) -> None:
    one = _observed(1, 0)
    detector = fit_detector(one.take(np.zeros(50, dtype=int)), name)
    assert np.isfinite(detector.percentile(_observed(10, 1))).all()


@every_score
def test_what_the_model_does_not_give_is_named(name: str) -> None:
    bare = Observed(codes=random_codes((30, 20), np.random.default_rng(0)))
    if scores[name].needs == "codes":
        fit_detector(bare, name)
        return
    with pytest.raises(DataError, match=f"the model gives no {scores[name].needs}"):
        fit_detector(bare, name)


def test_few_sequences_and_wrong_thresholds_are_refused() -> None:
    with pytest.raises(DataError, match="19 training sequences"):
        fit_detector(_observed(19, 0))
    with pytest.raises(ConfigError, match="threshold 0"):
        fit_detector(_observed(30, 0), threshold=0.0)
    with pytest.raises(ConfigError, match=r"ood score: no 'kmers'; did you mean 'kmer'"):
        fit_detector(_observed(30, 0), "kmers")
