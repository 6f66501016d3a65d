"""One line about the machine and the day, for the head of every result."""

from __future__ import annotations

import platform
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import psutil


def describe() -> str:
    """Return processor, cores, memory, versions and date."""
    models = [
        line.split(":", 1)[1].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    ]
    flags = next(
        (line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("flags")), ""
    )
    vectors = "avx512" if "avx512f" in flags else "avx2" if "avx2" in flags else "no avx2"
    return (
        f"{models[0] if models else platform.processor()} ({vectors}), {len(models)} cores, "
        f"{psutil.virtual_memory().total / 2**30:.0f} GiB; Python {platform.python_version()}, torch {version('torch')}, "
        f"octodon {version('octodon')}; {datetime.now(UTC):%Y-%m-%d}"
    )
