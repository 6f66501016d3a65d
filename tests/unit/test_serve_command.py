"""``octodon serve`` as it runs: the page in a browser, and what happens when it is told to end."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

import httpx2
import numpy as np
import pandas as pd
import pytest
from browser import Browser, browsing
from exported import complete_student, random_sequences, small_student

from octodon.artifact.bundle import load, save
from octodon.metrics.tables import predictions_frame
from octodon.seq.codes import decode
from octodon.serve import start
from octodon.serve.service import Service

LENGTH = 62


@dataclass
class Running:
    """A service in a process of its own."""

    process: subprocess.Popen[str]
    address: str


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("serving")
    save(complete_student(LENGTH), made / "student")
    return made


@pytest.fixture(scope="module")
def running(folder: Path) -> Iterator[Running]:
    command = [sys.executable, "-m", "octodon.cli.main", "serve", str(folder / "student"), "--port", "0"]
    command += ["--device", "cpu", "--allow-host", "models.example.org"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    line = process.stderr.readline()
    assert " on http://127.0.0.1:" in line, line + process.stderr.read()
    yield Running(process, line.split(" on ")[1].split(" ")[0])
    process.kill()
    process.wait()
    process.stderr.close()


@pytest.fixture(scope="module")
def page(running: Running, folder: Path) -> Iterator[Browser]:
    with browsing(folder) as browser:
        browser.open(running.address, until="typeof octodon === 'object'")
        browser.run("octodon.ready.then(() => true)")
        yield browser
        # its own requests, and the mistake that a test makes on purpose
        expected = (f"request: {running.address}", "status of 422")
        assert [one for one in browser.complaints() if not any(word in one for word in expected)] == []


def test_the_page_says_what_predict_says(page: Browser, folder: Path) -> None:
    codes = random_sequences(300, LENGTH, seed=8, n_share=0.02)  # in two requests
    text = "".join(f">s{i}\n{one}\n" for i, one in enumerate(decode(codes)))
    page.run(f"octodon.predictText({json.dumps(text)})")
    assert page.run("document.getElementById('error').textContent") == ""
    got = pd.read_csv(StringIO(page.run("octodon.table()")), sep="\t")
    said = load(folder / "student").predict(codes, [f"s{i}" for i in range(300)], device="cpu")
    expected = predictions_frame(said)
    assert list(got.columns) == list(expected.columns)
    for name in got.columns:
        if got[name].dtype == float:
            np.testing.assert_allclose(got[name], expected[name], atol=2e-5, rtol=1e-5, err_msg=name)
        else:
            assert (got[name] == expected[name]).mean() > 0.98


def test_the_page_has_logos_and_variants_with_their_std(page: Browser, folder: Path) -> None:
    codes = random_sequences(2, LENGTH, seed=6, n_share=0)
    text = "".join(f">s{i}\n{one}\n" for i, one in enumerate(decode(codes)))
    page.run(f"octodon.predictText({json.dumps(text)}).then(() => octodon.choose(1))")
    model = load(folder / "student")
    every = pd.read_csv(StringIO(page.run("octodon.map()")), sep="\t")
    assert len(every) == 3 * LENGTH
    mutants = np.repeat(codes[1:], len(every), axis=0)
    mutants[np.arange(len(every)), every["position"] - 1] = ["ACGT".index(base) for base in every["alt"]]
    said, own = model.predict(mutants, device="cpu"), model.predict(codes[1:], device="cpu")
    np.testing.assert_allclose(every[["Dev_effect", "Hk_effect"]], said.mean - own.mean, atol=2e-5)

    row = every.iloc[70]
    name = f"{row['ref']}{row['position']}{row['alt']}"
    page.run(f"document.getElementById('mutations').value = ' {name},\\n'")
    page.run("octodon.askVariants()")
    mine = pd.read_csv(StringIO(page.run("octodon.variants()")), sep="\t")
    assert mine["id"].tolist() == [name]
    assert mine["Hk_effect"][0] == pytest.approx(row["Hk_effect"], abs=2e-5)
    assert page.run("document.querySelectorAll('#variants-table tbody tr').length") == 1
    page.run("document.getElementById('mutations').value = 'nonsense'")
    page.run("octodon.askVariants()")
    assert "expected such as G45A" in page.run("document.getElementById('variants-status').textContent")

    for output in page.run("Array.from(document.getElementById('logo-output').options, (o) => o.value)"):
        page.run(f"document.getElementById('logo-output').value = {json.dumps(output)}")
        page.run("document.getElementById('logo-method').value = 'saliency'")
        page.run("octodon.drawLogo()")
        assert page.run("document.getElementById('logo-status').textContent") == ""
        assert page.run("document.getElementById('logo').naturalWidth") > 100


def test_it_is_asked_under_its_own_names_alone(running: Running) -> None:
    own = running.address.split("/")[2]
    for host, status in (
        (own, 200),
        ("localhost", 200),
        ("models.example.org", 200),
        ("evil.example", 400),
        ("example.org", 400),
    ):
        assert httpx2.get(f"{running.address}health", headers={"Host": host}).status_code == status, host


def _require_ipv6(host: str) -> None:
    try:
        with socket.socket(socket.AF_INET6) as listening:
            listening.bind((host, 0))
    except OSError as error:
        pytest.skip(f"no IPv6 on this machine: {error}")


@pytest.mark.parametrize("host", ["LOCALHOST", "127.1", "::ffff:127.0.0.1"])
def test_where_it_listens_is_judged_by_its_socket(host: str) -> None:
    """However this machine alone is spelt, a page of another site gets no answer (DNS rebinding)."""
    if ":" in host:
        _require_ipv6(host)
    statuses, threads = {}, []

    def use(line: str) -> None:
        if " on http" in line:
            port = int(line.split(" on ")[1].split("/")[2].rpartition(":")[2])
            threads.append(threading.Thread(target=ask_and_end, args=(port,)))
            threads[0].start()

    def ask_and_end(port: int) -> None:
        try:
            for name in ("evil.example", "localhost", "127.0.0.1"):
                got = httpx2.get(f"http://127.0.0.1:{port}/health", headers={"Host": f"{name}:{port}"})
                statuses[name] = got.status_code
        finally:
            os.kill(os.getpid(), signal.SIGTERM)

    start.run(Service(small_student(), device="cpu"), host=host, port=0, end_seconds=5.0, say=use)
    threads[0].join(20)
    assert statuses == {"evil.example": 400, "localhost": 200, "127.0.0.1": 200}


def test_told_to_end_it_answers_what_it_has_begun(running: Running) -> None:
    sequences = decode(random_sequences(3, LENGTH))
    asked = {"target": "Dev", "background": "100", "format": "svg"}
    with ThreadPoolExecutor(1) as pool, httpx2.Client(base_url=running.address, timeout=60) as client:
        answer = pool.submit(client.post, "/attribute", params=asked, json={"sequences": sequences})
        while (
            not answer.done()
            and "\noctodon_open_requests 1\n" not in httpx2.get(f"{running.address}metrics").text
        ):
            time.sleep(0.01)
        running.process.send_signal(signal.SIGTERM)
        assert answer.result(60).status_code == 200
    assert running.process.wait(30) == 0
    assert running.process.stderr is not None
    assert "ended after " in running.process.stderr.read().splitlines()[-1]
    with pytest.raises(httpx2.ConnectError):
        httpx2.get(f"{running.address}health")


def test_it_does_not_wait_for_ever(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    """What an end that is not waited for means: its own line to whoever asked, and no traceback."""
    service = Service(small_student(), device="cpu")
    codes, lines, answers, threads = [], [], [], []
    monkeypatch.setattr(os, "_exit", codes.append)
    go = threading.Event()
    service.worker.call(lambda: go.wait(60))

    def use(line: str) -> None:
        lines.append(line)
        if len(lines) == 1:
            address = line.split(" on ")[1].split(" ")[0]
            threads.append(threading.Thread(target=ask_and_end, args=(address,)))
            threads[0].start()

    def ask_and_end(address: str) -> None:
        with socket.create_connection(("127.0.0.1", int(address.split(":")[2].strip("/")))) as asking:
            body = b">a\n" + b"A" * LENGTH
            head = f"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n"
            asking.sendall(head.encode() + body)
            while service.gauges()["octodon_waiting_sequences"][1] == 0:
                time.sleep(0.01)
            os.kill(os.getpid(), signal.SIGTERM)
            with asking.makefile() as answer:
                answers.append(answer.read())  # to its end: the server closes

    before = signal.getsignal(signal.SIGTERM)
    began = time.monotonic()
    start.run(service, host="127.0.0.1", port=0, end_seconds=0.5, say=use)
    assert time.monotonic() - began < 20
    threads[0].join(20)
    assert codes == [1]
    assert answers[0].startswith("HTTP/1.1 503 ")
    assert '{"error":"the service is ending; try again in a moment"}' in answers[0]
    assert "Traceback" not in caplog.text + capfd.readouterr().err
    assert lines[1].endswith("one of them unfinished")
    assert signal.getsignal(signal.SIGTERM) is before
    go.set()
