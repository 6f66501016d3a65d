"""A live display of all networks in training, read from the histories that they write."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from octodon.ensemble.network import CHECKPOINT, NetworkJob, read_history
from octodon.training.checkpoint import read_header


def found_before(folder: Path, role: str) -> str | None:
    """Return what an interrupted training left in ``folder``, None if nothing: "kept member 0, 1; member 2 goes on after epoch 5".

    Raises
    ------
    RunError
        A checkpoint there is damaged.
    """
    kept, going_on = [], []
    for path in sorted(folder.glob(f"{role}_*")):
        index = int(path.name.removeprefix(f"{role}_"))
        if (path / "done.json").is_file():
            kept.append(index)
        elif (path / CHECKPOINT).is_file():
            epochs = len(read_header(path / CHECKPOINT)["history"])
            going_on.append(f"{role} {index} goes on after epoch {epochs}")
    said = [f"kept {role} {', '.join(map(str, kept))}"] if kept else []
    return "; ".join(said + going_on) or None


class TrainingProgress:
    """One line per network: epoch, validation loss, best so far. Without a terminal: one line per finished network."""

    def __init__(self, jobs: Sequence[NetworkJob], enabled: bool = True) -> None:
        self.jobs = list(jobs)
        self.enabled = enabled
        self.console = Console(file=sys.stderr)
        self._tasks: dict[int, TaskID] = {}
        self._reported: set[int] = set()
        self._progress = Progress(
            TextColumn("{task.description:<12}"),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[state]}"),
            TimeElapsedColumn(),
            console=self.console,
            disable=not (enabled and self.console.is_terminal),
        )

    def __enter__(self) -> TrainingProgress:
        self._progress.start()
        self._reported = {i for i, job in enumerate(self.jobs) if job.is_done}
        return self

    def __exit__(self, *_: object) -> None:
        self.tick()
        self._progress.stop()

    def tick(self) -> None:
        """Read what the networks have written and show it."""
        if not self.enabled:
            return
        for number, job in enumerate(self.jobs):
            if number in self._reported:
                continue
            history = read_history(job.folder)
            if history:
                self._show(number, job, history)

    def _show(self, number: int, job: NetworkJob, history: list[dict[str, Any]]) -> None:
        name = f"{job.role} {job.index}"
        history = [record for record in history if record["attempt"] == history[-1]["attempt"]]
        best = min(history, key=lambda record: record["valid_loss"])
        state = (
            f"epoch {history[-1]['epoch'] + 1:>3}  valid loss {history[-1]['valid_loss']:.4f}  "
            f"best {best['valid_loss']:.4f} (epoch {best['epoch'] + 1})"
        )
        if number not in self._tasks:
            self._tasks[number] = self._progress.add_task(name, total=job.training.epochs, state=state)
        self._progress.update(self._tasks[number], completed=history[-1]["epoch"] + 1, state=state)
        if job.is_done:
            self._reported.add(number)
            seconds = sum(record["seconds"] for record in history)
            self._progress.update(self._tasks[number], completed=job.training.epochs)
            if not self.console.is_terminal:
                self.console.print(f"{name}: {state}, {seconds:.0f} s")
