"""Nothing is lost: a run that is killed, stopped, or out of room goes on and ends with the same bits."""

from __future__ import annotations

import errno
import importlib.util
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest

Cli = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def harness() -> ModuleType:
    """The functions of the proof that is run by hand, at full size."""
    folder = Path(__file__).parents[2] / "benchmarks"
    spec = importlib.util.spec_from_file_location("kill", folder / "kill.py")
    assert spec is not None
    assert spec.loader is not None
    sys.path.insert(0, str(folder))  # for its neighbour machine.py
    try:
        module = importlib.util.module_from_spec(spec)
        sys.modules["kill"] = module
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(folder))
    return module


@pytest.fixture
def experiment(experiment: Path, no_figures: None) -> Path:
    """The tiny experiment, with a checkpoint at every epoch, and without figures."""
    text = experiment.read_text().replace("epochs = 2,", "epochs = 4, checkpoint_seconds = 0,")
    experiment.write_text(text)
    return experiment


_EXPECTED: list[dict[str, bytes]] = []


@pytest.fixture
def expected(cli: Cli, experiment: Path, tmp_path: Path, harness: ModuleType) -> dict[str, bytes]:
    """What the uninterrupted run leaves; made once, the table is the same in every test."""
    if not _EXPECTED:
        assert cli("run", experiment, "--out", tmp_path / "whole", "--quiet")[0] == 0
        _EXPECTED.append(harness.results(tmp_path / "whole"))
    return _EXPECTED[0]


def test_a_killed_run_goes_on_and_ends_with_the_same_bits(
    cli: Cli, experiment: Path, tmp_path: Path, harness: ModuleType, expected: dict[str, bytes]
) -> None:
    out, stages = tmp_path / "run", []
    for network in ("ensemble/member_001", "students/student_000"):
        trace = out / "work" / network / "checkpoint.safetensors"
        assert harness.kill_after(experiment, out, 300, when=trace.is_file)
        stages.append(harness.stage_of(out))
        n_files, unreadable = harness.read_all(out)
        assert n_files > 5
        assert not unreadable
    assert stages == ["members (1 finished)", "student"]
    (out / "work" / ".left.1234.partial.json").write_text("{")
    code, _, err = cli("run", experiment, "--out", out, "--quiet")
    assert code == 0, err
    assert "holds an unfinished run of this experiment; it goes on" in err
    assert "from before: student 0 goes on after epoch" in err
    assert harness.results(out) == expected
    events = [json.loads(line) for line in (out / "events.jsonl").read_text().splitlines()]
    assert any("work/.left.1234.partial.json" in event.get("removed", []) for event in events)


def test_what_the_harness_reads_it_can_refuse(tmp_path: Path, harness: ModuleType) -> None:
    (tmp_path / "good.json").write_text("{}")
    (tmp_path / ".bad.12.partial.json").write_text("{")
    (tmp_path / ".arrays.12.partial").mkdir()
    (tmp_path / ".arrays.12.partial" / "half.npy").write_text("half")
    assert harness.read_all(tmp_path) == (1, [])
    for name in ("a.json", "b.toml", "c.safetensors", "d.parquet", "e.npy", "f.svg", "g.jsonl"):
        (tmp_path / name).write_text("= half {")
    n_files, unreadable = harness.read_all(tmp_path)
    assert (n_files, len(unreadable)) == (8, 7)


@pytest.mark.parametrize(
    ("number", "code", "processes"),
    [(signal.SIGINT, 130, 0), (signal.SIGTERM, 143, 1)],
)
def test_a_signal_ends_the_run_with_one_line_and_the_same_command_goes_on(
    cli: Cli, experiment: Path, tmp_path: Path, number: int, code: int, processes: int
) -> None:
    out = tmp_path / "run"
    command = ("run", experiment, "--out", out, "--quiet", "--set", f"run.processes={processes}")
    endless = (
        *command,
        "--set",
        "ensemble.training.epochs=1000000",
        "--set",
        "ensemble.training.stop_patience=1000000",
    )
    trace = out / "work" / "ensemble" / "member_000" / "checkpoint.safetensors"
    done = threading.Event()

    def stop() -> None:
        while not done.wait(0.02):
            if trace.is_file():
                os.kill(os.getpid(), number)
                return

    before = signal.getsignal(number)
    threading.Thread(target=stop, daemon=True).start()
    try:
        got, printed, err = cli(*endless)
    finally:
        done.set()
    assert got == code
    assert not printed
    assert err.strip().splitlines()[-1].endswith(f"To go on: octodon {' '.join(map(str, endless))}")
    assert "Traceback" not in err
    assert signal.getsignal(number) is before
    assert trace.is_file()


