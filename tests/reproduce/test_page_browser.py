"""The scorecard page in a real browser: nothing is wider than the screen, on a laptop and on a phone."""

import dataclasses
import html
import re
import shutil
import subprocess
from xml.etree import ElementTree

import numpy as np
import pytest
from small_run import small_run

from semcomm.analysis.statistics import Estimate
from semcomm.experiment.figure import FigureSpec
from semcomm.reproduce.chart import PublishedCurve, chart
from semcomm.reproduce.checks import Finding, Part
from semcomm.reproduce.checks_of_scores import NeedsPeople
from semcomm.reproduce.extras import ExtraResult
from semcomm.reproduce.outcome import ClaimResult, FigureResult, Reproduction
from semcomm.reproduce.page import page_of
from semcomm.reproduce.papers import Claim, Figure, Paper, Setting

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
HOSTILE = "</style><script>alert(1)</script>"
LONG = "a-very-long-name-without-any-place-to-break-it-" * 4


def reproduction(tmp_path) -> Reproduction:
    check = NeedsPeople("look at it")
    parts = [
        Part(f"SeSS {LONG}", Estimate(-0.123456, -0.2, 0.1, 9, 0, 9), 0.0),
        Part("PSNR: one over another", None, missing="PSNR was not measured"),
    ]
    claims = {
        f"claim-{n}": Claim(f"SeSS falls {HOSTILE}", "fig1", "Section 1", "0.9", check, "Our margin.") for n in range(4)
    }
    verdicts = ("holds", "holds in part", "does not hold", "could not be tested")
    figure = Figure("A figure", "Figure 1")
    paper = Paper("A paper", "Paper", {"fig1": figure}, claims)
    judged = [
        ClaimResult("paper", name, claims[name], Finding(verdict, f"why {LONG}", parts))
        for name, verdict in zip(claims, verdicts)
    ]
    made = ExtraResult(table=[["metric", *map(str, range(12))], ["SeSS", *["0.123456"] * 12]])
    shown = [FigureResult("paper", "fig1", figure, None, {"LPIPS": f"weights missing in /{LONG}"}, made)]
    return Reproduction({"paper": paper}, Setting("a setting", stands_in=True), shown, judged, 1.0, tmp_path / "x.html")


def test_texts_are_data(tmp_path):
    text = page_of(reproduction(tmp_path), tmp_path)
    assert "<script" not in text and html.escape(HOSTILE) in text
    assert [text.count(f'class="badge {v}"') for v in ("holds", "holds-in-part", "does-not-hold")] == [1, 1, 1]


@pytest.mark.skipif(not CHROMIUM, reason="needs Chromium")
def test_it_fits_laptop_and_phone(tmp_path):
    """The page stands in frames as wide as screens; a script of the test's own measures how wide it wants to be."""
    page = html.escape(page_of(reproduction(tmp_path), tmp_path), quote=True)
    frames = "".join(f'<iframe width="{width}" height="900" srcdoc="{page}"></iframe>' for width in (390, 1280))
    script = (
        "onload = () => document.body.dataset.widths = [...document.querySelectorAll('iframe')]"
        ".map(f => f.contentDocument.documentElement.scrollWidth)"
    )
    outer = tmp_path / "outer.html"
    outer.write_text(f"<body>{frames}<script>{script}</script></body>")
    switches = ["--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}"]
    done = subprocess.run(
        [CHROMIUM, *switches, "--virtual-time-budget=5000", "--dump-dom", outer.as_uri()],
        capture_output=True,
        text=True,
        timeout=120,
    )
    widths = re.search(r'data-widths="(\d+),(\d+)"', done.stdout)
    assert widths and int(widths[1]) <= 390 and int(widths[2]) <= 1280


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    return small_run(tmp_path_factory.mktemp("run"), channels={"near": "AWGN", "far <b>": "AWGN"})


def test_a_chart_is_of_one_channel_with_published_curves_cut_at_its_ends(results):
    theirs = PublishedCurve("theirs <b>", [1, 5, 10, 15, 1000], [10, 15, 16, 17, 900])
    drawn, legend = chart(results, FigureSpec("snr_db", "PSNR"), "far <b>", [theirs])
    ElementTree.fromstring(drawn.replace("xlink:href", "href"))  # well formed
    assert "xmlns" not in drawn and "<style" not in drawn and "theirs &lt;b&gt;" in drawn and "#010203" not in drawn
    own = [f"{name}, {budget} uses per pixel" for name in ("robust", "fast") for budget in ("0.5", "1")]
    assert list(legend) == [*own, "theirs <b>"] and legend["theirs <b>"]["outline"] == ""
    ticks = {float(text) for text in re.findall(r">(\d+)</text>", drawn)}
    assert max(ticks) <= 100  # the axes are ours


def test_a_chart_of_nothing_is_nothing(results):
    missing = dataclasses.replace(results, table=results.table.assign(PSNR=np.nan))
    assert chart(missing, FigureSpec("snr_db", "PSNR"), "near") == ("", {})
