"""Out-of-distribution scores against scikit-learn, scipy and plain counting."""

import numpy as np
from scipy.spatial.distance import mahalanobis
from sklearn.covariance import LedoitWolf
from sklearn.metrics import roc_auc_score
from sklearn.neighbors import NearestNeighbors

from octodon.ood import Observed
from octodon.ood._base import fit_gaussian, gaussian_distance
from octodon.ood.auroc import auroc
from octodon.ood.kmer import K, kmer_counts
from octodon.ood.knn import NEIGHBOUR, KnnScore
from octodon.ood.markov import COMPOSITION, MarkovScore
from octodon.seq.codes import decode, random_codes

RNG = np.random.default_rng(0)
POINTS = (RNG.normal(size=(80, 12)) @ RNG.normal(size=(12, 12)) + 5).astype(np.float32)
CODES = random_codes((80, 40), np.random.default_rng(1))


def test_mahalanobis_is_that_of_the_ledoit_wolf_covariance() -> None:
    fitted = LedoitWolf().fit(POINTS.astype(np.float64))
    assert 0.01 < fitted.shrinkage_ < 0.9  # both parts matter
    inverse = np.linalg.inv(fitted.covariance_)
    expected = [mahalanobis(point, fitted.location_, inverse) for point in POINTS + 1]
    np.testing.assert_allclose(gaussian_distance(fit_gaussian(POINTS), POINTS + 1), expected, rtol=1e-3)


def test_nearest_neighbours_are_those_of_scikit_learn() -> None:
    reference = Observed(codes=CODES, features=POINTS)
    unit = POINTS / np.linalg.norm(POINTS, axis=1, keepdims=True)
    neighbours = NearestNeighbors(n_neighbors=NEIGHBOUR + 1).fit(unit)
    other = POINTS[:20] + RNG.normal(size=(20, 12)).astype(np.float32)
    scaled = other / np.linalg.norm(other, axis=1, keepdims=True)
    arrays = KnnScore.fit(reference, seed=0)
    got = KnnScore.score(arrays, Observed(codes=CODES[:20], features=other))
    np.testing.assert_allclose(got, neighbours.kneighbors(scaled)[0][:, NEIGHBOUR - 1], atol=1e-3)
    # a training sequence is not its own neighbour
    own = KnnScore.score_reference(arrays, reference, seed=0)
    np.testing.assert_allclose(own, neighbours.kneighbors(unit)[0][:, NEIGHBOUR], atol=1e-3)


def test_kmers_are_counted_on_both_strands_and_not_across_n() -> None:
    codes = CODES[:5].copy()
    codes[2, 7] = 4
    counts = kmer_counts(codes)
    for row, text in enumerate(decode(codes)):
        other = _other_strand(text)
        for number in RNG.choice(4**K, 40):
            word = "".join("ACGT"[number // 4**i % 4] for i in range(K))
            expected = sum(s[i : i + K] == word for s in (text, other) for i in range(len(s) - K + 1))
            assert counts[row, number] == expected
    assert counts.sum(axis=1).tolist() == [74, 74, 2 * (40 - K + 1 - K), 74, 74]


def test_markov_score_is_that_of_plain_counting() -> None:
    train, new = decode(CODES[:30]), decode(CODES[30:33])
    both = [*train, *(_other_strand(text) for text in train)]

    def probability(context: str, base: str) -> float:
        """Of a base after a context: counted, leaning on the shorter context with the weight of four occurrences."""
        # a shorter context counts where its 7-mer ends, as the longest does
        words = [text[i - 6 : i + 1] for text in both for i in range(6, len(text))]
        seen = [word[-1] for word in words if word[:-1].endswith(context)]
        shorter = probability(context[1:], base) if context else 0.25
        return (seen.count(base) + 4 * shorter) / (len(seen) + 4)

    got = MarkovScore.score(MarkovScore.fit(Observed(codes=CODES[:30]), 0), Observed(codes=CODES[30:33]))
    for text, score in zip(new, got, strict=True):
        logs = [
            np.log(probability(strand[i - 6 : i], strand[i]))
            for strand in (text, _other_strand(text))
            for i in range(6, len(text))
        ]
        shares = np.array([text.count(base) for base in "ACGT"]) / len(text)
        own = (shares * np.log(shares)).sum()
        np.testing.assert_allclose(score, COMPOSITION * own - np.mean(logs), rtol=1e-5)


def test_markov_score_of_a_training_sequence_is_that_under_a_chain_without_it() -> None:
    codes = CODES[:40]  # fewer than fifty: each is a fold of its own
    reference = Observed(codes=codes)
    got = MarkovScore.score_reference(MarkovScore.fit(reference, 0), reference, 0)
    for row in (0, 17):
        others = MarkovScore.fit(Observed(codes=np.delete(codes, row, axis=0)), 0)
        expected = MarkovScore.score(others, Observed(codes=codes[row : row + 1]))[0]
        np.testing.assert_allclose(got[row], expected, rtol=1e-5)


def test_markov_score_leaves_out_words_with_n() -> None:
    arrays = MarkovScore.fit(Observed(codes=CODES), 0)
    alone, with_n = CODES[:1, :20], np.full((1, 27), 4, dtype=np.uint8)
    with_n[:, 7:] = alone
    score = MarkovScore.score(arrays, Observed(codes=alone))
    np.testing.assert_allclose(MarkovScore.score(arrays, Observed(codes=with_n)), score)
    nothing = np.full((2, 27), 4, dtype=np.uint8)
    assert np.isfinite(MarkovScore.score(arrays, Observed(codes=nothing))).all()
    assert np.isfinite(MarkovScore.score(arrays, Observed(codes=nothing[:, :3]))).all()


def _other_strand(text: str) -> str:
    return text[::-1].translate(str.maketrans("ACGT", "TGCA"))


def test_auroc_is_that_of_scikit_learn() -> None:
    inside, outside = RNG.integers(0, 10, 50).astype(float), RNG.integers(3, 14, 70).astype(float)
    truth = np.repeat([0, 1], [50, 70])
    assert np.isclose(auroc(inside, outside), roc_auc_score(truth, np.concatenate([inside, outside])))
    assert auroc(np.zeros(3), np.ones(2)) == 1
    assert auroc(np.zeros(3), np.zeros(2)) == 0.5
