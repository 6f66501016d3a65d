"""Scanning a genome: every window once, on both strands, as the model alone predicts it; tracks that hold it."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pybigtools
import pytest
import tiny
from typer.testing import CliRunner

from octodon.artifact.bundle import save
from octodon.cli.main import app
from octodon.data.genome import open_genome
from octodon.data.intervals import Intervals
from octodon.distillation.student import Student
from octodon.errors import ConfigError, DataError, RunError
from octodon.genomes.grid import Grid, region_runs
from octodon.genomes.scan import ScanOptions, ScanReport, scan

LENGTH, STRIDE = tiny.LENGTH, 10
COMPLEMENT = str.maketrans("ACGTN", "TGCAN")


@pytest.fixture(scope="module")
def student() -> Student:
    return replace(tiny.student(), target_names=("dev", "hk"))


@pytest.fixture
def contigs(tmp_path: Path) -> dict[str, str]:
    rng = np.random.default_rng(3)
    made = {
        name: "".join(rng.choice(list("ACGT"), n)) for name, n in (("chr1", 205), ("chr2", 32), ("tiny", 31))
    }
    made["chr1"] = made["chr1"][:90] + "N" * 15 + made["chr1"][105:]
    (tmp_path / "g.fa").write_text("".join(f">{name}\n{bases}\n" for name, bases in made.items()))
    return made


def _scan(
    student: Student, folder: Path, out: str = "scan", **options: Any
) -> tuple[ScanReport, pd.DataFrame]:
    with open_genome(folder / "g.fa") as genome:
        report = scan(student, genome, folder / out, ScanOptions(stride_bp=STRIDE, device="cpu", **options))
    return report, pd.read_parquet(folder / f"{out}.parquet")


def test_every_window_is_predicted_as_by_the_model_alone(
    student: Student, contigs: dict[str, str], tmp_path: Path
) -> None:
    report, table = _scan(student, tmp_path, max_n_fraction=0.0)
    expected = [
        (name, start, strand)
        for name in ("chr1", "chr2")
        for strand in "+-"
        for start in range(0, len(contigs[name]) - LENGTH + 1, STRIDE)
        if "N" not in contigs[name][start : start + LENGTH]
    ]
    assert list(table[["contig", "start", "strand"]].itertuples(index=False, name=None)) == expected
    assert report.n_windows == len(expected) // 2
    assert report.n_skipped == sum(
        "N" in contigs["chr1"][s : s + LENGTH] for s in range(0, 205 - LENGTH + 1, STRIDE)
    )
    assert report.n_short_contigs == 1
    bases = [contigs[name][start : start + LENGTH] for name, start, _ in expected]
    bases = [
        text if strand == "+" else text[::-1].translate(COMPLEMENT)
        for text, (_, _, strand) in zip(bases, expected, strict=True)
    ]
    alone = student.predict(bases, device="cpu")
    np.testing.assert_allclose(table["dev_mean"], alone.mean[:, 0], atol=1e-6)
    assert alone.epistemic_std is not None
    np.testing.assert_allclose(table["hk_epistemic_std"], alone.epistemic_std[:, 1], atol=1e-6)
    assert (table["stop"] - table["start"] == LENGTH).all()


def test_tracks_hold_the_table(student: Student, contigs: dict[str, str], tmp_path: Path) -> None:
    report, table = _scan(student, tmp_path)
    names = {file.name for file in report.files}
    assert names == {"scan.parquet"} | {
        f"scan.{target}_{quantity}.{strand}.bw"
        for target in ("dev", "hk")
        for quantity in ("mean", "epistemic_std")
        for strand in ("plus", "minus")
    }
    with pybigtools.open(str(tmp_path / "scan.hk_mean.minus.bw")) as track:
        assert track.chroms() == {name: len(contigs[name]) for name in ("chr1", "chr2")}
        rows = table[(table["contig"] == "chr1") & (table["strand"] == "-")]
        margin = (LENGTH - STRIDE) // 2
        assert list(track.records("chr1")) == [
            (start + margin, start + margin + STRIDE, pytest.approx(value, abs=1e-6))
            for start, value in zip(rows["start"], rows["hk_mean"], strict=True)
        ]
    assert {file.name for file in tmp_path.iterdir()} == names | {"g.fa"}  # nothing is left over


def test_regions_give_the_windows_of_the_whole_scan_that_touch_them(
    student: Student, contigs: dict[str, str], tmp_path: Path
) -> None:
    regions = [("1", 60, 61), ("1", 50, 75), ("1", 140, 163), ("2", 0, 5), ("2", 16, 17), ("1", 203, 205)]
    (tmp_path / "r.bed").write_text("".join(f"{c}\t{a}\t{b}\n" for c, a, b in regions))
    _, whole = _scan(student, tmp_path)
    report, some = _scan(student, tmp_path, "some", bed=tmp_path / "r.bed")
    margin = (LENGTH - STRIDE) // 2
    touched = [
        any("chr" + c == contig and start + margin < b and start + margin + STRIDE > a for c, a, b in regions)
        for contig, start in zip(whole["contig"], whole["start"], strict=True)
    ]
    key = ["contig", "start", "strand"]
    expected = whole[touched].sort_values(key, ignore_index=True)
    pd.testing.assert_frame_equal(some.sort_values(key, ignore_index=True), expected, atol=1e-6)
    assert report.n_empty_regions == 2  # chr2:0-5 and chr1:203-205 lie at the ends
    assert report.n_short_contigs == 0  # no region names the contig tiny
    (tmp_path / "r.bed").write_text("1\t60\t61\ntiny\t3\t5\n")
    assert _scan(student, tmp_path, "some", bed=tmp_path / "r.bed")[0].n_short_contigs == 1
    assert any("'1' is 'chr1'" in note for note in report.notes)
    assert len(contigs) == 3


@pytest.mark.parametrize(("length", "stride"), [(32, 10), (31, 10), (10, 32), (7, 7), (150, 1)])
def test_spans_lie_inside_windows_and_never_overlap(length: int, stride: int) -> None:
    grid = Grid(length_bp=length, stride_bp=stride)
    assert grid.margin_bp >= 0
    assert grid.margin_bp + grid.span_bp <= length
    assert grid.span_bp <= stride
    for contig_bp in range(400):
        assert grid.n_windows(contig_bp) == len(range(0, contig_bp - length + 1, stride))


def test_regions_of_many_contigs_come_in_the_order_of_the_genome() -> None:
    rng = np.random.default_rng(0)
    grid, names = Grid(length_bp=8, stride_bp=3), [f"c{i}" for i in rng.permutation(30)]
    lengths_bp = {name: int(bp) for name, bp in zip(names, rng.integers(0, 60, 30), strict=True)}
    contigs = rng.choice(np.array(names[:20], dtype=object), 40)  # ten of them have no region
    starts = rng.integers(0, 60, 40)
    stops = starts + rng.integers(1, 9, 40)
    regions = Intervals(contigs=contigs, starts=starts, stops=stops, strands=contigs, columns={})
    expected, met = [], set()
    for name, contig_bp in lengths_bp.items():
        for window in range(grid.n_windows(contig_bp)):
            start = 3 * window + grid.margin_bp
            touched = (contigs == name) & (starts < start + grid.span_bp) & (stops > start)
            expected += [(name, window)] if touched.any() else []
            met |= set(np.flatnonzero(touched))
    runs, n_empty, n_between = region_runs(grid, lengths_bp, contigs, regions)
    assert [(name, window) for name, first, after in runs for window in range(first, after)] == expected
    assert (n_empty, n_between) == (40 - len(met), 0)


def test_regions_between_windows_are_told_from_those_at_the_end_of_a_contig(
    student: Student, contigs: dict[str, str], tmp_path: Path
) -> None:
    # windows of 32 bp at 0, 50, 100 and 150
    regions = [("chr1", 31, 33), ("chr1", 32, 50), ("chr1", 140, 141), ("chr1", 182, 205), ("chr1", 10, 11)]
    (tmp_path / "r.bed").write_text("".join(f"{c}\t{a}\t{b}\n" for c, a, b in regions))
    save(student, tmp_path / "student")
    command = [
        "scan",
        str(tmp_path / "student"),
        "--fasta",
        str(tmp_path / "g.fa"),
        "--stride",
        "50",
        "--quiet",
    ]
    command += ["--device", "cpu", "--bed", str(tmp_path / "r.bed"), "--out", str(tmp_path / "out")]
    result = CliRunner().invoke(app, command)
    assert result.exception is None, result.output
    assert "2 regions lie between windows: none touches them; lower --stride" in result.output
    assert "1 regions lie too near the end of a contig" in result.output
    assert "1 windows, both strands" in result.output
    (tmp_path / "r.bed").write_text("chr1\t32\t50\nchr1\t204\t205\n")
    refused = CliRunner().invoke(app, command).exception
    assert isinstance(refused, DataError)
    assert "2 regions; they lie too near the end of a contig or between windows (lower --stride)" in str(
        refused
    )


def test_what_cannot_be_scanned_is_one_line(
    student: Student, contigs: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "g.fa").write_text(f">tiny\n{contigs['tiny']}\n>none\n")
    with pytest.raises(DataError, match="no window; the longest contig has 31 bp, the model reads 32 bp"):
        _scan(student, tmp_path)
    (tmp_path / "g.fa").write_text(">a\n" + "N" * 100 + "\n")
    with pytest.raises(DataError, match="all 7 windows have more than 5% N"):
        _scan(student, tmp_path)
    (tmp_path / "r.bed").write_text("b\t0\t50\n")
    with pytest.raises(DataError, match=r"contigs are not in g.fa, first 'b'"):
        _scan(student, tmp_path, bed=tmp_path / "r.bed")
    (tmp_path / "r.bed").write_text("a\t0\t2\n")
    with pytest.raises(
        DataError, match=r"no window .* any of its 1 regions; they lie too near the end of a contig$"
    ):
        _scan(student, tmp_path, bed=tmp_path / "r.bed")
    with pytest.raises(ConfigError, match="--max-n 2"):
        ScanOptions(max_n_fraction=2.0)
    with pytest.raises(ConfigError, match="--stride 0"):
        Grid(length_bp=5, stride_bp=0)
    with pytest.raises(ConfigError, match="is a folder"):
        _scan(student, tmp_path, "")
    with pytest.raises(RunError, match="cannot write"):
        _scan(student, tmp_path, "absent/scan")
    with pytest.raises(ConfigError, match="targets 'a/b' and 'a_b' would be one file"):
        _scan(replace(student, target_names=("a/b", "a_b")), tmp_path)
    assert {file.name for file in tmp_path.iterdir()} == {"g.fa", "r.bed"}


def test_the_command(student: Student, contigs: dict[str, str], tmp_path: Path) -> None:
    save(student, tmp_path / "student")
    command = ["scan", str(tmp_path / "student"), "--fasta", str(tmp_path / "g.fa"), "--stride", "10"]
    result = CliRunner().invoke(app, [*command, "--out", str(tmp_path / "out"), "--quiet", "--device", "cpu"])
    assert result.exception is None, result.output
    n_whole = math.floor((len(contigs["chr1"]) - LENGTH) / STRIDE) + 2
    assert f"{n_whole - 5} windows, both strands" in result.output
    assert "5 windows skipped: more than 5% N" in result.output
    assert "1 contigs are shorter than the model's 32 bp" in result.output
    command += ["--max-n", "0.002", "--out", str(tmp_path / "out"), "--quiet", "--device", "cpu"]
    assert "windows skipped: more than 0.2% N" in CliRunner().invoke(app, command).output
    (tmp_path / "g.fa").write_text(">a\n" + "N" * 100 + "\n")
    with pytest.raises(DataError, match=r"all 7 windows have more than 0\.2% N"):
        CliRunner().invoke(app, command, catch_exceptions=False)
