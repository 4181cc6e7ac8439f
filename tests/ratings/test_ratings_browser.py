"""The raters' page in a real browser: three simulated raters, from the first click to the report."""

import shutil
import time

import numpy as np
import pytest
from served_study import served
from simulated_raters import opinion, small_study

from semcomm.metrics import PSNR
from semcomm.ratings import Exclusion
from semcomm.ratings.opinions import opinions_of
from semcomm.ratings.report import write_report

playwright = pytest.importorskip("playwright.sync_api")
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(not CHROMIUM, reason="needs Chromium")

READY = "document.querySelector('#trial:not([hidden]), #done:not([hidden])') && !busy"


@pytest.fixture(scope="module")
def chromium():
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def study(tmp_path):
    # a simulated rater needs no time
    few = {"items_per_rater": 5, "repeats": 1, "identical": 1}
    return small_study(tmp_path / "it", raters=3, exclusion=Exclusion(median_seconds=0.0), **few)


def until(page, condition: str, seconds: float = 30) -> None:
    """Wait until JavaScript is true; the page's own policy forbids what Playwright would do in it."""
    deadline = time.monotonic() + seconds
    while not page.evaluate(f"Boolean({condition})"):
        assert time.monotonic() < deadline, f"never came: {condition}"
        time.sleep(0.02)


class Visit:
    """One rater's window, and what went wrong in it."""

    def __init__(self, chromium, study, address: str, code: str, **options: object) -> None:
        self.study, self.code = study, code
        self.context = chromium.new_context(**{"viewport": {"width": 1280, "height": 800}, **options})
        self.context.set_default_timeout(30_000)
        self.errors: list[str] = []
        self.asked: list[str] = []
        self.context.on("request", lambda request: self.asked.append(request.url))
        self.address, self.link = address, f"{address}/r/{study.links.rater(code)}"
        self.page = self.open()

    def open(self):
        page = self.context.new_page()
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("console", lambda m: self.errors.append(m.text) if m.type in ("error", "warning") else None)
        page.goto(self.link)
        page.wait_for_selector("#consent:not([hidden]), #trial:not([hidden]), #done:not([hidden])")
        return page

    def position(self) -> int:
        until(self.page, READY)
        return self.page.evaluate("state.position")

    def begin(self) -> None:
        self.page.keyboard.press("Enter")  # the button has the focus
        until(self.page, READY)

    def type_scores(self, scores: list[float]) -> None:
        """Answer by keyboard alone: a digit for the tens, arrows with Shift for the rest."""
        for n, score in enumerate(scores):
            tens, rest = divmod(round(100 * score), 10)
            self.page.keyboard.press(str(min(tens, 9)))
            for _ in range(rest + 10 * (tens > 9)):
                self.page.keyboard.press("Shift+ArrowRight")
            if n + 1 < len(scores):
                self.page.keyboard.press("Tab")
        self.page.keyboard.press("Enter")

    def done(self) -> bool:
        until(self.page, READY)
        return self.page.evaluate("state.stage") == "done"


def test_three_raters_from_the_first_click_to_the_report(chromium, study, tmp_path):
    with served(study) as address:
        for number, code in enumerate(("R001", "R002", "R003")):
            visit, rng = Visit(chromium, study, address, code), np.random.default_rng(number)
            assert "voluntary" in visit.page.inner_text("#consent")
            visit.begin()
            given = []
            while not visit.done():
                position = visit.position()
                practising = visit.page.is_visible("#practice")
                assert practising == (position < 3)
                given.append(opinion(study, code, position, 0.02, rng))
                visit.type_scores(given[-1])
                until(visit.page, f"state.position > {position}")
            assert "Thank you" in visit.page.inner_text("#done")
            swapped = [trial.swapped for trial in study.database.trials(code)]
            kept = [row[5:7] for row in study.database.answers() if row[0] == code]
            for said, side, row in zip(given, swapped, kept, strict=True):
                assert (row[::-1] if side else row) == pytest.approx([round(score, 2) for score in said], abs=1e-9)
            assert visit.errors == []
            assert all(url.startswith(address) for url in visit.asked if not url.startswith("data:"))
            visit.context.close()
    table = write_report(opinions_of(study), [PSNR()], tmp_path / "report", study.database, resamples=20)
    psnr = table[(table["metric"] == "PSNR") & (table["statistic"] == "spearman")].iloc[0]
    assert psnr["value"] > 0.9 and psnr["count"] > 10
    page = chromium.new_page(viewport={"width": 360, "height": 740})
    page.goto((tmp_path / "report" / "report.html").as_uri())
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    assert "Simulated raters" in page.inner_text("header")


