"""read_table: values that can be checked by eye, and one clear line for every bad input."""

import bz2
import gzip
import lzma
import re
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from octodon.data._batches import _BLOCK_BYTES, TEXT, table_batches
from octodon.data._files import refuse_input
from octodon.data.formats.table import read_table
from octodon.data.genome import open_genome
from octodon.data.lengths import LengthPolicy
from octodon.data.stream import stream_sequences
from octodon.errors import ConfigError, DataError

ROWS = [
    ("a", "ACGT", "1", "3", "0.5", "Train"),
    ("b", "acgn", "2", "", "1.5", "val"),
    ("c", "TTTT", "NA", "nan", "2.5", "Test"),
    ("d", "GGGG", "5", "7", "3.5", "random"),
]
HEADER = ("name", "sequence", "r1", "r2", "other", "set")


def write(path: Path, rows=ROWS, header=HEADER, separator="\t") -> Path:
    text = "".join(separator.join(row) + "\n" for row in [header, *rows])
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return path


def write_parquet(path: Path) -> Path:
    columns = list(zip(*ROWS, strict=True))
    number = [[None if v in ("", "NA", "nan") else float(v) for v in columns[i]] for i in (2, 3, 4)]
    arrays = [
        pa.array(columns[0]),
        pa.array(columns[1], pa.large_string()),
        *map(pa.array, number),
        pa.array(columns[5]).dictionary_encode(),
    ]
    pq.write_table(pa.table(arrays, names=list(HEADER)), path)
    return path


@pytest.fixture(params=["x.tsv", "x.csv", "x.tsv.gz", "x.csv.gz", "x.txt", "x.parquet"])
def table(request, tmp_path: Path) -> Path:
    path = tmp_path / request.param
    if path.suffix == ".parquet":
        return write_parquet(path)
    return write(path, separator="," if ".csv" in request.param else "\t")


def test_every_format_gives_the_same_examples(table: Path):
    got = read_table(
        table, targets={"k": ["r1", "r2"], "o": "other"}, id="name", split="set", units="log2", missing="mask"
    )
    assert got.codes.tolist() == [[0, 1, 2, 3], [0, 1, 2, 4], [3, 3, 3, 3], [2, 2, 2, 2]]
    assert got.ids.tolist() == ["a", "b", "c", "d"]
    assert got.splits is not None
    assert got.splits.tolist() == ["train", "valid", "test", "random"]
    nan = np.nan
    np.testing.assert_array_equal(
        got.targets, np.array([[2, 0.5], [2, 1.5], [nan, 2.5], [6, 3.5]], np.float32)
    )
    np.testing.assert_array_equal(
        got.replicates,
        np.array(
            [[[1, 3], [0.5, nan]], [[2, nan], [1.5, nan]], [[nan, nan], [2.5, nan]], [[5, 7], [3.5, nan]]]
        ),
    )
    assert got.n_replicates is not None
    assert got.n_replicates.tolist() == [[2, 1], [1, 1], [0, 1], [2, 1]]
    assert got.replicate_std is not None
    # Sample standard deviation of 1, 3 and of 5, 7: sqrt(2).
    np.testing.assert_allclose(got.replicate_std[[0, 3], 0], np.sqrt(2), rtol=1e-6)
    assert got.units == "log2"
    assert got.target_names == ("k", "o")
    assert got.dropped == {}


def test_a_missing_target_is_refused_masked_or_dropped_and_counted(tmp_path: Path):
    path = write(tmp_path / "x.tsv")
    with pytest.raises(DataError, match=r"1 of 4 rows .* missing \(k 1; first: row 3, id 'c'\).*drop.*mask"):
        read_table(path, targets={"k": ["r1", "r2"]}, id="name")
    dropped = read_table(path, targets={"k": ["r1", "r2"], "o": "other"}, missing="drop")
    assert dropped.ids.tolist() == ["row1", "row2", "row4"]
    assert sum(dropped.dropped.values()) == 1
    # With "mask", a row without any target says nothing: left out and counted.
    masked = read_table(path, targets={"k": ["r1", "r2"]}, missing="mask")
    assert masked.ids.tolist() == ["row1", "row2", "row4"]
    assert sum(masked.dropped.values()) == 1


