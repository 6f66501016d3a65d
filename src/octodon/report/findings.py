"""What the poster found, asked of our numbers: a comparison of models with each other, which holds or does not at any size."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from octodon.report.style import rows_where
from octodon.report.verdict.thresholds import KEPT_PASS, SMALLEST_GAIN

_DEEPSTARR, _LENTIMPRA = ("Dev", "Hk"), ("K562", "HepG2")
_Asked = Callable[[pd.DataFrame], Iterator["Claim"]]


@dataclass(frozen=True, kw_only=True)
class Claim:
    """One finding, for one target.

    Attributes
    ----------
    text : str
    target : str
    holds : bool
    ours, published : str
        The numbers it rests on; "-" where none is published.
    is_published : bool
        Whether it was found for this target, in numbers or in words; else it is asked here alone.
    """

    text: str
    target: str
    holds: bool
    ours: str
    published: str
    is_published: bool = True


def claims(table: pd.DataFrame, published_as: Mapping[str, str]) -> list[Claim]:
    """Return every finding that the numbers of a reproduction can confirm or not, also of targets it was not published for.

    Parameters
    ----------
    table : DataFrame
        Of ``octodon.report.published.against_published``.
    published_as : mapping of str to str
        Ours to published names of targets.
    """
    found: list[Claim] = []
    for target in dict.fromkeys(table["target"]):
        part = table.loc[table["target"] == target]
        for asked, known, words in _findings():
            is_published = published_as.get(target) in known
            for claim in asked(part):
                said = claim.published if claim.published != "-" or not is_published else words
                found.append(replace(claim, published=said, is_published=is_published))
    order = list(dict.fromkeys(claim.text for claim in found))
    return sorted(found, key=lambda claim: order.index(claim.text))


def _findings() -> list[tuple[_Asked, tuple[str, ...], str]]:
    """Return what is asked, the targets it was published for, and in which words where that is without numbers."""
    return [
        (_accuracy, _DEEPSTARR, "-"),
        (_epistemic, (*_DEEPSTARR, *_LENTIMPRA), "-"),
        (_shift, _DEEPSTARR, "-"),
        (_likeness, (*_DEEPSTARR, *_LENTIMPRA), "-"),
        (_variability, (*_DEEPSTARR, "K562"), "lower for each of 1,000 sequences (figure)"),
        (_intervals, _LENTIMPRA, "stated, without numbers"),
    ]


def _accuracy(part: pd.DataFrame) -> Iterator[Claim]:
    """Yield: the student beats a single network at every amount of data, and keeps most of what the ensemble gains."""
    rows = rows_where(part, panel="performance", quantity="activity", metric="pearson")
    both = rows.pivot_table(index="condition", columns="model", values="ours", sort=False)
    if not {"individual", "student"} <= set(both.columns):
        return
    better = int(np.sum(both["student"].to_numpy() > both["individual"].to_numpy()))
    yield Claim(
        target=_target(part),
        text="The student predicts activity better than a single network, with little data and much",
        holds=better == len(both),
        ours=f"at {better} of {len(both)} amounts of data; with the most of it "
        + _pair(rows, "student", "individual", "ours", ".3f"),
        published=_pair(rows, "student", "individual", "published", ".3f"),
    )
    kept = _kept(rows, "ours")
    if math.isnan(kept):  # no ensemble, or one that gains nothing
        return
    yield Claim(
        target=_target(part),
        text="It keeps most of what the ensemble gains",
        holds=kept >= KEPT_PASS,
        ours=_percent(kept),
        published=_percent(_kept(rows, "published")),
    )


def _kept(rows: pd.DataFrame, column: str) -> float:
    last = _last(rows)
    student, individual, ensemble = (
        _value(last, column, model=model) for model in ("student", "individual", "ensemble")
    )
    gain = ensemble - individual
    return (student - individual) / gain if gain >= SMALLEST_GAIN else math.nan


def _epistemic(part: pd.DataFrame) -> Iterator[Claim]:
    """Yield: the student learns the ensemble's spread, the better the more data there are."""
    rows = rows_where(part, panel="performance", quantity="epistemic", metric="pearson", model="student")
    if len(rows) < 2:
        return
    text = {}
    for column in ("ours", "published"):
        first, last = float(rows[column].iloc[0]), float(rows[column].iloc[-1])
        text[column] = "-" if math.isnan(last) else f"r {first:.3f} to {last:.3f}"
    yield Claim(
        target=_target(part),
        text="It knows the ensemble's spread, the better the more data it learns from",
        holds=float(rows["ours"].iloc[-1]) > max(0.0, float(rows["ours"].iloc[0])),
        **text,
    )


