"""The truth of a simulation, recomputed site by site with plain Python, and what repeated measurements converge to."""

import math

import numpy as np
import pytest

from octodon.data.simulate import SimulationConfig, simulate
from octodon.errors import ConfigError
from octodon.seq.codes import decode

OTHER = str.maketrans("ACGT", "TGCA")
IUPAC = {"R": "AG", "Y": "CT", "W": "AT", "M": "AC", "V": "ACG"}


@pytest.fixture(scope="module")
def simulation():
    return simulate(400, 90, targets=("A", "B", "C"), replicates=3, seed=7)


def sites_of(truth, row):
    return [
        (
            truth.motif_names[truth.site_motif[i]],
            int(truth.site_start[i]),
            int(truth.site_stop[i]),
            str(truth.site_strand[i]),
        )
        for i in np.flatnonzero(truth.site_row == row)
    ]


def slow_truth(sequence, sites, strengths, target):
    """The formula of ``SimulationConfig``, read from its docstring, one site at a time."""
    config = SimulationConfig()
    motifs = {motif.name: motif for motif in config.motifs}
    take = min(target, 1)  # further targets take the last of two values
    gc = sum(base in "GC" for base in sequence) / len(sequence)
    activity = config.baseline[take] + config.gc_strength[take] * (2 * gc - 1)
    log_noise = config.noise_gc_slope * (2 * gc - 1)
    for name, start, stop, strand in sites:
        effect = strengths[name][target]
        if strand == "-":
            effect *= motifs[name].reverse_factor
        centre = (start + stop) / 2
        effect *= 1 - config.position_drop * abs(2 * centre / len(sequence) - 1)
        activity += effect
        log_noise += motifs[name].log_noise
    for name, start, stop, _ in sites:
        for other, other_start, other_stop, _ in sites:
            if name == "gata" and other == "ets":
                gap = other_start - stop if other_start >= stop else start - other_stop
                activity += config.pair_strength[take] * math.exp(-gap / config.spacing_decay_bp)
    log_noise += config.noise_activity_slope * (activity - config.baseline[take])
    return activity, config.noise_std[take] * math.exp(log_noise)


def test_activity_and_noise_follow_from_the_listed_sites(simulation):
    truth = simulation.truth
    strengths = {name: truth.strengths[index] for index, name in enumerate(truth.motif_names)}
    pairs = 0
    for row, sequence in enumerate(decode(simulation.examples.codes)):
        sites = sites_of(truth, row)
        pairs += {"gata", "ets"} <= {site[0] for site in sites}
        for target in range(3):
            activity, noise_std = slow_truth(sequence, sites, strengths, target)
            assert truth.activity[row, target] == pytest.approx(activity, abs=1e-5)
            assert truth.noise_std[row, target] == pytest.approx(noise_std, rel=1e-5)
    assert pairs > 40, "the interaction must be seen"


def test_strengths_are_those_stated_and_more_targets_change_none():
    config = SimulationConfig()
    two, five = (simulate(20, 60, targets=names).truth.strengths for names in (("A", "B"), tuple("ABCDE")))
    assert two.tolist() == [list(motif.strengths) for motif in config.motifs]
    np.testing.assert_array_equal(five[:, :2], two)
    assert len(np.unique(five[:, 2:])) == 18, "strengths that are not stated are drawn"


def test_motifs_stand_where_the_truth_says(simulation):
    truth, sequences = simulation.truth, decode(simulation.examples.codes)
    consensus = {motif.name: motif.consensus for motif in SimulationConfig().motifs}
    seen = {name: [] for name in consensus}
    strands = []
    for row, sequence in enumerate(sequences):
        last_stop = 0
        for name, start, stop, strand in sites_of(truth, row):
            assert last_stop <= start < stop <= len(sequence), "sites are sorted and do not overlap"
            last_stop = stop
            site = sequence[start:stop]
            site = site.translate(OTHER)[::-1] if strand == "-" else site
            assert len(site) == len(consensus[name])
            assert all(
                base in IUPAC.get(letter, letter) for base, letter in zip(site, consensus[name], strict=True)
            )
            seen[name].append(site)
            strands.append(strand)
    assert min(map(len, seen.values())) > 50
    assert 0.4 < strands.count("+") / len(strands) < 0.6
    # The last letter of gata is V: A, C, G equally often.
    counts = [[site[-1] for site in seen["gata"]].count(base) for base in "ACGT"]
    assert counts[3] == 0
    assert min(counts[:3]) > sum(counts) / 3 - 4 * math.sqrt(sum(counts) * 2 / 9)


