"""Run a command and watch what it costs."""

from __future__ import annotations

import subprocess
import sys
import threading
import time

import psutil


def watch(command: list[str]) -> dict[str, float]:
    """Run ``octodon ...`` with this Python; return wall seconds, and the peak memory of its process tree in MiB.

    Memory is the proportional set size (shared pages counted once), summed over the tree, sampled twice a second.
    """
    assert command[0] == "octodon"
    load = psutil.getloadavg()[0]
    start = time.perf_counter()
    with subprocess.Popen([sys.executable, "-m", "octodon.cli.main", *command[1:]]) as process:
        peak = [0.0]
        threading.Thread(target=_sample, args=(process.pid, peak), daemon=True).start()
        if process.wait() != 0:
            sys.exit(process.returncode)
    return {"seconds": time.perf_counter() - start, "peak_mib": peak[0], "load_before": load}


def _sample(pid: int, peak: list[float]) -> None:
    while psutil.pid_exists(pid):
        total = 0
        try:
            root = psutil.Process(pid)
            for process in [root, *root.children(recursive=True)]:
                total += process.memory_full_info().pss
        except (psutil.Error, AttributeError):
            pass
        peak[0] = max(peak[0], total / 2**20)
        time.sleep(0.5)
