"""Published sets against a server on this machine, with small files in the exact published formats."""

import hashlib
import io
import shutil
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import h5py
import numpy as np
import pytest

from octodon.data.formats import readers
from octodon.data.sets import DataFile, sets
from octodon.data.sets._fetch import default_folder, fetch
from octodon.errors import ConfigError, DataError

SPLITS = {"Train": 12, "Val": 4, "Test": 4}
LENTIMPRA = "lentiMPRA_{cell}_activity_and_aleatoric_data.h5"


def bases(n, length, seed=0):
    return np.random.default_rng(seed).integers(0, 4, size=(n, length))


def write_deepstarr(folder: Path) -> Path:
    """Write 20 rows as the tutorial's single table."""
    lines = ["seqnames\tstart\tend\tID\tset\tSequence\tDev_log2_enrichment\tHk_log2_enrichment"]
    parts = [name for name, n in SPLITS.items() for _ in range(n)]
    for i, (part, codes) in enumerate(zip(parts, bases(20, 249), strict=True)):
        start, stop = 100 * i + 1, 100 * i + 249
        name = f"chr2R_{start}_{stop}_+_positive_peaks"
        letters = "".join("ACGT"[code] for code in codes)
        lines.append(f"chr2R\t{start}\t{stop}\t{name}\t{part}\t{letters}\t{i / 4}\t{-i / 8}")
    path = folder / "Sequences_activity_all.txt"
    path.write_text("\n".join(lines) + "\n")
    return path


def write_lentimpra(folder: Path, cell: str, seed=0, columns=2) -> Path:
    """Write 20 rows as groups Train, Val, Test with X (n, 230, 4) float64 and y (n, 2) of mean and std."""
    path = folder / LENTIMPRA.format(cell=cell)
    codes, done = bases(20, 230, seed), 0
    with h5py.File(path, "w") as store:
        for name, n in SPLITS.items():
            group = store.create_group(name)
            group["X"] = np.eye(4)[codes[done : done + n]]
            values = np.stack([np.arange(done, done + n) / 4, 0.1 + np.arange(done, done + n) / 8], axis=1)
            group["y"] = values[:, :columns]
            done += n
    return path


def pack(folder: Path, *files: Path) -> Path:
    """Pack files as the deposit does: data.tar.gz with a folder data/."""
    path = folder / "data.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        for file in files:
            archive.add(file, arcname=f"data/{file.name}")
            file.unlink()
    return path


class Handler(SimpleHTTPRequestHandler):
    """Serves a folder, counts what is asked for, and cuts a file short on request."""

    asked: list[str] = []  # noqa: RUF012  # one list per server, set by serve()
    cut_short = False

    def do_GET(self) -> None:
        self.asked.append(self.path)
        if not self.cut_short:
            super().do_GET()
            return
        self.send_response(200)
        self.send_header("Content-Length", "1000000")
        self.end_headers()
        self.wfile.write(b"x" * 1000)

    def log_message(self, format: str, *args: object) -> None:
        """Keep the test's output clean."""


@contextmanager
def serving(folder: Path, cut_short: bool = False) -> Iterator[tuple[str, list[str]]]:
    """Yield the address of a server for a folder, and the list of paths asked for so far."""
    asked: list[str] = []
    handler = type("Served", (Handler,), {"asked": asked, "cut_short": cut_short})
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(handler, directory=str(folder)))
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/", asked
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def remote(tmp_path: Path) -> Path:
    folder = tmp_path / "remote"
    folder.mkdir()
    return folder


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def visible(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.iterdir() if not file.name.endswith(".lock"))


def test_every_set_has_a_card_that_says_what_it_is():
    assert sets.names() == ["deepstarr", "lentimpra-hepg2", "lentimpra-k562"]
    for name in sets:
        card = sets[name].card
        assert card.name == name
        assert card.length_bp in (230, 249)
        assert set(card.rows) == {"train", "valid", "test"}
        assert card.file.url.startswith("https://")
        for text in (card.title, card.units, card.licence, card.citation, card.split_rule):
            assert text


def test_deepstarr_is_fetched_once_and_then_works_without_the_server(remote: Path, cache: Path):
    write_deepstarr(remote)
    with serving(remote) as (address, asked):
        first = sets["deepstarr"].load(cache, base_url=address)
        sets["deepstarr"].load(cache, base_url=address)
        assert asked == ["/Sequences_activity_all.txt"]
    again = sets["deepstarr"].load(cache, base_url=address)  # the server is gone
    np.testing.assert_array_equal(first.codes, bases(20, 249))
    np.testing.assert_array_equal(first.targets, np.stack([np.arange(20) / 4, -np.arange(20) / 8], axis=1))
    assert first.splits is not None
    assert first.splits.tolist() == ["train"] * 12 + ["valid"] * 4 + ["test"] * 4
    np.testing.assert_array_equal(again.targets, first.targets)
    assert visible(cache) == ["Sequences_activity_all.txt", "Sequences_activity_all.txt.sha256"]