@pytest.mark.parametrize("value", ["inf", "-inf", "1e300"])
def test_an_infinite_activity_is_refused_unless_dropped(tmp_path: Path, value: str):
    # 1e300 is finite as float64, but not in the float32 that is kept.
    path = write(tmp_path / "x.tsv", [ROWS[0], ROWS[3], ("e", "AAAA", value, "1", "9", "x")])
    for missing in ("refuse", "mask"):
        with pytest.raises(DataError, match=r"1 of 3 rows .* infinite .*row 3.*missing = 'drop'"):
            read_table(path, targets={"k": ["r1", "r2"]}, missing=missing)
    got = read_table(path, targets={"k": ["r1", "r2"]}, missing="drop")
    assert len(got) == 2
    assert sum(got.dropped.values()) == 1


def test_unlabelled_tables_have_no_targets(tmp_path: Path):
    got = read_table(write(tmp_path / "x.tsv"))
    assert got.targets.shape == (4, 0)
    assert got.replicates is None


def test_columns_are_numbers_only_where_all_of_the_column_is(tmp_path: Path):
    rows = [("ACGT", "1", "007", "1.5", "X", "1", ""), ("ACGA", "20", "010", "", "1", "", "")]
    path = write(tmp_path / "x.tsv", rows, ("sequence", "whole", "code", "real", "mixed", "gap", "empty"))
    got = read_table(path, columns=["whole", "code", "real", "mixed", "gap", "empty"]).columns
    assert got["whole"].tolist() == [1, 20]
    assert got["code"].tolist() == ["007", "010"]
    np.testing.assert_array_equal(got["real"], [1.5, np.nan])
    assert got["mixed"].tolist() == ["X", "1"]
    np.testing.assert_array_equal(got["gap"], [1, np.nan])
    assert got["empty"].tolist() == ["", ""]


def test_a_column_may_serve_twice(tmp_path: Path):
    path = write(tmp_path / "x.tsv")
    got = read_table(path, targets={"o": "other"}, columns=["other", "name", "sequence"], id="name")
    assert got.columns["other"].tolist() == [0.5, 1.5, 2.5, 3.5]
    assert got.columns["name"].tolist() == ["a", "b", "c", "d"]
    assert got.columns["sequence"].tolist() == [row[1] for row in ROWS]


def test_windows_line_ends_byte_order_mark_and_quotes_are_read(tmp_path: Path):
    path = tmp_path / "x.csv"
    path.write_bytes(b'\xef\xbb\xbfsequence,y\r\n"ACGT",1\r\n"TTTT",2\r\n')
    got = read_table(path, targets={"y": "y"})
    assert got.codes.tolist() == [[0, 1, 2, 3], [3, 3, 3, 3]]
    assert got.targets.tolist() == [[1], [2]]


def test_length_policies_reach_one_length(tmp_path: Path):
    path = write(tmp_path / "x.tsv", [("AACGT",), ("ACG",)], ("sequence",))
    cropped = read_table(path, length=LengthPolicy(policy="crop", length_bp=3))
    assert cropped.codes.tolist() == [[0, 1, 2], [0, 1, 2]]


BAD = {
    "no such column": (
        {"sequence": "sequnce"},
        r"no column 'sequnce'; did you mean 'sequence'\? Known: name,",
    ),
    "no such target": ({"targets": {"k": "r3"}}, r"no column 'r3'.*Known"),
    "no such id": ({"id": "ID"}, r"no column 'ID'"),
    "no such split": ({"split": "fold"}, r"no column 'fold'"),
}


@pytest.mark.parametrize(("options", "message"), BAD.values(), ids=BAD)
def test_a_missing_column_is_named_with_those_that_exist(tmp_path: Path, options, message):
    with pytest.raises(DataError, match=message):
        read_table(write(tmp_path / "x.tsv"), **options)


