"""The report in a real browser: nothing is asked for, all can be seen and read, at a desk, on a phone and on paper."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from stages.evaluate.__main__ import main as evaluate
from stages.plot.__main__ import main as plot
from stages.plot.figures.all import ALL
from tests.planted import Planted, power, write

pytestmark = pytest.mark.slow
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
NASTY = '<script>alert("x")</script> & <img src=x onerror=alert(1)> $x_1$ ' + "long" * 40
SIZES = (512, 1024, 2048, 4096, 8192, 16384)
LEAST = 11.0  # pixels of a figure's text
TEXTS = """() => [...document.querySelectorAll("figure svg text")].map(text => {
    const svg = text.closest("svg"), shown = svg.getBoundingClientRect();
    const size = parseFloat(getComputedStyle(text).fontSize) * shown.width / svg.viewBox.baseVal.width;
    return {figure: text.closest("figure").id, size, is_shown: shown.width > 0, text: text.textContent};
}).filter(found => found.is_shown)"""
CUT = """() => [...document.querySelectorAll("th, td, text, p, h2, pre")].filter(part => {
    const box = part.getBoundingClientRect();
    return box.width > 0 && (box.right > document.documentElement.clientWidth + 1 || box.left < -1);
}).map(part => part.textContent.slice(0, 40))"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    sync_api = pytest.importorskip("playwright.sync_api", reason="needs the package playwright")
    if CHROMIUM is None:
        pytest.skip("needs Chromium, as of Debian's package chromium")
    with sync_api.sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture(params=["en", "ko"])
def report(request, set_params, default_params) -> Path:
    curves = {"simple": [0.8] * 6, "forest": power(SIZES, 0.03, 0.3, 0.4), "small_nn": power(SIZES, 0.06, 0.3, 0.4),
              "large_nn": power(SIZES, 0.05, 0.3, 0.4)}  # fmt: skip
    planted = Planted(SIZES, curves, {"small_nn": 100, "large_nn": 1000}, title=NASTY, failed=frozenset({"failing"}))
    set_params(**write(planted, default_params, request.param))
    evaluate()
    plot()
    return Path("results/report.html").resolve()


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [375, 1440])
def test_the_page_asks_for_nothing_and_all_of_it_can_be_read(browser, report, width, theme):
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=theme)
    page = context.new_page()
    asked, told = [], []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: told.append(message.text))
    page.on("pageerror", lambda error: told.append(str(error)))
    page.on("dialog", lambda dialog: told.append(dialog.message))
    page.goto(report.as_uri())
    assert asked == [report.as_uri()]
    assert told == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert NASTY.split(" $")[0] in page.inner_text("h1")
    texts = page.evaluate(TEXTS)
    assert {found["figure"] for found in texts} == {f"figure-{name}" for name in ALL}
    small = [found for found in texts if found["size"] < LEAST]
    assert small == []
    for name in ALL:
        box = page.locator(f"#figure-{name} svg:visible").bounding_box()
        assert box is not None
        assert box["width"] > 200
        assert box["height"] > 60
    page.fill("#price-of-label", "0.5")
    assert page.inner_text("output").replace(",", "") == str(16384 // 2)
    context.close()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_no_fault(browser, report, theme):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="needs the package axe-playwright-python")
    context = browser.new_context(viewport={"width": 1440, "height": 900}, color_scheme=theme)
    page = context.new_page()
    page.goto(report.as_uri())
    page.evaluate("document.querySelectorAll('details').forEach(part => part.open = true)")
    found = axe.Axe().run(page).response["violations"]
    assert [(fault["id"], [node["html"][:120] for node in fault["nodes"][:2]]) for fault in found] == []
    context.close()


def test_on_paper_nothing_is_cut(browser, report, tmp_path):
    page = browser.new_page(viewport={"width": 718, "height": 1000})  # of A4 within its margins
    page.goto(report.as_uri())
    page.emulate_media(media="print")
    page.evaluate("document.querySelectorAll('details').forEach(part => part.open = true)")
    assert page.evaluate(CUT) == []
    page.close()


def test_without_script_the_answer_and_the_prices_are_there(browser, report):
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(report.as_uri())
    assert page.locator(".headline").is_visible()
    assert page.locator("#prices-table").is_visible()
    assert not page.locator("#price").is_visible()
    context.close()
