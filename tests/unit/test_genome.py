"""Genomes and intervals: what is cut is what stands there, and what cannot be read is one line."""

import gzip
import tracemalloc
from collections import Counter
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pysam
import pytest
from tiny import LENGTH, same_weights, train_tiny

from octodon.data._fasta_index import _unpacked
from octodon.data.formats.bed import LEAVES_CONTIG, read_bed
from octodon.data.formats.table import read_table
from octodon.data.genome import open_genome
from octodon.data.intervals import read_intervals
from octodon.errors import ConfigError, DataError
from octodon.seq.codes import decode, encode, reverse_complement
from octodon.seq.coordinates import centred_starts, match_contigs

FASTA = ">chr1 first\nACGTACGTAC\nGGTTNNRYac\n>2\nTTTTGGGGCC\n"
_END_OF_BGZIP = bytes.fromhex("1f8b08040000000000ff0600424302001b0003000000000000000000")  # an empty block
CHR1 = "ACGTACGTACGGTTNNNNAC"  # R and Y stand for several bases


@pytest.fixture(params=["whole", "gzip", "indexed", "bgzip"])
def fasta(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    path = tmp_path / "genome.fa"
    path.write_text(FASTA)
    if request.param == "gzip":
        path = tmp_path / "genome.fa.gz"
        path.write_bytes(gzip.compress(FASTA.encode()))
    if request.param == "bgzip":
        pysam.tabix_compress(str(path), str(path) + ".gz")
        path = tmp_path / "genome.fa.gz"
    if request.param in ("indexed", "bgzip"):
        pysam.faidx(str(path))
    return path


def test_bases_are_those_of_the_file_however_it_is_stored(fasta: Path) -> None:
    files = set(fasta.parent.iterdir())
    with open_genome(fasta) as genome:
        assert genome.lengths_bp == {"chr1": 20, "2": 10}
        assert decode(genome.fetch("chr1", 0, 20)[None]) == [CHR1]
        assert decode(genome.windows("chr1", np.array([15, 0, 8, 0]), 5)) == [
            CHR1[i : i + 5] for i in (15, 0, 8, 0)
        ]
        assert "index" in genome.note
        with pytest.raises(DataError, match=r"chr1:15-21 \(0-based\) leaves the contig of 20 bp"):
            genome.fetch("chr1", 15, 21)
        with pytest.raises(DataError, match="no contig 'chr2'"):
            genome.fetch("chr2", 0, 1)
    assert set(fasta.parent.iterdir()) == files  # nothing is written beside the user's file


def test_windows_far_apart_are_read_apart(tmp_path: Path) -> None:
    bases = "".join(np.random.default_rng(0).choice(list("ACGT"), 2_200_000))
    (tmp_path / "g.fa").write_text(f">a\n{bases}\n")
    starts = np.array([2_199_990, 0, 1_048_576, 1_048_577, 5])
    with open_genome(tmp_path / "g.fa") as genome:
        assert decode(genome.windows("a", starts, 10)) == [bases[s : s + 10] for s in starts.tolist()]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("ACGT\n", "expected '>'"),
        (">a\nAC\n>a\nGT\n", "'a' is there twice"),
        (">\nAC\n", "has no name"),
    ],
)
def test_what_is_no_genome_is_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "g.fa").write_text(text)
    with pytest.raises(DataError, match=message):
        open_genome(tmp_path / "g.fa")


def test_a_letter_that_is_no_base_is_named(tmp_path: Path) -> None:
    (tmp_path / "g.fa").write_text(">a\nACGTXACGT\n")
    with (
        open_genome(tmp_path / "g.fa") as genome,
        pytest.raises(DataError, match="a, position 5: 'X' is not a base"),
    ):
        genome.fetch("a", 2, 7)


def test_a_large_file_without_index_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("octodon.data.genome.MOST_BYTES_WITHOUT_INDEX", 10)
    (tmp_path / "g.fa").write_text(FASTA)
    with pytest.raises(DataError, match=r"no index \(g.fa.fai\).*samtools faidx"):
        open_genome(tmp_path / "g.fa")


