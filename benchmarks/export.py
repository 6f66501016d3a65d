"""Sequences a second on ONE thread of the CPU: torch layer by layer, octodon's own inference, and the exported graph.

python benchmarks/export.py [--sequences 1024] [--length 144]
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import machine
import numpy as np
import torch

from octodon.distillation.student import Student
from octodon.ensemble.network import FittedNetwork
from octodon.handover.onnx_file import INPUT, export_onnx, open_session
from octodon.models.backbones import backbones
from octodon.models.model import ModelConfig, build_model
from octodon.seq.codes import random_codes
from octodon.seq.onehot import one_hot

BATCH = 64
REPEATS = 3
NOTE = """\
Profiled (deepstarr, one thread): before steps of the graph were joined across an axis of size 1 (`octodon.handover.flat_axes`), a third of its time went into changes
of layout around each BatchNorm, and it reached 0.73 of torch's rate; a batch took 20.5 ms, then 13.1. mprann is softmax over channels for the most part, which onnxruntime
computes no faster than torch. With many sequences octodon itself may be faster than both: its look-up table of the first two layers has no
counterpart in ONNX."""


def student_of(backbone: str, length: int) -> Student:
    config = ModelConfig(backbone=backbone, length=length, n_targets=2, head="distilled_aleatoric")
    weights = build_model(config, seed=1).state_dict()
    for name, value in weights.items():
        if name.endswith("_location"):
            value += 0.3
    fitted = FittedNetwork(index=0, attempt=0, seed=1, weights=weights, history=[])
    return Student(model=config, target_names=("a", "b"), units="log2", fitted=fitted)


def fastest(work: Callable[[], object]) -> float:
    work()
    seconds = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def measure(backbone: str, codes: np.ndarray) -> tuple[float, float, float, float]:
    """Return sequences a second of the three ways, and the size of the file in MB."""
    student = student_of(backbone, codes.shape[1])
    network = student.network.eval()
    pieces = [codes[at : at + BATCH] for at in range(0, len(codes), BATCH)]

    def plain() -> None:
        with torch.inference_mode():
            for piece in pieces:
                network.read(one_hot(torch.from_numpy(piece)))

    with tempfile.TemporaryDirectory() as folder:
        path = export_onnx(student, Path(folder) / "student.onnx")
        size_mb = path.stat().st_size / 1e6
        session = open_session(str(path), threads=1)

        def graph() -> None:
            for piece in pieces:
                session.run(None, {INPUT: piece})

        seconds = fastest(plain), fastest(lambda: student.predict(codes, device="cpu")), fastest(graph)
    return *(len(codes) / one for one in seconds), size_mb  # type: ignore[return-value]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sequences", type=int, default=1024)
    parser.add_argument("--length", type=int, default=144)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "export.md")
    given = parser.parse_args()
    torch.set_num_threads(1)
    codes = random_codes((given.sequences, given.length), np.random.default_rng(0))
    lines = [
        f"# The exported graph against torch: {given.length} bp, one thread",
        "",
        f"{machine.describe()}. `python benchmarks/export.py --sequences {given.sequences}`; batches of {BATCH}, best of {REPEATS}. "
        "Other work ran on the machine: rates are lower bounds.",
        "",
        "| backbone | torch, layer by layer (/s) | octodon predict (/s) | onnxruntime (/s) | onnxruntime / torch | file (MB) |",
        "|---|---|---|---|---|---|",
    ]
    for backbone in backbones:
        # the LSTM is a hundred times slower than the others
        plain, ours, graph, size_mb = measure(backbone, codes[:128] if backbone == "dream_rnn" else codes)
        lines.append(
            f"| {backbone} | {plain:,.0f} | {ours:,.0f} | {graph:,.0f} | {graph / plain:.2f} | {size_mb:.1f} |"
        )
        print(lines[-1])
    given.out.write_text("\n".join([*lines, "", NOTE]) + "\n")


if __name__ == "__main__":
    main()
