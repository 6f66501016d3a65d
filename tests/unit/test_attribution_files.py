"""Attributions on disk and on paper: layouts that others read, tracks, logos, the command."""

from pathlib import Path
from xml.etree import ElementTree

import h5py
import numpy as np
import pytest
from tiny import LENGTH, ensemble
from typer.testing import CliRunner

from octodon.artifact.bundle import save
from octodon.attribution.attribute import attribute
from octodon.attribution.record import Attribution
from octodon.attribution.save import load_attribution, save_attribution
from octodon.attribution.tracks import Interval, intervals_of, write_track
from octodon.cli.main import app
from octodon.errors import ConfigError, DataError, OctodonError
from octodon.report.logo import logo_figure
from octodon.seq.codes import decode, random_codes

CODES = random_codes((3, LENGTH), np.random.default_rng(5))


def found() -> Attribution:
    return attribute(
        ensemble(), CODES, ["a", "b", "c"], method="integrated_gradients", target="gc", background=3
    )


def test_hdf5_comes_back_as_it_was(tmp_path: Path) -> None:
    before = found()
    save_attribution(before, tmp_path / "maps.h5")
    after = load_attribution(tmp_path / "maps.h5")
    for name in ("codes", "maps", "member_maps", "deltas", "ids"):
        np.testing.assert_array_equal(getattr(after, name), getattr(before, name))
    for name in ("method", "output", "units", "background", "fallback"):
        assert getattr(after, name) == getattr(before, name)


def test_modisco_reads_both_layouts_as_it_does_itself(tmp_path: Path) -> None:
    cli = pytest.importorskip("modiscolite.cli")
    before = found()
    save_attribution(before, tmp_path / "maps.h5")
    save_attribution(before, tmp_path / "maps.npz")
    np.testing.assert_array_equal(cli._load_input(tmp_path / "maps.npz"), before.maps)
    np.testing.assert_array_equal(cli._load_input(tmp_path / "maps.one_hot.npz"), before.one_hot)
    with h5py.File(tmp_path / "maps.h5") as file:  # as modiscolite.cli.motifs reads it
        np.testing.assert_array_equal(file["shap"]["seq"][..., :, 0:LENGTH], before.maps)
        np.testing.assert_array_equal(file["raw"]["seq"][..., :, 0:LENGTH], before.one_hot)


def test_other_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"\.h5 or \.npz"):
        save_attribution(found(), tmp_path / "maps.csv")
    with pytest.raises(DataError, match="no such file"):
        load_attribution(tmp_path / "maps.h5")
    (tmp_path / "maps.h5").write_text("text")
    with pytest.raises(DataError, match="not maps of octodon"):
        load_attribution(tmp_path / "maps.h5")


def test_ids_with_coordinates() -> None:
    named = intervals_of(["chr2L:100-103:-", "x|chr1:5-8", "NC_1.1:0-3(+)"], 3)
    assert named == [
        Interval(contig="chr2L", start=100, stop=103, strand="-"),
        Interval(contig="chr1", start=5, stop=8),
        Interval(contig="NC_1.1", start=0, stop=3),
    ]
    with pytest.raises(DataError, match="no coordinates"):
        intervals_of(["seq1"], 3)
    with pytest.raises(DataError, match="spans 4 bp"):
        intervals_of(["chr1:1-5"], 3)


def test_tracks_follow_the_strand_and_average_overlaps(tmp_path: Path) -> None:
    values = np.array([[1.0, 2, 3], [4, 5, 6], [7, 8, 9]], dtype=np.float32)
    intervals = intervals_of(["chr1:10-13:+", "chr1:11-14:-", "chr2:0-3"], 3)
    write_track(values, intervals, tmp_path / "track.bedgraph")
    rows = [line.split("\t") for line in (tmp_path / "track.bedgraph").read_text().splitlines()]
    told = {(contig, int(start)): float(value) for contig, start, _, value in rows}
    assert told[("chr1", 10)] == 1
    assert told[("chr1", 11)] == (2 + 6) / 2
    assert told[("chr1", 13)] == 4
    pybigtools = pytest.importorskip("pybigtools")
    write_track(values, intervals, tmp_path / "track.bw", {"chr1": 100, "chr2": 50})
    track = pybigtools.open(str(tmp_path / "track.bw"))
    assert track.chroms() == {"chr1": 100, "chr2": 50}
    np.testing.assert_allclose(track.values("chr1", 10, 14, fillna=None), [1, 4, 4, 4])
    with pytest.raises(ConfigError, match=r"\.bedgraph or \.bw"):
        write_track(values, intervals, tmp_path / "track.wig")


