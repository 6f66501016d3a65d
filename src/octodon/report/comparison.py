"""Two finished runs on the sequences that both were tested on: every score of either, and how sure the difference is."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Float64
from numpy import ndarray

from octodon.errors import ConfigError, DataError
from octodon.metrics.bootstrap import (
    Difference,
    mean_difference,
    pearson_difference,
    spearman_difference,
    squared_error_difference,
)
from octodon.metrics.mse import mse
from octodon.metrics.pearson import pearson
from octodon.metrics.spearman import spearman
from octodon.metrics.summary import plain_table
from octodon.report.facts import metric_of
from octodon.report.results import RunResults, read_results
from octodon.report.style import as_percent

Row = Float64[ndarray, " n"]
COMPARED = ("target", "model", "metric", "a", "b", "difference", "low", "high", "better")

_ACCURACY: tuple[tuple[str, Callable[..., ndarray], Callable[..., Difference]], ...] = (
    ("pearson", pearson, pearson_difference),
    ("spearman", spearman, spearman_difference),
    ("mse", mse, squared_error_difference),
)
_LOWER_IS_BETTER = ("mse", "nll")
# Coverage is best at its level and a width is good only beside its coverage: of these nobody is called better.
_NEITHER_WAY = ("coverage", "width")
# Measured values were written as float32: what differs by more was not read from the same table.
_SAME = {"rtol": 1e-4, "atol": 1e-5}


@dataclass(frozen=True, kw_only=True, eq=False)
class Comparison:
    """Two runs side by side.

    Attributes
    ----------
    a, b : RunResults
    names : (str, str)
        How they are called in tables and figures.
    table : DataFrame
        target, model, metric; ``a``, ``b``: the score of either run on the shared sequences; ``difference``: b - a, with
        the 95 % paired bootstrap interval ``low``, ``high`` (NaN where it is not known); ``better``: name of the run that is
        better by more than that interval, "" = neither.
    rows_a, rows_b : DataFrame
        Predictions of the students kept for the shared sequences, in the same order.
    """

    a: RunResults
    b: RunResults
    names: tuple[str, str]
    table: pd.DataFrame
    rows_a: pd.DataFrame
    rows_b: pd.DataFrame

    @property
    def targets(self) -> list[str]:
        """Names of the targets, in the order of the first run."""
        return self.a.targets

    @property
    def n(self) -> int:
        """Shared test sequences."""
        return len(self.rows_a)

    @property
    def all_shared(self) -> bool:
        """Whether either test set is the other."""
        return self.n == len(self.a.predictions) == len(self.b.predictions)

    def shared_in_words(self) -> str:
        """Return how many test sequences the runs share."""
        if self.all_shared:
            return f"the {self.n:,} test sequences of both"
        return f"the {self.n:,} test sequences that both have, of {len(self.a.predictions):,} and {len(self.b.predictions):,}"

    def lines(self) -> list[str]:
        """Return the text that ``octodon compare`` prints: one table per target."""
        lines = []
        for target in self.targets:
            header = ["model, metric", *self.names, "second - first", "95 % interval", "better"]
            lines += [
                f"{target}, on {self.shared_in_words()}:",
                plain_table([header, *cells_of(self, target)]),
            ]
        return lines


def compare_runs(a: str | Path, b: str | Path, *, seed: int = 0) -> Comparison:
    """Compare two finished runs on the test sequences that both have, joined by id.

    Students are those kept (best by validation loss), ensembles the means of their members. Means over individual members
    are known for the whole test set of a run only: NaN where not all of it is shared.

    Parameters
    ----------
    a, b : path
        Folders of finished runs.
    seed : int
        Of the bootstrap.

    Raises
    ------
    RunError
        A folder holds no finished run.
    ConfigError
        Both are the same folder.
    DataError
        Targets differ, no test sequence is shared, measured values of shared sequences differ, or a result is damaged.
    """
    if Path(a).resolve() == Path(b).resolve():
        raise ConfigError(f"compare: {a} and {b} are the same folder; give two runs")
    first, second = read_results(Path(a)), read_results(Path(b))
    if set(first.targets) != set(second.targets):
        raise DataError(
            f"{b}: its targets are {', '.join(second.targets)}, those of {a} {', '.join(first.targets)}; compare runs with "
            "the same targets"
        )
    rows_a, rows_b = _shared(first.predictions, second.predictions, (str(a), str(b)))
    for target in first.targets:
        _need_same_measured(rows_a, rows_b, target, (str(a), str(b)))
    names = (Path(a).resolve().name, Path(b).resolve().name)
    if names[0] == names[1]:
        names = (str(a), str(b))
    found = Comparison(a=first, b=second, names=names, table=pd.DataFrame(), rows_a=rows_a, rows_b=rows_b)
    rows = [row for target in first.targets for row in _scores(found, target, seed)]
    return replace(found, table=pd.DataFrame(rows, columns=list(COMPARED)))


def cells_of(found: Comparison, target: str) -> list[list[str]]:
    """Return the rows of one target as text."""
    cells = []
    for row in found.table.loc[found.table["target"] == target].to_dict("records"):
        interval = "-" if np.isnan(row["low"]) else f"{_text(row['low'], '+')} to {_text(row['high'], '+')}"
        numbers = [_text(row["a"]), _text(row["b"]), _text(row["difference"], "+")]
        cells.append([f"{row['model']} {row['metric']}", *numbers, interval, row["better"] or "-"])
    return cells


def _text(value: float, sign: str = "") -> str:
    return "-" if np.isnan(value) else f"{round(value, 3) + 0.0:{sign}.3f}"  # no minus before zero


def _shared(a: pd.DataFrame, b: pd.DataFrame, names: tuple[str, str]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the rows of the ids that both have, in the order of the first."""
    indexed = [frame.set_index(frame["id"].astype(str)) for frame in (a, b)]
    for frame, name in zip(indexed, names, strict=True):
        if not frame.index.is_unique:
            again = frame.index[frame.index.duplicated()][0]
            raise DataError(
                f"{name}: the id {again!r} stands more than once among its test sequences, so it cannot be joined; run it "
                'again with data.repeated_ids = "number"'
            )
    both = indexed[0].index[indexed[0].index.isin(indexed[1].index)]
    if both.empty:
        examples = " and ".join(repr(str(frame.index[0])) for frame in indexed)
        raise DataError(
            f"{names[1]}: none of its {len(b):,} test sequences is among the {len(a):,} of {names[0]} (ids such as "
            f"{examples}); compare runs on the same table and split"
        )
    return indexed[0].loc[both], indexed[1].loc[both]