def test_restart_names_a_new_folder_and_deletes_nothing(cli: Cli, experiment: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    out.mkdir()
    (out / "config.toml").write_text("seed = 1")
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*")}
    (tmp_path / "run-2").mkdir()
    for name in ("run", "sweep"):
        code, _, err = cli(name, experiment, "--out", out, "--quiet", "--restart")
        assert code == 2
        assert err.strip() == (
            f"error: --restart: {out} is not empty and nothing is deleted; start anew in a folder of its own, for "
            f"example --out {tmp_path / 'run-3'}"
        )
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*")} == before


def test_a_folder_that_cannot_be_made_is_one_line(cli: Cli, experiment: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    for out in (tmp_path / "file", tmp_path / "file" / "run"):
        code, printed, err = cli("run", experiment, "--out", out, "--quiet")
        assert (code, printed, err.count("\n")) == (2, "", 1), err
        assert err.startswith(f"error: --out {out}: cannot make the folder: ")
    assert (tmp_path / "file").read_text() == "mine"


def _mount(*options: str) -> bool:
    return subprocess.run(["mount", *options], capture_output=True, check=False).returncode == 0


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 60 KiB, where this user may mount one."""
    disk = tmp_path / "disk"
    disk.mkdir()
    try:
        mounted = _mount("-t", "tmpfs", "-o", "size=60k", "octodon-test", str(disk))
    except FileNotFoundError:
        mounted = False
    if not mounted:
        pytest.skip("may not mount a file system here")
    yield disk
    subprocess.run(["umount", "-l", str(disk)], check=True)


def test_a_full_or_read_only_disk_is_one_line_and_room_lets_the_run_go_on(
    cli: Cli, experiment: Path, expected: dict[str, bytes], harness: ModuleType, small_disk: Path
) -> None:
    out, refusals, size = small_disk / "run", [], 60
    while True:
        code, printed, err = cli("run", experiment, "--out", out, "--quiet")
        if code == 0:
            break
        last = err.strip().splitlines()[-1]
        assert (code, last.startswith("error: ")) == (2, True), err
        assert "No space left on device" in last or "are free; make room" in last
        assert "Traceback" not in printed + err
        assert harness.read_all(out)[1] == []
        refusals.append(harness.stage_of(out))
        if len(refusals) == 1:
            _read_only(cli, experiment, small_disk)
        size *= 3
        assert _mount("-o", f"remount,size={size}k", str(small_disk))
    assert len(set(refusals)) >= 2  # the disk was full in several stages
    assert harness.results(out) == expected


def _read_only(cli: Cli, experiment: Path, disk: Path) -> None:
    assert _mount("-o", "remount,ro", str(disk))
    for folder in (disk / "run", disk / "new"):
        code, _, err = cli("run", experiment, "--out", folder, "--quiet")
        assert (code, "Read-only file system" in err, err.count("\n")) == (2, True, 1), err
        assert err.startswith(f"error: --out {folder}: cannot ")
    assert _mount("-o", "remount,rw", str(disk))


@pytest.mark.parametrize("full_at", [(3, 25)])
def test_a_disk_that_is_full_for_a_moment_costs_that_moment(
    cli: Cli,
    experiment: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    harness: ModuleType,
    expected: dict[str, bytes],
    full_at: tuple[int, ...],
) -> None:
    # Also where nothing may be mounted: single flushes to disk fail.
    out, flush, calls = tmp_path / "run", os.fsync, 0

    def sometimes_full(descriptor: int) -> None:
        nonlocal calls
        calls += 1
        if calls in full_at:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        flush(descriptor)

    monkeypatch.setattr(os, "fsync", sometimes_full)
    for _ in full_at:
        code, _, err = cli("run", experiment, "--out", out, "--quiet")
        last = err.strip().splitlines()[-1]
        assert (code, "No space left on device" in last, last.startswith("error: ")) == (2, True, True), err
        assert harness.read_all(out)[1] == []
    assert cli("run", experiment, "--out", out, "--quiet")[0] == 0
    assert harness.results(out) == expected
