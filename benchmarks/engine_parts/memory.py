"""Peak memory of ``octodon run`` on a table as large as DeepSTARR's: read, checked and trained in a process per core."""

from __future__ import annotations

import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from engine_parts.watched import Peak, end

SPLITS = {"train": 402_296, "valid": 40_570, "test": 41_186}
LENGTH_BP = 249
TRAINING_S = 25
"""Of training before it is stopped; memory is flat after the first steps."""
_LIMIT_S = 600
_EXPERIMENT = """
[data]
path = "table.tsv"
targets = { dev = "dev", hk = "hk" }
split = "split"
[model]
backbone = "deepstarr"
[ensemble]
members = 2
"""


def run_on_a_large_table(environment: Mapping[str, str], shrink: int = 1) -> dict[str, Any]:
    """Return the peak until training begins, and while it runs; the run is stopped after some steps.

    ``shrink`` divides the table, to see that this runs.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        sizes = {split: n // shrink for split, n in SPLITS.items()}
        _write_table(folder / "table.tsv", sizes)
        (folder / "experiment.toml").write_text(_EXPERIMENT)
        command = [sys.executable, "-m", "octodon.cli.main", "run", "experiment.toml", "--out", "run"]
        with (
            (folder / "log").open("w") as log,
            subprocess.Popen(command, cwd=folder, env=dict(environment), stdout=log, stderr=log) as process,
        ):
            start, memory = time.perf_counter(), Peak(process.pid)
            try:
                _wait(process, lambda: (folder / "run").is_dir() and _trains(folder / "run"))
                reading = {"reading_mib": memory.mib, "reading_s": time.perf_counter() - start}
                memory.stop()
                memory = Peak(process.pid)
                _wait(process, lambda: False, TRAINING_S / shrink)
            except RuntimeError as error:
                return {"name": "octodon run", "failed": f"{error}: {(folder / 'log').read_text()[-300:]}"}
            finally:
                memory.stop()
                process.send_signal(
                    signal.SIGTERM
                )  # Ctrl-C is ignored by what a shell runs in the background
                try:
                    process.wait(20)
                except subprocess.TimeoutExpired:
                    end(process.pid)
    return {"name": "octodon run", "spec": sizes | {"length": LENGTH_BP}, "peak_mib": memory.mib} | reading


def _trains(run: Path) -> bool:
    """Return whether members have folders, which their workers make when they begin."""
    return any(run.rglob("history.jsonl"))


def _wait(process: subprocess.Popen[bytes], until: Any, seconds: float | None = None) -> None:
    start = time.perf_counter()
    while not until():
        if process.poll() is not None:
            raise RuntimeError(f"the run ended with {process.returncode}")
        if time.perf_counter() - start > (_LIMIT_S if seconds is None else seconds):
            if seconds is None:
                raise RuntimeError(f"no training within {_LIMIT_S} s")
            return
        time.sleep(0.1)


def _write_table(path: Path, sizes: Mapping[str, int]) -> None:
    rng = np.random.default_rng(0)
    letters = np.frombuffer(b"ACGT", dtype=np.uint8)
    with path.open("wb") as file:
        file.write(b"sequence\tdev\thk\tsplit\n")
        for split, n in sizes.items():
            for start in range(0, n, 20_000):
                count = min(20_000, n - start)
                rows = letters[rng.integers(0, 4, (count, LENGTH_BP))]
                values = rng.standard_normal((count, 2))
                lines = [
                    b"%s\t%.4f\t%.4f\t%s\n" % (row.tobytes(), *value, split.encode())
                    for row, value in zip(rows, values, strict=True)
                ]
                file.writelines(lines)