def _need_same_measured(a: pd.DataFrame, b: pd.DataFrame, target: str, names: tuple[str, str]) -> None:
    x, y = _column(a, target, "measured"), _column(b, target, "measured")
    differs = ~np.isclose(x, y, equal_nan=True, **_SAME)
    if differs.any():
        row = int(np.flatnonzero(differs)[0])
        raise DataError(
            f"{names[1]}: the measured {target} of {int(differs.sum()):,} of {len(a):,} shared sequences is not that of "
            f"{names[0]} (first {str(a.index[row])!r}: {y[row]:.4g}, {x[row]:.4g}); compare runs on the same measurements"
        )


def _scores(found: Comparison, target: str, seed: int) -> Iterator[tuple[object, ...]]:
    """Yield the rows of one target."""
    y = _column(found.rows_a, target, "measured")
    for model in ("student", "ensemble", "individual"):
        yield from _accuracy(found, target, model, y, seed)
    values = [_agreement(frame, run, target) for frame, run in _sides(found)]
    yield _row(found, target, "student", "epistemic pearson", values)
    yield from _calibration(found, target, y, seed)


def _accuracy(found: Comparison, target: str, model: str, y: Row, seed: int) -> Iterator[tuple[object, ...]]:
    if model == "individual":
        for metric, *_ in _ACCURACY:
            values = [
                metric_of(run.metrics, model, target, "activity", metric) if found.all_shared else None
                for _, run in _sides(found)
            ]
            yield _row(found, target, model, metric, values)
        return
    means = [_mean(frame, run, target, model) for frame, run in _sides(found)]
    for metric, score, difference in _ACCURACY:
        values = [None if mean is None else float(score(mean[:, None], y[:, None])[0]) for mean in means]
        a, b = means
        sure = None if a is None or b is None else difference(b, a, y, seed=seed)
        yield _row(found, target, model, metric, values, sure)


