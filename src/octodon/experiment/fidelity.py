"""The fidelity card: how well a student stands for teachers that were given, how much faster it is, and where they disagree."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy import ndarray

from octodon.atomic import write_json, write_text
from octodon.data.examples import Examples
from octodon.distillation.student import Student
from octodon.distillation.teachers import Teachers, align
from octodon.ensemble.execution import Execution
from octodon.metrics.pearson import correlation
from octodon.predict.predictor import Predictor
from octodon.records import MemberPredictions, Prediction
from octodon.seeds import derive_seed
from octodon.seq.codes import decode

MOST_ROWS = 5000
"""More test rows say nothing new. Drawn of all, since a table may be sorted by activity: its first rows would all be alike."""
_WORST = 5
_SHARES = (0.0, 1 / 3, 2 / 3, 1.0)


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """Student against teachers on some rows of one target; NaN where r is not defined.

    Attributes
    ----------
    target, rows_are : str
        Which target, and which rows: "all", or a third of them.
    rows : int
    mean_pearson, std_pearson : float
        Of activity, and of epistemic std.
    rmse : float
        Root mean squared difference of the means, in the units of the targets.
    share : float
        That as a share of the spread (std) of the teachers' means on all rows.
    std_ratio : float
        Mean epistemic std of the student over that of the teachers: below 1, it is surer than they are.
    """

    target: str
    rows_are: str
    rows: int
    mean_pearson: float
    std_pearson: float
    rmse: float
    share: float
    std_ratio: float


@dataclass(frozen=True, kw_only=True)
class Disagreement:
    """A sequence of which student and teachers say different things.

    ``in_std`` = difference over the teachers' std; NaN where they all say the same.
    """

    target: str
    id: str
    teachers_mean: float
    student_mean: float
    teachers_std: float
    in_std: float
    sequence: str


@dataclass(frozen=True, kw_only=True)
class Fidelity:
    """The card.

    Attributes
    ----------
    split : str
    split_rows : int
        Of the split; the card is of at most 5,000 of them, drawn at random.
    members : int
    units : str
    teachers_per_second, student_per_second : float or None
        Sequences; None for teachers that are a table.
    agreement : tuple of Agreement
    worst : tuple of Disagreement
        The largest differences of each target.
    """

    split: str
    split_rows: int
    members: int
    units: str
    teachers_per_second: float | None
    student_per_second: float
    agreement: tuple[Agreement, ...]
    worst: tuple[Disagreement, ...]


def fidelity(
    teachers: Teachers | MemberPredictions,
    student: Predictor,
    rows: Examples,
    *,
    split: str = "test",
    device: str = "auto",
) -> Fidelity:
    """Return the card of a student on rows that it was not trained on; both are asked on the same device, in turn.

    Of a student the mean and stds are asked for: its interval and its out-of-distribution score are what teachers do not give.
    """
    n_all = len(rows)
    rows = rows.take(_drawn(n_all))
    members, teachers_s = _timed_teachers(teachers, rows, device)
    if isinstance(student, Student):
        student = replace(student, detector=None, calibration=None)
    student.predict(rows.codes, device=device)  # what is built once, and for so many rows, is not timed
    start = time.perf_counter()
    said = student.predict(rows.codes, [str(name) for name in rows.ids], device=device)
    student_s = time.perf_counter() - start
    given = members.combine()
    gc = np.isin(rows.codes, (1, 2)).mean(axis=1)
    agreement, worst = [], []
    for k in range(len(rows.target_names)):
        agreement += _agreement(given, said, k, gc)
        worst += _worst(given, said, k, decode(rows.codes))
    return Fidelity(
        split=split,
        split_rows=n_all,
        members=members.n_members,
        units=rows.units,
        teachers_per_second=None if teachers_s is None else len(rows) / teachers_s,
        student_per_second=len(rows) / student_s,
        agreement=tuple(agreement),
        worst=tuple(worst),
    )


def _drawn(n_rows: int) -> Int[ndarray, " k"]:
    """Return which rows the card is of, in their order; the same ones of every split of one size."""
    if n_rows <= MOST_ROWS:
        return np.arange(n_rows)
    rng = np.random.default_rng(derive_seed(0, "fidelity rows"))
    return np.sort(rng.choice(n_rows, MOST_ROWS, replace=False))


def _timed_teachers(
    teachers: Teachers | MemberPredictions, rows: Examples, device: str
) -> tuple[MemberPredictions, float | None]:
    """Return what they say, and how many seconds it took networks to say it."""
    if isinstance(teachers, MemberPredictions):
        return align(teachers, [str(name) for name in rows.ids]), None
    execution = Execution(device=device)
    teachers.predict_members(rows.codes, execution=execution)
    start = time.perf_counter()
    members = teachers.predict_members(rows.codes, [str(name) for name in rows.ids], execution)
    return members, time.perf_counter() - start


def write_fidelity(card: Fidelity, folder: Path) -> Path:
    """Write ``fidelity.md`` and then ``fidelity.json``, by which the card is known to be there; return the former."""
    plain = asdict(card)
    for row in (*plain["agreement"], *plain["worst"]):
        row |= {name: None for name, value in row.items() if value != value}  # NaN is no JSON
    write_text(folder / "fidelity.md", as_markdown(card))
    write_json(folder / "fidelity.json", plain)
    return folder / "fidelity.md"


def as_markdown(card: Fidelity) -> str:
    """Return the card for people."""
    whole = [row for row in card.agreement if row.rows_are == "all"]
    lines = [
        f"# Fidelity of the student to {card.members} given networks",
        "",
        f"On {_rows(card, whole[0].rows)} sequences of the split {card.split!r}, which the student was not trained on. {_speed(card)}",
        "",
        "r is Pearson's. The difference of the means is the root mean square, as a share of the spread of the teachers' means. The "
        "ratio compares mean epistemic stds: below 1, the student is surer than the teachers.",
        "",
        "| target | r of the mean | r of the epistemic std | difference | std ratio |",
        "|---|---|---|---|---|",
        *(f"| {row.target} | {_cells(row)} |" for row in whole),
        "",
        "## Where they disagree",
        "",
        "| target | thirds of the sequences | rows | r of the mean | r of the epistemic std | difference | std ratio |",
        "|---|---|---|---|---|---|---|",
        *(
            f"| {row.target} | {row.rows_are} | {row.rows:,} | {_cells(row)} |"
            for row in card.agreement
            if row.rows_are != "all"
        ),
        "",
        f"The {_WORST} largest differences of each target, in {card.units}:",
        "",
        "| target | sequence | teachers (mean, std) | student | difference / std |",
        "|---|---|---|---|---|",
        *(
            f"| {row.target} | {_plain(row.id)} | {row.teachers_mean:.3g}, {row.teachers_std:.2g} | {row.student_mean:.3g} | "
            f"{'-' if row.in_std != row.in_std else f'{row.in_std:+.1f}'} |"
            for row in card.worst
        ),
        "",
    ]
    return "\n".join(lines)


def _agreement(given: Prediction, said: Prediction, k: int, gc: Float[ndarray, " n"]) -> list[Agreement]:
    spread = float(np.std(given.mean[:, k], correction=0)) or 1.0
    groups: list[tuple[str, Bool[ndarray, " n"]]] = [("all", np.ones(len(gc), dtype=bool))]
    groups += _thirds("teachers' activity", given.mean[:, k])
    if given.epistemic_std is not None:
        groups += _thirds("teachers' std", given.epistemic_std[:, k])
    groups += _thirds("GC content", gc)
    return [_of_rows(given, said, k, name, rows, spread) for name, rows in groups if rows.sum() > 1]


def _of_rows(
    given: Prediction, said: Prediction, k: int, name: str, rows: Bool[ndarray, " n"], spread: float
) -> Agreement:
    theirs, ours = given.mean[rows, k], said.mean[rows, k].astype(np.float64)
    std_pearson = std_ratio = float("nan")
    if given.epistemic_std is not None and said.epistemic_std is not None:
        their_std, our_std = given.epistemic_std[rows, k], said.epistemic_std[rows, k].astype(np.float64)
        std_pearson = correlation(our_std, their_std)
        std_ratio = float(our_std.mean() / their_std.mean()) if their_std.mean() > 0 else float("nan")
    rmse = float(np.sqrt(np.mean(np.square(ours - theirs))))
    return Agreement(
        target=given.target_names[k], rows_are=name, rows=int(rows.sum()), mean_pearson=correlation(ours, theirs),
        std_pearson=std_pearson, rmse=rmse, share=rmse / spread, std_ratio=std_ratio,
    )  # fmt: skip


def _thirds(name: str, values: Float[ndarray, " n"]) -> list[tuple[str, Bool[ndarray, " n"]]]:
    """Return the rows of the lowest, middle and highest third."""
    edges = np.quantile(values, _SHARES)
    words = (f"lowest {name}", f"middle {name}", f"highest {name}")
    places = np.searchsorted(edges[1:-1], values, side="right")
    return [(word, places == number) for number, word in enumerate(words)]


def _worst(given: Prediction, said: Prediction, k: int, sequences: list[str]) -> list[Disagreement]:
    difference = said.mean[:, k] - given.mean[:, k]
    stds = np.zeros(len(difference)) if given.epistemic_std is None else given.epistemic_std[:, k]
    chosen = np.argsort(-np.abs(difference), kind="stable")[:_WORST]
    return [
        Disagreement(
            target=given.target_names[k],
            id=str(given.ids[row]),
            teachers_mean=float(given.mean[row, k]),
            student_mean=float(said.mean[row, k]),
            teachers_std=float(stds[row]),
            in_std=float(difference[row] / stds[row]) if stds[row] > 0 else float("nan"),
            sequence=sequences[row],
        )
        for row in chosen
    ]


def _speed(card: Fidelity) -> str:
    if card.teachers_per_second is None:
        return f"The student answers for {card.student_per_second:,.0f} sequences a second; the teachers are a table."
    times = card.student_per_second / card.teachers_per_second
    return (
        f"The student answers for {card.student_per_second:,.0f} sequences a second (mean and stds), the teachers together for "
        f"{card.teachers_per_second:,.0f}: {times:.1f} times as fast here."
    )


def _rows(card: Fidelity, used: int) -> str:
    return f"{used:,}" if used == card.split_rows else f"{used:,} drawn of {card.split_rows:,}"


def _cells(row: Agreement) -> str:
    return f"{row.mean_pearson:.3f} | {row.std_pearson:.3f} | {row.share:.2f} | {row.std_ratio:.2f}"


def _plain(text: str) -> str:
    return text.replace("|", "\\|")
