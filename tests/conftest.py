"""Fixtures that several rooms share."""

import os
import signal
from pathlib import Path

import pytest

# A shell starts what runs in the background with Ctrl-C ignored, and so would every process that the tests start.
signal.signal(signal.SIGINT, signal.default_int_handler)

REPOSITORY = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of real measurements (environment variable OCTODON_DATA, else ../shared/data); skips where it is absent."""
    folder = Path(os.environ.get("OCTODON_DATA", REPOSITORY.parent / "shared" / "data"))
    if not (folder / "promoter_mpra_mattioli2020.tsv.gz").is_file():
        pytest.skip(f"no real data in {folder}; set OCTODON_DATA to the folder that holds them")
    return folder
