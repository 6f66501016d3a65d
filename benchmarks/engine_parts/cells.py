"""One cell of ``engine.py``, measured in a fresh process: takes one JSON object, prints one.

A training cell runs steps of octodon's own loop (``training.loop.fit``) through octodon's own worker processes; a prediction cell
answers for sequences in batches. Both warm up before the clock starts.
"""

from __future__ import annotations

import copy
import json
import math
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from octodon.distillation.student import Student
from octodon.ensemble.arrays import SharedArrays
from octodon.ensemble.ensemble import Ensemble
from octodon.ensemble.execution import Execution
from octodon.ensemble.network import FittedNetwork
from octodon.ensemble.stacked.choose import StackPlan, choose
from octodon.ensemble.stacked.replace_modules import with_streams
from octodon.ensemble.stacked.state import StackState
from octodon.ensemble.workers import Workers, threads
from octodon.models.lowering import lower
from octodon.models.lowering.graph import simplify, trace
from octodon.models.model import Model, ModelConfig, build_model
from octodon.models.precision import autocast
from octodon.seq.onehot import one_hot
from octodon.training.augment import Recipe, alter_inputs
from octodon.training.config import TrainingConfig
from octodon.training.loop import LabelledCodes, fit

Spec = dict[str, Any]
_TARGETS = 2
_BACKBONES = {
    "octodon": "deepstarr",
    "plain": f"{Path(__file__).with_name('plain.py')}:PlainDeepSTARR",
    "compiled": "deepstarr",
}
_CPU = torch.device("cpu")


def main() -> None:
    warnings.filterwarnings(
        "ignore"
    )  # of torch.compile and of the quantiser: what they print is not the result
    spec = json.loads(sys.argv[1])
    torch.set_num_threads(spec.get("threads", 1))
    sys.stdout.write(json.dumps(MEASURES[spec["what"]](spec)) + "\n")


# ---------------------------------------------------------------------------------------------------- training


class _EnoughError(Exception):
    """The steps that were asked for are done."""


class _Counted:
    """Batches as they are, for so many steps; remembers when each began."""

    identity = "counted"

    def __init__(self, steps: int) -> None:
        self.steps, self.began = steps, []

    def make(
        self, codes: Tensor, labels: Mapping[str, Tensor], recipe: Recipe, seed: int
    ) -> tuple[Tensor, Mapping[str, Tensor]]:
        """Return the batch, or stop."""
        self.began.append(time.perf_counter())
        if len(self.began) > self.steps:
            raise _EnoughError
        return alter_inputs(codes, recipe, seed), labels


@dataclass(frozen=True, kw_only=True)
class _Steps:
    """So many steps of one network."""

    spec: Spec
    arrays: SharedArrays
    steps: int
    index: int


def train(spec: Spec) -> Spec:
    """Train ``members`` networks in ``processes`` worker processes (0: here) for about ``seconds`` each."""
    with tempfile.TemporaryDirectory() as folder, Workers(spec["processes"]) as workers:
        codes = _sequences(spec["rows"], spec["length"])
        labels = np.random.default_rng(1).standard_normal((spec["rows"], _TARGETS)).astype(np.float32)
        arrays = SharedArrays.write(Path(folder), {"codes": codes, "labels": labels})
        del codes

        def run(count: int, steps: int) -> list[float]:
            jobs = [_Steps(spec=spec, arrays=arrays, steps=steps, index=i) for i in range(count)]
            return workers.run(_run_steps, jobs)

        step_seconds = max(run(max(1, min(spec["members"], spec["processes"])), 6))
        steps = spec.get("steps") or max(6, math.ceil(spec["seconds"] / step_seconds))
        start = time.perf_counter()
        run(spec["members"], steps)
        seconds = time.perf_counter() - start
    return {"sequences_per_s": spec["members"] * steps * spec["batch"] / seconds}


def _run_steps(job: _Steps) -> float:
    """Return the seconds that a step took, at the end."""
    spec = job.spec
    with threads(spec.get("threads", 1)):
        data = LabelledCodes(
            codes=torch.from_numpy(job.arrays["codes"]),
            labels={"activity": torch.from_numpy(job.arrays["labels"])},
        )
        few = LabelledCodes(codes=data.codes[:2], labels={"activity": data.labels["activity"][:2]})
        model = build_model(_config(spec), job.index)
        if spec.get("network") == "compiled":
            model = Model(torch.compile(model.backbone), model.head)  # type: ignore[arg-type]
        training = TrainingConfig(batch_size=spec["batch"], precision=spec["precision"])
        counted = _Counted(job.steps)
        with suppress(_EnoughError):
            fit(model, data, few, training, job.index, batches=counted)
    return float(np.median(np.diff(counted.began)[-4:]))


