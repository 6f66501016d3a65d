"""Sequences/s of the reference's way on this machine: Keras and TensorFlow, all threads, the network of ``keras_reference.py``.

Run by ``engine.py --keras-python PYTHON`` with the Python of TensorFlow's own environment; see ``keras_reference.py`` for how to
make one. Takes one JSON object (what, length, batch, seconds, members), prints one.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("KERAS_BACKEND", "tensorflow")
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import keras
import numpy as np
import tensorflow as tf
from keras_reference import build_network

_TARGETS = 2


def main() -> None:
    spec = json.loads(sys.argv[1])
    tf.get_logger().setLevel("ERROR")
    found = MEASURES[spec["what"]](spec)
    versions = f"Keras {keras.__version__}, TensorFlow {tf.__version__}"
    sys.stdout.write(json.dumps(found | {"versions": versions}) + "\n")


def train(spec: dict[str, Any]) -> dict[str, float]:
    """Time one member: epochs of 16 batches, the first of which traces."""
    x, y = _data(spec["length"], 16 * spec["batch"])
    network = build_network(spec["length"], _TARGETS)
    network.compile(optimizer=keras.optimizers.Adam(learning_rate=1e-3), loss="mse")
    seconds = _timed(
        lambda: network.fit(x, y, epochs=1, batch_size=spec["batch"], verbose=0), spec["seconds"]
    )
    return {"sequences_per_s": len(x) / seconds}


def student(spec: dict[str, Any]) -> dict[str, float]:
    """Time a network with a mean and a std per target, as a student has."""
    return _predict(spec, [build_network(spec["length"], 2 * _TARGETS)])


def ensemble(spec: dict[str, Any]) -> dict[str, float]:
    """Time members one after the other, then their mean and std."""
    return _predict(spec, [build_network(spec["length"], _TARGETS) for _ in range(spec["members"])])


def _predict(spec: dict[str, Any], networks: list[Any]) -> dict[str, float]:
    x, _ = _data(spec["length"], 4096 if len(networks) == 1 else 1024)

    def answer() -> np.ndarray:
        said = np.stack([one.predict(x, batch_size=spec["batch"], verbose=0) for one in networks])
        return np.stack([said.mean(axis=0), said.std(axis=0)])

    return {"sequences_per_s": len(x) / _timed(answer, spec["seconds"])}


def _data(length: int, n: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    x = np.eye(4, dtype=np.float32)[rng.integers(0, 4, (n, length))]
    return x, rng.standard_normal((n, _TARGETS)).astype(np.float32)


def _timed(work: Callable[[], Any], seconds: float) -> float:
    """Return the median seconds of a call, after one that is not counted."""
    work()
    taken: list[float] = []
    while sum(taken) < seconds or len(taken) < 2:
        start = time.perf_counter()
        work()
        taken.append(time.perf_counter() - start)
    return statistics.median(taken)


MEASURES = {"train": train, "student": student, "ensemble": ensemble}

if __name__ == "__main__":
    main()
