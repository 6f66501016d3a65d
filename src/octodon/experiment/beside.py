"""What stands beside the student of a run: k-mer ridge and ensemble, scored and kept sequence by sequence."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from octodon.artifact.bundle import load
from octodon.atomic import settled
from octodon.baselines.kmer_ridge import KmerRidge, fit_kmer_ridge
from octodon.data.examples import Examples
from octodon.ensemble.ensemble import Ensemble
from octodon.experiment.finished import load_examples
from octodon.experiment.folder import write_parquet
from octodon.metrics.evaluate import evaluate_split, predictions_frame, read_metrics, write_metrics
from octodon.records import Prediction

KMER_RIDGE = "kmer_ridge"
"""Its name among the models of ``results/metrics.tsv``."""


def fit_beside(examples: Examples) -> KmerRidge:
    """Fit the k-mer ridge to what the members learn from."""
    return fit_kmer_ridge(examples.subset("train"), examples.subset("valid"))


def score_beside(ridge: KmerRidge, rows: Examples, split: str) -> tuple[pd.DataFrame, Prediction]:
    """Return the rows of the results table of one split, model ``kmer_ridge``, and its prediction."""
    said = ridge.predict(rows.codes, [str(name) for name in rows.ids])
    table = evaluate_split(split=split, members=None, students=[said], measured=rows.targets)
    return table.assign(model=KMER_RIDGE), said


def add_beside(run: Path) -> None:
    """Add to a finished run what runs of earlier versions did not score: the k-mer ridge, and the ensemble row by row.

    Raises
    ------
    ConfigError, DataError
        As ``prepare``.
    BundleError
        The ensemble is damaged.
    RunError
        The data are not those of the run, or a file cannot be written.
    """
    config, examples = load_examples(run)
    metrics = read_metrics(run / "results" / "metrics.tsv")
    metrics = metrics.loc[metrics["model"] != KMER_RIDGE]
    ridge = fit_beside(examples)
    tables, test = [metrics], examples.subset("test")
    for split in dict.fromkeys(metrics["split"]):
        table, said = score_beside(ridge, examples.subset(split), split)
        tables.append(table)
        if split == "test":
            write_beside(run / "results", split, test, [(KMER_RIDGE, said)])
    path = settled(run / "ensemble")
    ensemble = load(path, backbone=config.model.backbone) if path.is_dir() else None
    if isinstance(ensemble, Ensemble):
        members = ensemble.predict_members(test.codes, [str(name) for name in test.ids])
        write_beside(run / "results", "test", test, [("ensemble", members.combine())])
    write_metrics(pd.concat(tables, ignore_index=True), run / "results" / "metrics.tsv")


def write_beside(folder: Path, split: str, rows: Examples, said: Sequence[tuple[str, Prediction]]) -> None:
    """Write ``MODEL_SPLIT.parquet`` into ``folder``, with the columns of ``predictions_SPLIT.parquet``.

    Raises
    ------
    RunError
        A file cannot be written.
    """
    for model, prediction in said:
        write_parquet(predictions_frame(prediction, rows.targets), folder / f"{model}_{split}.parquet")
