"""Threads that wait for each other give way to other programs, unless the user says otherwise."""

import os
import subprocess
import sys

import pytest

_SAID = (
    "import sys, octodon; assert 'torch' not in sys.modules; import os; print(os.environ['OMP_WAIT_POLICY'])"
)


@pytest.mark.parametrize(("own", "expected"), [(None, "PASSIVE"), ("ACTIVE", "ACTIVE")])
def test_threads_sleep_while_they_wait(own: str | None, expected: str) -> None:
    # OpenMP reads it when torch is loaded, so importing octodon must come first and must not load torch itself
    environment = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"}
    if own is not None:
        environment["OMP_WAIT_POLICY"] = own
    done = subprocess.run(
        [sys.executable, "-c", _SAID], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == expected
