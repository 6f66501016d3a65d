"""A headless Chromium, driven over its debugging port; for tests of pages."""

import base64
import contextlib
import json
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

_FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--remote-debugging-port=0",
    "--remote-allow-origins=*",
]


class Browser:
    """One page of a running browser."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._number = 0
        self.events: list[dict[str, Any]] = []
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Send one command and return its result; events that come meanwhile are kept."""
        self._number += 1
        self._connection.send(json.dumps({"id": self._number, "method": method, "params": parameters}))
        while True:
            answer = json.loads(self._connection.recv())
            if answer.get("id") == self._number:
                assert "error" not in answer, answer
                return answer["result"]
            self.events.append(answer)

    def open(self, address: str, until: str) -> None:
        """Go to an address, and wait until an expression is true there."""
        self.call("Page.navigate", url=address)
        for _ in range(600):
            if self.run(until):
                return
            time.sleep(0.1)
        raise AssertionError(f"{address}: {until} never became true")

    def run(self, expression: str) -> Any:
        """Return the value of an expression, awaited."""
        answer = self.call("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in answer, json.dumps(answer)[:2000]
        return answer["result"].get("value")

    def screenshot(self, path: Path) -> None:
        """Write the whole page as PNG."""
        path.write_bytes(self.picture(captureBeyondViewport=True))

    def picture(self, **parameters: Any) -> bytes:
        """Return the page as PNG; parameters as of Page.captureScreenshot."""
        return base64.b64decode(self.call("Page.captureScreenshot", **parameters)["data"])

    def complaints(self) -> list[str]:
        """Return what the console and the security policy complained of, and every request that left the page."""
        found = []
        for event in self.events:
            method, said = event["method"], event["params"]
            if method in ("Log.entryAdded", "Runtime.exceptionThrown"):
                found.append(json.dumps(said)[:300])
            if method == "Runtime.consoleAPICalled" and said["type"] in ("error", "warning", "assert"):
                found.append(json.dumps(said)[:300])
            if method == "Network.requestWillBeSent":
                address = said["request"]["url"]
                if not address.startswith(("file:", "blob:", "data:")):
                    found.append(f"request: {address}")
        return found


@contextlib.contextmanager
def browsing(folder: Path) -> Iterator[Browser]:
    """Give a browser with an empty profile in ``folder``; skip the test where there is none."""
    websocket = pytest.importorskip("websocket")
    program = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if program is None:
        pytest.skip("no chromium here; install it (Debian: apt-get install chromium) to drive the page")
    profile = folder / "profile"
    process = subprocess.Popen(
        [program, *_FLAGS, f"--user-data-dir={profile}", "about:blank"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        connection = websocket.create_connection(_address(profile / "DevToolsActivePort"), timeout=240)
        try:
            yield Browser(connection)
        finally:
            connection.close()
    finally:
        process.terminate()
        process.wait()


def _address(file: Path) -> str:
    for _ in range(600):
        lines = file.read_text().splitlines() if file.is_file() else []
        if len(lines) > 1:
            with urllib.request.urlopen(f"http://127.0.0.1:{lines[0]}/json") as answer:
                pages = [page for page in json.load(answer) if page["type"] == "page"]
            if pages:
                return pages[0]["webSocketDebuggerUrl"]
        time.sleep(0.1)
    raise AssertionError("chromium did not open its debugging port within a minute")
