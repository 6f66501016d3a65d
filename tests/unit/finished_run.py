"""The result files of a finished run, made of random numbers: what a report reads, without any training."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.special import ndtri

from octodon.metrics.curves import CURVE_LEVELS, interval_curves
from octodon.metrics.evaluate import evaluate_split, predictions_frame, write_metrics
from octodon.metrics.spread import Scored, evaluate_spread, student_spread
from octodon.metrics.strata import coverage_by_cell
from octodon.records import MemberPredictions, Prediction

TARGETS = ("Dev <1>", "Hk & co")  # names that must be escaped

CONFIG = """\
preset = "default"
[data]
path = "table.tsv"
[model]
backbone = "deepstarr"
[ensemble]
members = 3
head = "mean"
[distill]
students = 1
head = "distilled"
[calibrate]
level = 0.9
"""


def write_run(
    folder: Path, *, n: int = 120, seed: int = 0, skill: float = 1.0, spoil: Callable[..., None] | None = None
) -> Path:
    """Write the files of a run whose student's error has std ``1 / skill`` beside a signal of std 1.

    ``spoil(measured, members, student, ridge)`` may write into their arrays before they are scored.
    """
    rng = np.random.default_rng(seed)
    truth_rng = np.random.default_rng(99)  # two runs of different seed share their sequences
    measured = truth_rng.normal(size=(n, 2))
    ids = np.array([f"chr1:{i}" for i in range(n)])
    error = 0.5 / skill
    members = MemberPredictions(
        ids=ids, target_names=TARGETS, mean=measured + rng.normal(0, error, (3, n, 2)), aleatoric_std=None
    )
    ensemble = members.combine()
    assert ensemble.epistemic_std is not None
    student = Prediction(
        ids=ids,
        target_names=TARGETS,
        mean=ensemble.mean + rng.normal(0, 0.05, (n, 2)),
        epistemic_std=ensemble.epistemic_std * np.exp(rng.normal(0, 0.1, (n, 2))),
    )
    ridge = Prediction(ids=ids, target_names=TARGETS, mean=measured + rng.normal(0, 2.0, (n, 2)))
    if spoil is not None:
        spoil(measured, members, student, ridge)
    _write_tables(folder, measured, members, student, ridge)
    (folder / "config.toml").write_text(CONFIG)
    (folder / "data.json").write_text(json.dumps(_data(n)))
    for name, network, count in (("ensemble", "member", 3), ("student", "student", 1)):
        (folder / name).mkdir()
        _history(network, count).to_parquet(folder / name / "history.parquet")
    made = {"octodon": "0.1.0", "created": "2026-01-31T00:00:00"}
    (folder / "student" / "provenance.json").write_text(json.dumps(made))
    (folder / "results" / "complete.json").write_text('{"seconds": 120.0}')
    return folder


def _write_tables(
    folder: Path, measured: np.ndarray, members: MemberPredictions, student: Prediction, ridge: Prediction
) -> None:
    results = folder / "results"
    results.mkdir(parents=True)
    levels = [_interval(student, level) for level in CURVE_LEVELS]
    at_nine = next(one for one in levels if one.level == 0.9)
    ensemble = members.combine()
    table = evaluate_split(split="test", members=members, students=[student], measured=measured)
    beside = evaluate_split(split="test", members=None, students=[ridge], measured=measured)
    scored = Scored(model="student", index=0, prediction=student, calibrated=levels)
    spread = evaluate_spread([scored], split="test", measured=measured)
    sizes = student_spread([student], ensemble, split="test")
    tables = [table, beside.assign(model="kmer_ridge"), spread, sizes]
    write_metrics(pd.concat(tables, ignore_index=True), results / "metrics.tsv")
    predictions_frame(at_nine, measured).to_parquet(results / "predictions_test.parquet")
    predictions_frame(ensemble, measured).to_parquet(results / "ensemble_test.parquet")
    predictions_frame(ridge, measured).to_parquet(results / "kmer_ridge_test.parquet")
    interval_curves([scored], measured).to_csv(results / "intervals_test.tsv", sep="\t", index=False)
    half = np.where(np.arange(len(measured)) % 2 == 0, "40-50 %", "50-60 %").astype(object)
    cells = coverage_by_cell([("student", 0, at_nine)], measured, {"GC content": half}, split="test")
    cells.to_csv(results / "coverage.tsv", sep="\t", index=False)


def _interval(student: Prediction, level: float) -> Prediction:
    reach = ndtri((1 + level) / 2) * 0.3
    return replace(
        student,
        calibrated_std=np.full_like(student.mean, 0.3),
        lower=student.mean - reach,
        upper=student.mean + reach,
        level=level,
        interval="split, level, one measurement",
    )


def _data(n: int) -> dict[str, object]:
    agreement = {
        "n_rows": n,
        "n_replicates": 3.0,
        "pearson": 0.9,
        "reliability": 0.96,
        "ceiling_pearson": 0.98,
    }
    return {
        "rows": 10 * n,
        "length_bp": 50,
        "targets": list(TARGETS),
        "units": "log2(RNA/DNA)",
        "splits": {"train": 8 * n, "valid": n, "test": n},
        "dropped": {"no sequence": 2},
        "sha256": {"codes": "ab" * 32, "targets": "cd" * 32, "replicates": None, "ids": "ef" * 32},
        "teachers": None,
        "audit": {
            "leaks": {"n_groups": 0, "n_rows": 0, "between": {}, "first": [], "n_redundant": 0},
            "missing": dict.fromkeys(TARGETS, 0),
            "agreement": [agreement | {"target": t, "split": "test"} for t in TARGETS],
            "n_duplicates": 1,
            "n_reverse_complements": 2,
            "n_partners": 0,
            "n_repeated_ids": 0,
            "rows_with_n": 0,
            "n_fraction": 0.0,
            "constant_flanks_bp": [0, 0],
        },
    }


def _history(network: str, count: int) -> pd.DataFrame:
    rows = [
        (network, index, epoch, 2.0 / epoch, 1.5 / epoch + 0.02 * (epoch - 4) ** 2, 0.003)
        for index in range(count)
        for epoch in range(1, 7)
    ]
    return pd.DataFrame(
        rows, columns=["network", "index", "epoch", "train_loss", "valid_loss", "learning_rate"]
    )