@pytest.mark.parametrize("cell", ["K562", "HepG2"])
def test_lentimpra_works_offline_on_the_sample(tmp_path: Path, cell):
    write_lentimpra(tmp_path, cell)
    examples = sets[f"lentimpra-{cell.lower()}"].load(tmp_path, base_url="http://127.0.0.1:9/")
    np.testing.assert_array_equal(examples.codes, bases(20, 230))
    assert examples.target_names == (cell,)
    assert examples.units == "log2(RNA/DNA)"
    np.testing.assert_array_equal(examples.targets[:, 0], np.arange(20) / 4)
    np.testing.assert_allclose(examples.columns["replicate_std"], 0.1 + np.arange(20) / 8, rtol=1e-6)
    assert examples.replicates is None
    assert examples.splits is not None
    assert examples.splits.tolist() == ["train"] * 12 + ["valid"] * 4 + ["test"] * 4


def test_lentimpra_replicates_are_drawn_on_request(tmp_path: Path):
    write_lentimpra(tmp_path, "K562")
    examples = readers["set"]("lentimpra-k562", folder=tmp_path, replicates="drawn")
    assert examples.replicate_std is not None
    np.testing.assert_allclose(examples.replicate_std[:, 0], 0.1 + np.arange(20) / 8, rtol=1e-5)
    np.testing.assert_allclose(examples.replicates.mean(axis=2), examples.targets, atol=1e-5)
    write_deepstarr(tmp_path)
    with pytest.raises(DataError, match="'drawn': needs one target"):
        readers["set"]("deepstarr", folder=tmp_path, replicates="drawn")


def test_deepstarr_works_offline_on_the_sample(tmp_path: Path):
    write_deepstarr(tmp_path)
    assert len(sets["deepstarr"].load(tmp_path, base_url="http://127.0.0.1:9/")) == 20


def test_one_archive_serves_both_cell_lines(remote: Path, cache: Path):
    pack(remote, write_lentimpra(remote, "K562", seed=1), write_lentimpra(remote, "HepG2", seed=2))
    with serving(remote) as (address, asked):
        k562 = sets["lentimpra-k562"].load(cache, base_url=address)
        hepg2 = sets["lentimpra-hepg2"].load(cache, base_url=address)
    assert asked == ["/data.tar.gz"]
    np.testing.assert_array_equal(k562.codes, bases(20, 230, 1))
    np.testing.assert_array_equal(hepg2.codes, bases(20, 230, 2))


def test_the_archive_put_by_hand_is_enough(cache: Path):
    cache.mkdir()
    pack(cache, write_lentimpra(cache, "K562"))
    assert len(sets["lentimpra-k562"].load(cache, base_url="http://127.0.0.1:9/")) == 20


def test_an_archive_without_the_file_or_cut_short_is_refused(cache: Path):
    cache.mkdir()
    archive = pack(cache, write_lentimpra(cache, "HepG2"))
    with pytest.raises(DataError, match=r"holds no lentiMPRA_K562_activity_and_aleatoric_data.h5"):
        sets["lentimpra-k562"].load(cache)
    archive.write_bytes(archive.read_bytes()[:400])
    with pytest.raises(DataError, match=r"data.tar.gz cannot be unpacked .*; delete it") as caught:
        sets["lentimpra-hepg2"].load(cache)
    assert "\n" not in str(caught.value)
    assert visible(cache) == ["data.tar.gz"]


def test_a_file_that_changed_since_its_first_use_is_refused_with_both_hashes(tmp_path: Path):
    path = write_deepstarr(tmp_path)
    sets["deepstarr"].load(tmp_path)
    before = hashlib.sha256(path.read_bytes()).hexdigest()
    path.write_text(path.read_text().replace("\t0.25\t", "\t0.75\t"))
    after = hashlib.sha256(path.read_bytes()).hexdigest()
    with pytest.raises(DataError, match=f"has sha256 {after}, expected {before} .recorded at first use"):
        sets["deepstarr"].load(tmp_path)