def test_a_logo_says_what_it_shows(tmp_path: Path) -> None:
    shown = found()
    assert shown.observed_std is not None
    titles = ["first", "second"]
    logo_figure(
        shown.codes[:2], shown.observed[:2], shown.observed_std[:2], titles, tmp_path / "a.svg", units="log2"
    )
    text = (tmp_path / "a.svg").read_text()
    ElementTree.fromstring(text)
    for word in ("first", "second", "(log2)", "position (bp)", "members"):
        assert word in text
    logo_figure(
        shown.codes[:2], shown.observed[:2], shown.observed_std[:2], titles, tmp_path / "b.svg", units="log2"
    )
    assert (tmp_path / "b.svg").read_bytes() == (tmp_path / "a.svg").read_bytes()
    with pytest.raises(DataError, match="3 titles"):
        logo_figure(shown.codes[:2], shown.observed[:2], None, [*titles, "third"], tmp_path / "c.svg")


def test_the_command_writes_maps_logos_and_tracks(tmp_path: Path) -> None:
    save(ensemble(), tmp_path / "bundle")
    records = [f">chr1:{i * 100}-{i * 100 + LENGTH}\n{s}\n" for i, s in enumerate(decode(CODES))]
    (tmp_path / "x.fa").write_text("".join(records))
    said = CliRunner().invoke(
        app,
        [
            "attribute", str(tmp_path / "bundle"), str(tmp_path / "x.fa"), "--out", str(tmp_path / "maps.h5"),
            "--method", "ism", "--target", "gc", "--minus", "tata", "--logos", "2",
            "--track", str(tmp_path / "maps.bedgraph"), "--quiet", "--backbone", f"{Path(__file__).with_name('tiny.py')}:TinyBackbone",
        ],
        catch_exceptions=False,
    )  # fmt: skip
    assert said.exit_code == 0, said.output
    maps = load_attribution(tmp_path / "maps.h5")
    expected = attribute(ensemble(), CODES, method="ism", target=("gc", "tata"))
    np.testing.assert_allclose(maps.maps, expected.maps, atol=1e-6)
    assert maps.output == "activity of gc - tata"
    assert (tmp_path / "maps.svg").is_file()
    assert len((tmp_path / "maps.bedgraph").read_text().splitlines()) == 3 * LENGTH


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--track", "x.wig"), "--track x.wig: expected a name ending in .bedgraph or .bw"),
        (("--minus", "gc"), "alone is no difference"),
        (("--method", "saliency", "--background", "5"), "background: saliency compares with none"),
        (("--out", "nosuch/maps.h5"), "cannot write into nosuch: No such file"),
        (("--track", "nosuch/maps.bw"), "cannot write into nosuch: No such file"),
    ],
)
def test_the_command_refuses_before_it_computes(
    options: tuple[str, ...], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(ensemble(), tmp_path / "bundle")
    (tmp_path / "x.fa").write_text(f">chr1:0-{LENGTH}\n{decode(CODES)[0]}\n")
    monkeypatch.setattr("octodon.attribution.attribute._Job.run", lambda *_: pytest.fail("it computes"))
    code = f"{Path(__file__).with_name('tiny.py')}:TinyBackbone"
    words = [
        "attribute",
        str(tmp_path / "bundle"),
        str(tmp_path / "x.fa"),
        "--out",
        str(tmp_path / "maps.h5"),
    ]
    said = CliRunner().invoke(app, [*words, "--backbone", code, "--quiet", *options])
    assert isinstance(said.exception, OctodonError)
    assert message in str(said.exception)
