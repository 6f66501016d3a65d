"""read_fasta against records written by hand and against a line-by-line parser."""

import gzip
from pathlib import Path

import numpy as np
import pytest

import octodon.data.formats.fasta as fasta
from octodon.data.formats.fasta import read_fasta
from octodon.data.lengths import LengthPolicy
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