def _shift(part: pd.DataFrame) -> Iterator[Claim]:
    """Yield: on shifted sequences the student is nearer to the ensemble than a single network is."""
    rows = rows_where(part, panel="shift")
    rows = rows.loc[rows["condition"] != "none"]
    ratios = {
        column: rows_where(rows, model="student").set_index("condition")[column]
        / rows_where(rows, model="individual").set_index("condition")[column]
        for column in ("ours", "published")
    }
    if ratios["ours"].empty:
        return
    ratios["published"] = ratios["published"].dropna()
    said = {
        column: ", ".join(f"{value:.2f} ({name})" for name, value in ratio.items()) or "-"
        for column, ratio in ratios.items()
    }
    yield Claim(
        target=_target(part),
        text="On shifted sequences its squared error to the ensemble is a fraction of a single network's",
        holds=bool((ratios["ours"] < 1).all()),
        ours=said["ours"],
        published=said["published"],
    )


def _likeness(part: pd.DataFrame) -> Iterator[Claim]:
    """Yield: maps of students are more like the ensemble's map."""
    for claim in _maps(part, "rmse", "Its attribution maps are nearer to the ensemble's (RMSE)"):
        cosine = rows_where(
            part, panel="attribution", quantity="cosine (leave-one-out)", metric=_metric_of(part, "rmse")
        )
        if cosine.empty:
            yield claim
            continue
        # Small maps are near to each other whatever they show; a cosine does not know their size. And a network is
        # nearer to an ensemble that it is part of: it is compared with the others.
        beside = f"; cosine, leave-one-out, {_pair(cosine, 'student', 'individual', 'ours', '.3f')}"
        yield replace(claim, ours=claim.ours + beside)


def _variability(part: pd.DataFrame) -> Iterator[Claim]:
    """Yield: maps vary less from student to student."""
    return _maps(
        part, "variability", "Attribution maps vary less from student to student than from network to network"
    )


def _maps(part: pd.DataFrame, quantity: str, text: str) -> Iterator[Claim]:
    """Yield the claim that a measure of maps is lower for students."""
    rows = rows_where(part, panel="attribution", quantity=quantity)
    if rows.empty:
        return
    rows = rows_where(rows, metric=_metric_of(part, quantity))
    student, individual = (_value(rows, "ours", model=model) for model in ("student", "individual"))
    yield Claim(
        target=_target(part),
        text=text,
        holds=student < individual,
        ours=_pair(rows, "student", "individual", "ours", ".3g"),
        published=_pair(rows, "student", "individual", "published", ".3g"),
    )


def _metric_of(part: pd.DataFrame, quantity: str) -> str:
    """Return by which average maps are compared: the mean, unless the median alone is published."""
    rows = rows_where(part, panel="attribution", quantity=quantity)
    known = rows.loc[rows["published"].notna(), "metric"]
    return "mean" if known.empty or "mean" in set(known) else str(known.iloc[0])


def _intervals(part: pd.DataFrame) -> Iterator[Claim]:
    """Yield: both kinds of uncertainty together cover more than either alone."""
    rows = rows_where(part, panel="calibration", metric="coverage")
    covered = {str(q): float(v) for q, v in rows[["quantity", "ours"]].to_numpy()}
    if not {"total", "aleatoric", "epistemic"} <= covered.keys():
        return
    alone = max(covered["aleatoric"], covered["epistemic"])
    yield Claim(
        target=_target(part),
        text="Intervals of both uncertainties together cover more than those of either (95 % intervals)",
        holds=covered["total"] > alone,
        ours=f"{covered['total']:.0%} against {covered['aleatoric']:.0%} (aleatoric), {covered['epistemic']:.0%} (epistemic)",
        published="-",
    )


def _target(part: pd.DataFrame) -> str:
    return str(part["target"].iloc[0])


def _last(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of the largest share of the training set."""
    return rows.loc[rows["condition"] == rows["condition"].iloc[-1]]


def _value(rows: pd.DataFrame, column: str, **values: object) -> float:
    found = rows_where(rows, **values)[column].to_numpy(np.float64)
    return float(found[0]) if len(found) else math.nan


def _pair(rows: pd.DataFrame, model: str, other: str, column: str, how: str) -> str:
    if rows["panel"].iloc[0] == "performance":
        rows = _last(rows)
    a, b = (_value(rows, column, model=name) for name in (model, other))
    return "-" if math.isnan(a) or math.isnan(b) else f"{a:{how}} against {b:{how}}"


def _percent(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.0%}"