def _calibration(found: Comparison, target: str, y: Row, seed: int) -> Iterator[tuple[object, ...]]:
    """Yield likelihood, coverage and width of the calibrated students; a level that one run has not is not compared."""
    known = np.isfinite(y)
    sides = [_calibrated(frame, target, y) for frame, _ in _sides(found)]
    levels = [run.level for _, run in _sides(found)]
    a, b = sides
    likelihood = [None if one is None else one["nll"][known] for one in sides]
    yield _per_row(found, target, "nll", likelihood, seed)
    if a is None and b is None:
        return
    for level in sorted(set(levels)):
        for name in ("coverage", "width"):
            scores = [
                one[name][known] if one is not None and levels[side] == level else None
                for side, one in enumerate(sides)
            ]
            yield _per_row(found, target, f"{name}, {as_percent(level)} level", scores, seed)


def _calibrated(frame: pd.DataFrame, target: str, y: Row) -> dict[str, Row] | None:
    if f"{target}_lower" not in frame.columns:
        return None
    mean, std, lower, upper = (
        _column(frame, target, name) for name in ("mean", "calibrated_std", "lower", "upper")
    )
    with np.errstate(divide="ignore"):  # a std of zero has no likelihood
        nll = 0.5 * np.log(2 * np.pi * np.square(std)) + 0.5 * np.square((y - mean) / std)
    inside = ((y >= lower) & (y <= upper)).astype(np.float64)
    return {"nll": nll, "coverage": inside, "width": upper - lower}


def _per_row(
    found: Comparison, target: str, metric: str, scores: Sequence[Row | None], seed: int
) -> tuple[object, ...]:
    a, b = scores
    sure = None
    if a is not None and b is not None and np.isfinite(a).all() and np.isfinite(b).all():
        sure = mean_difference(b, a, seed=seed)
    values = [None if one is None else float(one.mean()) for one in scores]
    return _row(found, target, "calibrated", metric, values, sure)


def _row(
    found: Comparison,
    target: str,
    model: str,
    metric: str,
    values: Sequence[float | None],
    sure: Difference | None = None,
) -> tuple[object, ...]:
    a, b = (float("nan") if value is None else value for value in values)
    low, high = (float("nan"), float("nan")) if sure is None else (sure.low, sure.high)
    return target, model, metric, a, b, b - a, low, high, _better(found.names, metric, low, high)


def _better(names: tuple[str, str], metric: str, low: float, high: float) -> str:
    if metric.startswith(_NEITHER_WAY) or not (low > 0 or high < 0):
        return ""
    second = (low > 0) != (metric in _LOWER_IS_BETTER)
    return names[1] if second else names[0]


def _sides(found: Comparison) -> tuple[tuple[pd.DataFrame, RunResults], tuple[pd.DataFrame, RunResults]]:
    return (found.rows_a, found.a), (found.rows_b, found.b)


def _mean(frame: pd.DataFrame, run: RunResults, target: str, model: str) -> Row | None:
    if model == "student":
        return _column(frame, target, "mean")
    ensemble = _ensemble(frame, run)
    return None if ensemble is None else _column(ensemble, target, "mean")


def _agreement(frame: pd.DataFrame, run: RunResults, target: str) -> float | None:
    """Return r of the student's epistemic std with that of its own ensemble, None where one has none."""
    ensemble, name = _ensemble(frame, run), f"{target}_epistemic_std"
    if ensemble is None or name not in ensemble.columns or name not in frame.columns:
        return None
    said, taught = (_column(one, target, "epistemic_std")[:, None] for one in (frame, ensemble))
    return float(pearson(said, taught)[0])


def _ensemble(frame: pd.DataFrame, run: RunResults) -> pd.DataFrame | None:
    if run.ensemble is None:
        return None
    return run.ensemble.set_index(run.ensemble["id"].astype(str)).loc[frame.index]


def _column(frame: pd.DataFrame, target: str, name: str) -> Row:
    return frame[f"{target}_{name}"].to_numpy(np.float64)