def test_missing_and_empty_files(tmp_path: Path):
    with pytest.raises(DataError, match=r"none\.tsv: no such file"):
        read_table(tmp_path / "none.tsv")
    with pytest.raises(DataError, match=r"is a folder"):
        read_table(tmp_path)
    (tmp_path / "zero.tsv").write_bytes(b"")
    with pytest.raises(DataError, match=r"empty \(0 bytes\)"):
        read_table(tmp_path / "zero.tsv")
    with pytest.raises(DataError, match=r"header but no rows"):
        read_table(write(tmp_path / "x.tsv", []))
    pq.write_table(pa.table({"sequence": pa.array([], pa.string())}), tmp_path / "x.parquet")
    with pytest.raises(DataError, match=r"header but no rows"):
        read_table(tmp_path / "x.parquet")


@pytest.mark.parametrize("suffix", ["tsv", "parquet"])
def test_text_in_a_number_column_names_row_column_and_text(tmp_path: Path, suffix: str):
    path = write(tmp_path / "x.tsv", [*ROWS[:3], ("e", "ACGT", "1", "high", "2", "x")])
    if suffix == "parquet":
        path = tmp_path / "x.parquet"
        pq.write_table(pa.table({"sequence": ["AA", "AC", "AG", "AT"], "r2": ["1", "", "NA", "high"]}), path)
    with pytest.raises(DataError, match=r"row 4, column 'r2': 'high' is no number"):
        read_table(path, targets={"k": "r2"})


def test_a_letter_that_is_no_base_names_row_and_position(tmp_path: Path):
    with pytest.raises(DataError, match=r"row 2, position 3: 'X' is not a base"):
        read_table(write(tmp_path / "x.tsv", [("ACGT",), ("ACXT",)], ("sequence",)))
    with pytest.raises(DataError, match=r"row 2, position 2: 'é' is not a base"):
        read_table(write(tmp_path / "x.tsv", [("ACGT",), ("AéT",)], ("sequence",)))


def test_rows_are_counted_through_all_blocks(tmp_path: Path):
    # Long enough for several blocks of the reader, the bad row in the last.
    row = "ACGT" * 250
    n = 2 * _BLOCK_BYTES // len(row) + 100
    path = tmp_path / "x.tsv"
    good = "".join(f"{row}\t{i}\n" for i in range(n))
    for bad, message in (
        (f"{row[:-1]}R\t1\n", rf"row {n + 1}, position 1000: 'R' is not a base"),
        (f"{row[:-1]}\t1\n", rf"row {n + 1} has 999 bases, expected 1000"),
        (f"{row}\tx\n", rf"row {n + 1}, column 'y': 'x' is no number"),
        ("\t1\n", rf"row {n + 1} has no sequence"),
    ):
        path.write_text(f"sequence\ty\n{good}{bad}")
        with pytest.raises(DataError, match=message):
            read_table(path, targets={"y": "y"})


def test_mixed_lengths_are_refused(tmp_path: Path):
    with pytest.raises(
        DataError,
        match=r"row 2 has 3 bases, expected 4 \(3 of the first 4 rows do not fit: 3 or 6 bp\); choose",
    ):
        read_table(write(tmp_path / "x.tsv", [("ACGT",), ("ACG",), ("ACGTAC",), ("AAA",)], ("sequence",)))
    many = [("ACGT",), *(("A" * length,) for length in range(5, 30))]
    with pytest.raises(DataError, match=r"25 of the first 26 rows do not fit: 25 lengths from 5 to 29 bp"):
        read_table(write(tmp_path / "x.tsv", many, ("sequence",)))
    with pytest.raises(DataError, match=r"row 2 has no sequence"):
        read_table(write(tmp_path / "x.tsv", [("ACGT", "1"), ("", "2")], ("sequence", "y")))


