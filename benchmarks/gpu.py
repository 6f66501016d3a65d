"""An ensemble, its student and their answers on one GPU: DeepSTARR size, against a loop of eager float32 networks.

PYTHONPATH=src python benchmarks/gpu.py                              # on a GPU: under ten minutes
PYTHONPATH=src python benchmarks/gpu.py --small --device cpu --out gpu-small   # the same steps, tiny

Every section's numbers are written as soon as they are known: a run that is cut off leaves those it has.
"""

from __future__ import annotations

import argparse
import json
import logging
import resource
import sys
import tempfile
import time
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from typing import Any

import numpy as np
import torch
from machine import describe
from numpy import ndarray

from octodon.atomic import write_json, write_text
from octodon.data.examples import Examples
from octodon.distillation.config import DistillConfig
from octodon.distillation.distill import distil_students
from octodon.distillation.student import Student
from octodon.ensemble.config import EnsembleConfig
from octodon.ensemble.ensemble import Ensemble
from octodon.ensemble.execution import Execution, executing
from octodon.ensemble.stacked.choose import StackPlan, choose
from octodon.ensemble.stacked.fit import read_choices
from octodon.ensemble.stacked.precision import matrix_units, resolve_precision
from octodon.ensemble.stacked.replace_modules import with_streams
from octodon.ensemble.stacked.state import StackState
from octodon.ensemble.stacked.step import MemberEpoch, Stepper
from octodon.ensemble.stacked.strategies import strategies
from octodon.ensemble.train import train_ensemble
from octodon.ensemble.workers import pick_device
from octodon.metrics.summary import markdown_table
from octodon.models.model import ModelConfig, build_model
from octodon.training.config import TrainingConfig
from octodon.training.loop import LabelledCodes, fit, mean_loss
from octodon.training.schedule import Schedule

GOAL_SECONDS = 180
GOAL_RATIO = 10
GOAL_PREDICTIONS = 2_000_000


@dataclass(frozen=True, kw_only=True)
class Size:
    """What is computed; the default is DeepSTARR's training and validation set with ten teachers."""

    train: int = 402_296
    valid: int = 40_570
    length_bp: int = 249
    members: int = 10
    epochs: int = 30
    batch_size: int = 128
    student_epochs: int = 12
    student_batch_size: int = 512
    copies: int = 0
    predicted: int = 4_000_000
    eager_steps: int = 400
    equality_rows: int = 40_000
    width: float = 1.0


SMALL = Size(
    train=700,
    valid=64,
    length_bp=48,
    members=2,
    epochs=2,
    batch_size=32,
    student_epochs=1,
    student_batch_size=32,
    predicted=600,
    eager_steps=3,
    equality_rows=700,
    width=0.05,
)


