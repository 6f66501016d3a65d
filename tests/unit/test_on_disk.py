"""Codes in a mapped file are the codes."""

from pathlib import Path

import numpy as np
import pytest

from octodon.data import on_disk
from octodon.data.examples import Examples


def _examples(n: int = 40) -> Examples:
    return Examples(
        codes=np.random.default_rng(0).integers(0, 5, (n, 12), dtype=np.uint8),
        ids=np.array([f"s{i}" for i in range(n)]),
        targets=np.zeros((n, 1), np.float32),
        target_names=("a",),
        splits=np.repeat(["train", "test"], n // 2),
    )


def test_large_codes_are_mapped_and_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    examples = _examples()
    assert on_disk.with_codes_on_disk(examples, tmp_path / "codes.npy") is examples  # small: left alone
    monkeypatch.setattr(on_disk, "LARGE_BYTES", 10)
    mapped = on_disk.with_codes_on_disk(examples, tmp_path / "work" / "codes.npy")
    assert isinstance(mapped.codes, np.memmap)
    np.testing.assert_array_equal(mapped.codes, examples.codes)
    on_disk.forget_pages(mapped.codes)
    np.testing.assert_array_equal(mapped.subset("test").codes, examples.subset("test").codes)
    assert list(mapped.ids) == list(examples.ids)


def test_codes_in_memory_have_no_pages_to_forget() -> None:
    on_disk.forget_pages(_examples().codes)
