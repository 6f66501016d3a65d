"""Streaming in chunks gives exactly what reading whole gives: same order, same ids, same codes."""

import gzip
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import octodon.data._batches as batches
import octodon.data.formats.fasta as fasta
from octodon.data.formats.fasta import read_fasta
from octodon.data.formats.table import read_table
from octodon.data.stream import stream_fasta, stream_sequences
from octodon.errors import ConfigError, DataError

sequences = st.integers(1, 12).flatmap(
    lambda length: st.lists(st.text("ACGTNacgtn", min_size=length, max_size=length), min_size=1, max_size=30)
)


def write_all(folder: Path, rows: list[str], width: int) -> list[Path]:
    ids = [f"s{i}" for i in range(len(rows))]
    lines = [f"{i}\t{s}\n" for i, s in zip(ids, rows, strict=True)]
    tsv = "id\tsequence\n" + "".join(lines)
    (folder / "x.tsv").write_text(tsv)
    (folder / "x.tsv.gz").write_bytes(gzip.compress(tsv.encode()))
    (folder / "x.csv").write_text(tsv.replace("\t", ","))
    pq.write_table(pa.table({"sequence": rows, "id": ids}), folder / "x.parquet", row_group_size=7)
    records = [
        f">{i} words\n" + "".join(s[k : k + width] + "\n" for k in range(0, len(s), width))
        for i, s in zip(ids, rows, strict=True)
    ]
    (folder / "x.fa").write_text("".join(records))
    return sorted(folder.iterdir())


@settings(max_examples=40, deadline=None)
@given(rows=sequences, chunk=st.integers(1, 12), width=st.integers(1, 12), block=st.integers(1, 200))
def test_chunks_equal_the_whole(tmp_path_factory, rows, chunk, width, block):
    folder = tmp_path_factory.mktemp("stream")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fasta, "_BLOCK_BYTES", block)
        patch.setattr(batches, "_PARQUET_ROWS", block)
        # A block of CSV must hold a row at least.
        patch.setattr(batches, "_BLOCK_BYTES", 100 + block)
        for path in write_all(folder, rows, width):
            whole = read_fasta(path) if path.suffix == ".fa" else read_table(path, id="id")
            parts = list(stream_sequences(path, id="id", chunk=chunk))
            assert [len(ids) for ids, _ in parts[:-1]] == [chunk] * (len(parts) - 1)
            assert np.concatenate([ids for ids, _ in parts]).tolist() == [f"s{i}" for i in range(len(rows))]
            np.testing.assert_array_equal(np.concatenate([codes for _, codes in parts]), whole.codes)


def test_rows_without_ids_are_numbered_through(tmp_path: Path):
    (tmp_path / "x.tsv").write_text("sequence\n" + "ACGT\n" * 5)
    got = [ids.tolist() for ids, _ in stream_sequences(tmp_path / "x.tsv", chunk=2)]
    assert got == [["row1", "row2"], ["row3", "row4"], ["row5"]]


def test_a_stream_can_be_left_early(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(batches, "_BLOCK_BYTES", 20_000)
    (tmp_path / "x.tsv").write_text("sequence\n" + "ACGT\n" * 200_000)
    for _ in range(20):
        stream = stream_sequences(tmp_path / "x.tsv", chunk=10)
        assert len(next(iter(stream))[0]) == 10
        stream.close()  # type: ignore[attr-defined]


def test_bad_streams_are_refused(tmp_path: Path):
    (tmp_path / "x.tsv").write_text("sequence\nACGT\nACG\n")
    with pytest.raises(DataError, match="row 2 has 3 bases"):
        list(stream_sequences(tmp_path / "x.tsv"))
    with pytest.raises(ConfigError, match="chunk: 0"):
        list(stream_sequences(tmp_path / "x.tsv", chunk=0))
    with pytest.raises(DataError, match="no such file"):
        list(stream_sequences(tmp_path / "y.fa"))


def test_an_empty_id_is_refused_in_whatever_block_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("octodon.data._batches._BLOCK_BYTES", 64)
    rows = [f"s{i}\tACGT" for i in range(40)]
    rows[30] = "\tACGT"
    (tmp_path / "x.tsv").write_text("\n".join(["name\tsequence", *rows]) + "\n")
    with pytest.raises(DataError, match=r"x\.tsv: row 31 has an empty id"):
        list(stream_sequences(tmp_path / "x.tsv", id="name"))


def test_real_library_streams_in_order(shared_data: Path):
    path = shared_data / "lentimpra_joint_library_60k_unlabelled.fa.gz"
    whole = read_fasta(path)
    start = 0
    for ids, codes in stream_fasta(path, chunk=7000):
        stop = start + len(ids)
        assert np.array_equal(ids, whole.ids[start:stop])
        assert np.array_equal(codes, whole.codes[start:stop])
        start = stop
    assert start == len(whole)
