"""The service says what the commands say, and no more than one line where it says no."""

import asyncio
import html
import json
import re
import socket
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import httpx2
import numpy as np
import pandas as pd
import pytest
import tiny
from exported import complete_student, random_sequences, small_student
from starlette.testclient import TestClient
from typer.testing import CliRunner

from octodon.artifact.bundle import load, save
from octodon.attribution.attribute import INSTEAD, attribute
from octodon.attribution.record import Attribution
from octodon.cli.main import app as cli
from octodon.data.lengths import LengthPolicy
from octodon.errors import ConfigError, DataError, OctodonError, RunError
from octodon.seq.codes import decode
from octodon.serve.app import make_app
from octodon.serve.explain import AttributeOptions, _cost_of_map
from octodon.serve.hosts import accepted_hosts, is_loopback, refuse_no_names
from octodon.serve.limits import Limits
from octodon.serve.rows import join_maps
from octodon.serve.service import Service
from octodon.serve.start import run

LENGTH = 62
LIMITS = Limits(sequences=200, megabytes=0.05, waiting=400, seconds=30.0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a bundle."""
    made = tmp_path_factory.mktemp("serve")
    save(complete_student(LENGTH), made / "student")
    return made


def started(folder: Path, **options: Any) -> Service:
    service = Service(load(folder / "student"), device="cpu", **({"limits": LIMITS} | options))
    service.worker.start()
    return service


@pytest.fixture(scope="module")
def service(folder: Path) -> Iterator[Service]:
    made = started(folder, name="run/student")
    yield made
    assert made.worker.stop(10.0)


@pytest.fixture(scope="module")
def client(service: Service) -> Iterator[TestClient]:
    with TestClient(make_app(service), raise_server_exceptions=False) as made:
        yield made


def fasta(sequences: list[str]) -> str:
    return "".join(f">s{i} a description\n{text[:40]}\n{text[40:]}\n" for i, text in enumerate(sequences))


def of_command(folder: Path, *words: str, text: str = "", out: str = "out.tsv") -> bytes | str:
    """Return the file that a command writes, or its error."""
    (folder / "in.fa").write_text(text)
    (folder / out).unlink(missing_ok=True)
    words = tuple(word.replace("@", f"{folder}/") for word in words)
    result = CliRunner().invoke(cli, [*words, "--out", str(folder / out), "--quiet", "--device", "cpu"])
    if isinstance(result.exception, OctodonError):
        return str(result.exception)
    assert result.exception is None, result.output
    return (folder / out).read_bytes()


def ask(client: TestClient, path: str, **body: Any) -> dict[str, Any]:
    answer = client.post(path, json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


@pytest.mark.parametrize(
    ("parameters", "options"),
    [
        ({}, ()),
        ({"level": "0.5"}, ("--level", "0.5")),
        ({"calibrated": "false"}, ("--uncalibrated",)),
        ({"calibrated": "false", "level": "0.8"}, ("--uncalibrated", "--level", "0.8")),
    ],
)
def test_fasta_becomes_the_file_of_predict(
    client: TestClient, folder: Path, parameters: dict[str, str], options: tuple[str, ...]
) -> None:
    text = fasta(decode(random_sequences(100, LENGTH, seed=8, n_share=0.02)))
    expected = of_command(folder, "predict", "@student", "@in.fa", *options, text=text)
    asked = parameters | {"format": "tsv"}
    for kind in ("text/plain", "text/x-fasta; charset=utf-8", "application/x-www-form-urlencoded"):
        got = client.post("/predict", params=asked, content=text, headers={"Content-Type": kind})
        assert got.headers["content-type"] == "text/tab-separated-values; charset=utf-8"
        assert got.content == expected  # to the byte


def test_json_holds_the_same_digits(client: TestClient, folder: Path) -> None:
    sequences = decode(random_sequences(7, LENGTH, seed=2))
    ids = ["a", "b c", 'say "d"', "é\u2028", "", "f", "f"]
    said = ask(client, "/predict", sequences=[sequences[0].lower(), *sequences[1:]], ids=ids)
    assert said["units"] == "log2"
    table = pd.DataFrame(said["table"])
    assert table.pop("id").tolist() == ids
    expected = of_command(folder, "predict", "@student", "@in.fa", text=fasta(sequences))
    assert isinstance(expected, bytes)
    written = pd.read_csv(StringIO(expected.decode()), sep="\t").drop(columns="id")
    assert list(table.columns) == list(written.columns)
    assert {"Dev_lower", "Hk_aleatoric_std", "ood_score", "ood", "interval"} <= set(table.columns)
    for name in table.columns:
        assert table[name].tolist() == written[name].tolist()
    assert ask(client, "/predict", sequences=sequences[:2])["table"]["id"] == ["1", "2"]


@pytest.mark.parametrize(
    ("policy", "left", "right", "lengths"),
    [
        ("crop", "", "", (LENGTH, LENGTH + 5, LENGTH + 8)),
        ("flank", "GATTACAGATT", "TTAACCGGTAA", (LENGTH, LENGTH - 3, LENGTH - 22)),
        ("flank", "GAT", "TTAACCGGTAACC", (LENGTH - 16, LENGTH - 16)),  # unequal: whole
        ("flank", "GAT", "TTAACCGGTAACC", (LENGTH - 2, LENGTH - 7)),  # unequal: equally as far as they reach
    ],
)
def test_other_lengths_become_what_predict_makes_of_them(
    client: TestClient, folder: Path, policy: str, left: str, right: str, lengths: tuple[int, ...]
) -> None:
    sequences = [decode(random_sequences(1, n, seed=n))[0] for n in lengths]
    flanks = ("--left-flank", left, "--right-flank", right) if policy == "flank" else ()
    command = ("predict", "@student", "@in.fa", "--length", policy, *flanks)
    expected = of_command(folder, *command, text=fasta(sequences))
    asked = {"length": policy, "left_flank": left, "right_flank": right, "format": "tsv"}
    assert client.post("/predict", params=asked, content=fasta(sequences)).content == expected
    ids = [f"s{i}" for i in range(len(lengths))]
    assert (
        client.post("/predict", params=asked, json={"sequences": sequences, "ids": ids}).content == expected
    )


def test_a_service_has_a_policy_of_its_own(folder: Path) -> None:
    service = started(folder, length=LengthPolicy(policy="crop", length_bp=1))
    with TestClient(make_app(service)) as client:
        long = decode(random_sequences(1, LENGTH + 4))
        assert ask(client, "/predict", sequences=long)["table"]["id"] == ["1"]
        assert client.post("/predict?length=refuse", json={"sequences": long}).status_code == 422
    service.worker.stop(10.0)


GOOD = "A" * LENGTH
TOO_MANY = ">a\n" + ">b\nA\n" * 200


@pytest.mark.parametrize(
    ("path", "content", "kind", "status", "line"),
    [
        (
            "/predict",
            f'{{"sequences": ["{GOOD}", "{GOOD[1:]}X"]}}',
            "json",
            422,
            r"row 2, position 62: 'X' is not a base",
        ),
        (
            "/predict",
            '{"sequences": ["ACGT"]}',
            "json",
            422,
            r"row 1 has 4 bases, expected 62 .*\?length=crop, or",
        ),
        ("/predict", '{"sequences": [""]}', "json", 422, r"row 1 has no sequence"),
        ("/predict", '{"sequences": []}', "json", 422, r"body: sequences: List should have at least 1 item"),
        ("/predict", '{"sequences": [3]}', "json", 422, r"body: sequences.0: Input should be a valid string"),
        ("/predict", f'{{"sequences": ["{GOOD}"], "id": 1}}', "json", 422, r"body: id: Extra inputs"),
        ("/predict", f'{{"sequences": ["{GOOD}"], "ids": []}}', "json", 422, r"ids: 0 for 1 sequences"),
        ("/predict", '{"sequences": ["\\ud800"]}', "json", 422, r"body: Invalid JSON"),
        ("/predict", "[" * 5000, "json", 422, r"body: 0 names and 5,000 lists or objects"),
        ("/predict", "", "json", 422, r"body: Invalid JSON"),
        ("/predict", "", "plain", 422, r"FASTA: no records"),
        ("/predict", "ACGT", "plain", 422, r"FASTA: starts with b'A', expected '>'"),
        ("/predict", b">a\n\xff\xfe", "plain", 422, r"FASTA: byte 4 is not text \(UTF-8\)"),
        ("/predict", f">a\n{GOOD}\n>b\n", "plain", 422, r"row 2 has no sequence"),
        ("/predict", ">a\n", "xml", 415, r"body: 'text/xml', expected application/json"),
        ("/predict", "A" * 60_000, "plain", 413, r"body: more than 0.05 MB; send it in parts"),
        ("/predict", TOO_MANY, "plain", 413, r"201 sequences, at most 200 in one request"),
        ("/predict", json.dumps({"sequences": ["A"] * 201}), "json", 413, r"201 sequences, at most 200"),
        (
            "/variants",
            f'{{"sequence": "A", "mutations": [{"1," * 20_000}1]}}',
            "json",
            413,
            r"20,001 items, at most 200 sequences",
        ),
        (
            "/predict?level=1.5",
            f">a\n{GOOD}",
            "plain",
            422,
            r"parameters: level: Input should be less than 1",
        ),
        ("/predict?nonsense=1", f">a\n{GOOD}", "plain", 422, r"parameters: nonsense: Extra inputs"),
        (
            "/predict?left_flank=A",
            f">a\n{GOOD}",
            "plain",
            422,
            r"length: policy 'refuse' with left_flank 'A'",
        ),
        ("/attribute?target=Dev&method=ims", f">a\n{GOOD}", "plain", 422, r"ims"),
        ("/attribute", f">a\n{GOOD}", "plain", 422, r"target: the model has 2 targets \(Dev, Hk\); name one"),
        ("/attribute?minus=Dev", f">a\n{GOOD}", "plain", 422, r"minus: 'Dev' alone is no difference"),
        ("/attribute?target=Dev", f">a\n{GOOD}\n" * 17, "plain", 413, r"17 sequences, at most 16 maps"),
        ("/variants", f">a\n{GOOD}", "plain", 415, r"body: 'text/plain', expected application/json"),
        ("/variants", f'{{"sequence": "{GOOD}", "mutations": ["G4C"]}}', "json", 422, r"has A at position 4"),
        ("/variants", f'{{"sequence": "{GOOD}", "mutations": ["A99C"]}}', "json", 422, r"has 62 bases"),
        ("/variants", f'{{"sequence": "{GOOD}", "mutations": ["A4A"]}}', "json", 422, r"changes nothing"),
        (
            "/variants",
            f'{{"sequence": "{GOOD}", "mutations": ["A4C+A4G"]}}',
            "json",
            422,
            r"changes position 4 twice",
        ),
        (
            "/variants",
            f'{{"sequence": "{GOOD}", "mutations": ["del4"]}}',
            "json",
            422,
            r"'del4', expected such as",
        ),
        ("/variants", f'{{"ref": ["{GOOD}"], "alt": []}}', "json", 422, r"body: pairs.alt: List should have"),
        (
            "/variants",
            f'{{"ref": ["{GOOD}"], "alt": ["A"]}}',
            "json",
            422,
            r"alt: row 1 has 1 bases, expected 62",
        ),
        (
            "/attribute?target=Dev&format=svg",
            f'{{"sequences": ["{GOOD}", "{GOOD}"], "ids": ["a", "b\\u0000c"]}}',
            "json",
            422,
            r"ids: 'b\\x00c' of row 2 has a control character \(U\+0000\); name it without",
        ),
        ("/predict", f">a\x01 b\n{GOOD}", "plain", 422, r"ids: 'a\\x01' of row 1 has a control character"),
        (
            "/predict",
            f'{{"sequences": ["{GOOD}"], "ids": ["a\\tb"]}}',
            "json",
            422,
            r"ids: 'a\\tb' of row 1 has a control",
        ),
        (
            "/variants",
            f'{{"ref": ["{GOOD}"], "alt": ["{GOOD}"], "ids": ["\uffff"]}}',
            "json",
            422,
            r"ids: '\\uffff' of row 1 has a control",
        ),
        (
            "/variants",
            f'{{"sequence": "{GOOD}", "mutations": ["A4C\\u001f"]}}',
            "json",
            422,
            r"mutations: 'A4C\\x1f' of row 1 has a control",
        ),
        ("/variants", f'{{"ref": ["{GOOD}"], "alt": ["A", "A"]}}', "json", 422, r"ref: 1 sequences, alt: 2"),
        ("/variants", '{"mutations": ["A1C"]}', "json", 422, r"body: mutations.sequence: Field required"),
        ("/nowhere", "", "json", 404, r"POST /nowhere: not found; the addresses are described at /docs"),
        ("/health", "", "json", 405, r"POST /health: method not allowed"),
    ],
)
def test_mistakes_are_one_line_with_their_status(
    client: TestClient, path: str, content: str | bytes, kind: str, status: int, line: str
) -> None:
    media = {"json": "application/json", "plain": "text/plain", "xml": "text/xml"}[kind]
    answer = client.post(path, content=content, headers={"Content-Type": media})
    said = answer.json()
    assert list(said) == ["error"]
    assert re.search(line, said["error"]), said
    assert "\n" not in said["error"]
    assert answer.status_code == status


def test_a_long_body_is_not_read_to_its_end(client: TestClient) -> None:
    read = 0

    def pieces() -> Iterator[bytes]:  # without a Content-Length
        nonlocal read
        for _ in range(50):
            read += 1
            yield b"A" * 10_000

    answer = client.post("/predict", content=pieces(), headers={"Content-Type": "text/plain"})
    assert answer.status_code == 413
    packed = client.post("/predict", content=b"x", headers={"Content-Encoding": "gzip"})
    assert (packed.status_code, packed.json()["error"]) == (415, "body: compressed; send it as it is")


def test_who_hangs_up_leaves_no_trace(service: Service) -> None:
    said: list[Any] = []

    async def send(message: Any) -> None:
        said.append(message)

    async def receive() -> Any:
        return {"type": "http.disconnect"}

    scope = {"type": "http", "method": "POST", "path": "/predict", "headers": [], "query_string": b""}
    asyncio.run(make_app(service)(scope | {"root_path": "", "http_version": "1.1"}, receive, send))
    assert said[0]["status"] == 400
    assert service.gauges()["octodon_open_requests"][1] == 0


def test_requests_that_come_together_share_a_batch_and_change_nothing(folder: Path) -> None:
    service = started(folder)
    application = make_app(service)
    sequences = decode(random_sequences(30, LENGTH, seed=5))
    go = threading.Event()
    service.worker.call(lambda: go.wait(10))

    async def all_at_once() -> list[dict[str, Any]]:
        transport = httpx2.ASGITransport(application)
        async with httpx2.AsyncClient(transport=transport, base_url="http://test") as client:
            asked = [
                asyncio.create_task(client.post("/predict", json={"sequences": [one]})) for one in sequences
            ]
            while service.gauges()["octodon_waiting_sequences"][1] < len(sequences):
                await asyncio.sleep(0.005)
            go.set()
            return [(await one).json()["table"] for one in asked]

    together = pd.concat([pd.DataFrame(table) for table in asyncio.run(all_at_once())])
    assert "\noctodon_batches_total 1\n" in service.counters.text({})
    with TestClient(application) as client:
        alone = pd.concat(
            [pd.DataFrame(ask(client, "/predict", sequences=[one])["table"]) for one in sequences[:5]]
        )
        whole = pd.DataFrame(ask(client, "/predict", sequences=sequences)["table"])
    numbers = [name for name in alone.columns if name.partition("_")[0] in ("Dev", "Hk")]
    # the last bits of float32 may depend on the shape of a batch, nothing else
    np.testing.assert_allclose(together[numbers][:5], alone[numbers], atol=5e-6, rtol=5e-6)
    np.testing.assert_allclose(together[numbers], whole[numbers], atol=5e-6, rtol=5e-6)
    service.worker.stop(10.0)


def test_a_service_that_is_busy_says_so(folder: Path) -> None:
    service = started(folder, limits=Limits(sequences=10, waiting=15, requests=3, seconds=2.0))
    application = make_app(service)
    go = threading.Event()
    service.worker.call(lambda: go.wait(20))
    ten = {"sequences": decode(random_sequences(10, LENGTH))}

    async def crowd() -> list[httpx2.Response]:
        transport = httpx2.ASGITransport(application)
        async with httpx2.AsyncClient(transport=transport, base_url="http://test") as client:
            first = asyncio.create_task(client.post("/predict", json=ten))
            while service.gauges()["octodon_waiting_sequences"][1] < 10:
                await asyncio.sleep(0.005)
            full = await client.post("/predict", json=ten)
            others = [asyncio.create_task(client.post("/predict", json={"sequences": [GOOD]})) for _ in "ab"]
            while service.gauges()["octodon_open_requests"][1] < 3:
                await asyncio.sleep(0.005)
            many = await client.post("/predict", json={"sequences": [GOOD]})
            assert (await client.get("/health")).json() == {"status": "ready"}
            return [full, many, await first, *[await one for one in others]]

    answers = asyncio.run(crowd())
    lines = [answer.json()["error"] for answer in answers]
    assert [answer.status_code for answer in answers] == [503] * 5
    assert lines[0] == "busy: 10 sequences wait already; try again in a moment"
    assert lines[1] == "busy: 3 requests at work; try again in a moment"
    assert lines[2] == "took longer than 2 s; send less at once, or try again later"
    assert all(answer.headers["retry-after"] == "1" for answer in answers)
    go.set()
    with TestClient(application) as client:  # and goes on as if nothing had been
        assert ask(client, "/predict", **ten)["table"]["id"][9] == "10"
        assert service.gauges()["octodon_waiting_sequences"][1] == 0
        assert service.gauges()["octodon_open_requests"][1] == 0
    service.worker.stop(10.0)


def test_pairs_become_the_table_of_variants(client: TestClient, folder: Path) -> None:
    rng = np.random.default_rng(3)
    ref = random_sequences(12, LENGTH, seed=1, n_share=0)
    alt = ref.copy()
    alt[np.arange(12), rng.integers(0, LENGTH, 12)] = rng.integers(0, 4, 12)
    pairs = {"ref": decode(ref), "alt": decode(alt), "ids": [f"v{i}" for i in range(12)]}
    pd.DataFrame(pairs).to_csv(folder / "pairs.tsv", sep="\t", index=False)
    command = ("variants", "@student", "--table", "@pairs.tsv", "--id", "ids", "--null", "0")
    expected = of_command(folder, *command)
    assert isinstance(expected, bytes)
    assert client.post("/variants?format=tsv", json=pairs).content == expected
    # of a student without effects neither has an interval to give a level to
    refused = of_command(folder, *command, "--level", "0.8")
    answer = client.post("/variants?level=0.8", json=pairs)
    assert (answer.status_code, f"--{answer.json()['error']}") == (422, refused)


def test_an_ensemble_says_how_sure_it_is_of_each_difference() -> None:
    model = tiny.ensemble()
    service = Service(model, device="cpu")
    service.worker.start()
    ref = random_sequences(2, tiny.LENGTH, seed=2, n_share=0)
    alt = ref[:, ::-1].copy()
    with TestClient(make_app(service)) as client:
        assert client.get("/model").json()["kind"] == "ensemble"
        found = pd.DataFrame(ask(client, "/variants", ref=decode(ref), alt=decode(alt))["table"])
        narrower = pd.DataFrame(ask(client, "/variants?level=0.5", ref=decode(ref), alt=decode(alt))["table"])
    members = model.predict_members(alt).mean - model.predict_members(ref).mean
    for position, target in enumerate(tiny.TARGETS):
        std = members[..., position].std(axis=0)
        np.testing.assert_allclose(found[f"{target}_effect_epistemic_std"], std, rtol=1e-4)
        half = (found[f"{target}_effect_upper"] - found[f"{target}_effect_lower"]) / 2
        np.testing.assert_allclose(half, 1.959964 * std, rtol=1e-4)
        half = (narrower[f"{target}_effect_upper"] - narrower[f"{target}_effect_lower"]) / 2
        np.testing.assert_allclose(half, 0.674490 * std, rtol=1e-4)
    service.worker.stop(10.0)


def test_mutations_of_a_sequence_are_named_by_base_and_position(client: TestClient, service: Service) -> None:
    codes = random_sequences(1, LENGTH, seed=9, n_share=0.05)
    text = decode(codes)[0]
    everything = pd.DataFrame(ask(client, "/variants", sequence=text)["table"])
    assert len(everything) == 3 * LENGTH + int((codes == 4).sum())
    both = "+".join(everything["id"][[4, 100]]).lower()
    few = pd.DataFrame(
        ask(client, "/variants", sequence=text, mutations=[everything["id"][100], both])["table"]
    )
    assert few["id"].tolist() == [everything["id"][100], both]
    mutants = np.repeat(codes, 3, axis=0)
    for row, name in ((1, everything["id"][100]), (2, everything["id"][100]), (2, everything["id"][4])):
        assert name[0] == text[int(name[1:-1]) - 1]
        mutants[row, int(name[1:-1]) - 1] = "ACGT".index(name[-1])
    said = service.model.predict(mutants, device="cpu").mean
    np.testing.assert_allclose(few[["Dev_effect", "Hk_effect"]], said[1:] - said[:1], atol=5e-6)
    assert everything["Dev_effect"][100] == pytest.approx(few["Dev_effect"][0], abs=2e-6)


def test_maps_are_those_of_attribute_and_logos_are_pictures(client: TestClient, service: Service) -> None:
    codes = random_sequences(2, LENGTH, seed=7)
    body = {"sequences": decode(codes), "ids": ["a<b", "c"]}
    said = client.post("/attribute?target=Dev&minus=Hk&method=ism", json=body).json()
    assert (said["method"], said["output"], said["units"]) == ("ism", "activity of Dev - Hk", "log2")
    found = attribute(service.model, codes, method="ism", target=("Dev", "Hk"), device="cpu")
    table = pd.DataFrame(said["table"])
    np.testing.assert_allclose(table["contribution"], found.observed.ravel(), atol=1e-6)
    np.testing.assert_allclose(table[list("ACGT")], found.maps.transpose(0, 2, 1).reshape(-1, 4), atol=1e-6)
    assert "".join(table["base"]) == "".join(decode(codes))
    assert table["position"].tolist() == [*range(1, LENGTH + 1)] * 2
    picture = client.post("/attribute?target=Hk&method=saliency&format=svg", json=body)
    assert picture.headers["content-type"].startswith("image/svg+xml")
    assert b"<svg" in picture.content[:600]
    assert b"</svg>" in picture.content[-20:]


def empty_maps(model: Any, codes: np.ndarray, ids: Any, *, method: str, **_: Any) -> Attribution:
    """Stand in for ``attribute`` where it is the time that counts."""
    maps = np.zeros((len(codes), 4, codes.shape[1]), dtype=np.float32)
    return Attribution(ids=np.array(ids), codes=codes, maps=maps, method=method, output="activity")


def test_maps_of_one_request_leave_others_their_turn_and_end_with_it(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = started(folder, limits=Limits(sequences=10, waiting=5000, seconds=4.0))
    application = make_app(service)
    entered, go, asked = threading.Semaphore(0), threading.Semaphore(0), []

    def held(model: Any, codes: np.ndarray, *given: Any, **how: Any) -> Attribution:
        asked.append(len(codes))
        entered.release()
        go.acquire(timeout=20)
        return empty_maps(model, codes, *given, **how)

    monkeypatch.setattr("octodon.serve.explain.attribute", held)

    async def together() -> list[httpx2.Response]:
        transport = httpx2.ASGITransport(application)
        async with httpx2.AsyncClient(transport=transport, base_url="http://test") as client:
            path = "/attribute?target=Dev&background=50"
            maps = asyncio.create_task(client.post(path, json={"sequences": [GOOD] * 6}))
            await asyncio.to_thread(entered.acquire)
            assert service.gauges()["octodon_waiting_sequences"][1] == 6 * 50 * 5
            other = asyncio.create_task(client.post("/predict", json={"sequences": [GOOD]}))
            while service.gauges()["octodon_waiting_sequences"][1] < 6 * 50 * 5 + 1:
                await asyncio.sleep(0.005)
            go.release()  # the first map only
            return [await other, await maps]

    other, maps = asyncio.run(together())
    assert (other.status_code, maps.status_code) == (200, 503)
    assert "took longer than 4 s" in maps.json()["error"]
    go.release(20)
    assert service.worker.stop(20.0)
    assert asked == [1, 1]  # what nobody waits for is not begun


def test_a_request_for_many_maps_counts_them_all_and_leaves_places_to_others(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = started(folder)
    held: list[float] = []

    def noted(model: Any, *given: Any, **how: Any) -> Attribution:
        held.append(service.gauges()["octodon_waiting_sequences"][1])
        return empty_maps(model, *given, **how)

    monkeypatch.setattr("octodon.serve.explain.attribute", noted)
    with TestClient(make_app(service)) as client:
        for path in (
            "method=ism",
            "background=3",
            "method=integrated_gradients&background=1",
            "background=9",
        ):
            for n in (1, 6):
                answer = client.post(f"/attribute?target=Dev&{path}", json={"sequences": [GOOD] * n})
                assert answer.status_code == 200, answer.text
    service.worker.stop(10.0)
    half = LIMITS.waiting / 2
    assert list(dict.fromkeys(held)) == [100, half, 15, 90, 80, 45]
    model = tiny.ensemble()
    options = AttributeOptions(method="ism")
    assert _cost_of_map(Service(model, device="cpu"), options) == 100 * len(model.members)


def test_maps_of_a_request_are_by_one_method_as_those_of_attribute(
    client: TestClient, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    codes = random_sequences(3, LENGTH, seed=11, n_share=0)

    def misfit(model: Any, given: np.ndarray, *ids: Any, method: str, **how: Any) -> Any:
        if method == "deep_lift_shap" and (given[0] == codes[1]).all():
            return replace(attribute(model, given, *ids, method=INSTEAD, **how), fallback="why")
        return attribute(model, given, *ids, method=method, **how)

    monkeypatch.setattr("octodon.serve.explain.attribute", misfit)
    said = client.post("/attribute?target=Dev&background=4", json={"sequences": decode(codes)}).json()
    assert (said["method"], said["fallback"]) == ("deep_lift_shap", "why")
    for row in range(3):
        alone = attribute(
            service.model, codes[row : row + 1], method=INSTEAD, target="Dev", background=4, device="cpu"
        )
        table = pd.DataFrame(said["table"])[row * LENGTH : (row + 1) * LENGTH]
        np.testing.assert_allclose(table["contribution"], alone.observed[0], atol=1e-6)
    found = attribute(tiny.ensemble(), random_sequences(3, tiny.LENGTH), target="gc", method="saliency")
    rows = [
        replace(
            found,
            ids=found.ids[[i]],
            codes=found.codes[[i]],
            maps=found.maps[[i]],
            member_maps=found.member_maps[:, [i]],
        )
        for i in range(3)
    ]
    np.testing.assert_array_equal(join_maps(rows).observed_std, found.observed_std)


def test_a_name_in_a_logo_is_text(client: TestClient) -> None:
    """It is the user's: neither markup of the SVG nor, between two "$", a formula."""
    name = "<script>alert('$x_{$')</script>"
    body = {"sequences": [GOOD], "ids": [name]}
    picture = client.post("/attribute?target=Hk&method=saliency&format=svg", json=body)
    assert picture.status_code == 200, picture.text
    texts = ["".join(element.itertext()) for element in ElementTree.fromstring(picture.content).iter()]
    assert any(text.startswith(name) for text in texts)
    assert b"a<b" not in picture.content


def test_what_is_served_how_it_fares_and_how_it_is_asked(folder: Path) -> None:
    service = started(folder, name="run/student")
    with TestClient(make_app(service, title="<T>")) as client:
        told = client.get("/model").json()
        assert (told["bundle"], told["kind"], told["length"]) == ("run/student", "student", LENGTH)
        assert told["outputs"][-2:] == ["ood_score", "ood"]
        assert (told["level"], told["limits"]["sequences"]) == (0.9, 200)
        ask(client, "/predict", sequences=[GOOD] * 3)
        client.get("/nowhere")
        client.get("/else/where")
        text = client.get("/metrics").text
        for line in (
            'octodon_requests_total{path="/predict",status="200"} 1',
            'octodon_requests_total{path="other",status="404"} 2',
            'octodon_request_seconds_bucket{path="/predict",le="+Inf"} 1',
            "octodon_sequences_total 3",
            "octodon_waiting_sequences 0",
        ):
            assert f"\n{line}\n" in text
        assert all(
            re.fullmatch(r"# (HELP|TYPE) \w+ .+|\w+(\{.+\})? [\d.e+-]+", line) for line in text.splitlines()
        )
        page, reference = client.get("/").text, client.get("/docs").text
        assert "<title>&lt;T&gt;</title>" in page
        # a student has no members: what it says of them it has learnt
        assert "how far independently trained networks would disagree about it (std)" in page
        assert "members of the ensemble" not in page
        for content in (page, reference):  # no other server is asked for anything
            assert not re.search(r'(src|href)="(https?:)?//|url\(|@import', content)
        assert "'http://testserver/predict?format=tsv'" in html.unescape(reference)
        for path in client.get("/openapi.json").json()["paths"]:
            assert f" {path}</code></h2>" in reference
    service.worker.stop(10.0)


@pytest.mark.parametrize("bound", ["127.0.0.1", "::1", "localhost", "127.0.0.2"])
def test_a_page_of_another_site_cannot_ask_under_its_own_name(service: Service, bound: str) -> None:
    hosts = accepted_hosts(bound, "127.0.0.1" if bound == "localhost" else bound, ["Models.example.org:443"])
    with TestClient(make_app(service, hosts=hosts)) as client:

        def status(host: str) -> int:
            return client.get("/health", headers={"Host": host}).status_code

        own = f"[{bound}]" if ":" in bound else bound
        for good in (
            "localhost",
            "LOCALHOST:8000",
            "127.0.0.1:8000",
            "[::1]:8000",
            "[::1]",
            "[0:0:0:0:0:0:0:1]:8000",
            "[::ffff:7f00:1]:8000",  # as browsers spell 127.0.0.1 written as IPv6
            own,
            "models.example.org",
        ):
            assert status(good) == 200, good
        for bad in (
            "evil.example",
            "evil.example:8000",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "[::2]",
            "",
        ):
            assert status(bad) == 400, bad
        refused = client.post("/predict", content=b"ACGT", headers={"Host": "evil.example:8000"})
        assert refused.json()["error"].startswith("Host: 'evil.example:8000' is no name of this service (")
        assert "start it with --allow-host NAME" in refused.json()["error"]
        assert (
            'octodon_requests_total{path="/health",status="400"}'
            in client.get("/metrics", headers={"Host": own}).text
        )


def test_where_others_reach_a_service_any_name_will_do_unless_names_are_given() -> None:
    for bound, address in (
        ("0.0.0.0", "0.0.0.0"),
        ("::", "::"),
        ("models.example.org", "10.0.0.7"),
        ("::ffff:10.0.0.7", "::ffff:10.0.0.7"),
    ):
        assert accepted_hosts(bound, address, []) is None
    assert accepted_hosts("10.0.0.7", "10.0.0.7", ["models.example.org"]) == {
        "10.0.0.7",
        "127.0.0.1",
        "::1",
        "localhost",
        "models.example.org",
    }


@pytest.mark.parametrize(
    "wrong",
    [
        *("", ":8000", "http://a.org", "a.org/path", "a.org:x", "*", "*.a.org", ".a.org", "a.org,b.org"),
        *("a b", "a.org\n", "a.org:", "b\xfccher.org", "[::1", "[a.org]", "[]:80", "::1::", "a:b:c"),
    ],
)
def test_what_no_request_could_name_is_refused(wrong: str) -> None:
    """It would match nothing: a service that answers nobody, or others than was meant."""
    with pytest.raises(ConfigError, match=r"--allow-host: .*, expected one host, .*; repeat") as caught:
        refuse_no_names(["models.example.org", wrong])
    assert repr(wrong) in str(caught.value)


def test_hosts_with_and_without_port_are_names() -> None:
    refuse_no_names(["models.example.org", "Models.example.org.:443", "xn--bcher-kva.example", "my_host:80"])
    refuse_no_names(["10.0.0.7", "10.0.0.7:80", "fd00::7", "[fd00::7]", "[fd00::7]:80"])


@pytest.mark.parametrize(
    ("bound", "address"),
    [
        ("LOCALHOST", "127.0.0.1"),
        ("127.1", "127.0.0.1"),
        ("ip6-localhost", "::1"),
        ("my-machine", "127.0.1.1"),  # what Debian writes into /etc/hosts
        ("::ffff:127.0.0.1", "::ffff:127.0.0.1"),
    ],
)
def test_this_machine_alone_however_it_is_spelt_is_asked_by_its_own_names(bound: str, address: str) -> None:
    names = {"127.0.0.1", "::1", "localhost", address.removeprefix("::ffff:")}
    assert accepted_hosts(bound, address, []) == names | {bound.lower().removeprefix("::ffff:")}


def test_whether_others_reach_a_host_is_judged_by_its_address(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_such_name(*_: object, **__: object) -> None:
        raise socket.gaierror(-2, "Name or service not known")

    for alone in ("127.0.0.1", "127.0.0.2", "::1", "::ffff:127.0.0.1", "localhost", "LOCALHOST", "127.1"):
        assert is_loopback(alone), alone
    for reached in ("0.0.0.0", "::", "10.0.0.7", "::ffff:10.0.0.7", "10.7", "a" * 64):
        assert not is_loopback(reached), reached
    monkeypatch.setattr(socket, "getaddrinfo", no_such_name)
    assert not is_loopback("no.such.name")


def test_a_service_that_cannot_be_is_refused_at_the_start(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(DataError, match="the model is not calibrated"):
        Service(small_student(), level=0.9, device="cpu")
    for seconds in (0.0, float("nan"), float("inf")):
        with pytest.raises(ConfigError, match="expected a number above 0"):
            Limits(seconds=seconds)
    with pytest.raises(ConfigError, match="would then never be answered"):
        Limits(sequences=10, waiting=5)
    service = Service(small_student(), device="cpu")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(RunError, match=rf"cannot listen at 127.0.0.1, port {port}: .*another --port"):
            run(service, host="127.0.0.1", port=port)
    with pytest.raises(
        RunError, match=r"cannot listen at models\.\.example, port 0: .* or a --host of this machine"
    ):
        run(service, host="models..example", port=0)
    monkeypatch.delitem(sys.modules, "octodon.serve.start")
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    result = CliRunner().invoke(cli, ["serve", str(folder / "student")])
    assert isinstance(result.exception, ConfigError)
    assert str(result.exception) == (
        "serve: uvicorn is not installed; install the extra: pip install 'octodon[serve]'"
    )