class Bench:
    """The sections, and what they have found so far."""

    def __init__(self, size: Size, device: str, out: Path) -> None:
        self.size, self.device, self.out = size, torch.device(device), out
        self.found: dict[str, Any] = {"machine": _machine(self.device), "size": asdict(size)}
        self.model = ModelConfig(
            backbone="deepstarr",
            length=size.length_bp,
            n_targets=2,
            head="standardised_mean",
            options={"width": size.width},
        )
        self.training = TrainingConfig(
            epochs=size.epochs, batch_size=size.batch_size, stop_patience=size.epochs
        )

    def again(self, names: list[str]) -> None:
        """Run single sections anew and keep what was found of the others."""
        path = self.out.with_suffix(".json")
        self.found = json.loads(path.read_text()) if path.is_file() else self.found
        examples = self.section("simulating", lambda: simulate(self.size))
        for name in names:
            self.section(name, lambda name=name: getattr(self, name)(examples))

    def run(self) -> None:
        """Go through the sections."""
        examples = self.section("simulating", lambda: simulate(self.size))
        self.section("equality", lambda: self.equality(examples))
        self.section("eager_loop", lambda: self.eager_loop(examples))
        with (
            tempfile.TemporaryDirectory(prefix="octodon-gpu-") as folder,
            executing(processes=0, device=str(self.device), progress=False, strategy="stacked") as execution,
        ):
            ensemble = self.section("ensemble", lambda: self.ensemble(examples, Path(folder), execution))
            student = self.section(
                "student", lambda: self.student(ensemble, examples, Path(folder), execution)
            )
        self.section("prediction", lambda: self.prediction(student, ensemble, examples))
        self.section("strategies_in_precisions", lambda: self.strategies_in_precisions(examples))

    def section(self, name: str, work: Any) -> Any:
        """Run one section; keep its seconds and peak memory, and write everything found so far."""
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)
        start = time.perf_counter()
        result = work()
        _wait(self.device)
        entry = self.found.setdefault(name, {})
        entry["seconds"] = round(time.perf_counter() - start, 3)
        if self.device.type == "cuda":
            entry["peak_gpu_gib"] = round(torch.cuda.max_memory_allocated(self.device) / 2**30, 2)
        entry["peak_ram_gib"] = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 2)
        write_json(self.out.with_suffix(".json"), self.found)
        write_text(self.out.with_suffix(".md"), report(self.found))
        print(f"{name}: {entry}", file=sys.stderr, flush=True)
        return result

    def equality(self, examples: Examples) -> None:
        """Compare the fused stack with plain networks: 20 steps in float32 without dropout, and three epochs as usual.

        Adam's first steps go by the signs of gradients, so that rounding alone drives two trainings apart: both are compared
        with plain networks in float64.
        """
        size, few = self.size, examples.subset("train")
        train = labelled(few.take(np.arange(min(len(few), size.equality_rows)))).to(self.device)
        still = replace(self.model, options={**self.model.options, "dropout": 0.0})
        exact = self._losses("loop", still, _in_float64(train), "float32", epochs=0)
        usual = resolve_precision("auto", self.device)
        entry: dict[str, Any] = {}
        for name in ("loop", "fused"):
            first = self._losses(name, still, train, "float32", epochs=0)
            third = self._losses(name, self.model, train, usual, epochs=3)
            entry[name] = {
                "by_step": np.abs(first - exact).max(1).tolist(),
                "third_epoch_mean": round(float(third.mean()), 4),
                "third_epoch_std": round(float(third.std(ddof=1)), 4),
            }
        self.found["equality"] = entry

    def _losses(
        self, name: str, config: ModelConfig, train: LabelledCodes, precision: str, epochs: int
    ) -> ndarray:
        """Return every member's mean loss over the last of ``epochs`` (m,), or so far at each of the first 20 steps (20, m)."""
        kind = train.labels["activity"].dtype
        models = [build_model(config, seed).to(self.device, kind) for seed in range(self.size.members)]
        for model in models:
            model.head.fit_scale(train.labels)
        plan = StackPlan(
            template=with_streams(models[0], self.size.length_bp),
            train=train,
            training=self.training,
            precision=precision,
            capture=self.device.type == "cuda" and kind == torch.float32,
        )
        with matrix_units(precision, self.device):
            stepper = plan.stepper(name, StackState.of(models))
            if epochs == 0:
                stepper.begin(_epochs(stepper, 0))
                return np.stack([losses.cpu().numpy() for losses in stepper.losses_by_step(20)])
            for epoch in range(epochs):
                stepper.begin(_epochs(stepper, epoch))
                stepper.run()
            return stepper.train_losses().cpu().numpy()

    def eager_loop(self, examples: Examples) -> None:
        """Time part of an epoch of one member, kernel by kernel in true float32; extrapolate to all."""
        size, training = self.size, self.training.model_copy(update={"epochs": 1, "precision": "float32"})
        train, valid = (labelled(examples.subset(name)).to(self.device) for name in ("train", "valid"))
        few = min(len(train), size.eager_steps * size.batch_size)
        part = LabelledCodes(codes=train.codes[:few], labels={k: v[:few] for k, v in train.labels.items()})
        warm = LabelledCodes(
            codes=part.codes[: few // 4], labels={k: v[: few // 4] for k, v in part.labels.items()}
        )
        tiny = LabelledCodes(codes=valid.codes[:32], labels={k: v[:32] for k, v in valid.labels.items()})
        with matrix_units("float32", self.device):
            model = build_model(self.model, 0).to(self.device)
            fit(model, warm, tiny, training, seed=0)
            step = self._timed(lambda: fit(model, part, tiny, training, seed=0)) * size.batch_size / few
            validation = self._timed(lambda: mean_loss(model, valid, "float32"))
        steps = -(-size.train // size.batch_size)
        whole = size.members * size.epochs * (steps * step + validation)
        self.found["eager_loop"] = {
            "step_ms": round(step * 1e3, 3),
            "validation_s": round(validation, 3),
            "all_members_s": round(whole, 1),
        }

    def ensemble(self, examples: Examples, folder: Path, execution: Execution) -> Ensemble:
        """Train the teachers; the choice of the strategy is part of the time."""
        config = EnsembleConfig(members=self.size.members, training=self.training)
        trained = train_ensemble(
            examples, self.model, config, seed=0, folder=folder / "ensemble", execution=execution
        )
        choice, *_ = read_choices(folder / "ensemble")
        self.found["ensemble"] = {
            "choice": asdict(choice),
            "epochs": [len(m.history) for m in trained.members],
        }
        return trained

    def student(self, ensemble: Ensemble, examples: Examples, folder: Path, execution: Execution) -> Student:
        """Have the teachers label, and train one student."""
        config = DistillConfig(
            copies=self.size.copies,
            training={"epochs": self.size.student_epochs, "batch_size": self.size.student_batch_size},  # type: ignore[arg-type]
        )
        model = ModelConfig(
            backbone="deepstarr", length=self.size.length_bp, n_targets=2, options={"width": self.size.width}
        )
        start = time.perf_counter()
        (student,) = distil_students(
            ensemble, examples, model, config, seed=0, folder=folder / "students", execution=execution
        )
        choices = read_choices(folder / "students")
        training = sum(record["seconds"] for record in student.fitted.history)
        self.found["student"] = {
            "training_s": round(training, 2),
            "labelling_and_rest_s": round(time.perf_counter() - start - training, 2),
            "choice": asdict(choices[0]) if choices else None,
        }
        return student

    def prediction(self, student: Student, ensemble: Ensemble, examples: Examples) -> None:
        """Time the student's answers, uncertainty included, from codes in memory to arrays in memory."""
        valid = examples.subset("valid")
        ids = [str(name) for name in valid.ids]
        said, taught = (who.predict(valid.codes, ids, device=str(self.device)) for who in (student, ensemble))
        repeats = -(-self.size.predicted // len(examples))
        codes = np.tile(examples.codes, (repeats, 1))[: self.size.predicted]
        ids = [""] * len(codes)
        student.predict(codes[: len(codes) // 4], ids[: len(codes) // 4], device=str(self.device))
        took = min(
            self._timed(lambda: student.predict(codes, ids, device=str(self.device))) for _ in range(3)
        )
        assert said.epistemic_std is not None
        self.found["prediction"] = {
            "sequences_per_s": round(len(codes) / took),
            "pearson_student": _pearson(said.mean, valid.targets),
            "pearson_ensemble": _pearson(taught.mean, valid.targets),
        }

    def strategies_in_precisions(self, examples: Examples) -> None:
        """Time a step of every strategy: in the precision of the training all, in the others those that need no compiler."""
        train = labelled(examples.subset("train")).to(self.device)
        models = [build_model(self.model, seed).to(self.device) for seed in range(self.size.members)]
        for model in models:
            model.head.fit_scale(train.labels)
        used = resolve_precision(self.training.precision, self.device)
        times: dict[str, Any] = {}
        for precision in ("float32", "tf32", "bfloat16"):
            if precision == "tf32" and self.device.type != "cuda":
                continue
            plan = StackPlan(
                template=with_streams(models[0], self.size.length_bp),
                train=train,
                training=self.training,
                precision=precision,
                capture=self.device.type == "cuda",
            )
            state = StackState.of(models)
            on_gpu = self.device.type == "cuda"
            names = [k for k in strategies if (precision == used and on_gpu) or not strategies[k].compiles]
            with matrix_units(precision, self.device):
                times[precision] = asdict(choose(plan, state, names))
        self.found["strategies_in_precisions"] = times

    def _timed(self, work: Any) -> float:
        _wait(self.device)
        start = time.perf_counter()
        work()
        _wait(self.device)
        return time.perf_counter() - start


def _in_float64(train: LabelledCodes) -> LabelledCodes:
    return LabelledCodes(codes=train.codes, labels={k: v.double() for k, v in train.labels.items()})


def _epochs(stepper: Stepper, epoch: int) -> list[MemberEpoch]:
    schedule = Schedule(stepper.config, steps_per_epoch=len(stepper.slices))
    return [MemberEpoch(seed=k, epoch=epoch, schedule=schedule) for k in range(len(stepper.state))]


def simulate(size: Size) -> Examples:
    """Return random sequences whose activity is a sum of 6-mer effects and noise."""
    rng = np.random.default_rng(0)
    n = size.train + size.valid
    codes = rng.integers(0, 4, (n, size.length_bp), dtype=np.uint8)
    effects = rng.standard_normal((4**6, 2)).astype(np.float32) * (rng.random((4**6, 1)) < 0.02)
    targets = np.empty((n, 2), np.float32)
    for start in range(0, n, 10_000):
        windows = np.lib.stride_tricks.sliding_window_view(codes[start : start + 10_000], 6, axis=1)
        words = windows.astype(np.int32) @ (4 ** np.arange(6, dtype=np.int32))
        targets[start : start + 10_000] = effects[words].sum(1)
    targets += targets.std(0) * rng.standard_normal(targets.shape).astype(np.float32)
    return Examples(
        codes=codes,
        ids=np.array([f"s{i}" for i in range(n)], dtype=object),
        targets=targets,
        target_names=("dev", "hk"),
        splits=np.repeat(["train", "valid"], [size.train, size.valid]),
    )


def labelled(examples: Examples) -> LabelledCodes:
    """Return codes and activity as tensors."""
    labels = {"activity": torch.from_numpy(examples.targets)}
    return LabelledCodes(codes=torch.from_numpy(examples.codes), labels=labels)


def report(found: dict[str, Any]) -> str:
    """Return the results as Markdown, as far as they are known."""
    size = found["size"]
    lines = [
        "# One GPU\n",
        f"{found['machine']}.\n",
        f"{size['train']:,} x {size['length_bp']} bp simulated, {size['members']} teachers x {size['epochs']} epochs at batch "
        f"{size['batch_size']}, one student of {size['student_epochs']} epochs at batch {size['student_batch_size']} with {size['copies']} altered copies.\n",
        markdown_table([["what", "measured", "goal"], *_summary(found)]),
        "One step of all members; refused ones with the reason:\n",
        markdown_table([["precision", "strategy", "ms a step", "sequences/s"], *_strategies(found)]),
    ]
    return "\n".join(lines)


def _summary(found: dict[str, Any]) -> list[list[str]]:
    rows = []
    eager, ensemble = found.get("eager_loop", {}), found.get("ensemble", {})
    student, prediction = found.get("student", {}), found.get("prediction", {})
    if eager:
        whole = eager["all_members_s"]
        rows.append(["eager float32 loop, s (extrapolated from a step)", f"{whole:,.0f}", ""])
    if "seconds" in ensemble:
        rows.append(["teachers, choice included, s", f"{ensemble['seconds']:.1f}", ""])
        ratio = eager["all_members_s"] / ensemble["seconds"]
        rows.append(["times faster than the eager loop", f"{ratio:.1f}", f"{GOAL_RATIO} at least"])
    if "seconds" in student:
        rows.append(["student, labelling included, s", f"{student['seconds']:.1f}", ""])
        both = ensemble["seconds"] + student["seconds"]
        rows.append(["teachers and student, s", f"{both:.1f}", f"under {GOAL_SECONDS}"])
    if "sequences_per_s" in prediction:
        rate = f"{prediction['sequences_per_s']:,}"
        rows.append(["student, sequences/s with uncertainty", rate, f"{GOAL_PREDICTIONS:,} at least"])
        pearson = f"{prediction['pearson_student']:.3f} / {prediction['pearson_ensemble']:.3f}"
        rows.append(["Pearson r on validation, student / ensemble (noise: 0.71 at most)", pearson, ""])
    if "equality" in found:
        equal = found["equality"]
        for steps in (1, 5, 20):
            apart = " / ".join(f"{equal[name]['by_step'][steps - 1]:.1e}" for name in ("loop", "fused"))
            what = f"float32, dropout off, mean loss of {steps} steps: largest difference from float64, plain / fused"
            rows.append([what, apart, "1e-4 at most" if steps == 20 else ""])
        said = " / ".join(
            f"{equal[name]['third_epoch_mean']:.4f} ± {equal[name]['third_epoch_std']:.4f}"
            for name in ("loop", "fused")
        )
        rows.append(["loss of the third epoch as usual, plain / fused", said, "within the spread"])
    peaks = [
        found[name].get("peak_gpu_gib") for name in ("ensemble", "student", "prediction") if name in found
    ]
    if any(peak is not None for peak in peaks):
        said = " / ".join(f"{peak:.1f}" for peak in peaks if peak is not None)
        rows.append(["peak GPU memory, GiB: teachers / student / prediction", said, ""])
    return rows


def _strategies(found: dict[str, Any]) -> list[list[str]]:
    used = resolve_precision(
        "auto", torch.device("cuda" if "peak_gpu_gib" in found.get("ensemble", {}) else "cpu")
    )
    choices = {used: found["ensemble"]["choice"]} if "choice" in found.get("ensemble", {}) else {}
    choices |= {k: v for k, v in found.get("strategies_in_precisions", {}).items() if isinstance(v, dict)}
    rows = []
    for precision, choice in choices.items():
        per_step = found["size"]["batch_size"] * choice["members"]
        for name, milliseconds in sorted(choice["milliseconds"].items(), key=lambda item: item[1]):
            rate = f"{per_step / milliseconds * 1e3:,.0f}"
            rows.append([precision, name, f"{milliseconds:.3f}", rate])
        rows += [[precision, name, reason, ""] for name, reason in choice["refused"].items()]
    return rows


def _pearson(predicted: ndarray, measured: ndarray) -> float:
    return round(
        float(np.mean([np.corrcoef(p, m)[0, 1] for p, m in zip(predicted.T, measured.T, strict=True)])), 4
    )


def _machine(device: torch.device) -> str:
    try:
        said = describe()
    except PackageNotFoundError:  # run from a checkout that is not installed
        said = f"torch {torch.__version__}; {datetime.now(UTC):%Y-%m-%d}"
    return f"{torch.cuda.get_device_name(device)}; {said}" if device.type == "cuda" else said


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--out", type=Path, default=Path("benchmarks/results/gpu"), help="without .md and .json"
    )
    parser.add_argument("--device", default="cuda", help="cuda, cuda:N or cpu")
    parser.add_argument(
        "--small", action="store_true", help="a minute's worth of nothing, to see that it runs"
    )
    parser.add_argument(
        "--copies", type=int, default=0, help="altered copies a training sequence for the student"
    )
    parser.add_argument(
        "--section",
        action="append",
        choices=("equality", "eager_loop", "strategies_in_precisions"),
        help="run only this one anew and keep the others of --out (repeatable)",
    )
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    size = SMALL if arguments.small else Size(copies=arguments.copies)
    bench = Bench(size, pick_device(arguments.device), arguments.out)
    bench.again(arguments.section) if arguments.section else bench.run()
    sys.stdout.write(report(bench.found))
    sys.stdout.write(json.dumps(bench.found, indent=1) + "\n" if arguments.small else "")


if __name__ == "__main__":
    main()
