"""The report in a real browser: Chromium through chromedriver's HTTP interface."""

import dataclasses
import json
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hostile import CAPTIONS
from small_run import link, small_run

from semcomm.analysis.report import write_report
from semcomm.images import read_image, write_image

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
DRIVER = shutil.which("chromedriver")
HOSTILE = "</script><img src=x onerror=alert(1)>"

pytestmark = pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="needs Chromium and chromedriver")


class Browser:
    """A headless browser window.

    Args:
        profile: a new, empty folder.
    """

    def __init__(self, profile: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        self.driver = subprocess.Popen([DRIVER, f"--port={port}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self._await_driver()
        switches = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-sync"]
        switches += ["--disable-background-networking", "--disable-component-update", f"--user-data-dir={profile}"]
        wanted = {
            "goog:chromeOptions": {"binary": CHROMIUM, "args": switches},
            "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"},
        }
        session = self._ask("POST", "/session", {"capabilities": {"alwaysMatch": wanted}})
        self.session = f"/session/{session['sessionId']}"

    def _await_driver(self) -> None:
        for _ in range(300):
            try:
                self._ask("GET", "/status")
                return
            except urllib.error.URLError:
                time.sleep(0.1)
        raise TimeoutError("chromedriver does not answer")

    def _ask(self, method: str, path: str, body: dict | None = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, {"Content-Type": "application/json"}, method=method)
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)["value"]

    def post(self, path: str, **body: Any) -> Any:
        return self._ask("POST", self.session + path, body)

    def run(self, script: str, *arguments: Any) -> Any:
        """Run JavaScript in the page and return what it returns."""
        return self.post("/execute/sync", script=script, args=list(arguments))

    def devtools(self, command: str, **parameters: Any) -> Any:
        return self.post("/goog/cdp/execute", cmd=command, params=parameters)

    def window(self, width: int, height: int, scheme: str = "light") -> None:
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        self.devtools("Emulation.setDeviceMetricsOverride", **size)
        self.devtools("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])

    def open(self, page: Path) -> None:
        """Open a page and wait until it has drawn itself: on a busy machine that comes after it was loaded."""
        self.post("/url", url=page.as_uri())
        seen, deadline = -1, time.monotonic() + 60
        while time.monotonic() < deadline:
            elements = self.run("return document.readyState === 'complete' ? document.querySelectorAll('*').length : 0")
            if elements and elements == seen:
                return
            seen = elements
            time.sleep(0.3)

    def errors(self) -> list[str]:
        """Return what the console complained about since the last call."""
        return [entry["message"] for entry in self.post("/se/log", type="browser") if entry["level"] == "SEVERE"]

    def requests(self) -> list[str]:
        """Return the addresses that were asked for since the last call, those within page and browser apart."""
        messages = [json.loads(entry["message"])["message"] for entry in self.post("/se/log", type="performance")]
        sent = [m["params"]["request"]["url"] for m in messages if m["method"] == "Network.requestWillBeSent"]
        return [url for url in sent if not url.startswith(("data:", "blob:", "chrome:", "chrome-untrusted:"))]

    def close(self) -> None:
        try:
            self._ask("DELETE", self.session)
        finally:
            self.driver.terminate()
            self.driver.wait(10)


CHOOSE = """
const labels = [...document.querySelectorAll(arguments[0] + ' label')];
const select = labels.find((label) => label.textContent.startsWith(arguments[1])).querySelector('select');
select.value = arguments[2];
select.dispatchEvent(new Event('change'));
"""
TITLE_OF_Y = "return document.querySelector('#chart .ytitle').textContent"


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    window = Browser(tmp_path_factory.mktemp("profile"))
    yield window
    window.close()


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    return write_report(small_run(folder), folder / "report.html")


def test_a_reader_looks_around(browser: Browser, page: Path) -> None:
    browser.window(1280, 900)
    browser.open(page)
    assert browser.run("return document.querySelector('h1').textContent") == "Mean colours over AWGN"
    assert browser.run(TITLE_OF_Y) == "PSNR (dB)"
    browser.run(CHOOSE, "#curve-controls", "Measure", "SSIM")
    assert browser.run(TITLE_OF_Y) == "SSIM"
    browser.run(CHOOSE, "#curve-controls", "Measure", "bler")
    assert browser.run(TITLE_OF_Y) == "Block error rate"
    browser.run(CHOOSE, "#curve-controls", "Over", "bpp")
    assert browser.run("return document.querySelector('#chart .xtitle').textContent") == "Rate (bpp)"

    captions = "return [...document.querySelectorAll('#gallery figcaption')].map((c) => c.textContent)"
    before = browser.run(captions)
    assert before[0].startswith("Original")
    assert any("decoding failed" in text for text in before)
    move = "const s = document.querySelector('input[type=range]'); s.value = s.max; s.dispatchEvent(new Event('input'))"
    browser.run(move)
    after = browser.run(captions)
    assert len(after) == len(before) == 5
    assert all("SNR (dB)20" in text and "decoding failed" not in text for text in after[1:])
    assert "20" in browser.run("return document.querySelector('output').textContent")

    browser.run("document.querySelectorAll('#gallery button')[1].click()")
    enlarged = "return document.getElementById('enlarged-title').textContent"
    shown = browser.run(enlarged)
    assert browser.run("return document.getElementById('enlarged').open")
    press = "document.getElementById('enlarged').dispatchEvent(new KeyboardEvent('keydown', {key: 'ArrowRight'}))"
    browser.run(press)
    assert browser.run(enlarged) != shown
    assert browser.run("const i = document.getElementById('enlarged-image'); return i.complete && i.naturalWidth > 0")
    browser.run("document.querySelector('[data-close]').click()")
    assert not browser.run("return document.getElementById('enlarged').open")

    assert browser.errors() == []
    assert set(browser.requests()) == {page.as_uri()}


def test_legend_hides_a_curve(browser: Browser, page: Path) -> None:
    browser.open(page)
    count = "return document.querySelectorAll('#chart .scatterlayer .points').length"
    before = browser.run(count)
    browser.run("document.querySelector('#legend button').click()")
    assert browser.run(count) < before
    assert browser.run("return document.activeElement.getAttribute('aria-pressed')") == "false"


def test_table_sorts_and_downloads(browser: Browser, page: Path, tmp_path: Path) -> None:
    browser.open(page)
    column = (
        "return [...document.querySelectorAll('#table tbody tr')].map((r) => r.cells[arguments[0]].firstChild.data)"
    )
    head = "return [...document.querySelectorAll('#table th')].map((h) => h.textContent)"
    at = browser.run(head).index("PSNR (dB)")
    click = "document.querySelectorAll('#table th button')[arguments[0]].click()"
    browser.run(click, at)
    rising = [float(text) for text in browser.run(column, at)]
    assert rising == sorted(rising)
    browser.run(click, at)
    assert [float(text) for text in browser.run(column, at)] == rising[::-1]
    browser.devtools("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(tmp_path))
    browser.run("document.getElementById('download').click()")
    file = tmp_path / "points.csv"
    for _ in range(100):
        if file.exists():
            break
        time.sleep(0.1)
    lines = file.read_text().splitlines()
    assert len(lines) == 1 + len(rising)
    assert lines[0].startswith("transceiver,channel,")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_fits_a_phone(browser: Browser, page: Path, scheme: str) -> None:
    browser.window(390, 844, scheme)
    browser.open(page)
    assert browser.run("return document.documentElement.scrollWidth") <= 390
    light = browser.run("return getComputedStyle(document.body).backgroundColor").startswith("rgb(25")
    assert light == (scheme == "light")


def test_hostile_names_are_text(browser: Browser, tmp_path: Path) -> None:
    """A file system allows no slash in a name, so the image's does without."""
    (tmp_path / "in").mkdir()
    write_image(tmp_path / "in" / "<img src=x onerror=alert(1)>.png", read_image(_any_image())[:, :64, :64])
    results = small_run(
        tmp_path / "run",
        title=HOSTILE,
        transceivers={HOSTILE: link(), "<b>bold</b> & %{x}": link("16qam")},
        channels={HOSTILE: "AWGN"},
        images={"path": str(tmp_path / "in")},
        realisations=1,
    )
    browser.window(1280, 900)
    browser.open(write_report(results, tmp_path / "report.html"))
    assert browser.run("return document.title") == HOSTILE
    assert browser.run("return document.querySelector('h1').textContent") == HOSTILE
    assert browser.run("return document.querySelectorAll('img[src=x], b:not(#chart b)').length") == 0
    assert HOSTILE in browser.run("return document.getElementById('legend').textContent")
    assert browser.run("return document.querySelectorAll('#gallery img').length") == 5
    assert browser.errors() == []


def test_hostile_captions_are_text(browser: Browser, tmp_path: Path) -> None:
    """Words that a channel may make of a caption: shown as they are, in the small view and in the large one."""
    links = {name: {**link(), "class_path": f"hostile.{name}"} for name in ("Talking", "Shouting")}
    results = small_run(tmp_path, transceivers=links, sweep={"channel_uses_per_pixel": [1.0]}, realisations=1)
    browser.window(1280, 900)
    page = write_report(results, tmp_path / "report.html")
    browser.requests()  # forgets those of the tests before
    browser.open(page)
    said = "return [...document.querySelectorAll(arguments[0] + ' dd')].map((d) => d.textContent)"
    assert set(CAPTIONS) <= set(browser.run(said, "#gallery"))
    browser.run("document.querySelectorAll('#gallery button')[1].click()")
    assert set(CAPTIONS[:2]) <= set(browser.run(said, "#enlarged-facts"))
    foreign = "#gallery dd *, #enlarged-facts dd *, img[src=x], svg[onload], b:not(#chart b), [onmouseover]"
    assert browser.run("return document.querySelectorAll(arguments[0]).length", foreign) == 0
    assert browser.run("return document.scripts.length") == 4
    assert browser.run("return document.title") == "Mean colours over AWGN"
    assert browser.errors() == []
    assert set(browser.requests()) == {page.as_uri()}


def test_an_empty_run_says_so(browser: Browser, tmp_path: Path) -> None:
    results = small_run(tmp_path)
    empty = dataclasses.replace(results, table=results.table.iloc[:0], reconstructions={})
    browser.open(write_report(empty, tmp_path / "report.html"))
    assert "no results yet" in browser.run("return document.getElementById('curve-notes').textContent")
    assert browser.errors() == []


def _any_image() -> Path:
    import skimage

    return Path(skimage.__file__).parent / "data" / "astronaut.png"
