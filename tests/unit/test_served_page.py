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


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of a service."""
    file = tmp_path_factory.mktemp("served") / "page.html"
    file.write_text(page_of(Service(small_student(length=LENGTH), device="cpu")))
    return file


def test_the_flag_of_the_table_is_spelt_as_by_predict() -> None:
    program = shutil.which("node")
    if program is None:
        pytest.skip("no node here; install it to run the script of the page")
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
    program = shutil.which("node")
    if program is None:
        pytest.skip("no node here; install it to run the script of the page")
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
