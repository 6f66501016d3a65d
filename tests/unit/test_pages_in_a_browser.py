"""The pages that octodon writes, in a browser: laptop and phone, light and dark and on paper, without a complaint or a request."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from browser import Browser, browsing
from finished_run import write_run

from octodon.report.comparison import compare_runs
from octodon.report.comparison_page import write_comparison
from octodon.report.page import write_report

SIZES = {"laptop": (1280, 800), "phone": (390, 844)}
DARK = {"name": "prefers-color-scheme", "value": "dark"}


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with browsing(tmp_path_factory.mktemp("browser")) as one:
        yield one


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("pages")
    runs = [write_run(folder / f"run{seed}", seed=seed) for seed in (0, 1)]
    compared = write_comparison(compare_runs(*runs), folder / "comparison")
    return {
        "report": write_report(runs[0]),
        "comparison": next(path for path in compared if path.suffix == ".html"),
    }


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", ["report", "comparison"])
def test_a_page_fits_its_screen_and_asks_for_nothing(
    browser: Browser, pages: dict[str, Path], name: str, size: str
) -> None:
    width, height = SIZES[size]
    browser.call(
        "Emulation.setDeviceMetricsOverride",
        width=width,
        height=height,
        deviceScaleFactor=1,
        mobile=size == "phone",
    )
    browser.events.clear()
    browser.open(pages[name].resolve().as_uri(), "document.readyState === 'complete'")
    assert browser.complaints() == []
    assert browser.run("document.documentElement.scrollWidth") <= width
    too_small = "[...document.querySelectorAll('p, td, li')].filter(e => parseFloat(getComputedStyle(e).fontSize) < 12).length"
    assert browser.run(too_small) == 0


@pytest.mark.parametrize("name", ["report", "comparison"])
def test_ink_and_paper_change_places_in_the_dark_and_not_in_print(
    browser: Browser, pages: dict[str, Path], name: str
) -> None:
    """Brightness of background and text, each 0 to 255, by the sum of the channels."""
    look = (
        "((e) => [getComputedStyle(e).backgroundColor, getComputedStyle(e).color].map("
        "c => c.match(/\\d+/g).slice(0, 3).reduce((a, b) => a + Number(b), 0) / 3))(document.body)"
    )
    browser.open(pages[name].resolve().as_uri(), "document.readyState === 'complete'")
    found = {}
    for kind, media, features in (
        ("light", "screen", []),
        ("dark", "screen", [DARK]),
        ("print", "print", []),
    ):
        browser.call("Emulation.setEmulatedMedia", media=media, features=features)
        found[kind] = browser.run(look)
    browser.call("Emulation.setEmulatedMedia", media="screen", features=[])
    paper, ink = found["light"]
    assert paper > 200 > 100 > ink
    paper, ink = found["dark"]
    assert paper < 60 < 150 < ink
    paper, ink = found["print"]
    assert ink < 100
    assert paper > 200 or paper == 0  # rgba(0, 0, 0, 0): nothing is printed there
