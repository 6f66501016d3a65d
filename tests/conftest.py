"""Fixtures that several rooms share."""

import os
import signal
import uuid
from pathlib import Path

# Before torch and numpy are imported, here and in every process that a test starts: workers share the cores, and two OpenMP
# threads that wait for one core spin.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# Ray reads these once, when it is imported, whichever test does that: a cluster of this session alone, nothing in the home folder.
os.environ |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": uuid.uuid4().hex, "RAY_USAGE_STATS_ENABLED": "0"}

import pytest

# A shell starts what runs in the background with Ctrl-C ignored, and so would every process that the tests start.
signal.signal(signal.SIGINT, signal.default_int_handler)

REPOSITORY = Path(__file__).resolve().parents[1]
MOST_WORKERS = 4


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Return the workers of ``-n auto``: a core each, and no more than fit into the memory of a small machine."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(cores, MOST_WORKERS)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of real measurements (environment variable OCTODON_DATA, else ../shared/data); skips where it is absent."""
    folder = Path(os.environ.get("OCTODON_DATA", REPOSITORY.parent / "shared" / "data"))
    if not (folder / "promoter_mpra_mattioli2020.tsv.gz").is_file():
        pytest.skip(f"no real data in {folder}; set OCTODON_DATA to the folder that holds them")
    return folder