def test_a_published_hash_is_checked_at_the_first_use(remote: Path, cache: Path):
    (remote / "small.txt").write_text("right")
    right = hashlib.sha256(b"right").hexdigest()
    with serving(remote) as (address, _):
        fetched = fetch(DataFile(name="small.txt", url=f"{address}small.txt", sha256=right), cache)
        assert fetched.read_text() == "right"
        assert visible(cache) == ["small.txt"]
        (remote / "small.txt").write_text("wrong")
        with pytest.raises(DataError, match=f"expected {right} .published"):
            fetch(DataFile(name="small.txt", url=f"{address}small.txt", sha256=right), cache / "other")


def test_a_missing_file_on_the_server_is_one_line_with_the_way_out(remote: Path, cache: Path):
    with serving(remote) as (address, _), pytest.raises(DataError) as caught:
        sets["deepstarr"].load(cache, base_url=address)
    assert str(caught.value) == (
        f"set 'deepstarr': cannot fetch {address}Sequences_activity_all.txt (HTTP 404); download it by hand and put "
        f"Sequences_activity_all.txt into {cache}"
    )
    assert visible(cache) == []


def test_without_network_one_line_says_which_file_to_put_where(remote: Path, cache: Path):
    with serving(remote) as (address, _):
        pass  # a port that nobody listens on any more
    with pytest.raises(DataError) as caught:
        sets["lentimpra-k562"].load(cache, base_url=address)
    assert str(caught.value) == (
        f"set 'lentimpra-k562': cannot fetch {address}data.tar.gz (ConnectionError); download it by hand and put "
        f"data.tar.gz or lentiMPRA_K562_activity_and_aleatoric_data.h5 into {cache}"
    )
    assert visible(cache) == []


def test_a_transfer_that_breaks_off_leaves_nothing_behind(remote: Path, cache: Path):
    with (
        serving(remote, cut_short=True) as (address, _),
        pytest.raises(DataError, match=r"cannot fetch .* by hand"),
    ):
        sets["deepstarr"].load(cache, base_url=address)
    assert visible(cache) == []


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match=r"cannot write into .*file.below .*OCTODON_CACHE"):
        sets["deepstarr"].load(tmp_path / "file" / "below")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda text: text.replace("\tVal\t", "\tOther\t"),
            "splits Other, test, train, expected test, train, valid",
        ),
        (
            lambda text: text.replace("\tTest\t", "\tVal\t"),
            "splits train, valid, expected test, train, valid",
        ),
    ],
)
def test_another_table_in_its_place_is_refused(tmp_path: Path, change, message):
    path = write_deepstarr(tmp_path)
    path.write_text(change(path.read_text()))
    with pytest.raises(DataError, match=message):
        sets["deepstarr"].load(tmp_path)


def test_a_file_with_means_only_is_refused(tmp_path: Path):
    write_lentimpra(tmp_path, "K562", columns=1)
    with pytest.raises(DataError, match=r"1 columns y, expected 2 .mean, standard deviation"):
        sets["lentimpra-k562"].load(tmp_path)


def test_the_reader_set_finds_sets_by_name_and_suggests(tmp_path: Path):
    write_deepstarr(tmp_path)
    assert len(readers["set"]("deepstarr", folder=tmp_path)) == 20
    with pytest.raises(ConfigError, match="did you mean 'deepstarr'"):
        readers["set"]("deepstar", folder=tmp_path)


def test_the_cache_folder_follows_the_environment(tmp_path: Path, monkeypatch):
    monkeypatch.setenv("OCTODON_CACHE", str(tmp_path / "here"))
    assert default_folder() == tmp_path / "here"
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("OCTODON_CACHE", "~/here")
    assert default_folder() == tmp_path / "here"
    monkeypatch.delenv("OCTODON_CACHE")
    assert default_folder().name == "octodon"


def test_the_folder_of_a_set_may_lie_at_home(tmp_path: Path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))

    def fetched(file: object, folder: Path, **_: object) -> Path:
        raise DataError(f"fetched into {folder}")

    monkeypatch.setattr("octodon.data.sets._card.fetch", fetched)
    with pytest.raises(DataError, match=f"^fetched into {tmp_path / 'here'}$"):
        sets["deepstarr"].load("~/here")


def test_the_progress_bar_counts_the_bytes_on_a_terminal(remote: Path, cache: Path, monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    shown = Terminal()
    monkeypatch.setattr("sys.stderr", shown)
    write_deepstarr(remote)
    with serving(remote) as (address, _):
        sets["deepstarr"].load(cache, base_url=address)
    assert "Sequences_activity_all.txt" in shown.getvalue()


def test_two_copies_of_one_cache_are_both_trusted(tmp_path: Path):
    write_deepstarr(tmp_path)
    sets["deepstarr"].load(tmp_path)
    shutil.copytree(tmp_path, tmp_path / "copy")
    assert len(sets["deepstarr"].load(tmp_path / "copy")) == 20
