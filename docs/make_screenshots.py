"""Photograph what people see into docs/images/screens/: report, exported page, service, documentation.

make demo && python docs/make_screenshots.py --run demo-run/run

Needs Chromium, and what `pip install '.[dev]'` installs. Look at every picture before it is committed.
"""

from __future__ import annotations

import argparse
import io
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image

import octodon
from octodon.distillation.student import Student
from octodon.handover.html_page import export_html

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPOSITORY / "tests" / "unit"))
from browser import Browser, browsing  # noqa: E402  # the driver of the tests

OUT = Path(__file__).parent / "images" / "screens"
LAPTOP, PHONE = (1280, 800), (390, 844)
MOST_BYTES = 200_000
_EXAMPLE = "document.getElementById('example').click()"
_READY = "typeof octodon === 'object'"
_DONE = "!document.getElementById('map-section').hidden && octodon.map() !== null"


def photograph(browser: Browser, name: str, size: tuple[int, int], height: int | None = None) -> None:
    """Write the top of the page that is open, at a size of the screen, as NAME.png in 256 colours or fewer."""
    width = size[0]
    browser.call(
        "Emulation.setDeviceMetricsOverride",
        width=width,
        height=size[1],
        deviceScaleFactor=1,
        mobile=size == PHONE,
    )
    time.sleep(0.5)  # figures are drawn anew where the width has changed
    shown = browser.run("Math.ceil(document.documentElement.getBoundingClientRect().height)")
    assert browser.run("document.documentElement.scrollWidth") <= width, f"{name}: wider than the screen"
    clip = {"x": 0, "y": 0, "width": width, "height": min(height or size[1], shown), "scale": 1}
    picture = Image.open(io.BytesIO(browser.picture(captureBeyondViewport=True, clip=clip))).convert("RGB")
    for colours in (256, 128, 64, 32):
        packed = io.BytesIO()
        picture.quantize(colours, dither=Image.Dither.NONE).save(packed, "PNG", optimize=True)
        if packed.tell() <= MOST_BYTES:
            break
    OUT.mkdir(parents=True, exist_ok=True)
    (OUT / f"{name}.png").write_bytes(packed.getvalue())
    print(f"{name}.png: {picture.width} x {picture.height}, {packed.tell() / 1000:.0f} kB, {colours} colours")


def wait_for(browser: Browser, expression: str) -> None:
    for _ in range(600):
        if browser.run(expression):
            return
        time.sleep(0.1)
    raise SystemExit(f"{expression}: not within a minute")


def open_at(browser: Browser, address: str, size: tuple[int, int], until: str) -> None:
    browser.call(
        "Emulation.setDeviceMetricsOverride",
        width=size[0],
        height=size[1],
        deviceScaleFactor=1,
        mobile=size == PHONE,
    )
    browser.open(address, until=until)


def shoot_report(browser: Browser, run: Path) -> None:
    for name, size in (("report_laptop", LAPTOP), ("report_phone", PHONE)):
        open_at(browser, (run / "report.html").resolve().as_uri(), size, "document.readyState === 'complete'")
        photograph(browser, name, size)


def shoot_export(browser: Browser, student: Student, folder: Path) -> None:
    page = export_html(student, folder / "student.html")
    open_at(browser, page.as_uri(), LAPTOP, _READY)
    browser.run("octodon.ready.then(() => true)")
    browser.run(_EXAMPLE)
    wait_for(browser, _DONE)
    photograph(browser, "export_page", LAPTOP, 1250)


def shoot_service(browser: Browser, bundle: Path) -> None:
    with serving(bundle) as address:
        open_at(browser, address, LAPTOP, _READY)
        browser.run("octodon.ready.then(() => true)")
        browser.run(_EXAMPLE)
        wait_for(browser, _DONE)
        browser.run("document.getElementById('logo-method').value = 'ism'; octodon.drawLogo()")
        browser.run(
            "document.getElementById('mutations').value = document.getElementById('mutations').placeholder"
        )
        browser.run("octodon.askVariants()")
        top = browser.run("document.getElementById('map-section').getBoundingClientRect().top + scrollY")
        browser.run(f"document.body.style.marginTop = '{-round(top)}px'")
        photograph(browser, "serve_page", LAPTOP, 1130)


def shoot_documentation(browser: Browser, folder: Path) -> None:
    command = [sys.executable, "-m", "mkdocs", "build", "--quiet", "--site-dir", str(folder / "site")]
    subprocess.run(command, cwd=REPOSITORY, check=True)
    address = (folder / "site" / "index.html").as_uri()
    open_at(browser, address, LAPTOP, "document.readyState === 'complete'")
    photograph(browser, "docs_index", LAPTOP)


@contextmanager
def serving(bundle: Path) -> Iterator[str]:
    """Give the address of a service."""
    command = [sys.executable, "-m", "octodon.cli.main", "serve", str(bundle), "--port", "0"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    try:
        yield process.stderr.readline().split(" on ")[1].split(" ")[0]
    finally:
        process.terminate()
        process.wait()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--run", type=Path, required=True, help="folder of a run, such as demo-run/run")
    parser.add_argument("--only", nargs="*", default=["report", "export", "serve", "docs"], metavar="NAME")
    given = parser.parse_args()
    if shutil.which("chromium") is None:
        raise SystemExit("no chromium here; install it (Debian: apt-get install chromium)")
    student = octodon.load(given.run / "student")
    assert isinstance(student, Student)
    with tempfile.TemporaryDirectory() as made, browsing(Path(made)) as browser:
        folder = Path(made)
        if "report" in given.only:
            shoot_report(browser, given.run)
        if "export" in given.only:
            shoot_export(browser, student, folder)
        if "serve" in given.only:
            shoot_service(browser, given.run / "student")
        if "docs" in given.only:
            shoot_documentation(browser, folder)


if __name__ == "__main__":
    main()
