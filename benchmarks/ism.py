"""How fast saturation mutagenesis is: octodon, tangermeme and the naive loop, on DeepSTARR at 249 bp with ten members.

    python benchmarks/ism.py [--sequences 64] [--members 10] [--repeats 3] [--out benchmarks/results/ism]

Every way is timed alone, the ways in turn, and the best of the repeats counts. Times are per sequence and member (747 mutants);
tangermeme has no ensembles, so it and the naive loop run the first member. tangermeme by default decides by itself whether
to take its fast path (only where it expects more than 30 s of work); "fast" makes it take it always. CPU seconds are those
of the process: on a busy machine they say more than the wall clock.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from machine import describe

from octodon.attribution.attribute import attribute
from octodon.attribution.fast_ism.reader import mutants_of
from octodon.ensemble.ensemble import Ensemble
from octodon.ensemble.network import FittedNetwork
from octodon.models.model import Model, ModelConfig, build_model
from octodon.seq.codes import random_codes
from octodon.seq.onehot import one_hot

LENGTH = 249


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sequences", type=int, default=64)
    parser.add_argument("--members", type=int, default=10)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, help="where to write .md and .json")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    model = ModelConfig(backbone="deepstarr", length=LENGTH, n_targets=2)
    ensemble = make_ensemble(model, arguments.members)
    codes = random_codes((arguments.sequences, LENGTH), np.random.default_rng(0))
    rows = compare(ensemble, codes, arguments.repeats)
    naive, theirs = (
        next(row for row in rows if row["way"].startswith(name)) for name in ("naive", "tangermeme, as")
    )
    for row in rows:
        row["times_naive"] = naive["cpu_ms"] / row["cpu_ms"]
        row["times_tangermeme"] = theirs["cpu_ms"] / row["cpu_ms"]
    text = table(rows, arguments)
    sys.stdout.write(text)
    if arguments.out:
        arguments.out.with_suffix(".md").write_text(text)
        content = {"machine": describe(), "threads": arguments.threads, "rows": rows}
        arguments.out.with_suffix(".json").write_text(json.dumps(content, indent=2) + "\n")


def make_ensemble(model: ModelConfig, members: int) -> Ensemble:
    """Untrained members: weights change no time. BatchNorm has seen data, so that activations are as they would be."""
    fitted = []
    for index in range(members):
        network = build_model(model, index)
        rng = np.random.default_rng(index)
        with torch.no_grad():
            for _ in range(50):
                network(one_hot(torch.from_numpy(random_codes((16, LENGTH), rng))))
        fitted.append(FittedNetwork(index=index, attempt=0, seed=0, weights=network.state_dict(), history=[]))
    return Ensemble(model=model, target_names=("a", "b"), units="log2", members=tuple(fitted))


def compare(ensemble: Ensemble, codes: np.ndarray, repeats: int) -> list[dict[str, Any]]:
    network = ensemble.network(0)
    few = codes[: max(1, len(codes) // 8)]
    m = len(ensemble.members)
    ways: dict[str, tuple[Callable[[], Any], int]] = {
        "naive: a sequence's 747 mutants, one pass": (lambda: naive(network, few, 747), len(few)),
        "naive, in batches of 128": (lambda: naive(network, few, 128), len(few)),
        "tangermeme, as it is (batch 32)": (lambda: tangermeme(network, few), len(few)),
        "tangermeme, as it is, batch 128": (lambda: tangermeme(network, few, 128), len(few)),
        "tangermeme, its fast path, batch 128": (
            lambda: tangermeme(network, codes, 128, always_fast=True),
            len(codes),
        ),
        f"octodon, {m} members at once": (lambda: ours(ensemble, codes), len(codes) * m),
        "octodon, one member": (lambda: ours(ensemble, codes, 0), len(codes)),
    }
    best: dict[str, dict[str, Any]] = {}
    for _ in range(repeats):
        for name, (run, count) in ways.items():
            wall, cpu = time.perf_counter(), time.process_time()
            result = run()
            wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
            row = best.setdefault(name, {"way": name, "wall_ms": np.inf, "cpu_ms": np.inf, "maps": result})
            row["wall_ms"] = min(row["wall_ms"], 1000 * wall / count)
            row["cpu_ms"] = min(row["cpu_ms"], 1000 * cpu / count)
    reference = best["naive, in batches of 128"]["maps"]
    for row in best.values():
        row["largest_difference"] = float(np.abs(row.pop("maps")[: len(few)] - reference).max())
    return list(best.values())


def naive(network: Model, codes: np.ndarray, batch: int) -> np.ndarray:
    """Each sequence's mutants through the network as trained."""
    maps = []
    with torch.no_grad():
        for row in one_hot(torch.from_numpy(codes)):
            mutants = mutants_of(row)
            changed = mutants.argmax(1) != row.argmax(0)
            rows = changed.any(1).nonzero()[:, 0]
            told = network.read(row[None]).mean[0, 0].repeat(len(mutants))
            told[rows] = torch.cat([network.read(mutants[some]).mean[:, 0] for some in rows.split(batch)])
            told = told.view(-1, 4).T
            maps.append((told - told.mean(0)).numpy())
    return np.stack(maps)


def tangermeme(network: Model, codes: np.ndarray, batch: int = 32, always_fast: bool = False) -> np.ndarray:
    from tangermeme import saturation_mutagenesis as module

    x = one_hot(torch.from_numpy(codes)).contiguous()
    before = module._FAST_MIN_SECONDS
    module._FAST_MIN_SECONDS = 0 if always_fast else before
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = module.saturation_mutagenesis(
                _Activity(network).eval(), x, batch_size=batch, target=0, hypothetical=True, device="cpu"
            )
    finally:
        module._FAST_MIN_SECONDS = before
    assert isinstance(found, torch.Tensor)
    return found.numpy()


class _Activity(torch.nn.Module):
    def __init__(self, network: Model) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.network(x)[:, 0]


def ours(ensemble: Ensemble, codes: np.ndarray, member: int | None = None) -> np.ndarray:
    found = attribute(ensemble, codes, method="ism", target=0, member=member, device="cpu")
    return found.maps if found.member_maps is None else found.member_maps[0]


def table(rows: list[dict[str, Any]], arguments: argparse.Namespace) -> str:
    lines = [
        f"# Saturation mutagenesis, DeepSTARR, {LENGTH} bp",
        "",
        f"{describe()}, {arguments.threads} thread(s). `python benchmarks/ism.py`. {arguments.sequences} sequences, best of "
        f"{arguments.repeats}; milliseconds per sequence and member; ratios of CPU time.",
        "",
        "| way | wall ms | CPU ms | times the naive loop | times tangermeme as it is | largest difference to naive |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    lines += [
        f"| {row['way']} | {row['wall_ms']:.1f} | {row['cpu_ms']:.1f} | {row['times_naive']:.1f} | "
        f"{row['times_tangermeme']:.1f} | {row['largest_difference']:.1e} |"
        for row in rows
    ]
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    main()
