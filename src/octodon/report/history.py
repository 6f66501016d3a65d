"""How the training of every member and student went."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from octodon.errors import DataError
from octodon.report.style import BLUE, GREEN, ORANGE, log_scale, panels, rows_where, save_figure, styled

COLUMNS = ("network", "index", "epoch", "train_loss", "valid_loss", "learning_rate")


def history_figure(history: pd.DataFrame, out: Path) -> None:
    """Draw training and validation loss and the learning rate of every network, members beside students.

    Each network is one thin line; a dot marks the epoch whose weights are kept (lowest validation loss).
    Losses of members and students are different quantities (other labels, other heads), hence separate
    scales.

    Parameters
    ----------
    history : DataFrame
        One row per network and epoch: network ("member" or "student"), index, epoch, train_loss, valid_loss,
        learning_rate; further columns are ignored.
    out : Path
        .svg or .png.

    Raises
    ------
    DataError
        A column is missing or there is no row.
    """
    missing = [name for name in COLUMNS if name not in history.columns]
    if missing or history.empty:
        raise DataError(
            f"history figure: {len(history)} rows, no column {missing}; expected {', '.join(COLUMNS)}; "
            "give the history of at least one network"
        )
    networks = list(dict.fromkeys(history["network"]))
    with styled():
        figure, grid = panels(2, len(networks), size=(4.2, 2.2), height_ratios=(3.0, 1.0))
        for column, network in enumerate(networks):
            part = rows_where(history, network=network)
            losses, rate = grid[0][column], grid[1][column]
            draw_losses(losses, part)
            _rates(rate, part)
            n = len(set(part["index"]))
            losses.set_title(f"{n} {network}{'s' if n > 1 else ''}")
            losses.sharex(rate)
            losses.tick_params(labelbottom=False)
            rate.xaxis.set_major_locator(MaxNLocator(integer=True))
            rate.set_xlabel("epoch")
        grid[0][0].set_ylabel("loss (as optimised)")
        grid[1][0].set_ylabel("learning rate")
        figure.legend(handles=_legend(), loc="outside lower center", ncols=3)
        save_figure(figure, out)


def draw_losses(axes: Axes, part: pd.DataFrame) -> None:
    """Draw the losses of networks of one kind along their epochs, a dot where the kept weights are from."""
    for _, network in part.groupby("index", sort=True):
        axes.plot(network["epoch"], network["train_loss"], color=ORANGE, linewidth=0.9, alpha=0.7)
        axes.plot(network["epoch"], network["valid_loss"], color=BLUE, linewidth=0.9, alpha=0.8)
        valid = network["valid_loss"].to_numpy(np.float64)
        if np.isfinite(valid).any():
            best = network.iloc[int(np.nanargmin(valid))]
            axes.plot(best["epoch"], best["valid_loss"], "o", color=BLUE, markersize=4, zorder=3)
    values = part[["train_loss", "valid_loss"]].to_numpy(np.float64)
    values = values[np.isfinite(values)]
    # A likelihood may be negative, and a narrow range is easier to read without logarithms.
    if len(values) and values.min() > 0 and values.max() / values.min() > 10:
        log_scale(axes)
    axes.grid(axis="y")


def _rates(axes: Axes, part: pd.DataFrame) -> None:
    for _, network in part.groupby("index", sort=True):
        axes.step(
            network["epoch"], network["learning_rate"], where="mid", color=GREEN, linewidth=0.9, alpha=0.7
        )
    log_scale(axes)
    rates = np.unique(part["learning_rate"].to_numpy(np.float64))
    if len(rates) <= 4:
        axes.set_yticks(rates)
    axes.grid(axis="y")


def _legend() -> list[Line2D]:
    return [
        Line2D([], [], color=ORANGE, label="training"),
        Line2D([], [], color=BLUE, label="validation"),
        Line2D([], [], color=BLUE, marker="o", linestyle="none", markersize=4, label="kept weights"),
    ]
