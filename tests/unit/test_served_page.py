"""The served page where no map of mutations can be had at once: the table stays, and small requests make the map."""

import json
import shutil
import subprocess
from importlib.resources import files
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from exported import random_sequences, small_student

from octodon.predict.stream import header_as_text, rows_as_text
from octodon.seq.codes import decode
from octodon.serve.alleles import MutationsIn, read_alleles
from octodon.serve.limits import Limits, Refusal
from octodon.serve.page import page_of
from octodon.serve.service import Service

LENGTH = 62
SCRIPT = Path(__file__).parent / "page_without_browser.js"
FASTA = "".join(f">s{i}\n{one}\n" for i, one in enumerate(decode(random_sequences(2, LENGTH, n_share=0.0))))


def node() -> str:
    """Return the program that runs the script of the page; without it these tests are skipped, those in a browser are not."""
    program = shutil.which("node")
    if program is None:
        pytest.skip("no node here; install it to run the script of the page")
    return program


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of a service."""
    file = tmp_path_factory.mktemp("served") / "page.html"
    file.write_text(page_of(Service(small_student(length=LENGTH), device="cpu")))
    return file


def test_the_flag_of_the_table_is_spelt_as_by_predict() -> None:
    program = node()
    code = (files("octodon.handover") / "page" / "core.js").read_text()
    code += """;const columns = { ood_score: [1, 99.5], ood: [0, 1] };
        console.log(JSON.stringify(octodonCore.tsv(octodonCore.tableColumns({ targets: [] }, ["a", "b"], columns), 2)));"""
    said = subprocess.run([program, "-e", code], capture_output=True, text=True, timeout=60)
    assert said.returncode == 0, said.stderr
    table = pa.table({"id": ["a", "b"], "ood_score": [1, 99.5], "ood": [False, True]})
    expected = header_as_text(table.schema.names, "\t") + rows_as_text(table, "\t")
    assert json.loads(said.stdout).encode() == expected


def shown_by(page: Path, **case: Any) -> dict[str, Any]:
    """Return what the page asks and shows where the service has these limits; see the script."""
    program = node()
    file = page.with_name("case.json")
    file.write_text(json.dumps({"text": FASTA} | case))
    said = subprocess.run(
        [program, str(SCRIPT), str(page), str(file)], capture_output=True, text=True, timeout=60
    )
    assert said.returncode == 0, said.stderr
    return json.loads(said.stdout)


@pytest.mark.parametrize(("most", "sizes"), [(100, [99, 87]), (187, [186]), (10_000, [186])])
def test_the_map_is_asked_for_in_requests_that_the_service_takes(
    page: Path, most: int, sizes: list[int]
) -> None:
    said = shown_by(page, limits={"sequences": most})
    assert said["asked"] == [["predict", 2], *(["variants", size] for size in sizes)]
    assert said["rows"] == 2
    found = pd.read_csv(StringIO(said["map"]), sep="\t")
    assert len(found) == 3 * LENGTH
    assert set(found["ref"] + found["position"].astype(str)) == {
        f"{base}{place}" for place, base in enumerate(FASTA.splitlines()[1], start=1)
    }
    expected = found["position"] + np.array(["ACGT".index(base) for base in found["alt"]]) / 10
    np.testing.assert_allclose(found["Dev_effect"], expected)
    np.testing.assert_allclose(found["Hk_effect"], 2 * expected)


def test_flanks_are_read_where_they_are_asked_for(page: Path) -> None:
    then = [("value", "policy", "crop"), ("value", "left-flank", "GATTACU"), ("predictText", FASTA)]
    assert shown_by(page, text="", limits={"sequences": 100}, then=then)["rows"] == 2
    then[0] = ("value", "policy", "flank")
    said = shown_by(page, text="", limits={"sequences": 100}, then=then)
    assert "flank before the sequence, position 7: 'U' is not a base" in said["shown"]["error"]["text"]


def test_many_variants_are_asked_for_in_parts(page: Path) -> None:
    base = FASTA.splitlines()[1][0]
    mutations = [f"{base}1{other}" for other in "ACGT" if other != base]
    then = [("value", "mutations", "\n".join(mutations)), ("askVariants",)]
    said = shown_by(page, limits={"sequences": 3}, then=then)
    assert said["asked"][-2:] == [["variants", 2], ["variants", 1]]
    assert pd.read_csv(StringIO(said["variants"]), sep="\t")["id"].tolist() == mutations


@pytest.mark.parametrize("then", [[], [("choose", 1)]])
def test_the_table_stays_where_the_map_is_refused(page: Path, then: list[tuple[Any, ...]]) -> None:
    said = shown_by(page, limits={"sequences": 100}, refuse="variants", then=then)
    assert said["rows"] == 2
    assert len(said["table"].splitlines()) == 3
    assert not said["shown"]["results"]["hidden"]
    assert said["shown"]["status"]["text"] == "2 sequences predicted."
    assert said["shown"]["map-status"]["text"] == "no map: busy"
    assert said["shown"]["error"]["text"] == ""
    assert said["map"] is None
    assert said["shown"]["logo-section"]["hidden"]


def test_too_many_mutations_are_refused_before_they_are_made(monkeypatch: pytest.MonkeyPatch) -> None:
    def made(*_: object) -> None:
        raise AssertionError("3 * 50,000 sequences of 50,000 bases would take 7.5 GB")

    monkeypatch.setattr("octodon.serve.alleles._every_single_one", made)
    with pytest.raises(Refusal, match="150,002 sequences, at most 10,000") as refused:
        read_alleles(MutationsIn(sequence="N" + "A" * 49_999), 50_000, Limits())
    assert refused.value.status == 413


def test_every_target_has_decimals_of_its_own(page: Path) -> None:
    first, second = FASTA.splitlines()[1::2]
    means = {first: [2000, 0.25], second: [7000, 0.75]}
    said = shown_by(page, limits={"sequences": 200}, means=means, model={"outputs": ["mean"]})
    assert said["words"] == ["s020000.250", "s170000.750"]


def test_what_is_no_number_is_shown_and_saved_as_none(page: Path) -> None:
    first, second = FASTA.splitlines()[1::2]
    base = first[0]
    unknown, known = (f"{base}1{other}" for other in [one for one in "ACGT" if one != base][:2])
    then = [("value", "mutations", f"{unknown},{known}"), ("askVariants",)]
    said = shown_by(
        page, limits={"sequences": 200}, means={first: [None, 0.25], second: [7, 0.75]}, unknown=[unknown],
        model={"outputs": ["mean"]}, then=then,
    )  # fmt: skip
    assert said["words"] == ["s0\u20130.250", "s17.000.750"]
    assert [line.split("\t")[1] for line in said["table"].splitlines()] == ["Dev_mean", "", "7"]
    of_map = pd.read_csv(StringIO(said["map"]), sep="\t").set_index(["position", "alt"])["Dev_effect"]
    assert of_map.isna().sum() == 1
    assert np.isnan(of_map[1, unknown[-1]])
    effects = pd.read_csv(StringIO(said["variants"]), sep="\t")
    np.testing.assert_array_equal(effects["Dev_effect"], [np.nan, 1 + "ACGT".index(known[-1]) / 10])
    assert not said["told"]


@pytest.mark.parametrize("before", ["  ", "\n \t", "\ufeff"])
def test_blanks_before_the_first_record_are_skipped_as_by_predict(before: str, page: Path) -> None:
    said = shown_by(page, text=before + FASTA, limits={"sequences": 200})
    assert ids_of(said["table"]) == ["s0", "s1"]
    wrong = shown_by(page, text=before + FASTA.replace(">s1\n", ">s1\nX"), limits={"sequences": 200})
    assert "row 2 has 63 bases" in wrong["shown"]["error"]["text"]


@pytest.mark.parametrize(("mean", "shown"), [(0.004, "0.00400"), (0, "0.00"), (4321, "4321")])
def test_one_sequence_alone_has_decimals_of_its_value(page: Path, mean: float, shown: str) -> None:
    text = "\n".join(FASTA.splitlines()[:2])
    model = {"outputs": ["mean"], "targets": ["Dev"]}
    said = shown_by(
        page, text=text, limits={"sequences": 200}, means={text.split("\n")[1]: [mean]}, model=model
    )
    assert said["words"] == [f"s0{shown}"]


def test_the_table_is_one_stop_of_the_tab_key_and_arrow_keys_move_it(page: Path) -> None:
    text = FASTA + FASTA.replace(">s", ">t")
    quiet: dict[str, Any] = {"text": text, "limits": {"sequences": 200}}
    said = shown_by(page, **quiet)
    assert said["stops"] == [0, -1, -1, -1]
    assert said["selected"] == [True, False, False, False]

    def after(*keys: str) -> tuple[int, int, int]:
        """Return the row with the focus, that with the stop, and the chosen one."""
        said = shown_by(page, **quiet, then=[("focus", 0), *(("key", key) for key in keys)])
        assert sorted(said["stops"]) == [-1, -1, -1, 0]
        assert sum(said["selected"]) == 1
        return said["focus"], said["stops"].index(0), said["selected"].index(True)

    assert after("ArrowDown", "ArrowDown") == (2, 2, 0)
    assert after("End", "ArrowDown", "ArrowUp") == (2, 2, 0)
    assert after("End", "Home", "ArrowUp") == (0, 0, 0)
    assert after("ArrowDown", "Enter") == (1, 1, 1)
    chosen = shown_by(page, **quiet, then=[("choose", 3)])
    assert chosen["stops"] == [-1, -1, -1, 0]
    assert chosen["selected"] == [False, False, False, True]


def test_what_is_saved_bears_the_name_of_the_sequence_it_is_of(page: Path) -> None:
    mutation = FASTA[4] + "1" + ("C" if FASTA[4] == "A" else "A")
    more = [
        ("value", "logo-output", json.dumps(["activity", "Dev"])),
        ("drawLogo",),
        ("value", "mutations", mutation),
        ("askVariants",),
    ]
    save = [("click", f"{what}-download") for what in ("map", "logo", "variants")]
    said = shown_by(page, limits={"sequences": 200}, then=[*more, *save])
    assert [name for name, _ in said["saved"]] == ["mutations_s0.tsv", "logo_s0.svg", "variants_s0.tsv"]
    assert {line.split("\t")[0] for line in said["saved"][0][1].splitlines()[1:]} == {"s0"}
    assert said["saved"][1][1] == "<svg>s0</svg>"
    # while the mutations of the next one are computed (its request is the fifth) there is nothing to save
    for during in (save, []):
        said = shown_by(
            page, limits={"sequences": 200}, then=[*more, ("choose", 1), *save], during={"5": during}
        )
        assert [name for name, _ in said["saved"]] == ["mutations_s1.tsv"]
        assert said["variants"] is None
        assert said["told"] == []


OTHER = "".join(f">o{i}\n{one}\n" for i, one in enumerate(decode(random_sequences(3, LENGTH, n_share=0.0))))
ENOUGH = {"sequences": 200}


def ids_of(table: str) -> list[str]:
    return [line.split("\t")[0] for line in table.splitlines()[1:]]


@pytest.mark.parametrize("when", ["1", "2"], ids=["predicts", "maps"])
def test_a_file_that_comes_while_the_page_is_busy_takes_the_place_of_what_it_does(
    page: Path, when: str
) -> None:
    said = shown_by(page, limits=ENOUGH, during={when: [("drop", "other.fa", OTHER)]})
    assert said["shown"]["sequences"]["value"] == OTHER
    assert ids_of(said["table"]) == ["o0", "o1", "o2"]
    assert set(ids_of(said["map"])) == {"o0"}
    assert said["shown"]["status"]["text"] == "3 sequences predicted."
    assert said["told"] == []


@pytest.mark.parametrize("when", ["1", "2"], ids=["predicts", "maps"])
def test_a_wrong_file_that_comes_while_the_page_is_busy_is_told_and_no_answer_is_left(
    page: Path, when: str
) -> None:
    said = shown_by(page, limits=ENOUGH, during={when: [("drop", "wrong.fa", ">a\nACXT\n")]})
    assert said["shown"]["error"]["text"].startswith("row 1 has 4 bases, expected 62")
    assert said["shown"]["results"]["hidden"]
    assert said["shown"]["map-section"]["hidden"]
    assert [said["table"], said["map"]] == [None, None]
    assert said["shown"]["status"]["text"] == ""
    assert said["told"] == []


def test_the_last_of_several_files_is_the_one_that_is_shown(page: Path) -> None:
    files = [("drop", "wrong.fa", ">a\nAC\n"), ("drop", "other.fa", OTHER), ("drop", "own.fa", FASTA)]
    for when in ("0", "2"):
        said = shown_by(page, text=FASTA if when == "2" else "", limits=ENOUGH, during={when: files})
        assert said["shown"]["sequences"]["value"] == FASTA
        assert ids_of(said["table"]) == ["s0", "s1"]
        assert said["shown"]["error"]["text"] == ""
        assert said["told"] == []


def test_what_comes_before_the_network_waits_for_it(page: Path) -> None:
    for step in (("drop", "other.fa", OTHER), ("click", "example")):
        said = shown_by(page, text="", limits=ENOUGH, during={"0": [step]})
        assert said["rows"] >= 3
        assert said["shown"]["error"]["text"] == ""
        assert said["told"] == []


def test_another_row_can_be_chosen_while_a_map_is_made_and_not_while_sequences_are_predicted(
    page: Path,
) -> None:
    said = shown_by(page, limits=ENOUGH, during={"2": [("choose", 1)]})
    assert set(ids_of(said["map"])) == {"s1"}
    assert said["shown"]["status"]["text"] == "2 sequences predicted."
    said = shown_by(page, limits=ENOUGH, then=[("predictText", OTHER)], during={"3": [("choose", 1)]})
    assert ids_of(said["table"]) == ["o0", "o1", "o2"]
    assert set(ids_of(said["map"])) == {"o0"}
    assert said["told"] == []


def test_stop_ends_all_that_was_asked_for(page: Path) -> None:
    stop = ("click", "stop")
    said = shown_by(page, limits=ENOUGH, during={"2": [stop]})
    assert said["shown"]["status"]["text"] == "Stopped."
    assert [ids_of(said["table"]), said["map"]] == [["s0", "s1"], None]
    # of a prediction that is stopped, and of one that waits, nothing is shown under its sequences
    said = shown_by(page, limits=ENOUGH, then=[("predictText", OTHER)], during={"3": [stop]})
    assert said["shown"]["status"]["text"] == "Stopped."
    assert [said["table"], said["map"]] == [None, None]
    said = shown_by(page, limits=ENOUGH, during={"2": [("drop", "other.fa", OTHER), stop]})
    assert said["shown"]["status"]["text"] == "Stopped."
    assert ids_of(said["table"]) == ["s0", "s1"]
    assert len(said["asked"]) == 2


def test_a_logo_and_variants_are_asked_for_one_after_the_other(page: Path) -> None:
    first = FASTA.splitlines()[1][0]
    then = [
        ("value", "logo-output", json.dumps(["activity", "Dev"])),
        ("value", "mutations", f"{first}1{'C' if first == 'A' else 'A'}"),
        ("drawLogo",),
        ("click", "logo-download"),
    ]
    said = shown_by(page, limits=ENOUGH, then=then, during={"3": [("askVariants",)]})
    assert [what for what, _ in said["asked"]] == ["predict", "variants", "attribute", "variants"]
    assert said["saved"] == [["logo_s0.svg", "<svg>s0</svg>"]]
    assert said["variants"] is not None
    assert said["told"] == []
