"""A simulated MPRA whose true activity and true noise are known, so that every uncertainty can be held against them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float32, Int, UInt8
from numpy import ndarray

from octodon.data.examples import Examples
from octodon.data.planting import MOTIFS, Layout, Motif, draw_layout, plant
from octodon.data.splits import split_examples
from octodon.errors import ConfigError
from octodon.seeds import derive_seed

# Rows drawn at a time: 20,000 x 249 float32 are 20 MB.
_CHUNK_ROWS = 20_000


@dataclass(frozen=True, kw_only=True)
class SimulationConfig:
    """What is planted, and what it does. Activities are log2; tuples hold one value a target.

    The true activity of a sequence for target t is

        baseline[t] + gc_strength[t] * (2 gc - 1)
        + sum over sites of strength[motif, t] * orientation * position
        + sum over pairs of one site of each of ``pair`` of pair_strength[t] * exp(-gap / spacing_decay_bp)

    where gc is the GC content of the finished sequence (0 to 1), orientation is 1 on "+" and the motif's
    ``reverse_factor`` on "-", position is 1 - position_drop * abs(2 centre / length - 1) (1 in the middle,
    1 - position_drop at the ends), and gap is the number of bases between the two sites. The noise std of ONE
    measurement is

        noise_std[t] * exp(noise_activity_slope * (activity - baseline[t]) + noise_gc_slope * (2 gc - 1)
                           + sum over sites of log_noise[motif])

    Attributes
    ----------
    motifs : tuple of Motif
    max_sites : int
        Sites a sequence; uniform from 0 to this.
    pair : (str, str)
        Motifs that help each other.
    pair_probability : float
        Share of the sequences of two sites or more whose first two sites are that pair, in either order.
    gc_low, gc_high : float
        The GC content of the background is uniform between them.
    baseline, gc_strength, pair_strength, noise_std : tuple of float
        Further targets take the last value.
    valid, test : float
        Fractions of the rows in these splits, related rows together.
    """

    motifs: tuple[Motif, ...] = MOTIFS
    max_sites: int = 4
    position_drop: float = 0.4
    pair: tuple[str, str] = ("gata", "ets")
    pair_probability: float = 0.3
    pair_strength: tuple[float, ...] = (1.5, 1.0)
    spacing_decay_bp: float = 20.0
    baseline: tuple[float, ...] = (0.0, -0.5)
    gc_low: float = 0.35
    gc_high: float = 0.65
    gc_strength: tuple[float, ...] = (-0.5, 1.0)
    noise_std: tuple[float, ...] = (0.8, 0.65)
    noise_activity_slope: float = -0.15
    noise_gc_slope: float = 0.5
    valid: float = 0.1
    test: float = 0.1

    def __post_init__(self) -> None:
        names = [motif.name for motif in self.motifs]
        if len(set(names)) != len(names):
            raise ConfigError(f"simulation: motif names {names} repeat; give each its own")
        unknown = [name for name in self.pair if name not in names]
        if unknown:
            raise ConfigError(f"simulation: pair names {unknown[0]!r}, known motifs: {', '.join(names)}")
        if not 0 < self.gc_low <= self.gc_high < 1:
            raise ConfigError(
                f"simulation: GC from {self.gc_low} to {self.gc_high}, expected 0 < low <= high < 1"
            )
        if self.spacing_decay_bp <= 0 or min(self.noise_std) < 0 or self.max_sites < 0:
            raise ConfigError(
                f"simulation: spacing_decay_bp {self.spacing_decay_bp} must be above 0; noise_std {self.noise_std} "
                f"and max_sites {self.max_sites} at least 0"
            )


@dataclass(frozen=True, kw_only=True, eq=False)
class Truth:
    """What only a simulation knows.

    Attributes
    ----------
    activity : (n, t) float32
        Without noise, log2.
    noise_std : (n, t) float32
        Standard deviation of ONE measurement; the mean of R replicates has this divided by sqrt(R).
    gc : (n,) float32
        GC content of the finished sequence, 0 to 1.
    site_row, site_start, site_stop, site_motif : (p,) int
        One entry a planted site, by row and position: row, 0-based half-open interval, index into ``motif_names``.
    site_strand : (p,) array of "+" or "-"
    motif_names : tuple of str
    strengths : (k, t) float64
        Effect of each motif on each target.
    """

    activity: Float32[ndarray, "n t"]
    noise_std: Float32[ndarray, "n t"]
    gc: Float32[ndarray, " n"]
    site_row: Int[ndarray, " p"]
    site_start: Int[ndarray, " p"]
    site_stop: Int[ndarray, " p"]
    site_motif: Int[ndarray, " p"]
    site_strand: ndarray
    motif_names: tuple[str, ...]
    strengths: Float[ndarray, "k t"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Simulation:
    """Examples as an experiment would give them, and the truth behind them."""

    examples: Examples
    truth: Truth


def simulate(
    n: int,
    length: int,
    *,
    targets: Sequence[str] = ("A", "B"),
    replicates: int = 3,
    seed: int = 0,
    config: SimulationConfig | None = None,
) -> Simulation:
    """Return a simulated MPRA; the same arguments give the same data.

    A planted site is what counts: a chance match elsewhere in the background does nothing.

    Parameters
    ----------
    n : int
        Sequences, at least 10.
    length : int
        Length of each, in bp.
    targets : sequence of str
        Names of the measured outputs.
    replicates : int
        Measurements of each sequence and target, drawn from a normal distribution around the true activity. Their
        mean is the target. With one, ``Examples.replicates`` is None.
    seed : int
    config : SimulationConfig, optional

    Raises
    ------
    ConfigError
        For a number out of range, or a length that the planted sites may not fit.
    """
    config = SimulationConfig() if config is None else config
    if n < 10 or replicates < 1 or not targets:
        raise ConfigError(
            f"simulation: {n} sequences, {replicates} replicates, {len(targets)} targets; expected at least 10, 1, 1"
        )
    streams = {
        name: np.random.default_rng(derive_seed(seed, "simulate", name))
        for name in ("background", "layout", "letters", "strengths", "noise")
    }
    codes = _background(n, length, config, streams["background"])
    layout = _layout(n, length, config, streams["layout"])
    plant(codes, layout, config.motifs, streams["letters"])
    strengths = _strengths(config, len(targets), streams["strengths"])
    truth = _truth(codes, layout, strengths, config)
    noise = streams["noise"].standard_normal((*truth.activity.shape, replicates), dtype=np.float32)
    measured = truth.activity[:, :, None] + truth.noise_std[:, :, None] * noise
    examples = Examples(
        codes=codes,
        ids=np.char.mod("sim%07d", np.arange(n)),
        targets=measured.mean(axis=2, dtype=np.float64).astype(np.float32),
        target_names=tuple(targets),
        units="log2(RNA/DNA)",
        replicates=measured if replicates > 1 else None,
    )
    examples = split_examples(
        examples,
        by="fraction",
        valid=config.valid,
        test=config.test,
        seed=derive_seed(seed, "simulate", "split"),
    )
    return Simulation(examples=examples, truth=truth)


def _background(
    n: int, length: int, config: SimulationConfig, rng: np.random.Generator
) -> UInt8[ndarray, "n l"]:
    gc = rng.uniform(config.gc_low, config.gc_high, size=(n, 1)).astype(np.float32)
    codes = np.empty((n, length), dtype=np.uint8)
    for first in range(0, n, _CHUNK_ROWS):
        rows = slice(first, first + _CHUNK_ROWS)
        draws = rng.random((len(gc[rows]), length), dtype=np.float32)
        # A below (1 - gc) / 2, C to 1/2, G to (1 + gc) / 2, T to 1.
        part = (draws >= (1 - gc[rows]) / 2).view(np.uint8)
        part += (draws >= 0.5).view(np.uint8)
        part += (draws >= (1 + gc[rows]) / 2).view(np.uint8)
        codes[rows] = part
    return codes


def _layout(n: int, length: int, config: SimulationConfig, rng: np.random.Generator) -> Layout:
    widths = np.array([len(motif.consensus) for motif in config.motifs])
    longest = config.max_sites * int(widths.max())
    if longest > length:
        raise ConfigError(
            f"simulation: {config.max_sites} sites of up to {widths.max()} bp may need {longest} bp, the sequence has "
            f"{length}; choose a longer sequence or a smaller max_sites"
        )
    motif = rng.integers(0, len(widths), size=(n, config.max_sites))
    count = rng.integers(0, config.max_sites + 1, size=n)
    if config.max_sites > 1:
        names = [motif.name for motif in config.motifs]
        pair = np.array([names.index(name) for name in config.pair])
        paired = rng.random(n) < config.pair_probability
        motif[paired, :2] = np.where(rng.random((int(paired.sum()), 1)) < 0.5, pair, pair[::-1])
    motif[np.arange(config.max_sites) >= count[:, None]] = -1
    return draw_layout(motif, widths, length, rng)


def _strengths(config: SimulationConfig, n_targets: int, rng: np.random.Generator) -> Float[ndarray, "k t"]:
    drawn = rng.normal(
        0.3, 0.8, size=(n_targets, len(config.motifs))
    ).T  # by target: more targets change none
    for index, motif in enumerate(config.motifs):
        given = motif.strengths[:n_targets]
        drawn[index, : len(given)] = given
    return drawn


def _truth(
    codes: UInt8[ndarray, "n l"], layout: Layout, strengths: Float[ndarray, "k t"], config: SimulationConfig
) -> Truth:
    n_targets = strengths.shape[1]
    gc = (((codes == 1) | (codes == 2)).sum(axis=1) / codes.shape[1])[:, None]
    baseline = _per_target(config.baseline, n_targets)
    activity = baseline + _per_target(config.gc_strength, n_targets) * (2 * gc - 1)
    activity = activity + _site_effects(layout, strengths, codes.shape[1], config)
    activity += _synergy(layout, config)[:, None] * _per_target(config.pair_strength, n_targets)

    log_noise_of = np.array([motif.log_noise for motif in config.motifs])
    log_noise = np.where(layout.motif >= 0, log_noise_of[layout.motif], 0.0).sum(axis=1, keepdims=True)
    log_noise = log_noise + config.noise_gc_slope * (2 * gc - 1)
    log_noise = log_noise + config.noise_activity_slope * (activity - baseline)
    row, slot = np.nonzero(layout.motif >= 0)
    return Truth(
        activity=activity.astype(np.float32),
        noise_std=(_per_target(config.noise_std, n_targets) * np.exp(log_noise)).astype(np.float32),
        gc=gc[:, 0].astype(np.float32),
        site_row=row,
        site_start=layout.start[row, slot],
        site_stop=layout.stop[row, slot],
        site_motif=layout.motif[row, slot],
        site_strand=np.where(layout.forward[row, slot], "+", "-"),
        motif_names=tuple(motif.name for motif in config.motifs),
        strengths=strengths,
    )


def _site_effects(
    layout: Layout, strengths: Float[ndarray, "k t"], length: int, config: SimulationConfig
) -> Float[ndarray, "n t"]:
    reverse = np.array([motif.reverse_factor for motif in config.motifs])[layout.motif]
    centre = (layout.start + layout.stop) / 2
    weight = np.where(layout.forward, 1.0, reverse)
    weight *= 1 - config.position_drop * np.abs(2 * centre / length - 1)
    weight *= layout.motif >= 0
    return np.einsum("ns,nst->nt", weight, strengths[layout.motif])


def _synergy(layout: Layout, config: SimulationConfig) -> Float[ndarray, " n"]:
    """Sum of exp(-gap / decay) over pairs of one site of each partner."""
    names = [motif.name for motif in config.motifs]
    first, second = (layout.motif == names.index(name) for name in config.pair)
    total = np.zeros(len(layout.motif))
    for left in range(layout.motif.shape[1]):
        for right in range(left + 1, layout.motif.shape[1]):
            both = (first[:, left] & second[:, right]) | (second[:, left] & first[:, right])
            gap = layout.start[both, right] - layout.stop[both, left]
            total[both] += np.exp(-gap / config.spacing_decay_bp)
    return total


def _per_target(values: tuple[float, ...], n_targets: int) -> Float[ndarray, " t"]:
    return np.array([values[min(index, len(values) - 1)] for index in range(n_targets)], dtype=np.float64)
