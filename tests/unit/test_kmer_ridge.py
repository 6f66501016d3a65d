"""Ridge regression on k-mers: counts against a loop over the text, weights against scikit-learn."""

import numpy as np
import pytest
from sklearn.linear_model import Ridge

from octodon.baselines import kmer_ridge
from octodon.baselines.kmer_ridge import LONGEST, PENALTIES, fit_kmer_ridge, n_words, word_counts
from octodon.data.examples import Examples
from octodon.errors import DataError
from octodon.seq.codes import decode, random_codes, reverse_complement


def examples(codes, targets, names=("A",)):
    return Examples(
        codes=codes,
        ids=np.array([f"s{i}" for i in range(len(codes))]),
        targets=targets.astype(np.float32),
        target_names=names,
    )


def counted_by_hand(sequence: str) -> list[int]:
    """Words of 1 to 6 letters, the smaller of a word and its reverse complement, in alphabetical order."""
    found = []
    for k in range(1, LONGEST + 1):
        words = {}
        for number in range(4**k):
            word = "".join("ACGT"[number // 4**place % 4] for place in range(k - 1, -1, -1))
            words.setdefault(min(word, other_strand(word)), 0)
        for start in range(len(sequence) - k + 1):
            word = sequence[start : start + k]
            if "N" not in word:
                words[min(word, other_strand(word))] += 1
        found += [words[word] for word in sorted(words)]
    return found


def other_strand(word: str) -> str:
    return word[::-1].translate(str.maketrans("ACGT", "TGCA"))


def test_counts_are_those_of_a_loop_over_the_text():
    codes = random_codes((3, 40), np.random.default_rng(0))
    codes[1, 7] = 4
    expected = [counted_by_hand(sequence) for sequence in decode(codes)]
    np.testing.assert_array_equal(word_counts(codes), expected)


def test_both_strands_have_the_same_counts():
    codes = random_codes((20, 33), np.random.default_rng(1))
    np.testing.assert_array_equal(word_counts(codes), word_counts(reverse_complement(codes)))


def test_a_sequence_shorter_than_the_words_has_none_of_them():
    counts = word_counts(np.array([[0, 1]], dtype=np.uint8))
    assert counts.shape == (1, n_words())
    assert counts.sum() == 3  # A, C (as one with G) and AC


@pytest.mark.parametrize("few_words", [False, True], ids=["more words than rows", "more rows than words"])
def test_weights_are_those_of_scikit_learn(few_words, monkeypatch):
    if few_words:  # the path of long tables, in several blocks of unequal size
        monkeypatch.setattr(kmer_ridge, "LONGEST", 3)
        monkeypatch.setattr(kmer_ridge, "_BLOCK_ROWS", 70)
    rng = np.random.default_rng(2)
    codes = random_codes((260, 60), rng)
    activity = np.isin(codes, (1, 2)).mean(axis=1) * 5 + rng.normal(0, 0.1, 260) + 7
    train, valid = examples(codes[:200], activity[:200, None]), examples(codes[200:], activity[200:, None])
    fitted = fit_kmer_ridge(train, valid)
    counts = word_counts(codes).astype(np.float64)
    y = np.asarray(train.targets[:, 0], dtype=np.float64)
    oracles = [Ridge(alpha=alpha).fit(counts[:200], y) for alpha in PENALTIES]
    errors = [np.mean((oracle.predict(counts[200:]) - activity[200:]) ** 2) for oracle in oracles]
    best = oracles[int(np.argmin(errors))]
    assert fitted.penalty[0] == best.alpha
    np.testing.assert_allclose(fitted.weights[:, 0], best.coef_, rtol=1e-4, atol=1e-6)
    said = fitted.predict(codes[200:], list(valid.ids)).mean[:, 0]
    np.testing.assert_allclose(said, best.predict(counts[200:]), rtol=1e-5)


def test_a_missing_value_leaves_its_row_out_of_its_target_alone():
    rng = np.random.default_rng(3)
    codes = random_codes((150, 50), rng)
    activity = rng.normal(size=(150, 2))
    holes = activity.copy()
    holes[:30, 1] = np.nan
    both = fit_kmer_ridge(
        examples(codes[:100], holes[:100], ("A", "B")), examples(codes[100:], activity[100:], ("A", "B"))
    )
    alone = fit_kmer_ridge(
        examples(codes[30:100], activity[30:100, 1:]), examples(codes[100:], activity[100:, 1:])
    )
    whole = fit_kmer_ridge(
        examples(codes[:100], activity[:100, :1]), examples(codes[100:], activity[100:, :1])
    )
    np.testing.assert_allclose(both.weights[:, 1], alone.weights[:, 0], rtol=1e-9)
    np.testing.assert_allclose(both.weights[:, 0], whole.weights[:, 0], rtol=1e-9)


def test_a_target_without_a_training_value_is_refused_and_not_predicted_as_nan():
    codes, values = random_codes((40, 30), np.random.default_rng(4)), np.ones((40, 2))
    values[:, 1] = np.nan
    with pytest.raises(DataError, match="train: target 'B' has no value in any of 40 training rows"):
        fit_kmer_ridge(examples(codes, values, ("A", "B")), examples(codes[:5], np.ones((5, 2)), ("A", "B")))


def test_without_a_value_to_choose_by_the_strongest_penalty_is_taken():
    codes = random_codes((40, 30), np.random.default_rng(4))
    values = np.random.default_rng(4).normal(size=(40, 1))
    fitted = fit_kmer_ridge(examples(codes, values), examples(codes[:5], np.full((5, 1), np.nan)))
    assert fitted.penalty[0] == max(PENALTIES)
