"""Motifs: confidence, what modisco-lite is given, and names from a MEME file."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from octodon.attribution import motifs
from octodon.attribution.motifs import Pattern, confidence_of, find_motifs, name_patterns, read_meme
from octodon.attribution.record import Attribution
from octodon.attribution.save import save_attribution
from octodon.cli.main import app
from octodon.errors import ConfigError, DataError, RunError
from octodon.seq.codes import encode, random_codes

RNG = np.random.default_rng(0)


def matrix(consensus: str) -> np.ndarray:
    return 0.91 * np.eye(4)[encode([consensus])[0]] + 0.0225


def meme(path: Path, count: int = 30) -> Path:
    """Random motifs, and GATA among them."""
    names = {f"M{i} random": matrix("".join(RNG.choice(list("ACGT"), 9))) for i in range(count)}
    names["MA1 GATA1"] = matrix("AGATAAGA")
    blocks = [
        f"MOTIF {name}\nletter-probability matrix: alength= 4 w= {len(rows)} nsites= 20 E= 0\n"
        + "".join("  ".join(f"{x:.4f}" for x in row) + "\n" for row in rows)
        for name, rows in names.items()
    ]
    path.write_text("MEME version 4\n\nALPHABET= ACGT\n\n" + "\n".join(blocks))
    return path


def maps(length: int = 60, noise: float = 0.0) -> Attribution:
    """GATA at random places of each sequence, with contributions on which members agree or not."""
    codes = random_codes((40, length), RNG)
    site = encode(["AGATAAGA"])[0]
    starts = RNG.integers(5, length - 15, 40)
    members = np.zeros((3, 40, 4, length), dtype=np.float32)
    for row, start in enumerate(starts):
        codes[row, start : start + 8] = site
        members[:, row, site, np.arange(start, start + 8)] = 1
    members += noise * RNG.normal(size=members.shape).astype(np.float32)
    return Attribution(
        ids=np.arange(40).astype(str),
        codes=codes,
        maps=members.mean(0),
        member_maps=members,
        method="m",
        output="o",
    )


def test_confidence_is_one_where_members_agree_and_low_where_they_do_not() -> None:
    sure = maps()
    strong = sure.observed > 0
    np.testing.assert_allclose(confidence_of(sure)[strong], 1)
    unsure = confidence_of(maps(noise=20.0))
    assert 0 < unsure.mean() < 0.5
    members = np.zeros((2, 1, 4, 41), dtype=np.float32)
    codes = np.zeros((1, 41), dtype=np.uint8)
    members[:, 0, 0, 20] = (1, 3)  # mean 2, population variance 1: 4 / 5, over the 9 bp around it
    by_hand = Attribution(
        ids=np.array(["a"]), codes=codes, maps=members.mean(0), member_maps=members, method="m", output="o"
    )
    expected = np.zeros(41)
    expected[16:25] = 0.8
    np.testing.assert_allclose(confidence_of(by_hand)[0], expected, atol=1e-6)


class FakeModisco:
    """Takes the maps as modisco-lite does, and returns one pattern of two seqlets."""

    given: dict[str, Any]

    def __call__(self, **given: Any) -> tuple[Any, None]:
        self.given = given
        sequences = [np.eye(4)[encode([s])[0]] for s in ("AGATAAGA", "CGATAAGA")]
        seqlets = [
            SimpleNamespace(example_idx=row, start=10, end=18, sequence=sequence)
            for row, sequence in enumerate(sequences)
        ]
        return [SimpleNamespace(seqlets=seqlets, contrib_scores=matrix("AGATAAGA"))], None


def test_seqlets_weigh_by_confidence(monkeypatch: pytest.MonkeyPatch) -> None:
    tfmodisco = pytest.importorskip("modiscolite.tfmodisco")
    fake, given = FakeModisco(), maps()
    confidence = np.ones(given.codes.shape)
    confidence[0], confidence[1] = 0.9, 0.1
    monkeypatch.setattr(tfmodisco, "TFMoDISco", fake)
    monkeypatch.setattr(motifs, "confidence_of", lambda attribution: confidence)
    (found,) = find_motifs(given, window=50)
    np.testing.assert_allclose(found.ppm[0], [0.9, 0.1, 0, 0])
    assert found.confidence == pytest.approx(0.5)
    assert (found.name, found.n_seqlets) == ("pos_0", 2)
    # modisco-lite wants (n, l, 4), the window from the middle
    expected = (given.maps * confidence[:, None])[:, :, 5:55].transpose(0, 2, 1)
    np.testing.assert_allclose(fake.given["hypothetical_contribs"], expected, atol=1e-6)
    np.testing.assert_array_equal(fake.given["one_hot"], given.one_hot[:, :, 5:55].transpose(0, 2, 1))
    (plain,) = find_motifs(given, weighted=False)
    np.testing.assert_allclose(plain.ppm[0], [0.5, 0.5, 0, 0])


def distances(queries: list[np.ndarray], targets: list[np.ndarray], n_jobs: int) -> list[np.ndarray]:
    """In place of tomtom, whose compilation takes minutes: the distance at the best of all offsets and strands, (4, w) each."""
    del n_jobs

    def nearest(query: np.ndarray, target: np.ndarray) -> float:
        width = min(query.shape[1], target.shape[1])
        return min(
            float(np.abs(query[:, i : i + width] - strand[:, j : j + width]).sum()) / 1000
            for strand in (target, target[::-1, ::-1])
            for i in range(query.shape[1] - width + 1)
            for j in range(target.shape[1] - width + 1)
        )

    return [np.array([[nearest(query, target) for target in targets] for query in queries])]


def test_a_pattern_gets_the_name_of_its_motif_on_either_strand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flank = np.full((3, 4), 0.25)
    patterns = []
    for name, consensus in (("pos_0", "AGATAAGA"), ("pos_1", "TCTTATCT")):
        ppm = np.concatenate([flank, matrix(consensus), flank])
        cwm = ppm - 0.25
        patterns.append(Pattern(name=name, ppm=ppm, cwm=cwm, n_seqlets=9, confidence=0.8))
    known = meme(tmp_path / "known.meme")
    monkeypatch.setattr("memelite.tomtom", distances)
    table = name_patterns(patterns, known)
    assert table["consensus"].tolist() == ["AGATAAGA", "TCTTATCT"]
    assert table["match_1"].tolist() == ["MA1 GATA1"] * 2
    assert (table["p_1"] < table["p_2"]).all()
    np.testing.assert_allclose(table["e_1"], 31 * table["p_1"])


def test_meme_files_are_read_as_memelite_reads_them(tmp_path: Path, shared_data: Path) -> None:
    io = pytest.importorskip("memelite.io")
    for path in (meme(tmp_path / "known.meme"), shared_data / "JASPAR2022_CORE_vertebrates_nr.meme.gz"):
        ours = read_meme(path)
        plain = tmp_path / "plain.meme"
        if path.suffix == ".gz":
            import gzip

            plain.write_bytes(gzip.decompress(path.read_bytes()))
        else:
            plain = path
        theirs = io.read_meme(str(plain))
        assert list(ours) == list(theirs)
        for name, values in theirs.items():
            np.testing.assert_array_equal(ours[name].T, values)


def test_mistakes_are_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "bad.meme").write_text("MOTIF a\nletter-probability matrix: w= 2\n0.5 0.5\n")
    with pytest.raises(DataError, match="line 3"):
        read_meme(tmp_path / "bad.meme")
    one, row = "MOTIF a\nletter-probability matrix: w= 2\n", "0.25 0.25 0.25 0.25\n"
    for text, message in (
        (one.replace("2", "x") + row, "line 2: width 'x', expected a whole number"),
        (one.replace("2", "") + row, "line 2: width '', expected a whole number"),
        (one + row + row + one.replace("a\n", "b\n", 1) + row, "line 8: '', expected 4 probabilities"),
        (one + row + "\n" + row, "line 4: '', expected 4 probabilities"),
        (one + row + one + row + row, "line 4: 'MOTIF a', expected 4 probabilities"),
        (one.replace("w= 2", "") + "\n" + row, "line 3: '', expected 4 probabilities"),
        ((one + row + row) * 2, "line 8: motif 'a' is there twice"),
    ):
        (tmp_path / "bad.meme").write_text(text)
        with pytest.raises(DataError, match=message):
            read_meme(tmp_path / "bad.meme")
    (tmp_path / "open.meme").write_text(one.replace("w= 2", "") + row + row)
    assert read_meme(tmp_path / "open.meme")["a"].shape == (2, 4)
    (tmp_path / "bad.meme").write_text("text")
    with pytest.raises(DataError, match="no motif"):
        read_meme(tmp_path / "bad.meme")
    with pytest.raises(DataError, match="cannot be read"):
        read_meme(tmp_path / "none.meme")
    with pytest.raises(ConfigError, match="expected 40 to 60"):
        find_motifs(maps(), window=61)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"pip install 'octodon\[motifs\]'"):
        find_motifs(maps())


def test_the_command_names_patterns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tfmodisco = pytest.importorskip("modiscolite.tfmodisco")
    monkeypatch.setattr(tfmodisco, "TFMoDISco", FakeModisco())
    monkeypatch.setattr("memelite.tomtom", distances)
    monkeypatch.setattr("modiscolite.io.save_hdf5", lambda path, *rest: Path(path).write_text("h5"))
    save_attribution(maps(), tmp_path / "maps.h5")
    said = CliRunner().invoke(
        app,
        [
            "motifs",
            str(tmp_path / "maps.h5"),
            "--meme",
            str(meme(tmp_path / "k.meme")),
            "--out",
            str(tmp_path / "m"),
        ],
        catch_exceptions=False,
    )
    assert said.exit_code == 0, said.output
    assert "GATA1" in (tmp_path / "m.tsv").read_text()
    assert "seqlets, confidence" in (tmp_path / "m.svg").read_text()


@pytest.mark.parametrize(
    "words",
    [
        ("--target", "x"),
        ("--method", "ism"),
        ("--sequences", "9"),
        ("--device", "auto"),
        ("--backbone", "x.py:X"),
    ],
)
def test_what_is_asked_of_a_run_is_refused_for_maps(tmp_path: Path, words: tuple[str, str]) -> None:
    save_attribution(maps(), tmp_path / "maps.h5")
    said = CliRunner().invoke(
        app, ["motifs", str(tmp_path / "maps.h5"), "--out", str(tmp_path / "m"), *words]
    )
    assert isinstance(said.exception, ConfigError)
    assert f"maps.h5: {words[0]}: for a run" in str(said.exception)


@pytest.mark.parametrize(("name", "words"), [("maps.h5", ("--out", "maps")), ("motifs.h5", ())])
def test_maps_are_not_overwritten_by_their_motifs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, words: tuple[str, ...]
) -> None:
    monkeypatch.chdir(tmp_path)
    save_attribution(maps(), Path(name))
    before = Path(name).read_bytes()
    said = CliRunner().invoke(app, ["motifs", str(tmp_path / name), *words])
    assert isinstance(said.exception, ConfigError)
    assert f"--out {name}: this is the input" in str(said.exception)
    assert Path(name).read_bytes() == before


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    save_attribution(maps(), tmp_path / "maps.h5")
    (tmp_path / "plain").write_text("")
    for out in ("plain/m", "plain/deeper/m"):
        said = CliRunner().invoke(app, ["motifs", str(tmp_path / "maps.h5"), "--out", str(tmp_path / out)])
        assert isinstance(said.exception, RunError), said.output
        assert "cannot make the folder" in str(said.exception)


def test_options_of_a_run_reach_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = {}

    def explain(source: Path, **given: Any) -> Attribution:
        asked.update(given)
        raise DataError("enough")

    monkeypatch.setattr("octodon.experiment.attribution_study.explain_run", explain)
    words = [
        "--target",
        "x",
        "--method",
        "ism",
        "--sequences",
        "9",
        "--device",
        "cpu",
        "--backbone",
        "x.py:X",
    ]
    said = CliRunner().invoke(app, ["motifs", str(tmp_path), *words, "--out", str(tmp_path / "m"), "--quiet"])
    assert str(said.exception) == "enough"
    del asked["on_maps"]
    assert asked == {"target": "x", "method": "ism", "sequences": 9, "device": "cpu", "backbone": "x.py:X"}