def _sequences(n: int, length: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 4, (n, length), dtype=np.uint8)


def _config(spec: Spec, head: str = "mean") -> ModelConfig:
    return ModelConfig(
        backbone=_BACKBONES[spec.get("network", "octodon")],
        length=spec["length"],
        n_targets=_TARGETS,
        head=head,
    )


def stacked(spec: Spec) -> Spec:
    """Train ``members`` networks as one stack in this process, by every strategy that runs on a CPU."""
    n = 4 * spec["batch"]
    data = LabelledCodes(
        codes=torch.from_numpy(_sequences(n, spec["length"])),
        labels={"activity": torch.randn(n, _TARGETS, generator=torch.Generator().manual_seed(0))},
    )
    models = [build_model(_config(spec), seed) for seed in range(spec["members"])]
    for model in models:
        model.head.fit_scale(data.labels)
    plan = StackPlan(
        template=with_streams(models[0], spec["length"]),
        train=data,
        training=TrainingConfig(batch_size=spec["batch"]),
        precision=spec["precision"],
    )
    choice = choose(plan, StackState.of(models))
    per_step = spec["batch"] * spec["members"] * 1e3
    return {
        "by_strategy": {name: per_step / ms for name, ms in choice.milliseconds.items()},
        "refused": choice.refused,
    }


# -------------------------------------------------------------------------------------------------- prediction


def predict(spec: Spec) -> Spec:
    """Answer in one ``way``; batches go to ``cores`` threads of one thread each, or one after another with all threads."""
    model = _seasoned(_config(spec, "distilled"))
    codes = _sequences(spec["rows"], spec["length"])
    with torch.inference_mode():
        read = WAYS[spec["way"]](model, spec)
        few = torch.from_numpy(codes[: 4 * spec["batch"]])
        exact = model.double().head.read(model(one_hot(few).double())).mean
        error = (_answers(read, few, spec["batch"]) - exact).std() / exact.std()
    pieces = [codes[start : start + spec["batch"]] for start in range(0, len(codes), spec["batch"])]
    cores = spec.get("cores", 0)
    with ThreadPoolExecutor(max(1, cores), initializer=torch.set_num_threads, initargs=(1,)) as pool:
        each = pool.map if cores else map

        def answer() -> None:
            list(each(lambda piece: _answer(read, piece), pieces))

        rate = len(codes) / _timed(answer, spec["seconds"])
    return {"sequences_per_s": rate, "error": float(error)}


def _answers(read: Callable[[Tensor], Tensor], codes: Tensor, batch: int) -> Tensor:
    return torch.cat([read(piece) for piece in codes.split(batch)]).double()


def _answer(read: Callable[[Tensor], Tensor], piece: np.ndarray) -> Tensor:
    with torch.inference_mode():
        return read(torch.from_numpy(piece))


def _seasoned(config: ModelConfig) -> Model:
    """Return an untrained network whose BatchNorm has seen data, so that activations are as they would be."""
    model, rng = build_model(config, 0), np.random.default_rng(7)
    with torch.no_grad():
        for _ in range(30):
            model(one_hot(torch.from_numpy(rng.integers(0, 4, (32, config.length), dtype=np.uint8))))
    model.head.fit_scale({"activity": torch.randn(100, _TARGETS), "epistemic_std": torch.rand(100, _TARGETS)})
    return model.eval().requires_grad_(False)


def _as_trained(model: Model, spec: Spec) -> Callable[[Tensor], Tensor]:
    backbone = _copy(model.backbone)
    return _reader(backbone, model, spec, one_hot)


def _folded(model: Model, spec: Spec) -> Callable[[Tensor], Tensor]:
    return _reader(_folded_graph(model), model, spec, one_hot)


def _compiled(model: Model, spec: Spec) -> Callable[[Tensor], Tensor]:
    return _reader(torch.compile(_folded_graph(model)), model, spec, one_hot)  # type: ignore[arg-type]


