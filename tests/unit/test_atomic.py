"""A file or folder is done or not there."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from octodon.atomic import (
    append_json,
    atomic_file,
    atomic_folder,
    recover,
    remove_partials,
    settled,
    write_json,
    write_text,
)
from octodon.errors import DataError, RunError


def _fail_after_writing(block: object, path: Path, error: BaseException) -> None:
    with block(path) as partial:  # type: ignore[operator]
        (partial / "half" if partial.is_dir() else partial).write_text("half")
        raise error


@pytest.mark.parametrize("error", [DataError("bad row"), ValueError("x"), KeyboardInterrupt()])
@pytest.mark.parametrize("block", [atomic_file, atomic_folder])
@pytest.mark.parametrize("exists", [False, True])
def test_an_exception_leaves_everything_as_it_was(
    block: object, exists: bool, error: BaseException, tmp_path: Path
) -> None:
    path = tmp_path / "result"
    if exists and block is atomic_file:
        path.write_text("before")
    elif exists:
        path.mkdir()
        (path / "old").write_text("before")
    before = {p: p.is_file() and p.read_text() for p in tmp_path.rglob("*")}
    with pytest.raises(type(error)):
        _fail_after_writing(block, path, error)
    assert {p: p.is_file() and p.read_text() for p in tmp_path.rglob("*")} == before


def test_the_file_is_not_there_before_it_is_complete(tmp_path: Path) -> None:
    with atomic_file(tmp_path / "result") as partial:
        partial.write_text("half")
        assert not (tmp_path / "result").exists()
        partial.write_text("whole")
    assert (tmp_path / "result").read_text() == "whole"
    assert len(list(tmp_path.iterdir())) == 1


def test_a_folder_takes_the_place_of_the_old_one_as_a_whole(tmp_path: Path) -> None:
    for content in ("one", "two"):
        with atomic_folder(tmp_path / "result") as partial:
            (partial / content).write_text(content)
            (partial / "sub").mkdir()
            (partial / "sub" / "file").write_text(content)
    assert sorted(p.name for p in (tmp_path / "result").rglob("*")) == ["file", "sub", "two"]
    assert (tmp_path / "result" / "sub" / "file").read_text() == "two"
    assert len(list(tmp_path.iterdir())) == 1


_KILLED = """
import os, shutil, sys
from pathlib import Path
from octodon.atomic import atomic_folder

def dying(step, where):
    return lambda path, *rest, **options: os._exit(9) if path.match(where) else step(path, *rest, **options)

path, step = Path(sys.argv[1]), sys.argv[2]
if step == "clear away":
    def half(folder, **options):
        if folder.match("*.7.*") and (folder / "file").exists():
            (folder / "file").unlink()
            os._exit(9)
    shutil.rmtree = half
else:
    Path.rename = dying(Path.rename, {"set aside": path.name, "put in place": "*.partial"}[step])
os.getpid = lambda: 7
with atomic_folder(path) as partial:
    (partial / "file").write_text("new")
