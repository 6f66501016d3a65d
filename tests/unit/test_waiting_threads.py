"""Threads that wait for each other soon give way to other programs, unless the user says otherwise."""

import os
import subprocess
import sys

import pytest

_SAID = "import os, sys, octodon; assert 'torch' not in sys.modules; print(os.environ.get('GOMP_SPINCOUNT'))"
_OWN = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")


@pytest.mark.parametrize(
    ("own", "expected"),
    [({}, "10000"), ({"GOMP_SPINCOUNT": "7"}, "7"), ({"OMP_WAIT_POLICY": "ACTIVE"}, "None")],
)
def test_threads_soon_sleep_while_they_wait(own: dict[str, str], expected: str) -> None:
    # OpenMP reads it when torch is loaded, so importing octodon must come first and must not load torch itself
    environment = {name: value for name, value in os.environ.items() if name not in _OWN} | own
    done = subprocess.run(
        [sys.executable, "-c", _SAID], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == expected
