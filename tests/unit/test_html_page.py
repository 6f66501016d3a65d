"""The page for the browser says what ``octodon predict`` says, number by number and mistake by mistake."""

import html
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from io import StringIO
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from browser import Browser, browsing
from exported import complete_student, random_sequences
from typer.testing import CliRunner

from octodon.artifact.bundle import save
from octodon.cli.main import app
from octodon.distillation.student import Student
from octodon.errors import ConfigError, DataError, OctodonError
from octodon.handover import runtime
from octodon.handover.html_page import export_html, page_card, render
from octodon.handover.runtime import CODE, WASM, find_runtime
from octodon.seq.codes import decode

LENGTH = 62


@pytest.fixture(scope="module")
def student() -> Student:
    """A student with everything: three stds, an interval, a detector."""
    return complete_student(LENGTH)


@pytest.fixture(scope="module")
def folder(student: Student, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the bundle and its page."""
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    try:
        find_runtime()
    except DataError as error:
        pytest.skip(f"no onnxruntime-web: {error}")
    made = tmp_path_factory.mktemp("page")
    save(student, made / "student")
    command = ["export", str(made / "student"), "--html", str(made / "page.html"), "--title", "<b>T&C</b>"]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, result.output
    return made


@pytest.fixture(scope="module")
def page(folder: Path) -> Iterator[Browser]:
    """The page, open in a browser, from disk."""
    with browsing(folder) as browser:
        browser.open((folder / "page.html").as_uri(), until="typeof octodon === 'object'")
        browser.run("octodon.ready.then(() => true)")
        yield browser
        assert browser.complaints() == []


def ask_page(
    page: Browser, text: str, policy: str = "refuse", left: str = "", right: str = ""
) -> pd.DataFrame | str:
    """Return the table of the page, or its error."""
    for name, value in (("policy", policy), ("left-flank", left), ("right-flank", right)):
        page.run(f"document.getElementById('{name}').value = {json.dumps(value)}")
    page.run(f"octodon.predictText({json.dumps(text)})")
    error = page.run("document.getElementById('error').textContent")
    return error or pd.read_csv(StringIO(page.run("octodon.table()")), sep="\t", dtype={"id": str})


def ask_command(folder: Path, text: str, *options: str) -> pd.DataFrame | str:
    """Return the table of ``octodon predict``, or its error."""
    (folder / "in.fa").write_text(text)
    (folder / "out.tsv").unlink(missing_ok=True)
    command = ["predict", str(folder / "student"), str(folder / "in.fa"), "--quiet", "--device", "cpu"]
    result = CliRunner().invoke(app, [*command, "--out", str(folder / "out.tsv"), *options])
    if isinstance(result.exception, OctodonError):
        return str(result.exception)
    assert result.exception is None, result.output
    return pd.read_csv(folder / "out.tsv", sep="\t", dtype={"id": str})


def assert_same(got: pd.DataFrame | str, expected: pd.DataFrame | str) -> None:
    assert isinstance(got, pd.DataFrame), got
    assert isinstance(expected, pd.DataFrame), expected
    assert list(got.columns) == list(expected.columns)
    for name in got.columns:
        if name in ("id", "interval"):
            assert list(got[name]) == list(expected[name])
        elif name == "ood":
            assert (got[name] == expected[name]).mean() > 0.98
        else:
            size = 100.0 if name == "ood_score" else 1.0
            np.testing.assert_allclose(got[name], expected[name], atol=1e-3 * size, rtol=0, err_msg=name)


def fasta(sequences: list[str], width: int = 40) -> str:
    lines = (re.sub(f"(.{{{width}}})", r"\1\n", sequence) for sequence in sequences)
    return "".join(f">s{i} a description\n{text}\n" for i, text in enumerate(lines))


def test_a_hundred_sequences_give_the_numbers_of_predict(page: Browser, folder: Path) -> None:
    sequences = decode(random_sequences(100, LENGTH, seed=8, n_share=0.02))
    sequences[3] = sequences[3].lower()
    text = fasta(sequences)
    got = ask_page(page, text)
    assert_same(got, ask_command(folder, text))
    assert isinstance(got, pd.DataFrame)
    assert got["Dev_mean"].std() > 0.01
    assert 0 < got["ood"].sum() < 100
    assert (
        len(page.run("Array.from(document.querySelectorAll('#table tbody tr'), r => r.cells.length)")) == 100
    )


@pytest.mark.parametrize(
    ("policy", "left", "right", "lengths"),
    [
        ("crop", "", "", (LENGTH, LENGTH + 5, LENGTH + 8)),
        ("flank", "GATTACAGATT", "TTAACCGGTAA", (LENGTH, LENGTH - 3, LENGTH - 8, LENGTH - 22)),
        ("flank", "GAT", "TTAACCGGTAACC", (LENGTH - 16, LENGTH - 16)),  # unequal: whole
        ("flank", "GAT", "TTAACCGGTAACC", (LENGTH - 2, LENGTH - 7)),  # unequal: equally as far as they reach
    ],
)
def test_other_lengths_become_what_predict_makes_of_them(
    page: Browser, folder: Path, policy: str, left: str, right: str, lengths: tuple[int, ...]
) -> None:
    text = fasta([decode(random_sequences(1, n, seed=n))[0] for n in lengths])
    flanks = ("--left-flank", left, "--right-flank", right) if policy == "flank" else ()
    expected = ask_command(folder, text, "--length", policy, *flanks)
    assert_same(ask_page(page, text, policy, left, right), expected)


@pytest.mark.parametrize(
    ("text", "same"),
    [
        (
            ">a\n" + "A" * LENGTH + "\n>b\n" + "C" * 30 + "X" + "C" * 31,
            r"row 2, position 31: 'X' is not a base.*N$",
        ),
        (">a\n" + "A" * LENGTH + "\n>b\n" + "C" * 30, r"row 2 has 30 bases, expected 62"),
        (
            ">a\n" + "A" * LENGTH + "\n> \n" + "C" * LENGTH,
            r"row 2 has an empty id; give every record one.*'$",
        ),
        (
            ">a\n" + "A" * LENGTH + "\n>b\n>c\n" + "C" * LENGTH,
            r"row 2 has no sequence; remove 1 such row\(s\)",
        ),
    ],
)
def test_mistakes_are_told_as_predict_tells_them(page: Browser, folder: Path, text: str, same: str) -> None:
    by_page, by_command = ask_page(page, text), ask_command(folder, text)
    assert isinstance(by_page, str)
    assert isinstance(by_command, str)
    assert "\n" not in by_page
    found = re.match(same, by_page)
    assert found
    assert found.group() in by_command
    assert page.run("document.getElementById('results').hidden")  # an earlier answer is not left standing


def test_blanks_before_an_id_are_skipped_as_by_predict(page: Browser, folder: Path) -> None:
    sequences = decode(random_sequences(2, LENGTH, seed=4))
    text = f"> a first\n{sequences[0]}\n>\t b\n{sequences[1]}\n"
    got = ask_page(page, text)
    assert isinstance(got, pd.DataFrame)
    assert list(got["id"]) == ["a", "b"]
    assert_same(got, ask_command(folder, text))


def test_mistakes_of_the_page_s_own(page: Browser) -> None:
    assert ask_page(page, "  \n") == "no sequences, expected at least one"
    assert ask_page(page, "ACGT\n>a\nACGT") == "starts with 'A', expected '>' (FASTA)"
    many = ("A" * 3 + "\n") * 20_001
    assert (
        ask_page(page, many)
        == "20,001 sequences, at most 20,000 in the browser; use octodon predict for more"
    )
    assert "give the vector's sequence" in str(ask_page(page, "ACGT", "flank"))
    assert "flank before the sequence, position 2: 'X'" in str(ask_page(page, "ACGT", "flank", "AX"))


def test_lines_without_names_are_sequences(page: Browser, folder: Path) -> None:
    sequences = decode(random_sequences(3, LENGTH, seed=3))
    got = ask_page(page, "\r\n".join(sequences) + "\r\n\r\n")
    assert isinstance(got, pd.DataFrame)
    assert list(got["id"]) == ["1", "2", "3"]
    expected = ask_command(folder, "".join(f">{i + 1}\n{text}\n" for i, text in enumerate(sequences)))
    assert_same(got, expected)


def test_the_map_is_the_change_of_every_single_mutation(page: Browser, student: Student) -> None:
    codes = random_sequences(1, LENGTH, seed=6)
    ask_page(page, fasta(decode(codes)))
    got = pd.read_csv(StringIO(page.run("octodon.map()")), sep="\t")
    unknown = int((codes == 4).sum())
    assert len(got) == 3 * LENGTH + unknown
    mutants = np.repeat(codes, len(got), axis=0)
    mutants[np.arange(len(got)), got["position"] - 1] = ["ACGT".index(base) for base in got["alt"]]
    assert list(got["ref"]) == [decode(codes)[0][p - 1] for p in got["position"]]
    said = student.predict(mutants, device="cpu").mean - student.predict(codes, device="cpu").mean
    np.testing.assert_allclose(got[["Dev_effect", "Hk_effect"]], said, atol=1e-4)
    page.run(
        "document.getElementById('map-scroll').dispatchEvent(new KeyboardEvent('keydown', {key: 'Home'}))"
    )
    assert re.match(
        r"[ACGTN]1[ACGT] |position 1: ", page.run("document.getElementById('map-read').textContent")
    )


def test_a_file_that_is_dropped_while_the_page_is_busy_takes_the_place_of_what_it_does(page: Browser) -> None:
    one, other = (
        fasta(decode(random_sequences(n, LENGTH, seed=n, n_share=0))).replace(">s", f">{name}")
        for n, name in ((1, "s"), (2, "o"))
    )
    page.run(
        f"""(async () => {{
            const first = octodon.predictText({json.dumps(one)});
            while (document.getElementById("map-section").hidden) await new Promise((done) => setTimeout(done, 5));
            const dataTransfer = new DataTransfer();
            dataTransfer.items.add(new File([{json.dumps(other)}], "other.fa"));
            document.getElementById("drop").dispatchEvent(new DragEvent("drop", {{ dataTransfer, bubbles: true }}));
            await first;
            const text = document.getElementById("sequences");  // the file is read in its turn, behind what was begun
            const isDone = () => text.value && octodon.map()?.includes("o0");
            while (!isDone()) await new Promise((done) => setTimeout(done, 5));
        }})()"""
    )
    assert page.run("document.getElementById('sequences').value") == other
    assert page.run("document.getElementById('status').textContent") == "2 sequences predicted."
    assert list(pd.read_csv(StringIO(page.run("octodon.table()")), sep="\t")["id"]) == ["o0", "o1"]
    assert set(pd.read_csv(StringIO(page.run("octodon.map()")), sep="\t")["id"]) == {"o0"}


def test_keys_lead_into_the_table_through_its_rows_and_out(page: Browser) -> None:
    ask_page(page, fasta(decode(random_sequences(40, LENGTH, seed=2, n_share=0))))

    def press(*keys: str) -> str | None:
        """Return which row has the focus then."""
        for key in keys:
            for kind in ("rawKeyDown", "keyUp"):
                codes = {"Tab": 9, "End": 35, "Home": 36, "ArrowUp": 38, "ArrowDown": 40}
                page.call(
                    "Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=codes[key]
                )
        return page.run("document.activeElement.dataset.row")

    def is_seen() -> bool:
        """Tell whether the row with the focus is not hidden by the head, which stays above."""
        return page.run(
            "(() => { const row = document.activeElement, box = row.getBoundingClientRect();"
            "return row.contains(document.elementFromPoint(box.left + 5, box.top + 5)); })()"
        )

    page.run("document.getElementById('table-scroll').focus()")
    assert press("Tab") == "0"
    assert press("End") == "39"
    assert is_seen()
    assert press(*["ArrowUp"] * 30) == "9"
    assert is_seen()
    assert press("ArrowDown") == "10"
    assert press("Tab") is None
    assert not page.run("document.getElementById('table').contains(document.activeElement)")
    roles = [node["role"]["value"] for node in page.call("Accessibility.getFullAXTree")["nodes"]]
    assert roles.count("grid") == 1
    assert roles.count("rowheader") == 40
    assert "gridcell" in roles


def test_a_title_is_text_and_nothing_is_left_to_fill_in(page: Browser, folder: Path) -> None:
    assert page.run("document.getElementById('title').textContent") == "<b>T&C</b>"
    content = (folder / "page.html").read_text()
    assert f"<title>{html.escape('<b>T&C</b>')}</title>" in content
    assert "@@" not in re.sub(r'<script type="application/octet-stream".*?</script>', "", content)
    assert not re.search(r'(src|href)="(https?:)?//', content)


def test_the_card_cannot_end_its_element(student: Student) -> None:
    title = "</script><script>alert(1)</script>"
    card = page_card(student, outputs=("mean",), level=None, interval=None, title=title)
    page = render(card, backend="backend_onnx.js", payload={}, policy="default-src 'none'")
    assert "<script>alert" not in page.replace("&lt;", "")
    assert page.count("</script>") == 2


def test_a_name_that_looks_like_a_mark_is_a_name(student: Student) -> None:
    card = page_card(
        replace(student, target_names=("@@PAYLOAD@@", "b")),
        outputs=("mean",),
        level=None,
        interval=None,
        title="@@STYLE@@",
    )
    page = render(card, backend="backend_onnx.js", payload={"model": b"x"}, policy="default-src 'none'")
    assert "<title>@@STYLE@@</title>" in page
    found = re.search(r'id="card">(.*?)</script>', page)
    assert found is not None
    assert json.loads(found[1])["targets"] == ["@@PAYLOAD@@", "b"]


def test_without_the_engine_one_line_says_what_to_put_where(
    student: Student, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(DataError, match=r"no ort.wasm.bundle.min.mjs in .*npm pack onnxruntime-web@"):
        export_html(student, tmp_path / "x.html", runtime=tmp_path)
    for file in (CODE, WASM):
        (tmp_path / file.name).write_text("another version")
    with pytest.raises(DataError, match=r"is not that of version .* \(its SHA-256 differs\)"):
        export_html(student, tmp_path / "x.html", runtime=tmp_path)
    monkeypatch.setenv("OCTODON_CACHE", str(tmp_path / "cache"))
    nowhere = "http://127.0.0.1:9/onnxruntime-web.tgz"
    monkeypatch.setattr(runtime, "CODE", replace(CODE, url=nowhere))
    with pytest.raises(
        DataError, match=r"cannot fetch .*download it by hand and put .* into .*cache"
    ) as caught:
        export_html(student, tmp_path / "x.html")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "x.html").exists()


def test_a_command_with_nothing_to_write_is_refused(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["export", str(tmp_path)])
    assert isinstance(result.exception, ConfigError)
    assert "nothing to write; give --html" in str(result.exception)


@pytest.mark.parametrize(
    "option",
    [
        ("--title", "T"),
        ("--length", "crop"),
        ("--left-flank", "ACGT"),
        ("--right-flank", "ACGT"),
        ("--runtime", "dist"),
    ],
)
def test_options_of_the_page_are_refused_without_a_page(option: tuple[str, str], tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["export", str(tmp_path), "--onnx", str(tmp_path / "x.onnx"), *option])
    assert isinstance(result.exception, ConfigError)
    assert f"{option[0]} is for the page alone; give --html, or leave it out" in str(result.exception)


@pytest.mark.parametrize("flank", ["left", "right"])
def test_a_flank_that_is_no_dna_is_refused_before_the_model_is_read(flank: str, tmp_path: Path) -> None:
    command = ["export", str(tmp_path / "absent"), "--html", str(tmp_path / "x.html")]
    result = CliRunner().invoke(app, [*command, f"--{flank}-flank", "GATTACU"])
    assert isinstance(result.exception, DataError), result.output
    assert f"{flank}_flank: row 1, position 7: 'U' is not a base" in str(result.exception)
