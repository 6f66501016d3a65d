"""What this machine is and how fast it trains and predicts."""

from __future__ import annotations

import platform
import shutil
import time
from importlib.metadata import version
from pathlib import Path

import numpy as np
import psutil
import torch

import octodon
from octodon.ensemble.workers import cpu_count, pick_device, threads
from octodon.models.inference import read_in_batches
from octodon.models.model import ModelConfig, build_model
from octodon.models.precision import uses_bfloat16
from octodon.seq.codes import random_codes
from octodon.training.config import TrainingConfig
from octodon.training.loop import LabelledCodes, fit

_LENGTH_BP = 249
_TRAIN_ROWS = 512
_PREDICT_ROWS = 2048


def examine(folder: Path) -> list[tuple[str, str]]:
    """Return name and finding, line by line; takes a few seconds, since speed is measured."""
    device = pick_device("auto")
    train, predict = measure_speed(device)
    memory = psutil.virtual_memory()
    packages = ", ".join(f"{name} {version(name)}" for name in ("torch", "numpy", "pandas", "pyarrow"))
    return [
        ("octodon", octodon.__version__),
        ("Python", f"{platform.python_version()} on {platform.platform()}"),
        ("packages", packages),
        ("GPU", _gpu_line(device)),
        ("CPU", f"{cpu_count()} cores for worker processes, {torch.get_num_threads()} threads in this one"),
        ("memory", f"{memory.available / 2**30:.1f} of {memory.total / 2**30:.1f} GiB free"),
        ("free disk here", f"{shutil.disk_usage(folder).free / 2**30:.1f} GiB"),
        ("training speed", _training_line(train, device)),
        ("prediction speed", f"{predict:,.0f} sequences/s on {device} (student, uncertainty included)"),
    ]


def measure_speed(device: str) -> tuple[float, float]:
    """Return sequences per second of training and of prediction, DeepSTARR at 249 bp, in this process.

    On a CPU training has one thread, as in each worker process of a run; prediction has them all.
    """
    rng = np.random.default_rng(0)
    config = ModelConfig(backbone="deepstarr", length=_LENGTH_BP, n_targets=2, head="distilled")
    model = build_model(config, seed=0).to(device)
    codes = random_codes((_PREDICT_ROWS, _LENGTH_BP), rng)
    few = LabelledCodes(
        codes=torch.from_numpy(codes[:_TRAIN_ROWS]),
        labels={
            "activity": torch.zeros(_TRAIN_ROWS, 2).normal_(generator=torch.Generator().manual_seed(0)),
            "epistemic_std": torch.ones(_TRAIN_ROWS, 2),
        },
    ).to(torch.device(device))
    little = LabelledCodes(codes=few.codes[:2], labels={k: v[:2] for k, v in few.labels.items()})
    # the first epoch warms up; the second is timed
    with threads(1):
        history = fit(model, few, little, TrainingConfig(epochs=2), seed=0)
    read_in_batches(model, codes)  # prepares the network, which a file of sequences needs once
    start = time.perf_counter()
    read_in_batches(model, codes)
    return _TRAIN_ROWS / history[-1].seconds, _PREDICT_ROWS / (time.perf_counter() - start)


def _training_line(sequences_per_s: float, device: str) -> str:
    precision = "bfloat16" if uses_bfloat16("auto", torch.device(device)) else "float32"
    where = device if device != "cpu" else f"each of {cpu_count()} worker processes"
    return (
        f"{sequences_per_s:,.0f} sequences/s on {where} (DeepSTARR, {_LENGTH_BP} bp, batch 128, {precision})"
    )


def _gpu_line(device: str) -> str:
    if device == "cuda":
        return f"will be used: {torch.cuda.get_device_name()} (torch built for CUDA {torch.version.cuda})"
    if torch.version.cuda is None:
        return "none will be used: this torch is a CPU build; install a CUDA build of torch to use a GPU"
    return "none will be used: torch sees no CUDA device; check the driver (nvidia-smi)"
