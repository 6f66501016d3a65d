"""Over 200 draws, conformal coverage lies in its exact beta-binomial band, at several levels and in every cell.

With n calibration rows and rank k = ceil((n + 1) level), the coverage of one calibration is Beta(k, n + 1 - k) whatever
the distribution (Vovk 2012, proposition 2a), so the number of m new rows inside is beta-binomial(m, k, n + 1 - k).
"""

import numpy as np
import pytest
from scipy import stats

from octodon.calibration._rows import Rows, score_at
from octodon.calibration.fit import fit_calibration
from octodon.calibration.methods import methods
from octodon.calibration.methods.mondrian_activity import MondrianActivity
from octodon.calibration.methods.normalised import Normalised
from octodon.calibration.methods.split import Split
from octodon.data.calibration_rows import set_aside_calibration
from octodon.data.simulate import SimulationConfig, simulate
from octodon.records import Prediction

DRAWS, N, M = 200, 79, 200
LEVELS = ((0.5, 40), (0.8, 64), (0.9, 72), (0.95, 76))  # ceil(80 level)


def sample(rng: np.random.Generator, n: int) -> tuple[Rows, np.ndarray]:
    """Skewed, heavy-tailed errors whose size the std tells only in part."""
    mean, std = rng.normal(size=n), np.exp(rng.normal(size=n))
    residual = std**0.5 * (rng.standard_t(3, size=n) + rng.exponential(size=n))
    return Rows(mean=mean, epistemic_std=std, total_std=std), residual


def inside(fitted, rows: Rows, residual: np.ndarray, level: float) -> np.ndarray:
    below, above = fitted.offsets(rows, level)
    return (below <= residual) & (residual <= above)


def assert_in_band(counts: list[int], m: int, n: int, k: int) -> None:
    """Of 200 counts, about 95 % lie in the central 95 % band, and their mean is that of the distribution."""
    law = stats.betabinom(m, k, n + 1 - k)
    low, high = law.interval(0.95)
    covered = law.cdf(high) - law.cdf(low - 1)
    hits = sum(low <= count <= high for count in counts)
    assert stats.binomtest(hits, len(counts), covered).pvalue > 1e-3
    assert abs(np.mean(counts) - law.mean()) < 4 * law.std() / np.sqrt(len(counts))
    assert min(counts) >= law.ppf(1e-6)
    assert max(counts) <= law.ppf(1 - 1e-6)


@pytest.mark.parametrize("method", ["split", "normalised"])
def test_coverage_over_draws(method):
    rng = np.random.default_rng(4)
    counts = {level: [] for level, _ in LEVELS}
    for _ in range(DRAWS):
        rows, residual = sample(rng, N)
        fitted = Split.fit(rows, residual) if method == "split" else Normalised.fit(rows, residual, "total")
        rows, residual = sample(rng, M)
        if method == "normalised":
            # the floor under tiny stds only widens intervals; the law is that of rows above it
            assert fitted.scale["floor_std"] > 0
            rows = Rows(mean=rows.mean, total_std=np.maximum(rows.total_std, fitted.scale["floor_std"]))
        for level, _ in LEVELS:
            counts[level].append(int(inside(fitted, rows, residual, level).sum()))
    for level, rank in LEVELS:
        if method == "split":
            assert_in_band(counts[level], M, N, rank)
        else:
            law = stats.betabinom(M, rank, N + 1 - rank)
            # at least as much as promised, and no more than the floor can add: a few rows in 200
            assert law.mean() - 4 * law.std() / DRAWS**0.5 < np.mean(counts[level]) < law.mean() + 4


def test_normalised_coverage_over_draws_is_exact_above_the_floor():
    rng = np.random.default_rng(5)
    counts = {level: [] for level, _ in LEVELS}
    for _ in range(DRAWS):
        rows, residual = sample(rng, N)
        fitted = Normalised(scale={"floor_std": 0.0}, scores=Normalised.fit(rows, residual, "total").scores)
        rows, residual = sample(rng, M)
        for level, _ in LEVELS:
            counts[level].append(int(inside(fitted, rows, residual, level).sum()))
    for level, rank in LEVELS:
        assert_in_band(counts[level], M, N, rank)


