"""read: the [data] section chooses a reader; wrong keys and types are named in one line."""

import gzip
import inspect
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

from octodon.data.formats import readers
from octodon.data.read import read
from octodon.errors import ConfigError, DataError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    text = "sequence\ty\nACGT\t1\nCCGT\t2\n"
    for name in ("x.tsv", "x.txt"):
        (tmp_path / name).write_text(text)
    (tmp_path / "x.csv").write_text(text.replace("\t", ","))
    (tmp_path / "x.tsv.gz").write_bytes(gzip.compress(text.encode()))
    (tmp_path / "x.gz").write_bytes(gzip.compress(text.encode()))
    (tmp_path / "x.dat").write_text(text)
    (tmp_path / "x.fa").write_text(">a\nACGT\n>b\nCCGT\n")
    (tmp_path / "x.fasta.gz").write_bytes(gzip.compress(b">a\nACGT\n>b\nCCGT\n"))
    with h5py.File(tmp_path / "x.hdf5", "w") as store:
        store["X_Train"] = np.eye(4)[[[0, 1, 2, 3, 0], [1, 1, 2, 3, 0]]]
    return tmp_path


@pytest.mark.parametrize(
    "name", ["x.tsv", "x.txt", "x.csv", "x.tsv.gz", "x.gz", "x.fa", "x.fasta.gz", "x.hdf5"]
)
def test_the_suffix_tells_the_format_and_paths_are_relative_to_base(folder: Path, name: str):
    got = read({"path": name}, folder)
    assert got.codes[:, :4].tolist() == [[0, 1, 2, 3], [1, 1, 2, 3]]


def test_an_explicit_format_and_an_absolute_path(folder: Path, tmp_path: Path):
    options = {"format": "table", "path": str(folder / "x.dat"), "targets": {"y": ["y"]}}
    assert read(options, tmp_path / "elsewhere").targets.tolist() == [[1], [2]]
    assert options["format"] == "table"  # the caller's mapping is left alone


def test_a_length_policy_is_a_table_of_keys(folder: Path):
    got = read({"path": "x.tsv", "length": {"policy": "crop", "length_bp": 2}}, folder)
    assert got.codes.tolist() == [[1, 2], [1, 2]]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"path": "x.tsv", "sequnce": "s"}, r"data: no key 'sequnce'; did you mean 'sequence'\?"),
        ({"path": "x.tsv", "targets": ["y"]}, r"data\.targets: .*table of keys; got \['y'\]"),
        ({"path": "x.tsv", "targets": {"y": 3}}, r"data\.targets\.y: .*valid string.*list; got 3"),
        ({"path": "x.tsv", "targets": {"y": ["a", 3]}}, r"data\.targets\.y\.1: .*valid string; got 3"),
        (
            {"path": "x.tsv", "missing": "ignore"},
            r"data\.missing: .*'refuse', 'drop' or 'mask'; got 'ignore'",
        ),
        ({"path": "x.tsv", "columns": "chrom"}, r"data\.columns: .*list; got 'chrom'"),
        ({"path": "x.tsv", "id": 3}, r"data\.id: .*valid string; got 3"),
        ({"path": "x.tsv", "length": {"policy": "crop", "bp": 3}}, r"data\.length\.bp: .*got 3"),
        (
            {"path": "x.tsv", "length": {"policy": "crop", "length_bp": "3"}},
            r"data\.length\.length_bp: .*integer; got '3'",
        ),
        ({"path": "x.tsv", "length": "pad"}, r"data\.length: .*'refuse', 'crop' or 'flank'; got 'pad'"),
        ({"path": "x.tsv", "length": "crop"}, r"'crop' needs length_bp"),
        ({"path": "x.dat"}, r"data\.path: 'x\.dat': the suffix '\.dat' tells no format; set data\.format"),
        ({"path": 3}, r"data: give path"),
        ({}, r"data: give path"),
        ({"format": "tabel", "path": "x.tsv"}, r"reader: no 'tabel'; did you mean 'table'\?"),
        ({"format": "table"}, r"data: the key 'path' is missing"),
        ({"format": "barcodes", "path": "x.tsv", "sequences": "x.tsv"}, r"data: the key 'dna' is missing"),
    ],
)
def test_wrong_settings_are_named_in_one_line(folder: Path, options, message: str):
    with pytest.raises(ConfigError, match=message) as caught:
        read(options, folder)
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_named_with_its_folder(folder: Path):
    with pytest.raises(DataError, match=rf"{folder}/y\.tsv: no such file"):
        read({"path": "y.tsv"}, folder)


@pytest.mark.parametrize("name", readers.names())
def test_every_reader_documents_and_types_its_options(name: str):
    reader = readers[name]
    doc = inspect.getdoc(reader) or ""
    for parameter in inspect.signature(reader).parameters.values():
        assert parameter.annotation is not inspect.Parameter.empty, parameter.name
        assert parameter.name in doc, parameter.name


def test_readers_do_not_load_torch():
    code = "import sys, octodon.data.read as r; r.readers.names(); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