def test_a_rater_goes_on_where_they_left_off(chromium, study):
    with served(study) as address:
        visit = Visit(chromium, study, address, "R001")
        visit.begin()
        visit.type_scores([0.5, 0.5])
        until(visit.page, "state.position == 1")
        visit.page.close()
        visit.page = visit.open()
        assert visit.position() == 1


def test_two_tabs_and_double_presses_give_one_answer(chromium, study):
    with served(study) as address:
        visit = Visit(chromium, study, address, "R001")
        visit.begin()
        behind = visit.open()
        until(behind, READY)
        visit.type_scores([0.3, 0.6])
        visit.page.keyboard.press("Enter")
        visit.page.keyboard.press("Enter")
        until(visit.page, "state.position == 1 && !busy")
        behind.bring_to_front()
        behind.keyboard.type("9")
        behind.keyboard.press("Tab")
        behind.keyboard.type("9")
        behind.keyboard.press("Enter")
        until(behind, "state.position == 1 && !busy")
        assert "already" in behind.inner_text("#status")
    assert [sorted(row[5:7]) for row in study.database.answers()] == [[0.3, 0.6]]


def test_an_answer_survives_a_lost_connection_and_a_closed_page(chromium, study):
    with served(study) as address:
        visit = Visit(chromium, study, address, "R001")
        visit.begin()
        visit.context.set_offline(True)
        visit.type_scores([0.2, 0.7])
        until(visit.page, "document.getElementById('status').textContent.includes('connection')")
        assert study.database.answers() == []
        visit.context.set_offline(False)
        until(visit.page, "state.position == 1 && !busy")
        visit.context.set_offline(True)
        visit.type_scores([0.4, 0.9])
        until(visit.page, "document.getElementById('status').textContent.includes('connection')")
        visit.page.close()  # with an answer that was never sent
        visit.context.set_offline(False)
        visit.page = visit.open()
        assert visit.position() == 2
    assert [sorted(row[5:7]) for row in study.database.answers()] == [[0.2, 0.7], [0.4, 0.9]]


def test_an_answer_survives_a_restart_of_the_server(chromium, study):
    with served(study) as address:
        visit = Visit(chromium, study, address, "R001")
        visit.begin()
        port = int(address.rpartition(":")[2])
    visit.type_scores([0.1, 0.8])
    until(visit.page, "document.getElementById('status').textContent.includes('connection')")
    with served(study, port):
        until(visit.page, "state.position == 1 && !busy")
    assert len(study.database.answers()) == 1


def test_nothing_is_taken_before_it_was_given(chromium, study):
    with served(study) as address:
        visit = Visit(chromium, study, address, "R001")
        visit.begin()
        visit.page.keyboard.press("7")
        visit.page.keyboard.press("Enter")  # the second image has no score yet
        assert "each image" in visit.page.inner_text("#status")
        assert visit.page.evaluate("document.activeElement.id") == "score-second"
        visit.page.keyboard.press("Space")  # half is an answer too
        assert visit.page.inner_text("output >> nth=1") == "0.50"
        visit.page.keyboard.press("Enter")
        until(visit.page, "state.position == 1")
        visit.page.locator("#score-first").click(position={"x": 1, "y": 15})  # and so is a mouse's
        assert float(visit.page.inner_text("output >> nth=0")) < 0.1
        assert len(study.database.answers()) == 1


