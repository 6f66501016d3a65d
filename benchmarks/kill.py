"""Kill a run with SIGKILL at seeded random instants, resume each, and compare with the run that nobody interrupted.

    python benchmarks/kill.py --out benchmarks/results/kill.md

A small simulated MPRA (four members, one student, two processes, a checkpoint at every epoch). Instants are drawn uniformly over
the work of the uninterrupted run, from its first file to its end (before, there is nothing to lose); where a run is finished
first, the next instant is taken instead. The whole process group is killed, workers included. After each kill every file that bears its
final name must be readable; after the resumed run the weights of ensemble and student, and the metrics, must be
those of the uninterrupted run, byte for byte. Exit code 1 if one is not. Takes about 21 times the uninterrupted run, which is
half a minute on two idle cores.
"""

from __future__ import annotations

import argparse
import io
import itertools
import json
import os
import random
import shlex
import signal
import subprocess
import sys
import tempfile
import time
import tomllib
import xml.etree.ElementTree as ET
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from machine import describe
from safetensors.torch import load as load_tensors

from octodon.atomic import is_partial
from octodon.experiment.simulated import write_simulation
from octodon.metrics.summary import markdown_table

TOML = """\
seed = 3
[data]
path = "simulated.tsv.gz"
id = "id"
targets = { A = ["A_rep1", "A_rep2"], B = ["B_rep1", "B_rep2"] }
split = "split"
[model]
backbone = "deepstarr"
options = { width = 0.25 }
[ensemble]
members = 4
training = { epochs = 24, stop_patience = 24, checkpoint_seconds = 0 }
[distill]
copies = 4
training = { epochs = 8, checkpoint_seconds = 0 }
[run]
processes = 2
"""
RESULTS = ("ensemble/weights.safetensors", "student/weights.safetensors", "results/metrics.tsv")


@dataclass(frozen=True, kw_only=True)
class Kill:
    """What one kill hit and what came of it.

    Attributes
    ----------
    seconds : float
        After the first file of the run.
    stage : str
        What the run was doing.
    epochs_logged, epochs_kept : int
        Epochs that networks had finished, and those of them that the resumed run did not repeat.
    files_read : int
        Files with a final name after the kill, all readable.
    unreadable : tuple of str
        The others.
    identical : bool
        Whether the resumed run ended with the bytes of the uninterrupted one.
    """

    seconds: float
    stage: str
    epochs_logged: int
    epochs_kept: int
    files_read: int
    unreadable: tuple[str, ...]
    identical: bool


@dataclass(frozen=True, kw_only=True)
class Stop:
    """How a signal ended a run in training: seconds from the signal to the end, exit code, last line said."""

    signal: str
    processes: int
    seconds: float
    code: int
    said: str


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--out", type=Path, required=True, help="Markdown table to write; JSON goes beside it"
    )
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0, help="of the instants")
    parser.add_argument("--rows", type=int, default=1000, help="sequences of the simulated table")
    arguments = parser.parse_args()
    # A shell starts what runs in the background with Ctrl-C ignored, and so would every run started here.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with tempfile.TemporaryDirectory(prefix="octodon-kill-") as temporary:
        folder = Path(temporary)
        write_simulation(folder / "simulated.tsv.gz", rows=arguments.rows, length=100, replicates=2, seed=1)
        experiment = folder / "experiment.toml"
        experiment.write_text(TOML)
        finish(experiment, folder / "whole")
        whole_seconds = work_seconds(folder / "whole")
        expected = results(folder / "whole")
        instants = random.Random(arguments.seed)
        kills: list[Kill] = []
        for number in itertools.count():
            if len(kills) == arguments.kills:
                break
            seconds = instants.uniform(0, whole_seconds)
            out = folder / f"kill_{number:02d}"
            if not kill_after(experiment, out, seconds):
                continue
            kills.append(resume_and_compare(experiment, out, seconds, expected))
            sys.stderr.write(f"{len(kills):>3}  {kills[-1]}\n")
        stops = [
            stop_with(experiment, folder / f"stop_{number}_{processes}", number, processes)
            for number in (signal.SIGINT, signal.SIGTERM)
            for processes in (0, 2)
        ]
    write(arguments.out, kills, stops, whole_seconds)
    sys.exit(0 if all(kill.identical and not kill.unreadable for kill in kills) else 1)


