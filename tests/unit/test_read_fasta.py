"""read_fasta against records written by hand and against a line-by-line parser."""

import gzip
from pathlib import Path

import numpy as np
import pytest

import octodon.data.formats.fasta as fasta
from octodon.data.formats.fasta import read_fasta
from octodon.data.lengths import LengthPolicy
from octodon.data.stream import stream_fasta
from octodon.errors import DataError
from octodon.seq.codes import decode

TEXT = ">a first record\nACGT\nAC\n\n>b\r\nTTT\r\nNnn\r\n>c\tx\nacgtac"


@pytest.mark.parametrize("block_bytes", [1, 2, 3, 5, 7, 1 << 20])
@pytest.mark.parametrize("zipped", [False, True])
def test_records_of_many_lines(tmp_path: Path, monkeypatch, block_bytes: int, zipped: bool):
    monkeypatch.setattr(fasta, "_BLOCK_BYTES", block_bytes)
    path = tmp_path / ("x.fa.gz" if zipped else "x.fa")
    path.write_bytes(gzip.compress(TEXT.encode()) if zipped else TEXT.encode())
    got = read_fasta(path)
    assert got.ids.tolist() == ["a", "b", "c"]
    assert decode(got.codes) == ["ACGTAC", "TTTNNN", "ACGTAC"]
    assert got.targets.shape == (3, 0)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (">a\nACGT\n>b\nACXT\n", r"row 2, position 3: 'X' is not a base"),
        (">a\nACGT\n>b\nACG\n", r"row 2 has 3 bases, expected 4"),
        (">a\nACGT\n>b\n>c\nACGT\n", r"row 2 has no sequence"),
        (">a\nACGT\n>a\nACGA\n", r"rows 1 and 2 have the same id 'a'"),
        ("ACGT\n>a\nACGT\n", r"starts with b'A', expected '>'"),
        ("\n\n", r"no records"),
        ("\n\n\n\n\nACGT\n", r"starts with b.A., expected"),
        (">\nACGT\n", r"row 1 has an empty id"),
    ],
)
@pytest.mark.parametrize("block_bytes", [4, 1 << 20])
def test_bad_records_are_named(tmp_path: Path, monkeypatch, text: str, message: str, block_bytes: int):
    monkeypatch.setattr(fasta, "_BLOCK_BYTES", block_bytes)
    path = tmp_path / "x.fa"
    path.write_text(text)
    with pytest.raises(DataError, match=message):
        read_fasta(path)


def test_a_description_that_is_no_utf_8_leaves_the_id_alone(tmp_path: Path):
    path = tmp_path / "x.fa"
    path.write_bytes(b">seq1 caf\xe9\nACGT\n>\xc3\xa9t\xc3\xa9\t\xc3\nACGA\n>c\x0c\xff \xff\r\nACGG")
    assert read_fasta(path).ids.tolist() == ["seq1", "été", "c"]
    (chunk,) = stream_fasta(path)
    assert chunk[0].tolist() == ["seq1", "été", "c"]


@pytest.mark.parametrize("block_bytes", [4, 1 << 20])
@pytest.mark.parametrize("read", [read_fasta, lambda path: list(stream_fasta(path))])
def test_blanks_before_an_id_are_skipped(tmp_path: Path, monkeypatch, read, block_bytes: int):
    monkeypatch.setattr(fasta, "_BLOCK_BYTES", block_bytes)
    path = tmp_path / "x.fa"
    path.write_text(">a\nACGT\n> b second\nACGA\n> \t c\r\nACGG\n")
    got = read(path)
    ids = got.ids if read is read_fasta else np.concatenate([names for names, _ in got])
    assert ids.tolist() == ["a", "b", "c"]


@pytest.mark.parametrize("header", [">", "> ", ">\t \r"])
@pytest.mark.parametrize("block_bytes", [4, 1 << 20])
@pytest.mark.parametrize("read", [read_fasta, lambda path: list(stream_fasta(path))])
def test_a_record_without_an_id_is_refused(tmp_path: Path, monkeypatch, read, block_bytes: int, header: str):
    monkeypatch.setattr(fasta, "_BLOCK_BYTES", block_bytes)
    path = tmp_path / "x.fa"
    path.write_text(f">a\nACGT\n{header}\nACGA\n>c\nACGG\n")
    with pytest.raises(DataError, match=r"x\.fa: row 2 has an empty id; give every record one"):
        read(path)


@pytest.mark.parametrize("block_bytes", [4, 1 << 20])
@pytest.mark.parametrize("read", [read_fasta, lambda path: list(stream_fasta(path))])
def test_an_id_that_is_no_utf_8_names_its_record(tmp_path: Path, monkeypatch, read, block_bytes: int):
    monkeypatch.setattr(fasta, "_BLOCK_BYTES", block_bytes)
    path = tmp_path / "x.fa"
    # end to end the first bytes of these two ids are one letter: each has to be text by itself
    path.write_bytes(b">a\nACGT\n>b\xc3\nACGA\n>\xa9c\nACGG\n")
    with pytest.raises(DataError, match=r"x\.fa: row 2 has the id b'b\\xc3', expected text in UTF-8"):
        read(path)


def test_missing_empty_and_truncated_files(tmp_path: Path):
    with pytest.raises(DataError, match="no such file"):
        read_fasta(tmp_path / "x.fa")
    (tmp_path / "x.fa").write_bytes(b"")
    with pytest.raises(DataError, match="empty"):
        read_fasta(tmp_path / "x.fa")
    whole = gzip.compress(TEXT.encode() * 1)
    (tmp_path / "x.fa.gz").write_bytes(whole[:-6])
    with pytest.raises(DataError, match="truncated or damaged"):
        read_fasta(tmp_path / "x.fa.gz")


def test_flanks_apply_to_fasta(tmp_path: Path):
    (tmp_path / "x.fa").write_text(">a\nCC\n>b\nCCC\n")
    got = read_fasta(
        tmp_path / "x.fa", length=LengthPolicy(policy="flank", length_bp=4, left_flank="A", right_flank="T")
    )
    assert decode(got.codes) == ["ACCT", "CCCT"]


def test_real_library_equals_a_line_by_line_parser(shared_data: Path):
    path = shared_data / "lentimpra_joint_library_60k_unlabelled.fa.gz"
    got = read_fasta(path)
    assert got.codes.shape == (60_000, 230)
    expected: dict[str, str] = {}
    with gzip.open(path, "rt") as lines:
        for line in lines:
            if line.startswith(">"):
                name = line[1:].split()[0]
                expected[name] = ""
            else:
                expected[name] += line.strip().upper()
    assert got.ids.tolist() == list(expected)
    sample = np.arange(0, 60_000, 7)
    letters = list(expected.values())
    assert decode(got.codes[sample]) == [letters[i] for i in sample]