def test_duplicate_ids_name_the_first(tmp_path: Path):
    with pytest.raises(DataError, match=r"rows 2 and 4 have the same id 'b' \(1 repeats"):
        read_table(write(tmp_path / "x.tsv", [*ROWS[:3], ROWS[1]]), id="name")
    with pytest.raises(DataError, match=r"row 2 has an empty id"):
        read_table(write(tmp_path / "x.tsv", [("a", "AA"), ("", "AC")], ("name", "sequence")), id="name")


def test_constant_and_empty_targets_are_refused(tmp_path: Path):
    rows = [("ACGT", "2", ""), ("ACGA", "2", "")]
    path = write(tmp_path / "x.tsv", rows, ("sequence", "same", "none"))
    with pytest.raises(DataError, match=r"target 'same' is 2 in all 2 rows"):
        read_table(path, targets={"same": "same"})
    with pytest.raises(DataError, match=r"no row is left"):
        read_table(path, targets={"none": "none"}, missing="drop")


def test_one_long_id_does_not_widen_all_others(tmp_path: Path):
    rows = [(f"id{i}", "ACGT") for i in range(2000)] + [("x" * 5000, "AAAA")]
    examples = read_table(write(tmp_path / "x.tsv", rows, ("name", "sequence")), id="name", columns=["name"])
    assert examples.ids[-1] == "x" * 5000
    assert examples.ids[3] == "id3"
    assert examples.ids.nbytes + examples.columns["name"].nbytes < 100_000  # fixed width: 40 million each


def test_repeated_ids_are_numbered_and_counted_on_request(tmp_path: Path):
    rows = [(name, sequence) for name, sequence in zip("abab", ("AA", "AC", "AG", "AT"), strict=True)]
    path = write(tmp_path / "x.tsv", rows, ("name", "sequence"))
    examples = read_table(path, id="name", repeated_ids="number")
    assert examples.ids.tolist() == ["a", "b", "a#2", "b#2"]
    assert examples.n_repeated_ids == 2
    assert examples.take(np.array([0])).n_repeated_ids == 2
    with pytest.raises(
        DataError, match=r"rows 1 and 3 have the same id 'a' \(2 repeats .*repeated_ids = 'number'"
    ):
        read_table(path, id="name")


def test_rows_with_another_number_of_fields_are_refused(tmp_path: Path):
    # pyarrow knows the row only when one thread happens to parse the block
    with pytest.raises(
        DataError, match=r"cannot be read as a table: CSV parse error: (Row #3: )?Expected 2 columns, got 1"
    ):
        read_table(write(tmp_path / "x.tsv", [("ACGT", "1"), ("ACG",)], ("sequence", "y")))


@pytest.mark.parametrize("suffix", ["tsv", "tsv.gz", "csv"])
@pytest.mark.parametrize(
    "rows",
    [
        [
            ("r1", "plain", "AAAA"),
            ("r2", '"5 prime', "CCCC"),
            ("r3", "plain", "GGGG"),
            ("r4", '"3 prime', "TTTT"),
        ],
        [("r1", "plain", "AAAA"), ('"r2', "a", "CCCC"), ('r3"', "a", "CCCC")],
        [("r1", '"two', "AAAA"), ('lines"', "CCCC")],
    ],
    ids=["two marks", "within an id", "two lines"],
)
def test_a_quotation_mark_never_joins_rows(tmp_path: Path, rows, suffix: str):
    separator = "," if suffix == "csv" else "\t"
    path = write(
        tmp_path / f"x.{suffix}", [*rows, ("r5", "x", "ACGT")], ("id", "note", "sequence"), separator
    )
    message = rf"{len(rows) + 1} lines below the header but \d rows: a field begins with a quotation mark that another"
    for use in (
        lambda: read_table(path, id="id"),
        lambda: list(stream_sequences(path, id="id")),
        lambda: list(table_batches(path, {"id": TEXT, "note": TEXT})),
    ):
        with pytest.raises(DataError, match=message) as caught:
            use()
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_quotation_marks_that_stay_on_their_line_are_read(tmp_path: Path, end: str, monkeypatch):
    rows = ['"id"\t"sequence"', '12" x\tACGT', "", '"a\t""b"""\t"CCCC"', "", "", 'ends"\tGGGG', '""\tTTTT']
    (tmp_path / "x.tsv").write_bytes(b"\xef\xbb\xbf" + end.join(rows).encode())
    for size in (_BLOCK_BYTES, 40, 41, 42):  # lines that go on in the next block count once
        monkeypatch.setattr("octodon.data._batches._BLOCK_BYTES", size)
        batches = list(table_batches(tmp_path / "x.tsv", {"id": TEXT}))
        ids = [name for batch in batches for name in batch.column("id").to_pylist()]
        assert ids == ['12" x', 'a\t"b"', 'ends"', ""]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"id\tsequence\rr1\tAAAA\r", "new-line character"),
        (b"A" * 200_000 + b"\n" + b"C" * 9, "field larger than"),
    ],
)
def test_a_first_line_that_is_no_header_is_one_line(tmp_path: Path, content: bytes, reason: str):
    (tmp_path / "x.txt").write_bytes(content)
    with pytest.raises(
        DataError, match=rf"x\.txt: the first line is no header of a table \({reason}"
    ) as caught:
        read_table(tmp_path / "x.txt")
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 500