def command(experiment: Path, out: Path) -> list[str]:
    """Return the command line of a run."""
    return [sys.executable, "-m", "octodon.cli.main", "run", str(experiment), "--out", str(out), "--quiet"]


def finish(experiment: Path, out: Path) -> str:
    """Run to the end, whatever is in the folder; return what was said on standard error."""
    ended = subprocess.run(command(experiment, out), capture_output=True, text=True, check=False)
    if ended.returncode != 0:
        sys.exit(f"{shlex.join(ended.args)} ended with {ended.returncode}:\n{ended.stderr}")
    return ended.stderr


def kill_after(experiment: Path, out: Path, seconds: float, when: Callable[[], bool] = lambda: False) -> bool:
    """Kill a run with its whole process group so long after its first file, or as soon as ``when`` says so.

    Returns False if it was finished first.
    """
    process = subprocess.Popen(
        command(experiment, out),
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    while process.poll() is None and not (out / "config.toml").is_file():
        time.sleep(0.005)
    stop = time.perf_counter() + seconds
    while process.poll() is None and time.perf_counter() < stop and not when():
        time.sleep(0.005)
    is_running = process.poll() is None
    if is_running:
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    return is_running


def work_seconds(out: Path) -> float:
    """Return the seconds from the first to the last event of a run."""
    lines = (out / "events.jsonl").read_text().splitlines()
    first, last = (datetime.fromisoformat(json.loads(line)["time"]) for line in (lines[0], lines[-1]))
    return (last - first).total_seconds()


def stop_with(experiment: Path, out: Path, number: signal.Signals, processes: int) -> Stop:
    """Begin a run and, once a member has a checkpoint, send a signal as a terminal or a scheduler does: to the group."""
    process = subprocess.Popen(
        [*command(experiment, out), "--set", f"run.processes={processes}"],
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    while process.poll() is None and not list(out.glob("work/ensemble/*/checkpoint.safetensors")):
        time.sleep(0.01)
    start = time.perf_counter()
    os.killpg(process.pid, number)
    said = process.communicate()[1].strip().splitlines()[-1]
    return Stop(
        signal=number.name,
        processes=processes,
        seconds=round(time.perf_counter() - start, 2),
        code=process.returncode,
        said=said,
    )


def resume_and_compare(experiment: Path, out: Path, seconds: float, expected: dict[str, bytes]) -> Kill:
    """Read every file that a kill left, run to the end, and compare."""
    stage, (logged, kept) = stage_of(out), epochs_of(out)
    n_files, unreadable = read_all(out)
    finish(experiment, out)
    return Kill(
        seconds=round(seconds, 2),
        stage=stage,
        epochs_logged=logged,
        epochs_kept=kept,
        files_read=n_files,
        unreadable=tuple(unreadable),
        identical=results(out) == expected,
    )


def results(out: Path) -> dict[str, bytes]:
    """Return what must be the same to the last bit."""
    return {name: (out / name).read_bytes() for name in RESULTS}


def stage_of(out: Path) -> str:
    """Return what the run in a folder was doing when it ended."""
    if not (out / "config.toml").is_file():
        return "reading the data"
    if not (out / "ensemble" / "history.parquet").is_file():
        done = len(list(out.glob("work/ensemble/member_*/done.json")))
        return f"members ({done} finished)"
    if not (out / "work" / "students" / "arrays").is_dir() and not (out / "student").is_dir():
        return "labelling"
    if not (out / "student" / "history.parquet").is_file():
        return "student"
    return "finished" if (out / "results" / "complete.json").is_file() else "evaluation"


def epochs_of(out: Path) -> tuple[int, int]:
    """Return the epochs that all networks have logged, and those that a resumed run will not repeat."""
    logged = kept = 0
    for folder in [*out.glob("work/*/member_*"), *out.glob("work/*/student_*")]:
        log = folder / "history.jsonl"
        epochs = log.read_text().count("\n") if log.is_file() else 0
        logged += epochs
        if (folder / "done.json").is_file():
            kept += epochs
        elif (folder / "checkpoint.safetensors").is_file():
            content = (folder / "checkpoint.safetensors").read_bytes()
            header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
            kept += len(json.loads(header["__metadata__"]["octodon"])["history"])
    return logged, kept


READERS: dict[str, Callable[[bytes], Any]] = {
    ".json": json.loads,
    ".jsonl": lambda content: [json.loads(line) for line in content.splitlines()],
    ".toml": lambda content: tomllib.loads(content.decode()),
    ".safetensors": load_tensors,
    ".parquet": lambda content: pd.read_parquet(io.BytesIO(content)),
    ".tsv": lambda content: pd.read_csv(io.BytesIO(content), sep="\t"),
    ".npy": lambda content: np.load(io.BytesIO(content)),
    ".npz": lambda content: dict(np.load(io.BytesIO(content))),
    ".svg": ET.fromstring,
    "": bytes,  # the lock
}


def read_all(out: Path) -> tuple[int, list[str]]:
    """Return how many files bear a final name, and which of them cannot be read."""
    unreadable, n_files = [], 0
    for path in sorted(out.rglob("*")):
        names = [path, *path.relative_to(out).parents]
        if not path.is_file() or any(is_partial(Path(name)) for name in names):
            continue
        n_files += 1
        try:
            READERS[path.suffix if path.name != ".lock" else ""](path.read_bytes())
        except Exception as error:  # noqa: BLE001  a reader of another library may raise anything
            unreadable.append(f"{path.relative_to(out)}: {type(error).__name__}: {error}")
    return n_files, unreadable


def write(out: Path, kills: list[Kill], stops: list[Stop], whole_seconds: float) -> None:
    """Write the table and the numbers, and print the table."""
    rows = [["kill", "after, s", "while", "epochs done", "kept", "files read", "unreadable", "same bits"]]
    for number, kill in enumerate(sorted(kills, key=lambda kill: kill.seconds), start=1):
        counts = [kill.epochs_logged, kill.epochs_kept, kill.files_read, len(kill.unreadable)]
        same = "yes" if kill.identical else "NO"
        rows.append([str(number), f"{kill.seconds:.1f}", kill.stage, *map(str, counts), same])
    same = sum(kill.identical for kill in kills)
    unreadable = sum(len(kill.unreadable) for kill in kills)
    text = (
        f"# SIGKILL at {len(kills)} random instants\n\n{describe()}. `python benchmarks/kill.py`: four members and a student in "
        f"two processes, {whole_seconds:.0f} s of work uninterrupted, a checkpoint at every epoch; the process group is killed and the "
        f"same command given again.\n\n**{same} of {len(kills)} resumed runs end with the bits of the uninterrupted run "
        f"(weights of ensemble and student, metrics); {unreadable} unreadable files.** Epochs kept: those done before the kill "
        f"that were not done again.\n\n{markdown_table(rows)}\n## Ctrl-C and SIGTERM\n\nSent to the whole group while members "
        f"train; goal: the end within 5 s.\n\n{markdown_table(stop_rows(stops))}"
    )
    out.write_text(text)
    record = {
        "machine": describe(),
        "whole_seconds": whole_seconds,
        "kills": [asdict(kill) for kill in kills],
        "stops": [asdict(stop) for stop in stops],
    }
    out.with_suffix(".json").write_text(json.dumps(record, indent=2) + "\n")
    sys.stdout.write(text)


def stop_rows(stops: list[Stop]) -> list[list[str]]:
    """Return the table of the signals."""
    rows = [["signal", "worker processes", "s to the end", "exit code", "says how to go on"]]
    for stop in stops:
        says = "yes" if "To go on: " in stop.said else "NO"
        rows.append([stop.signal, str(stop.processes), f"{stop.seconds:.1f}", str(stop.code), says])
    return rows


if __name__ == "__main__":
    main()