"""
"""Replaces a folder, and is killed before a step (of "clear away": in the midst of it): no ``finally`` runs any more."""


@pytest.mark.parametrize(
    "next_start", ["a reader", "a writer", "a writer of that number", "a run that goes on"]
)
@pytest.mark.parametrize(
    ("step", "there"), [("set aside", "old"), ("put in place", "old"), ("clear away", "new")]
)
def test_a_writer_that_is_killed_leaves_a_folder_for_the_next_start(
    step: str, there: str, next_start: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "result"
    path.mkdir()
    (path / "file").write_text("old")
    killed = subprocess.run([sys.executable, "-c", _KILLED, str(path), step], check=False)
    assert killed.returncode == 9
    assert path.is_dir() == (step != "put in place")
    if next_start == "a reader":
        recover(path)
    elif next_start == "a run that goes on":
        remove_partials(tmp_path)
        assert [at.name for at in tmp_path.iterdir()] == ["result"]
    else:
        if next_start == "a writer of that number":  # in a container every process may have the same
            monkeypatch.setattr("os.getpid", lambda: 7)
        with pytest.raises(ValueError, match="x"):
            _fail_after_writing(atomic_folder, path, ValueError("x"))
    assert (path / "file").read_text() == there
    assert not list(tmp_path.glob(".*.old"))
    with atomic_folder(path) as partial:
        (partial / "file").write_text("newer")
    assert (path / "file").read_text() == "newer"
    assert not list(tmp_path.glob(".*.old"))


def test_what_is_left_of_a_folder_that_was_replaced_is_never_put_back(tmp_path: Path) -> None:
    path = tmp_path / "result"
    path.mkdir()
    for name in ("file", "more"):
        (path / name).write_text("old")
    killed = subprocess.run([sys.executable, "-c", _KILLED, str(path), "clear away"], check=False)
    assert killed.returncode == 9
    assert (path / "file").read_text() == "new"
    path.rename(tmp_path / "kept elsewhere")
    recover(path)
    assert not path.exists()
    (left,) = remove_partials(tmp_path)
    assert left.name.startswith(".result.7.partial")
    assert [at.name for at in tmp_path.iterdir()] == ["kept elsewhere"]


@pytest.mark.parametrize("times", [1, 3])
def test_a_writer_that_is_taken_for_killed_puts_its_folder_in_place(
    times: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "result"
    rename, recovered = Path.rename, []

    def interrupted(self: Path, to: Path) -> Path:
        if self.suffix == ".partial" and not path.is_dir() and len(recovered) < times:
            recovered.append(self)
            recover(path)  # as another process does, between set aside and put in place
            assert (path / "file").read_text() == "old"
        return rename(self, to)

    with atomic_folder(path) as partial:
        (partial / "file").write_text("old")
    monkeypatch.setattr(Path, "rename", interrupted)
    with atomic_folder(path) as partial:
        (partial / "file").write_text("new")
    assert len(recovered) == times
    assert (path / "file").read_text() == "new"
    assert [at.name for at in tmp_path.iterdir()] == ["result"]


def test_of_two_writers_at_once_the_last_one_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, rename = tmp_path / "result", Path.rename

    def overtaken(self: Path, to: Path) -> Path:
        if self.suffix == ".partial":
            monkeypatch.setattr(Path, "rename", rename)
            path.mkdir()
            (path / "file").write_text("of another")
        return rename(self, to)

    with atomic_folder(path) as partial:
        (partial / "file").write_text("old")
    monkeypatch.setattr(Path, "rename", overtaken)
    with atomic_folder(path) as partial:
        (partial / "file").write_text("new")
    assert (path / "file").read_text() == "new"
    assert [at.name for at in tmp_path.iterdir()] == ["result"]


@pytest.mark.parametrize("alive", [True, False])
def test_a_writer_that_is_alive_is_given_a_moment(
    alive: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, waits = tmp_path / "result", []

    def finish(seconds: float) -> None:
        waits.append(seconds)
        if alive:
            path.mkdir()
            (path / "new").touch()

    monkeypatch.setattr("octodon.atomic.time.sleep", finish)
    assert not settled(path).exists()  # nothing is aside, so nothing is waited for
    aside = tmp_path / ".result.7.old"
    aside.mkdir()
    (aside / "old").touch()
    assert [at.name for at in settled(path).iterdir()] == ["new" if alive else "old"]
    assert aside.exists() == alive  # its writer removes it
    settled(path)
    assert len(waits) == 1


def test_a_folder_that_cannot_be_put_in_place_leaves_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "result"
    path.mkdir()
    rename = Path.rename

    def full(self: Path, to: Path) -> Path:
        if self.suffix == ".partial":
            raise OSError(28, "No space left on device")
        return rename(self, to)

    monkeypatch.setattr(Path, "rename", full)
    with pytest.raises(RunError, match=r"cannot write .*result: No space left"), atomic_folder(path):
        pass
    assert [at.name for at in tmp_path.iterdir()] == ["result"]


def test_a_folder_that_cannot_be_put_back_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".result.7.old").mkdir()

    def denied(self: Path, to: Path) -> Path:
        raise OSError(13, "Permission denied")

    monkeypatch.setattr(Path, "rename", denied)
    with pytest.raises(RunError, match=r"result: set aside .*Permission denied.*; rename .*\.result\.7\.old"):
        recover(tmp_path / "result")


def test_a_disk_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for write in (lambda p: write_text(p, "x"), lambda p: atomic_folder(p).__enter__()):
        with pytest.raises(
            RunError, match=r"cannot write .*result: .*; check folder, space and permissions"
        ) as caught:
            write(tmp_path / "file" / "result")
        assert "\n" not in str(caught.value)


def test_a_path_without_a_name_is_one_line() -> None:
    for path in (Path(), Path("/")):
        for write in (lambda p: write_text(p, "x"), lambda p: atomic_folder(p).__enter__()):
            with pytest.raises(RunError, match=r"cannot write [./]: is a folder; give it the name"):
                write(path)


def test_another_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with (
        pytest.raises(RunError, match=r"cannot write .*result: .*No such file.*absent.txt"),
        atomic_file(tmp_path / "result"),
    ):
        (tmp_path / "absent.txt").read_text()


def test_text_and_json(tmp_path: Path) -> None:
    write_text(tmp_path / "a.txt", "µ\n")
    assert (tmp_path / "a.txt").read_text(encoding="utf-8") == "µ\n"
    write_json(tmp_path / "a.json", {"b": [1, None]})
    assert (tmp_path / "a.json").read_text() == '{\n  "b": [\n    1,\n    null\n  ]\n}\n'
    with pytest.raises(ValueError, match="JSON compliant"):  # NaN is no JSON
        write_json(tmp_path / "a.json", {"b": float("nan")})
    assert "null" in (tmp_path / "a.json").read_text()


def test_a_log_goes_on_after_a_line_that_was_cut_off(tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    append_json(log, {"a": 1})
    for torn in ('{"b": ', "x"):
        with log.open("a") as file:
            file.write(torn)
        append_json(log, [torn])
    assert log.read_text() == '{"a": 1}\n["{\\"b\\": "]\n["x"]\n'
    log.write_text("torn at once")
    append_json(log, 2)
    assert log.read_text() == "2\n"
    with pytest.raises(RunError, match=r"cannot write .*log: .*; check folder"):
        append_json(log / "log", 1)


def test_what_killed_writers_left_is_removed_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    kept = [
        tmp_path / name
        for name in ("a.json", ".lock", ".partial", "sub/.a.partial", "sub/a.1.partial", ".a.b.old")
    ]
    for path in kept:
        path.touch()
    left, writers = [], []
    for block, name in ((atomic_file, "sub/w.x.json"), (atomic_file, "plain"), (atomic_folder, "bundle")):
        writers.append(block(tmp_path / name))
        left.append(writers[-1].__enter__())
        left[-1].is_dir() or left[-1].touch()
    (left[2] / "file").touch()
    (tmp_path / "bundle").mkdir()
    (tmp_path / f".bundle.{os.getpid()}.old").mkdir()
    assert sorted(remove_partials(tmp_path)) == sorted([*left, tmp_path / f".bundle.{os.getpid()}.old"])
    assert {path for path in tmp_path.rglob("*") if path.is_file()} == set(kept)


def test_a_folder_that_is_put_back_is_not_among_what_was_removed(tmp_path: Path) -> None:
    aside = tmp_path / "sub" / ".bundle.7.old"
    (aside / "inner").mkdir(parents=True)
    for name in ("file", ".file.7.partial", "inner/.sub.7.old"):
        (aside / name).touch()
    assert remove_partials(tmp_path) == [tmp_path / "sub" / "bundle" / ".file.7.partial"]
    there = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    assert there == {"sub/bundle/file", "sub/bundle/inner/sub"}