def test_a_path_that_the_system_refuses_is_one_line():
    sequence = Path("ACGT" * 100)  # in the place of its file
    for use in (read_table, lambda path: list(stream_sequences(path)), open_genome):
        with pytest.raises(
            DataError, match=r"^(ACGT){20}: cannot be read: File name too long; give the path"
        ):
            use(sequence)
    refuse_input(sequence, sequence)  # left to whoever opens it


@pytest.mark.parametrize("name", ["~$data.tsv", "~nosuchuser/data.tsv"])
def test_a_name_that_looks_like_the_home_of_nobody_is_a_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match=rf"^{re.escape(name)}: no such file"):
        read_table(name)
    Path(name).parent.mkdir(exist_ok=True)
    assert len(read_table(write(Path(name)))) == len(ROWS)


@pytest.mark.parametrize("delimiter", ["tab", "\\t", "\t", None, ""])
def test_a_tab_may_be_called_by_its_name(tmp_path: Path, delimiter: str | None):
    path = write(tmp_path / "x.tsv")
    assert read_table(path, delimiter=delimiter).codes.tolist() == read_table(path).codes.tolist()


@pytest.mark.parametrize("delimiter", [";;", "\\s", "§", '"', "'", "\n", "\r"])
def test_a_delimiter_that_is_no_character_is_one_line(tmp_path: Path, delimiter: str):
    path = write(tmp_path / "x.tsv")
    for use in (read_table, lambda path, **how: list(stream_sequences(path, **how))):
        with pytest.raises(
            ConfigError, match=r"x\.tsv: delimiter is .*, expected one ASCII character"
        ) as caught:
            use(path, delimiter=delimiter)
        assert "\n" not in str(caught.value)


def test_a_column_name_that_occurs_twice_is_refused(tmp_path: Path):
    with pytest.raises(DataError, match=r"2 columns are called 'y'"):
        read_table(write(tmp_path / "x.tsv", [("A", "1", "2")], ("sequence", "y", "y")), targets={"y": "y"})