def test_what_is_no_genome_is_said_before_its_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("octodon.data.genome.MOST_BYTES_WITHOUT_INDEX", 10)
    (tmp_path / "g.2bit").write_bytes(b"\x43\x27\x41\x1a" + bytes(40))
    with pytest.raises(DataError, match=r"g\.2bit: starts with b'C', expected '>' \(FASTA\)"):
        open_genome(tmp_path / "g.2bit")


def test_the_part_of_an_index_that_is_missing_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("octodon.data.genome.MOST_BYTES_WITHOUT_INDEX", 10)
    path = _bgzipped(tmp_path / "g.fa", FASTA)
    with pytest.raises(DataError, match=r"no index \(g\.fa\.gz\.fai and g\.fa\.gz\.gzi\), and too large"):
        open_genome(path)
    Path(f"{path}.fai").write_text("chr1\t20\t12\t10\t11\n")
    with pytest.raises(DataError, match=r"no index \(g\.fa\.gz\.gzi\), and too large"):
        open_genome(path)


@pytest.mark.parametrize("piece_bytes", [1, 7, 1 << 20])
def test_a_genome_is_read_in_pieces(
    tmp_path: Path, piece_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("octodon.data.genome._PIECE_BYTES", piece_bytes)
    tracemalloc.start()
    try:
        with open_genome(_write(tmp_path / "g.fa", "\n \n" + FASTA)) as genome:
            assert decode(genome.fetch("chr1", 0, 20)[None]) == [CHR1]
            assert decode(genome.fetch("2", 0, 10)[None]) == ["TTTTGGGGCC"]
        peak_bytes = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak_bytes < 1 << 25  # and not the most that may be read


def _write(path: Path, text: str) -> Path:
    path.write_text(text, newline="")
    return path


def _bgzipped(path: Path, text: str) -> Path:
    _write(path, text)
    pysam.tabix_compress(str(path), f"{path}.gz", force=True)
    return Path(f"{path}.gz")


def test_a_file_that_broke_after_it_was_indexed_is_one_line(tmp_path: Path) -> None:
    path = _bgzipped(tmp_path / "g.fa", ">a\n" + ("ACGT" * 15 + "\n") * 5000)
    pysam.faidx(str(path))
    whole = path.read_bytes()
    at = len(whole) // 2
    path.write_bytes(whole[:at] + bytes(64) + whole[at + 64 :])  # neither in the first block nor in the last
    with (
        open_genome(path) as genome,
        pytest.raises(DataError, match=r"g.fa.gz: a:0-300000 cannot be read .*samtools faidx"),
    ):
        genome.fetch("a", 0, 300_000)
    path.write_bytes(whole[:at])
    with pytest.raises(DataError, match=r"contig 'a' does not lie where .*samtools faidx"):
        open_genome(path)


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize(
    ("now", "contig"),
    [
        (">chr1 the first\n" + FASTA.partition("\n")[2], "chr1"),  # a header that is longer
        (FASTA.replace("ACGT", "", 1), "chr1"),  # a deletion
        (FASTA[: -len("GGGCC\n")], "2"),  # the end is gone
        (FASTA.replace(">2", ">3"), "2"),  # another name
        (">3\nACGT\n" + FASTA, "chr1"),  # a contig more
    ],
)
def test_an_index_of_an_earlier_file_is_refused(now: str, contig: str, zipped: bool, tmp_path: Path) -> None:
    path = tmp_path / "g.fa"
    path.write_text(FASTA)
    pysam.faidx(str(_bgzipped(path, FASTA) if zipped else path))
    path.write_text(now)
    with pytest.raises(DataError, match=f"contig {contig!r} does not lie where .*samtools faidx"):
        open_genome(_bgzipped(path, now) if zipped else path)


def test_the_blocks_of_an_earlier_packing_are_refused(tmp_path: Path) -> None:
    bases = np.random.default_rng(0).choice(list("ACGT"), (5000, 60))
    text = "".join(
        f">{name}\n" + "".join("".join(row) + "\n" for row in rows)
        for name, rows in zip("ab", np.split(bases, 2), strict=True)
    )
    path = _bgzipped(tmp_path / "g.fa", text)
    pysam.faidx(str(path))
    blocks = Path(f"{path}.gzi").read_bytes()
    with open_genome(path) as genome:  # contigs that begin and end in different blocks
        assert decode(genome.fetch("b", 149_990, 150_000)[None]) == ["".join(bases[-1, -10:])]
    # the same bases, so the same .fai, packed into blocks of another length
    with path.open("wb") as file:
        for at in range(0, len(text), 50_000):
            pysam.tabix_compress(
                str(_write(tmp_path / "piece", text[at : at + 50_000])), f"{path}.part", force=True
            )
            file.write(Path(f"{path}.part").read_bytes().removesuffix(_END_OF_BGZIP))
        file.write(_END_OF_BGZIP)
    pysam.faidx(str(path))
    with open_genome(path) as genome:
        assert decode(genome.fetch("b", 149_990, 150_000)[None]) == ["".join(bases[-1, -10:])]
    Path(f"{path}.gzi").write_bytes(blocks)
    with pytest.raises(DataError, match=r"contig 'a' does not lie where .*g\.fa\.gz\.fai or g\.fa\.gz\.gzi"):
        open_genome(path)


def _in_blocks(path: Path, blocks: list[bytes]) -> Path:
    """Write a file packed block by block, and return the list of where each but the first begins."""
    packed = [gzip.compress(block) for block in blocks]
    path.write_bytes(b"".join(packed))
    places = [list(accumulate(map(len, each)))[:-1] for each in (packed, blocks)]
    gzi = Path(f"{path}.gzi")
    np.array([len(blocks) - 1, *np.transpose(places).ravel()], dtype="<u8").tofile(gzi)
    return gzi


def test_every_byte_is_read_from_its_block(tmp_path: Path) -> None:
    blocks = [b"ACGTA", b"C", b"GGTTNN", b"\n>b\n"]
    gzi, whole = _in_blocks(tmp_path / "g.gz", blocks), b"".join(blocks)
    with (tmp_path / "g.gz").open("rb") as stream:
        read = _unpacked(stream, gzi)
        for offset in range(len(whole) + 1):
            for size in (0, 1, 2, 9):
                assert read(offset, size) == whole[offset : offset + size]


def test_a_read_does_not_go_through_the_places_of_all_blocks(tmp_path: Path) -> None:
    n_blocks = 200_000
    gzi = _in_blocks(tmp_path / "g.gz", [b"ACGTACGTAC"])
    later = np.arange(1, n_blocks, dtype="<u8") * 100
    np.array([n_blocks - 1, *np.repeat(later, 2)], dtype="<u8").tofile(gzi)
    with (tmp_path / "g.gz").open("rb") as stream:
        read = _unpacked(stream, gzi)
        tracemalloc.start()
        try:
            assert read(3, 5) == b"TACGT"
            peak_bytes = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert peak_bytes < 4 * n_blocks  # an array of them takes twice that; a block at most 128 KiB


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize("text", [FASTA, FASTA.replace("\n", "\r\n"), FASTA[:-1], FASTA + "\n\n"])
def test_a_fresh_index_is_believed(text: str, zipped: bool, tmp_path: Path) -> None:
    path = _bgzipped(tmp_path / "g.fa", text) if zipped else _write(tmp_path / "g.fa", text)
    pysam.faidx(str(path))
    with open_genome(path) as genome:
        assert decode(genome.fetch("chr1", 0, 20)[None]) == [CHR1]
        assert decode(genome.fetch("2", 4, 10)[None]) == ["GGGGCC"]


def test_contigs_are_matched_across_conventions() -> None:
    known = ["1", "chrX", "MT"]
    assert match_contigs(["chr1", "X", "chrM", "2"], known) == {
        "chr1": "1",
        "X": "chrX",
        "chrM": "MT",
        "2": None,
    }


def test_centred_windows_share_their_centre() -> None:
    starts, stops = np.array([10, 10, 10]), np.array([20, 13, 14])
    got = centred_starts(starts, stops, 4)
    assert got.tolist() == [13, 10, 10]
    # a wider window's central crop is the interval
    wide = centred_starts(starts, stops, 11)
    assert (wide + (11 - (stops - starts)) // 2).tolist() == starts.tolist()


def _bed(tmp_path: Path, text: str) -> Path:
    (tmp_path / "x.bed").write_text(text)
    (tmp_path / "g.fa").write_text(FASTA)
    return tmp_path / "x.bed"


def test_a_bed_gives_bases_of_its_strand_and_values(tmp_path: Path) -> None:
    path = _bed(
        tmp_path,
        "track name=x\n#chrom\tstart\tend\tname\tscore\tstrand\tsplit\n"
        "1\t0\t5\ta\t1.5\t+\ttraining\n1\t0\t5\tb\t2\t-\tval\nchr2\t4\t9\tc\tNA\t.\ttest\n",
    )
    read = read_bed(
        path,
        tmp_path / "g.fa",
        targets={"y": "score"},
        id="name",
        split="split",
        columns=["name"],
        missing="drop",
    )
    assert decode(read.codes) == ["ACGTA", "TACGT"]
    assert read.ids.tolist() == ["a", "b"]
    assert read.targets[:, 0].tolist() == [1.5, 2.0]
    assert read.splits is not None
    assert read.splits.tolist() == ["train", "valid"]
    assert read.columns["chrom"].tolist() == ["1", "1"]
    assert sum(read.dropped.values()) == 1


def test_windows_around_centres_and_what_leaves_its_contig(tmp_path: Path) -> None:
    path = _bed(tmp_path, "chr1\t4\t6\nchr1\t0\t3\nchr1\t18\t20\n")
    with pytest.raises(DataError, match=r"row 2: chr1:-1-5.*outside = 'drop'"):
        read_bed(path, tmp_path / "g.fa", length_bp=6)
    read = read_bed(path, tmp_path / "g.fa", length_bp=6, outside="drop")
    assert decode(read.codes) == [CHR1[2:8]]
    assert read.dropped == {LEAVES_CONTIG: 2}
    assert read.ids.tolist() == ["row1"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("chr1\t0\n", "2 columns, expected at least 3"),
        ("chr1\t0\tx\n", "row 1, column 'end': 'x' is no whole number"),
        (f"chr1\t0\t{10**20}\n", "row 1, column 'end': '100000000000000000000' is no whole number"),
        ("chr1\t0\t5\nchr1\t5\t5\n", "row 2: interval 5-5"),
        ("chr1\t0\t5\ta\t0\t?\n", r"strand '\?'"),
        ("chr1\t0\t5\nchr7\t0\t5\n", "contigs are not in g.fa, first 'chr7'"),
        ("chr1\t0\t5\nchr1\t0\t6\n", "row 2 spans 6 bp.*set length_bp"),
        ("track\n", "no intervals"),
        (
            "#chrom\tstart\tend\tname\tscore\tstrand\tstart\nchr1\t0\t5\ta\t0\t+\t9\n",
            "2 columns are called 'start', expected one",
        ),
        (
            "#chrom\tstart\tend\tname\tscore\tstrand\tact\tact\nchr1\t0\t5\ta\t0\t+\t1\t5\n",
            "2 columns are called 'act'.*rename",
        ),
    ],
)
def test_a_bed_that_cannot_be_used_is_one_line(tmp_path: Path, text: str, message: str) -> None:
    path = _bed(tmp_path, text)
    with pytest.raises(DataError, match=message) as caught:
        read_bed(path, tmp_path / "g.fa")
    assert "\n" not in str(caught.value)


def test_a_quotation_mark_in_a_bed_is_a_letter(tmp_path: Path) -> None:
    rows = ["chr1\t1\t2\tp1", 'chr1\t3\t4\t"p2', "chr1\t5\t6\tp3", 'chr1\t7\t8\tp"4"']
    for above in ("", '# 5" ends\n', 'track name="peaks\n'):
        (tmp_path / "x.bed").write_text(above + "\n".join(rows))
        found = read_intervals(tmp_path / "x.bed")
        assert found.columns["name"].tolist() == ["p1", '"p2', "p3", 'p"4"']
        assert found.starts.tolist() == [1, 3, 5, 7]


def test_a_genome_that_may_not_be_read_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "g.fa").write_text(FASTA)

    def forbidden(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied", "g.fa")

    monkeypatch.setattr(Path, "open", forbidden)
    with pytest.raises(DataError, match=r"g\.fa: cannot be read: .*Permission denied"):
        open_genome(tmp_path / "g.fa")


def test_a_column_that_is_not_there_is_named(tmp_path: Path) -> None:
    path = _bed(tmp_path, "chr1\t0\t5\ta\tx\n")
    with pytest.raises(ConfigError, match=r"no column 'scor'; did you mean 'score'"):
        read_bed(path, tmp_path / "g.fa", targets={"y": "scor"})
    with pytest.raises(DataError, match="row 1, column 'score': 'x' is no number"):
        read_bed(path, tmp_path / "g.fa", targets={"y": "score"})
    assert read_intervals(path).strands.tolist() == ["+"]


def test_training_from_a_bed_equals_training_from_the_table(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    contig = "".join(rng.choice(list("ACGT"), 2000))
    starts, strands = rng.permutation(1900)[:120], rng.choice(["+", "-"], 120)
    splits = np.repeat(["train", "valid", "test"], [80, 20, 20])
    bases = [contig[start : start + LENGTH] for start in starts.tolist()]
    minus = decode(reverse_complement(encode(bases)))
    rows = pd.DataFrame({"chrom": "c", "start": starts, "end": starts + LENGTH, "name": range(120)})
    rows = rows.assign(score=rng.standard_normal(120).round(3), strand=strands, split=splits)
    (tmp_path / "g.fa").write_text(f">c\n{contig}\n")
    rows.rename(columns={"chrom": "#chrom"}).to_csv(tmp_path / "x.bed", sep="\t", index=False)
    given = rows.assign(sequence=np.where(strands == "+", bases, minus))
    given[["name", "sequence", "score", "split"]].to_csv(tmp_path / "x.tsv", sep="\t", index=False)
    options: Any = {"targets": {"y": "score"}, "id": "name", "split": "split"}
    from_bed = read_bed(tmp_path / "x.bed", tmp_path / "g.fa", **options)
    from_table = read_table(tmp_path / "x.tsv", **options)
    one, other = (
        train_tiny(examples, members=2, on_leak="allow").members for examples in (from_bed, from_table)
    )
    assert all(same_weights(a.weights, b.weights) for a, b in zip(one, other, strict=True))


def test_ecoli_from_bed_and_genome_equals_the_table(shared_data: Path, tmp_path: Path) -> None:
    table = pd.read_csv(shared_data / "ecoli_tss_promoter_urtecho2020.tsv.gz", sep="\t")
    on_genome = table[
        table["sequence"].str.len() == 150
    ]  # 96 synthetic ones are shorter, and have no place on it
    on_genome.to_csv(tmp_path / "table.tsv", sep="\t", index=False)
    from_table = read_table(
        tmp_path / "table.tsv", id="name", targets={"expression": "expression"}, repeated_ids="number"
    )
    from_bed = read_bed(
        shared_data / "ecoli_tss_promoter_urtecho2020.bed.gz",
        shared_data / "ecoli_U00096.2.fa.gz",
        id="name",
        targets={"expression": "score"},
        repeated_ids="number",
        columns=["start", "strand", "name"],
    )
    # by place and name, since a name occurs on several places and a place under several names
    place = (
        on_genome["genome_start0"].astype(int).astype(str),
        on_genome["genome_strand"],
        on_genome["name"],
    )
    of_table = zip(*place, decode(from_table.codes), from_table.targets[:, 0].tolist(), strict=True)
    place = (from_bed.columns[name].tolist() for name in ("start", "strand", "name"))
    of_bed = zip(*place, decode(from_bed.codes), from_bed.targets[:, 0].tolist(), strict=True)
    assert (Counter(of_bed) & Counter(of_table)).total() == len(from_bed) == 17_671
