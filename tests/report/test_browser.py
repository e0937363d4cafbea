"""The page in a real browser: it loads in silence, fits every screen, and does what it shows."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import graphprune
from graphprune.report.html import render

webdriver = pytest.importorskip("selenium.webdriver")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
DRIVER = shutil.which("chromedriver")
pytestmark = pytest.mark.skipif(
    not CHROMIUM or not DRIVER, reason="needs chromium and chromedriver (Debian: chromium, chromium-driver)"
)
SWITCHES = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
).split()
WIDTHS = (360, 768, 1280)


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Chromium without a window, with a profile of its own; console and network are recorded."""
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for switch in (*SWITCHES, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(switch)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    yield driver
    driver.quit()


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A page with everything a page can have, and a layer whose name is code."""
    vit = Path(__file__).resolve().parents[2] / "models" / "vit.onnx"
    report = json.loads(json.dumps(graphprune.prune(vit, ratio=0.5, recipe="plain", benchmark=True).report))
    report["layers"][0]["name"] = "<script>document.title = 'broken'</script>"
    report["layers"][1]["name"] = "long/" * 60
    report["curve"] = [
        {"share": s, "macs": 1, "quality": s / 2 + 0.4, "good": s > 0.4} for s in (1.0, 0.5, 0.3)
    ]
    file = tmp_path_factory.mktemp("page") / "report.html"
    file.write_text(render(report))
    return file.as_uri()


@pytest.fixture
def page(browser: Any, address: str) -> Any:
    """The page, opened anew, and nothing in the logs."""
    show(browser, 1280, "light")
    browser.get("about:blank")
    browser.get_log("browser"), browser.get_log("performance")
    browser.get(address)
    return browser


def show(browser: Any, width: int, scheme: str) -> None:
    """Set the width of the window in pixels and the colour scheme of the reader."""
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    media = {"media": "", "features": [{"name": "prefers-color-scheme", "value": scheme}]}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", media)


def brightness(colour: str) -> float:
    """Of `rgb(…)`, from 0 to 255."""
    return sum(map(float, colour.partition("(")[2].rstrip(")").split(",")[:3])) / 3


def test_console_is_silent(page: Any) -> None:
    assert page.get_log("browser") == []
    assert page.title == "vit.onnx · graphprune"


def test_asks_the_network_for_nothing(page: Any, address: str) -> None:
    events = [json.loads(e["message"])["message"] for e in page.get_log("performance")]
    asked = {e["params"]["request"]["url"] for e in events if e["method"] == "Network.requestWillBeSent"}
    assert asked <= {address, "data:,"}
    assert address in asked


def test_injected_code_does_not_run(page: Any) -> None:
    """Even code that got into the page is stopped by its policy."""
    page.execute_script(
        "const s = document.createElement('script'); s.textContent = 'document.title = 1'; document.body.append(s)"
    )
    assert page.title == "vit.onnx · graphprune"
    assert any("Content Security Policy" in entry["message"] for entry in page.get_log("browser"))


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS)
def test_charts_are_drawn_and_nothing_overflows(width: int, scheme: str, page: Any) -> None:
    show(page, width, scheme)
    assert page.execute_script("return document.documentElement.scrollWidth") <= width
    sizes = page.execute_script(
        "return [...document.querySelectorAll('.chart')].filter(c => c.offsetParent)"
        ".map(c => [c.clientWidth, c.clientHeight, c.querySelectorAll('path').length])"
    )
    assert len(sizes) == 4  # network, sensitivity, quality, latency
    for across, down, marks in sizes:
        assert width * 0.6 < across <= width
        assert down > 60
        assert marks > 3


def test_colours_follow_the_scheme(page: Any) -> None:
    seen = {}
    for scheme in ("light", "dark"):
        show(page, 1280, scheme)
        seen[scheme] = page.execute_script(
            "const of = (e, what) => getComputedStyle(document.querySelector(e))[what];"
            "return [of('body', 'backgroundColor'), of('body', 'color'), of('#network .wide text', 'fill')]"
        )
    for scheme, (paper, ink, label) in seen.items():
        sign = 1 if scheme == "light" else -1
        assert sign * (brightness(paper) - brightness(ink)) > 120
        assert sign * (brightness(paper) - brightness(label)) > 60


def column(page: Any, table: str, number: int) -> list[str]:
    """The texts of a column from top to bottom."""
    script = "return [...document.querySelectorAll(arguments[0] + ' tbody tr')].map(r => r.cells[arguments[1]].dataset.value || r.cells[arguments[1]].textContent)"
    return list(page.execute_script(script, table, number))


@pytest.mark.parametrize("table", ["#network table", "#cut table", "#not-cut table"])
def test_every_column_sorts_both_ways(table: str, page: Any) -> None:
    heads = page.find_elements("css selector", f"{table} thead th")
    for number, head in enumerate(heads):
        numeric = "number" in head.get_attribute("class")
        before = column(page, table, number)
        for _ in range(2):
            page.execute_script("arguments[0].click()", head.find_element("tag name", "button"))
            order = head.get_attribute("aria-sort")
            now = column(page, table, number)
            assert sorted(now) == sorted(before)
            keys = [float(v) for v in now] if numeric else [v.strip().lower() for v in now]
            if numeric:
                assert keys == sorted(keys, reverse=order == "descending")
        assert order in ("ascending", "descending")
        others = [h.get_attribute("aria-sort") for h in heads if h != head]
        assert set(others) == {"none"}


def test_sorting_by_name_reverses(page: Any) -> None:
    button = page.find_elements("css selector", "#cut thead button")[0]
    orders = []
    for _ in range(2):
        page.execute_script("arguments[0].click()", button)
        orders.append(column(page, "#cut table", 0))
    assert orders[0] == orders[1][::-1]
    assert len(set(orders[0])) > 2


def test_marks_say_what_they_are(page: Any) -> None:
    titles = page.execute_script(
        "return [...document.querySelectorAll('#network .wide title')].map(t => t.textContent)"
    )
    assert any("MatMul" in t and "width" in t for t in titles)
    assert any("multiply-adds" in t for t in titles)


def test_prints(page: Any) -> None:
    """On paper: light, the wide charts, nothing folded away."""
    show(page, 1280, "dark")
    page.execute_script("document.querySelectorAll('details').forEach(d => d.open = false)")
    page.execute_script("window.dispatchEvent(new Event('beforeprint'))")
    assert page.execute_script("return [...document.querySelectorAll('details')].every(d => d.open)")
    page.execute_cdp_cmd(
        "Emulation.setEmulatedMedia",
        {"media": "print", "features": [{"name": "prefers-color-scheme", "value": "dark"}]},
    )
    paper = page.execute_script("return getComputedStyle(document.body).backgroundColor")
    assert brightness(paper) == 255
    pdf = page.execute_cdp_cmd("Page.printToPDF", {"printBackground": True})["data"]
    assert len(pdf) > 20_000