def test_letters_follow_the_matrix_and_the_background_its_gc():
    config = SimulationConfig(gc_low=0.3, gc_high=0.3, max_sites=0)
    background = simulate(2000, 100, config=config)
    counts = np.bincount(background.examples.codes.ravel(), minlength=5) / 200_000
    np.testing.assert_allclose(counts, [0.35, 0.15, 0.15, 0.35, 0], atol=0.005)
    assert len(background.truth.site_row) == 0
    truth = background.truth
    np.testing.assert_allclose(truth.activity[:, 0], -0.5 * (2 * truth.gc - 1), atol=1e-6)
    for motif in SimulationConfig().motifs:
        np.testing.assert_allclose(motif.pwm.sum(axis=1), 1)
        bits = 2 + np.sum(motif.pwm * np.log2(np.where(motif.pwm > 0, motif.pwm, 1)), axis=1)
        assert bits.sum() >= 16, f"{motif.name} would turn up by chance"


def test_positions_are_uniform_over_the_sequence():
    one = simulate(100_000, 50, config=SimulationConfig(max_sites=1)).truth
    start = one.site_start[one.site_motif == 0]  # width 9: 42 places
    counts = np.bincount(start, minlength=42)
    assert len(counts) == 42
    expected = len(start) / 42
    chi_square = ((counts - expected) ** 2 / expected).sum()
    assert chi_square < 41 + 5 * math.sqrt(2 * 41)


def test_repeated_measurements_converge_to_the_truth():
    simulation = simulate(40, 60, replicates=4000, seed=3)
    truth, measured = simulation.truth, simulation.examples.replicates.astype(np.float64)
    z = (measured.mean(axis=2) - truth.activity) / (truth.noise_std / math.sqrt(4000))
    assert abs(z.mean()) < 5 / math.sqrt(z.size)
    assert 0.7 < np.std(z, correction=0) < 1.3
    assert np.abs(z).max() < 5
    # The std of a normal sample of R has the relative error 1 / sqrt(2 R) = 1.1 %.
    np.testing.assert_allclose(np.std(measured, axis=2, correction=1), truth.noise_std, rtol=0.06)
    np.testing.assert_allclose(simulation.examples.targets, measured.mean(axis=2), atol=1e-6)
    np.testing.assert_allclose(
        simulation.examples.replicate_std, np.std(measured, axis=2, correction=1), rtol=1e-4
    )
    # Noise of different replicates, targets and rows is unrelated.
    noise = (measured - truth.activity[:, :, None]) / truth.noise_std[:, :, None]
    correlations = np.corrcoef(noise.reshape(80, 4000))
    assert np.abs(correlations[~np.eye(80, dtype=bool)]).max() < 6 / math.sqrt(4000)


def test_same_seed_same_data_and_another_differs():
    first, again, other = (simulate(50, 60, seed=seed) for seed in (5, 5, 6))
    for name in ("codes", "targets", "replicates", "splits", "ids"):
        assert (getattr(first.examples, name) == getattr(again.examples, name)).all()
    for name in ("activity", "noise_std", "site_start", "site_strand"):
        assert (getattr(first.truth, name) == getattr(again.truth, name)).all()
    assert (first.examples.codes != other.examples.codes).any()


def test_noise_and_number_of_replicates_leave_the_sequences_alone():
    two, one = simulate(30, 60, replicates=2, seed=1), simulate(30, 60, replicates=1, seed=1)
    assert (two.examples.codes == one.examples.codes).all()
    assert (two.truth.activity == one.truth.activity).all()
    assert one.examples.replicates is None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((5, 60), "5 sequences"),
        ((50, 30), "may need 40 bp, the sequence has 30"),
    ],
)
def test_out_of_range(arguments, message):
    with pytest.raises(ConfigError, match=message):
        simulate(*arguments)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"pair": ("gata", "etz")}, "pair names 'etz'"),
        ({"gc_low": 0.7}, "GC from 0.7 to 0.65"),
        ({"spacing_decay_bp": 0.0}, "spacing_decay_bp"),
    ],
)
def test_config_out_of_range(options, message):
    with pytest.raises(ConfigError, match=message):
        SimulationConfig(**options)