def _tabled(model: Model, spec: Spec) -> Callable[[Tensor], Tensor]:
    lowered = lower(model, 10**7, spec["length"])
    assert lowered is not None
    assert lowered.table is not None
    return _reader(lowered.rest, model, spec, lowered.table)


def _int8(model: Model, spec: Spec) -> Callable[[Tensor], Tensor]:
    """Weights and activations of all but the head as int8, scales from 512 sequences (PyTorch's quantiser, x86 kernels)."""
    from torch.ao.quantization import get_default_qconfig_mapping
    from torch.ao.quantization.quantize_fx import convert_fx, prepare_fx

    x = one_hot(torch.from_numpy(_sequences(512, spec["length"], seed=3)))
    prepared = prepare_fx(_copy(model.backbone), get_default_qconfig_mapping("x86"), (x[:2],))
    prepared(x)
    return _reader(convert_fx(prepared), model, spec, one_hot)


def _reader(
    backbone: nn.Module, model: Model, spec: Spec, prepare: Callable[[Tensor], Tensor]
) -> Callable[[Tensor], Tensor]:
    head = _copy(model.head)

    def read(codes: Tensor) -> Tensor:
        x = prepare(codes)
        with autocast(spec.get("precision", "float32"), _CPU):
            features = backbone(x)
        return head.read(head(features.float())).mean  # type: ignore[operator]

    return read


def _copy(module: nn.Module) -> nn.Module:
    return copy.deepcopy(module)


def _folded_graph(model: Model) -> nn.Module:
    graph = trace(_copy(model.backbone))
    assert graph is not None
    simplify(graph)
    return graph


WAYS = {"as trained": _as_trained, "folded": _folded, "compiled": _compiled, "table": _tabled, "int8": _int8}


def student(spec: Spec) -> Spec:
    """Time what a user calls: ``Student.predict`` from codes to a ``Prediction`` with uncertainty, every core."""
    config = _config(spec, "distilled")
    one = Student(model=config, target_names=("a", "b"), units="log2", fitted=_fitted(config, 0))
    codes = _sequences(spec["rows"], spec["length"])
    one.predict(codes[:2048], device="cpu")
    return {"sequences_per_s": len(codes) / _timed(lambda: one.predict(codes, device="cpu"), spec["seconds"])}


def ensemble(spec: Spec) -> Spec:
    """Time what a user calls: ``Ensemble.predict``; with ``processes``, the worker processes share the members instead."""
    config = _config(spec)
    members = tuple(_fitted(config, seed) for seed in range(spec["members"]))
    all_of_them = Ensemble(model=config, target_names=("a", "b"), units="log2", members=members)
    codes = _sequences(spec["rows"], spec["length"])
    with Workers(spec["processes"]) as workers:
        execution = Execution(workers=workers, device="cpu", progress=False)

        def answer() -> None:
            all_of_them.predict_members(codes, execution=execution).combine()

        return {"sequences_per_s": len(codes) / _timed(answer, spec["seconds"])}


def _fitted(config: ModelConfig, seed: int) -> FittedNetwork:
    weights = _seasoned(config).state_dict() if seed == 0 else build_model(config, seed).state_dict()
    return FittedNetwork(index=seed, attempt=0, seed=seed, weights=weights, history=[])


def _timed(work: Callable[[], Any], seconds: float) -> float:
    """Return the median seconds of a call, after one that is not counted."""
    work()
    taken: list[float] = []
    while sum(taken) < seconds or len(taken) < 2:
        start = time.perf_counter()
        work()
        taken.append(time.perf_counter() - start)
    return float(np.median(taken))


# ------------------------------------------------------------------------------------------------------ ceiling


def ceiling(spec: Spec) -> Spec:
    """Multiply square matrices in every thread at once; the best of a few sizes, GFLOP/s of the machine."""
    best: dict[str, float] = {}
    for precision in (torch.float32, torch.bfloat16):
        for size in (512, 1024, 2048):
            a = torch.randn(size, size).to(precision)
            seconds = _timed(lambda a=a: a @ a, spec["seconds"] / 6)
            name = str(precision).removeprefix("torch.")
            best[name] = max(best.get(name, 0.0), 2 * size**3 / seconds / 1e9)
    return {"gflops": best}


MEASURES = {
    "train": train,
    "stacked": stacked,
    "predict": predict,
    "student": student,
    "ensemble": ensemble,
    "ceiling": ceiling,
}

if __name__ == "__main__":
    main()
