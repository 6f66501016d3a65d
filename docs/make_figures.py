"""Draw the pictures of docs/concepts.md from the simulator, where the true activity and the true noise are known.

    PYTHONPATH=src python docs/make_figures.py                 # some minutes on two cores
    PYTHONPATH=src python docs/make_figures.py --small --out figures   # the same steps in seconds, to try a change

The same call draws the same files. Okabe and Ito's colours, told apart in all common forms of colour blindness; every
series also has a marker or a line of its own.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from numpy import ndarray

import octodon
from octodon.data.calibration_rows import set_aside_calibration
from octodon.data.examples import Examples
from octodon.data.simulate import Simulation, SimulationConfig, simulate
from octodon.data.subsample import subsample
from octodon.distillation.student import Student
from octodon.ensemble.ensemble import Ensemble
from octodon.records import Prediction
from octodon.report.style import BLACK, BLUE, GREEN, GREY, ORANGE, panels, save_figure, styled

REPLICATES = 3
FRACTIONS = (0.1, 0.25, 0.5, 1.0)
Z = {0.5: 0.674, 0.6: 0.842, 0.7: 1.036, 0.8: 1.282, 0.9: 1.645, 0.95: 1.960}
"""Level of a central interval to the standard normal quantile that is its half-width."""


@dataclass(frozen=True, kw_only=True)
class Size:
    """How much is computed."""

    rows: int = 6000
    length: int = 80
    members: int = 8
    epochs: int = 40
    copies: int = 24
    width: float = 0.25
    processes: int | None = None


SMALL = Size(rows=1200, members=2, epochs=2, copies=1, width=0.05, processes=0)


@dataclass(frozen=True, kw_only=True)
class Material:
    """What the pictures are drawn from: everything of the test rows, and of rows outside of what was trained on."""

    simulation: Simulation
    examples: Examples
    test: ndarray
    by_fraction: dict[float, Prediction]
    rows_of: dict[float, int]
    members: ndarray
    ensemble: Prediction
    student: Prediction
    calibrated: Student
    outside: Simulation
    said_outside: Prediction


def compute(size: Size) -> Material:
    """Return the material: one simulation, an ensemble per amount of data, a student of the largest."""
    config = SimulationConfig(valid=0.2, test=0.2)
    simulation = simulate(
        size.rows, size.length, targets=("A",), replicates=REPLICATES, seed=1, config=config
    )
    examples = set_aside_calibration(simulation.examples, 0.5, seed=1).examples
    test = np.flatnonzero(examples.splits == "test")
    codes = examples.codes[test]
    by_fraction, rows_of = {}, {}
    ensemble = None
    for fraction in FRACTIONS:
        part = subsample(examples, fraction, seed=1)
        ensemble = _train(part, size)
        by_fraction[fraction] = ensemble.predict(codes)
        rows_of[fraction] = int((part.splits == "train").sum())
    assert ensemble is not None
    student = octodon.distill(
        ensemble, examples, copies=size.copies, seed=1, processes=size.processes, progress=False
    )
    assert isinstance(student, Student)
    wide = replace(config, gc_low=0.05, gc_high=0.95)
    outside = simulate(
        max(size.rows // 2, 600), size.length, targets=("A",), replicates=REPLICATES, seed=2, config=wide
    )
    return Material(
        simulation=simulation,
        examples=examples,
        test=test,
        by_fraction=by_fraction,
        rows_of=rows_of,
        members=ensemble.predict_members(codes).mean[:, :, 0],
        ensemble=by_fraction[FRACTIONS[-1]],
        student=student.predict(codes),
        calibrated=octodon.calibrate(student, examples),
        outside=outside,
        said_outside=ensemble.predict(outside.examples.codes),
    )


def _train(examples: Examples, size: Size) -> Ensemble:
    return octodon.train(
        examples,
        members=size.members,
        seed=1,
        options={"width": size.width},
        training={"epochs": size.epochs},
        processes=size.processes,
        progress=False,
    )


def main() -> None:
    """Compute once, draw all."""
    parser = argparse.ArgumentParser(description="Draw the pictures of docs/concepts.md.")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "images" / "concepts")
    parser.add_argument(
        "--small", action="store_true", help="seconds instead of minutes; the pictures mean nothing"
    )
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    material = compute(SMALL if arguments.small else Size())
    with styled():
        for name, draw in {
            "epistemic": draw_epistemic,
            "data": draw_data,
            "aleatoric": draw_aleatoric,
            "total": draw_total,
            "student": draw_student,
            "conformal": draw_conformal,
        }.items():
            draw(material, arguments.out / f"{name}.svg")
    lines = [f"{name}\t{value:.3g}\n" for name, value in numbers(material).items()]
    (arguments.out / "numbers.tsv").write_text("".join(lines), encoding="utf-8")


def numbers(material: Material) -> dict[str, float]:
    """Return what the text beside the pictures says in numbers."""
    truth, found = material.simulation.truth, {}
    activity, noise = truth.activity[material.test, 0], truth.noise_std[material.test, 0]
    for fraction, said in material.by_fraction.items():
        rows = f"{material.rows_of[fraction]} rows: "
        found[rows + "epistemic std"] = _flat(said.epistemic_std).mean()
        found[rows + "aleatoric std"] = _flat(said.aleatoric_std).mean()
        found[rows + "error"] = np.abs(said.mean[:, 0] - activity).mean()
    replicates = material.examples.take(material.test).replicate_std
    assert replicates is not None
    found["true noise"] = noise.mean()
    found["r of replicate stds with the true noise"] = np.corrcoef(noise, replicates[:, 0])[0, 1]
    found["r of aleatoric std with the true noise"] = np.corrcoef(
        noise, _flat(material.ensemble.aleatoric_std)
    )[0, 1]
    gc = material.outside.truth.gc
    error = np.abs(material.said_outside.mean[:, 0] - material.outside.truth.activity[:, 0])
    for name, rows in (("inside", np.abs(gc - 0.5) <= 0.15), ("outside", np.abs(gc - 0.5) > 0.3)):
        found[f"epistemic std {name} the band of GC"] = _flat(material.said_outside.epistemic_std)[
            rows
        ].mean()
        found[f"error {name} the band of GC"] = error[rows].mean()
    for name in ("mean", "epistemic_std"):
        theirs, ours = (np.asarray(getattr(one, name))[:, 0] for one in (material.ensemble, material.student))
        found[f"r of the student's {name} with the ensemble's"] = np.corrcoef(theirs, ours)[0, 1]
    rows = material.examples.take(material.test)
    measured, std = rows.targets[:, 0], _flat(material.student.total_std_of_mean(REPLICATES))
    for level, z in Z.items():
        inside = np.abs(measured - material.student.mean[:, 0]) <= z * std
        found[f"level {level}: uncalibrated"] = inside.mean()
        found[f"level {level}: conformal"] = _inside(
            measured, material.calibrated.predict(rows.codes, level=level)
        ).mean()
    return {name: float(value) for name, value in found.items()}


def draw_epistemic(material: Material, out: Path) -> None:
    """Members on ten sequences each, those they agree on and those they do not; and the std against GC content."""
    figure, [[left, right]] = panels(1, 2, size=(3.6, 2.9))
    std = _flat(material.ensemble.epistemic_std)
    order = np.argsort(std)
    chosen = np.concatenate([order[:: max(len(order) // 40, 1)][:8], order[-8:]])
    members = material.members[:, chosen]
    place = np.concatenate([np.arange(8), np.arange(8) + 9])
    left.plot(
        np.repeat(place[None], len(members), 0).ravel(), members.ravel(), "o", color=ORANGE, ms=3, alpha=0.8
    )
    left.plot(place, members.mean(0), "_", color=BLACK, ms=11, mew=1.8)
    left.set_xticks([3.5, 12.5], ["members agree", "members disagree"])
    left.tick_params(axis="x", length=0)
    left.set_ylabel("predicted activity, log2")
    left.plot([], [], "o", color=ORANGE, ms=3, label="one member")
    left.plot([], [], "_", color=BLACK, ms=11, mew=1.8, label="ensemble (mean)")
    left.legend(fontsize=8, loc="best")
    left.set_title("16 test sequences")
    _draw_outside(material, right)
    save_figure(figure, out)


def _draw_outside(material: Material, axes: Axes) -> None:
    """Draw the error, the epistemic std and the true noise in bins of GC content."""
    gc = material.outside.truth.gc
    error = np.abs(material.said_outside.mean[:, 0] - material.outside.truth.activity[:, 0])
    edges = np.linspace(0.05, 0.95, 13)
    middle = (edges[:-1] + edges[1:]) / 2
    axes.axvspan(0.35, 0.65, color="#E8EEF3", lw=0)
    series = (
        (_flat(material.said_outside.epistemic_std), BLUE, "^-", "epistemic std"),
        (error, BLACK, "s--", "error (against the truth)"),
        (_flat(material.said_outside.aleatoric_std), GREEN, "D:", "aleatoric std"),
    )
    for values, colour, style, label in series:
        axes.plot(middle, _binned(gc, values, edges), style, color=colour, ms=4, label=label)
    axes.set_ylim(bottom=0)
    axes.text(
        0.5, axes.get_ylim()[1] * 0.02, "trained on", ha="center", va="bottom", fontsize=8, color="#444444"
    )
    axes.set_xlabel("GC content of the sequence")
    axes.set_ylabel("mean, log2")
    axes.legend(fontsize=8)
    axes.set_title("Sequences of a new kind")


def draw_data(material: Material, out: Path) -> None:
    """Epistemic std falls with the amount of data, aleatoric std does not."""
    figure, [[axes]] = panels(1, 1, size=(4.2, 2.8))
    rows = [material.rows_of[fraction] for fraction in FRACTIONS]
    said = [material.by_fraction[fraction] for fraction in FRACTIONS]
    truth = material.simulation.truth
    noise = truth.noise_std[material.test, 0].mean()
    error = [np.abs(one.mean[:, 0] - truth.activity[material.test, 0]).mean() for one in said]
    axes.plot(
        rows,
        [_flat(one.aleatoric_std).mean() for one in said],
        "D:",
        color=GREEN,
        label="aleatoric std (learnt)",
    )
    axes.axhline(noise, color=GREY, lw=1, label="true noise of one measurement")
    axes.plot(rows, error, "s--", color=BLACK, label="error (against the truth)")
    axes.plot(
        rows, [_flat(one.epistemic_std).mean() for one in said], "^-", color=BLUE, label="epistemic std"
    )
    axes.set_xscale("log")
    axes.set_xticks(rows, [f"{count:,}" for count in rows])
    axes.minorticks_off()
    axes.set_ylim(bottom=0)
    axes.set_xlabel("training sequences")
    axes.set_ylabel("mean over test sequences, log2")
    axes.legend(fontsize=8, loc="center left", bbox_to_anchor=(1.0, 0.5))
    save_figure(figure, out)


def draw_aleatoric(material: Material, out: Path) -> None:
    """Learnt noise against the true one, beside the std of three replicates."""
    figure, [[left, right]] = panels(1, 2, size=(3.3, 3.0))
    true = material.simulation.truth.noise_std[material.test, 0]
    measured = material.examples.take(material.test).replicate_std
    assert measured is not None
    pairs = (
        (left, measured[:, 0], "std of three replicates, log2", "What was measured"),
        (right, _flat(material.ensemble.aleatoric_std), "aleatoric std, log2", "What was learnt"),
    )
    top = float(np.quantile(measured, 0.995))
    for axes, values, label, title in pairs:
        axes.plot(true, values, "o", color=GREEN, ms=2.4, alpha=0.5, mew=0, rasterized=True)
        axes.plot([0, top], [0, top], color=GREY, lw=1)
        axes.set(xlim=(0, top), ylim=(0, top), xlabel="true noise std, log2", ylabel=label)
        axes.set_aspect("equal")
        axes.set_title(f"{title}: r = {np.corrcoef(true, values)[0, 1]:.2f}")
    save_figure(figure, out)


def draw_total(material: Material, out: Path) -> None:
    """Variances add: for one measurement and for the mean of three, with little and with all the data."""
    figure, [[axes]] = panels(1, 1, size=(5.6, 2.6))
    bars, labels = [], []
    for fraction in (FRACTIONS[0], FRACTIONS[-1]):
        said = material.by_fraction[fraction]
        epistemic = np.square(_flat(said.epistemic_std)).mean()
        for replicates, what in ((1, "one measurement"), (REPLICATES, f"mean of {REPLICATES} replicates")):
            bars.append((epistemic, np.square(_flat(said.noise_of_mean(replicates))).mean()))
            labels.append(f"{what}\n{material.rows_of[fraction]:,} training sequences")
    place = np.arange(len(bars))[::-1]
    epistemic, noise = np.array(bars).T
    axes.barh(place, epistemic, color=BLUE, height=0.62, label="epistemic")
    axes.barh(
        place,
        noise,
        left=epistemic,
        color=GREEN,
        height=0.62,
        hatch="///",
        edgecolor="white",
        label="aleatoric",
    )
    axes.set_yticks(place, labels)
    axes.tick_params(axis="y", length=0)
    axes.set_xlabel("mean variance, squared log2")
    axes.legend(fontsize=8)
    save_figure(figure, out)


def draw_student(material: Material, out: Path) -> None:
    """One network against the ensemble that taught it: the activity and the epistemic std."""
    figure, [[left, right]] = panels(1, 2, size=(3.3, 3.0))
    pairs = (
        (left, material.ensemble.mean[:, 0], material.student.mean[:, 0], "Activity"),
        (
            right,
            _flat(material.ensemble.epistemic_std),
            _flat(material.student.epistemic_std),
            "Epistemic std",
        ),
    )
    for axes, theirs, ours, title in pairs:
        low, high = min(theirs.min(), ours.min()), max(theirs.max(), ours.max())
        axes.plot(theirs, ours, "o", color=BLUE, ms=2.4, alpha=0.5, mew=0, rasterized=True)
        axes.plot([low, high], [low, high], color=GREY, lw=1)
        axes.set(xlabel="ensemble, log2", ylabel="student, log2")
        axes.set_aspect("equal")
        axes.set_title(f"{title}: r = {np.corrcoef(theirs, ours)[0, 1]:.2f}")
    save_figure(figure, out)


def draw_conformal(material: Material, out: Path) -> None:
    """Coverage against level before and after calibration; and forty intervals."""
    figure, [[left, right]] = panels(1, 2, size=(3.4, 3.0))
    rows = material.examples.take(material.test)
    measured = rows.targets[:, 0]
    raw = material.student
    std = _flat(raw.total_std_of_mean(REPLICATES))
    before = [float((np.abs(measured - raw.mean[:, 0]) <= z * std).mean()) for z in Z.values()]
    said = {level: material.calibrated.predict(rows.codes, level=level) for level in Z}
    after = [float(_inside(measured, one).mean()) for one in said.values()]
    left.plot([0.45, 1], [0.45, 1], color=GREY, lw=1)
    left.plot(list(Z), before, "v--", color=ORANGE, label="mean ± z total std")
    left.plot(list(Z), after, "o-", color=BLUE, label="conformal")
    left.set(xlabel="level asked for", ylabel="test sequences inside", xlim=(0.45, 1), ylim=(0.3, 1))
    left.legend(fontsize=8, loc="lower right")
    left.set_title("Coverage")
    _draw_intervals(right, measured, said[0.9])
    save_figure(figure, out)


def _draw_intervals(axes: Axes, measured: ndarray, said: Prediction) -> None:
    shown = np.sort(np.random.default_rng(0).permutation(len(measured))[:40])
    shown = shown[np.argsort(said.mean[shown, 0])]
    lower, upper = _flat(said.lower)[shown], _flat(said.upper)[shown]
    inside = _inside(measured, said)[shown]
    place = np.arange(len(shown))
    axes.vlines(place, lower, upper, color=BLUE, lw=2.2, alpha=0.45, label="90 % interval")
    axes.plot(place[inside], measured[shown][inside], "o", color=BLACK, ms=3, label="measured, inside")
    axes.plot(place[~inside], measured[shown][~inside], "X", color=ORANGE, ms=6, label="measured, outside")
    axes.set_xticks([])
    axes.set(xlabel="40 test sequences, by predicted activity", ylabel="activity, log2")
    axes.legend(fontsize=8, loc="upper left")
    axes.set_title("Intervals")


def _inside(measured: ndarray, said: Prediction) -> ndarray:
    return (_flat(said.lower) <= measured) & (measured <= _flat(said.upper))


def _flat(values: ndarray | None) -> ndarray:
    assert values is not None
    return values[:, 0]


def _binned(x: ndarray, values: ndarray, edges: ndarray) -> ndarray:
    """Return the mean of the values in each bin of x; NaN in an empty bin."""
    place = np.digitize(x, edges) - 1
    return np.array(
        [values[place == i].mean() if (place == i).any() else np.nan for i in range(len(edges) - 1)]
    )


if __name__ == "__main__":
    main()
