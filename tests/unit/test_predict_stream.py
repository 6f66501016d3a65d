"""Files of any size: memory does not grow with the file, and reading goes on while chunks are predicted."""

import threading
import tracemalloc
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from octodon.ensemble.ahead import one_ahead
from octodon.models.model import ModelConfig
from octodon.predict import stream
from octodon.records import Prediction

LENGTH = 100


class Counting:
    """Predicts the share of A; knows how many chunks are alive, and what is on disk, whenever it is asked."""

    model = ModelConfig(backbone="deepstarr", length=LENGTH, n_targets=1)
    target_names = ("a",)
    units = "share"

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.chunks: list[weakref.ref[Any]] = []
        self.most_alive = 0
        self.written: list[int] = []

    def predict(self, sequences: Any, ids: Any = None, *, device: str = "auto") -> Prediction:
        self.chunks.append(weakref.ref(sequences))
        self.most_alive = max(self.most_alive, sum(chunk() is not None for chunk in self.chunks))
        self.written.append(sum(path.stat().st_size for path in self.folder.glob(".out*.partial*")))
        mean = (sequences == 0).mean(1, keepdims=True)
        return Prediction(ids=np.array(ids, dtype=object), target_names=("a",), mean=mean)


def _fasta(path: Path, n: int) -> Path:
    rng = np.random.default_rng(0)
    letters = np.frombuffer(b"ACGT", np.uint8)[rng.integers(0, 4, (n, LENGTH))]
    path.write_text("".join(f">s{i}\n{row.tobytes().decode()}\n" for i, row in enumerate(letters)))
    return path


def _peak_bytes(predictor: Counting, source: Path, out: Path) -> int:
    tracemalloc.start()
    try:
        stream.predict_file(predictor, source, out)  # type: ignore[arg-type]  # a predictor by its shape
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_memory_is_flat_and_rows_are_written_as_they_come(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "CHUNK", 200)
    monkeypatch.setattr("octodon.data.formats.fasta._BLOCK_BYTES", 20_000)
    out = tmp_path / "out.tsv"
    short, long = (_fasta(tmp_path / f"{n}.fa", n) for n in (2_000, 12_000))
    _peak_bytes(Counting(tmp_path), short, out)  # imports and caches
    few = _peak_bytes(Counting(tmp_path), short, out)
    predictor = Counting(tmp_path)
    many = _peak_bytes(predictor, long, out)
    assert many < few + 200_000  # ten thousand sequences more are 1 MB as codes alone
    assert len(predictor.chunks) == 60
    assert predictor.most_alive <= 3  # in use, read ahead, and being cut from its block
    assert predictor.written[-1] > predictor.written[30] > 0
    assert len(out.read_text().splitlines()) == 12_001


def test_long_sequences_come_in_smaller_chunks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "CHUNK_BASES", 7 * LENGTH + 1)
    predictor = Counting(tmp_path)
    stream.predict_file(predictor, _fasta(tmp_path / "in.fa", 20), tmp_path / "out.csv")  # type: ignore[arg-type]
    assert len(predictor.chunks) == 3


def test_the_next_item_is_made_meanwhile_and_no_more() -> None:
    made: list[int] = []
    second = threading.Event()

    def items() -> Iterator[int]:
        for i in range(5):
            made.append(i)
            if i == 1:
                second.set()
            yield i

    ahead = one_ahead(items())
    assert next(ahead) == 0
    assert second.wait(5)  # the caller has done nothing more
    assert made == [0, 1]
    assert list(ahead) == [1, 2, 3, 4]


def test_an_error_comes_where_its_item_is_due() -> None:
    def items() -> Iterator[int]:
        yield 1
        raise ValueError("row 2")

    ahead = one_ahead(items())
    assert next(ahead) == 1
    with pytest.raises(ValueError, match="row 2"):
        next(ahead)


def test_it_can_be_left_early() -> None:
    before = threading.active_count()
    ahead: Any = one_ahead(iter(range(10)))
    assert next(ahead) == 0
    ahead.close()
    assert threading.active_count() == before