def test_scores_outside_the_fit_keep_the_level():
    """The default: its std is fitted to the calibration rows, too, so the law is not exact; 319 rows are inside its band."""
    rng = np.random.default_rng(6)
    n = 4 * (N + 1) - 1
    counts = {level: [] for level, _ in LEVELS}
    for _ in range(DRAWS):
        rows, residual = sample(rng, n)
        fitted = Normalised.fit(rows, residual, "components", seed=0)
        rows, residual = sample(rng, M)
        for level, _ in LEVELS:
            counts[level].append(int(inside(fitted, rows, residual, level).sum()))
    for level, rank in LEVELS:
        assert_in_band(counts[level], M, n, 4 * rank)


def measured_in_part(rng: np.random.Generator, n: int) -> tuple[Prediction, np.ndarray, np.ndarray]:
    """A model that is right in everything; four values in ten are one measurement, the others means of three."""
    epistemic, noise = rng.uniform(0.1, 0.3, (n, 1)), rng.uniform(0.5, 1.5, (n, 1))
    counts = np.where(rng.random((n, 1)) < 0.4, 1, 3)
    mean = rng.normal(size=(n, 1))
    measured = mean + rng.normal(size=(n, 1)) * np.sqrt(epistemic**2 + noise**2 / counts)
    ids = np.arange(n).astype(str)
    said = Prediction(ids=ids, target_names=("A",), mean=mean, epistemic_std=epistemic, aleatoric_std=noise)
    return said, measured, counts


@pytest.mark.parametrize("method", methods.names())
def test_unequal_replicate_numbers_keep_the_level(method):
    """Counted per row by methods that scale the noise, and taken as they come by those that rank errors."""
    rng = np.random.default_rng(8)
    options = {"ood_score": rng.uniform(size=600)} if method == "mondrian_ood" else {}
    covered = []
    for _ in range(20):
        said, measured, counts = measured_in_part(rng, 600)
        made = fit_calibration(said, measured, method=method, replicates=counts, **options)
        said, measured, counts = measured_in_part(rng, 600)
        asked = counts if made.answers_any_replicates else None
        done = made.apply(said, 0.9, replicates=asked, **options)
        covered.append(np.mean((done.lower <= measured) & (measured <= done.upper)))
    # the mean of 20 x 600 rows scatters by 0.4 points, the calibrations by as much
    assert np.mean(covered) == pytest.approx(0.9, abs=0.015)


def test_mondrian_coverage_over_draws_in_every_cell():
    rng = np.random.default_rng(7)
    bins = 3
    counts = {(cell, level): [] for cell in range(bins) for level, _ in LEVELS}
    for _ in range(DRAWS):
        rows, residual = sample(rng, bins * N)
        # errors grow with the prediction: one quantile for all would fail in each cell
        fitted = MondrianActivity.fit(rows, residual * np.exp(rows.mean), bins, "total")
        assert [len(scores) for scores in fitted.scores] == [N] * bins
        fitted = MondrianActivity(edges=fitted.edges, scale={"floor_std": 0.0}, scores=fitted.scores)
        rows, residual = sample(rng, 4 * bins * M)
        cells = np.searchsorted(fitted.edges, rows.mean, side="right")
        kept = np.concatenate([np.flatnonzero(cells == cell)[:M] for cell in range(bins)])
        rows, residual = rows.take(kept), (residual * np.exp(rows.mean))[kept]
        for level, _ in LEVELS:
            hit = inside(fitted, rows, residual, level).reshape(bins, M)
            for cell in range(bins):
                counts[cell, level].append(int(hit[cell].sum()))
    for (_, level), found in counts.items():
        assert_in_band(found, M, N, dict(LEVELS)[level])


def test_rows_set_aside_are_exchangeable_with_test_rows():
    """From the simulator through split and set-aside, for a score that no fit has touched."""
    counts = []
    config = SimulationConfig(valid=0.3, test=0.3)
    for seed in range(60):
        drawn = simulate(1000, 40, targets=("A",), seed=seed, config=config).examples
        done = set_aside_calibration(drawn, 0.5, seed=seed).examples
        score = np.abs(done.targets[:, 0] - 0.3)
        calibration, test = (score[done.splits == name] for name in ("calibration", "test"))
        assert (len(calibration), len(test)) == (150, 300)
        counts.append(int((test <= score_at(np.sort(calibration), 0.8)).sum()))
    assert_in_band(counts, 300, 150, 121)  # ceil(151 * 0.8)
