"""Run a command that prints one JSON object as its last line, and watch its memory."""

from __future__ import annotations

import json
import subprocess
import threading
import time
from collections.abc import Mapping
from typing import Any

import psutil

_EVERY_S = 0.15


def watched(command: list[str], environment: Mapping[str, str], limit_s: float) -> dict[str, Any]:
    """Return the object with ``peak_mib``; or ``failed``, the last line of what it said, where it failed or took too long."""
    with subprocess.Popen(
        command, env=dict(environment), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        memory = Peak(process.pid)
        try:
            out, err = process.communicate(timeout=limit_s)
        except subprocess.TimeoutExpired:
            end(process.pid)
            return {"failed": f"took more than {limit_s:.0f} s"}
        finally:
            memory.stop()
    if process.returncode != 0 or not out.strip():
        return {"failed": (err.strip().splitlines() or [f"exit code {process.returncode}"])[-1][:200]}
    return json.loads(out.strip().splitlines()[-1]) | {"peak_mib": memory.mib}


def end(pid: int) -> None:
    """Kill a process that we started, with its children."""
    try:
        root = psutil.Process(pid)
        for one in [*root.children(recursive=True), root]:
            one.kill()
    except psutil.NoSuchProcess:
        pass


class Peak:
    """The largest proportional set size of a process tree so far, in MiB."""

    def __init__(self, pid: int) -> None:
        self.mib = 0.0
        self._pid, self._ended = pid, threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Watch no longer."""
        self._ended.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._ended.is_set():
            self.mib = max(self.mib, tree_mib(self._pid))
            time.sleep(_EVERY_S)


def tree_mib(pid: int) -> float:
    """Return the proportional set size of a process and all below it, in MiB; of those that end meanwhile, nothing."""
    total = 0
    try:
        root = psutil.Process(pid)
        tree = [root, *root.children(recursive=True)]
    except psutil.Error:
        return 0.0
    for process in tree:
        try:
            total += process.memory_full_info().pss
        except (psutil.Error, AttributeError):
            continue
    return total / 2**20