def test_enlarged_and_flickering(chromium, study):
    with served(study) as address:
        visit = Visit(chromium, study, address, "R001")
        visit.begin()
        page = visit.page
        shown = "document.querySelector('#stage .shown').dataset.slot"
        page.keyboard.press("Tab")
        page.keyboard.press("z")
        assert page.evaluate("viewer.isOpen()") and page.evaluate(shown) == "second"
        page.keyboard.press("0")
        assert page.evaluate(shown) == "original"
        page.keyboard.press("Space")
        assert page.evaluate(shown) == "second"
        for _ in range(3):
            page.keyboard.press("+")
        assert page.evaluate("document.querySelector('#stage .shown').getBoundingClientRect().width") == 4 * 48
        page.keyboard.press("Escape")
        assert not page.evaluate("viewer.isOpen()")
        page.keyboard.press("f")
        seen = set()
        for _ in range(40):
            seen.add(page.evaluate(shown))
            time.sleep(0.05)
        assert seen == {"original", "second"}
        page.keyboard.press("Enter")  # does not answer while it is open
        page.keyboard.press("Escape")
        assert page.evaluate("state.position") == 0 and visit.errors == []
        still = Visit(chromium, study, address, "R001", reduced_motion="reduce")
        until(still.page, READY)
        still.page.keyboard.press("f")
        assert still.page.evaluate("document.getElementById('flicker').getAttribute('aria-pressed')") == "false"


def test_the_next_images_are_there_before_they_are_needed(chromium, study):
    with served(study) as address:
        visit = Visit(chromium, study, address, "R001")
        visit.begin()
        until(visit.page, "preloaded.length == 3 && preloaded.every((image) => image.complete)")
        before = [url for url in visit.asked if "/image/1/" in url]
        visit.type_scores([0.5, 0.5])
        until(visit.page, "state.position == 1 && !busy")
        assert len(before) == 3


@pytest.mark.parametrize("kind", ["triplets", "pairs", "choices"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_fits_a_phone_and_can_be_read(chromium, tmp_path, kind, scheme):
    study = small_study(tmp_path / "it", kind=kind, raters=1)
    with served(study) as address:
        visit = Visit(
            chromium,
            study,
            address,
            "R001",
            viewport={"width": 360, "height": 740},
            color_scheme=scheme,
            is_mobile=True,
        )
        visit.begin()
        assert visit.page.evaluate("document.documentElement.scrollWidth") <= 360
        unnamed = """[...document.querySelectorAll('button, input, img, dialog')].filter((element) =>
            !(element.ariaLabel || element.textContent.trim() || element.alt || element.labels?.length
              || element.closest('#stage')))"""
        assert visit.page.evaluate(f"{unnamed}.length") == 0
        assert visit.page.evaluate(CONTRAST) >= 4.5
        if kind == "choices":
            visit.page.keyboard.press("ArrowRight")
            assert visit.page.locator(".choose >> nth=1").get_attribute("aria-pressed") == "true"
            visit.page.keyboard.press("Enter")
        else:
            visit.type_scores([0.5] * (2 if kind == "triplets" else 1))
        until(visit.page, "state.position == 1")
        visit.context.close()


CONTRAST = """(() => {
  // the least contrast of any text with what is behind it, as WCAG 2 counts it
  const channels = (colour) => colour.match(/[0-9.]+/g).map(Number);
  const light = (rgb) => {
    const linear = (v) => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
    const [r, g, b] = rgb.slice(0, 3).map((v) => linear(v / 255));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = (element) => {
    for (let e = element; e; e = e.parentElement) {
      const rgb = channels(getComputedStyle(e).backgroundColor);
      if (rgb.length < 4 || rgb[3] > 0) return rgb;
    }
    return [255, 255, 255];
  };
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  let least = 21;
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    if (!walker.currentNode.textContent.trim() || !element.checkVisibility()) continue;
    const [a, b] = [light(channels(getComputedStyle(element).color)), light(behind(element))].sort((x, y) => y - x);
    least = Math.min(least, (a + 0.05) / (b + 0.05));
  }
  return least;
})()"""


def test_another_language(chromium, tmp_path):
    words = {"next": "الصورة التالية", "begin": "أوافق"}
    study = small_study(
        tmp_path / "it", raters=1, language="ar", direction="rtl", question="ما مدى التشابه؟", words=words
    )
    with served(study) as address:
        visit = Visit(chromium, study, address, "R001")
        assert visit.page.inner_text("#begin") == words["begin"]
        visit.begin()
        assert visit.page.evaluate("[document.documentElement.lang, document.documentElement.dir]") == ["ar", "rtl"]
        visit.page.keyboard.press("ArrowLeft")  # forward, where one reads from right to left
        assert visit.page.inner_text("output >> nth=0") == "0.55"