def test_truncated_files_give_one_line(tmp_path: Path):
    rng = np.random.default_rng(0)
    rows = [("".join(rng.choice(list("ACGT"), 60)), str(i)) for i in range(2000)]
    whole = write(tmp_path / "x.tsv.gz", rows, ("sequence", "y")).read_bytes()
    for size in (len(whole) // 2, len(whole) - 4, 15):
        (tmp_path / "cut.tsv.gz").write_bytes(whole[:size])
        with pytest.raises(DataError, match=r"cut\.tsv\.gz: the gzip stream is truncated or damaged"):
            read_table(tmp_path / "cut.tsv.gz", targets={"y": "y"})
    parquet = write_parquet(tmp_path / "x.parquet").read_bytes()
    (tmp_path / "cut.parquet").write_bytes(parquet[: len(parquet) // 2])
    with pytest.raises(DataError, match=r"cut\.parquet: cannot be read"):
        read_table(tmp_path / "cut.parquet")
    (tmp_path / "bytes.tsv").write_bytes(b"\x89PNG\xff\xfe\x00\n")
    with pytest.raises(DataError, match=r"first line is not text"):
        read_table(tmp_path / "bytes.tsv")


@pytest.mark.parametrize(
    ("start", "words"),
    [
        (b"\x28\xb5\x2f\xfd", "compressed by zstd"),  # RFC 8878, section 3.1.1
        (lzma.compress(b"name\tsequence\n"), "compressed by xz"),
        (bz2.compress(b"name\tsequence\n"), "compressed by bzip2"),
        (b"PK\x03\x04", "a zip archive or a spreadsheet"),
    ],
)
@pytest.mark.parametrize("name", ["x.tsv", "x.tsv.zst"])
def test_other_compressions_are_named(tmp_path: Path, start: bytes, words: str, name: str):
    (tmp_path / name).write_bytes(start + bytes(20))
    with pytest.raises(DataError, match=f"{words}, expected plain text or gzip; unpack it"):
        read_table(tmp_path / name)


def test_gzip_of_several_members_is_read_whole(tmp_path: Path):
    parts = [b"sequence\ty\nACGT\t1\n", b"AAAA\t2\n", b"CCCC\t3\n"]
    (tmp_path / "x.tsv.gz").write_bytes(b"".join(gzip.compress(part) for part in parts))
    assert read_table(tmp_path / "x.tsv.gz", targets={"y": "y"}).targets.tolist() == [[1], [2], [3]]


@pytest.mark.parametrize(
    ("targets", "message"),
    [
        ({"k": ["r1", "r1"]}, "named twice"),
        ({"k": "r1", "o": "r1"}, "named twice"),
        ({"k": []}, "no column given"),
        ({"k": "sequence"}, "also named"),
    ],
)
def test_targets_that_contradict_themselves_are_refused(tmp_path: Path, targets, message):
    with pytest.raises(ConfigError, match=message):
        read_table(write(tmp_path / "x.tsv"), targets=targets)


def test_real_promoter_table(shared_data: Path):
    targets = {cell: [f"log2_{cell}_rep{i}" for i in (1, 2, 3)] for cell in ("HUES64", "mESC")}
    path = shared_data / "promoter_mpra_mattioli2020.tsv.gz"
    got = read_table(path, targets=targets, split="split", columns=["chrom", "n_barcodes", "name"])
    assert got.codes.shape == (12_114, 144)
    assert got.replicates is not None
    assert got.replicates.shape == (12_114, 2, 3)
    assert {str(s): len(got.subset(str(s))) for s in np.unique(got.splits)} == {
        "train": 7326,
        "valid": 1278,
        "test": 2081,
        "random": 1429,
    }
    # First data row of the file, by hand: (1.72783 + 1.62716 + 1.61801) / 3.
    np.testing.assert_allclose(got.targets[0, 0], 1.657667, atol=1e-6)
    assert got.columns["chrom"][0] == "chr11"
    # Its column `name` is no identifier: the random sequences share one.
    with pytest.raises(DataError, match=r"same id 'random_sequence'"):
        read_table(path, id="name")


def test_real_deepstarr_table(shared_data: Path):
    path = shared_data / "deepstarr_3k.tsv.gz"
    targets = {"Dev": "Dev_log2_enrichment", "Hk": "Hk_log2_enrichment"}
    got = read_table(path, sequence="Sequence", targets=targets, split="split")
    assert got.codes.shape == (3000, 249)
    assert [len(got.subset(s)) for s in ("train", "valid", "test")] == [1000, 1000, 1000]
    with pytest.raises(DataError, match=r"31 repeats in all"):
        read_table(path, sequence="Sequence", targets=targets, id="ID")
    np.testing.assert_allclose(got.targets[0], [0.0029580836399493, -1.64088967459238], rtol=1e-6)
