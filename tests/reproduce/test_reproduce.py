"""Reproducing from end to end: every experiment file on tiny models, what is missing, what was changed, the page."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
import yaml

from semcomm.cli import main
from semcomm.errors import ConfigurationError, RunError
from semcomm.images import ImageSet
from semcomm.reproduce import load_papers, load_setting, reproduce
from semcomm.reproduce.papers import chosen, planned
from semcomm.reproduce.summary import VERDICTS

EXPERIMENTS = Path(__file__).resolve().parents[2] / "experiments"
PAPERS = load_papers(EXPERIMENTS)
FILES = sorted({(p, f.file) for p, paper in PAPERS.items() for f in paper.figures.values() if f.file})


def test_the_papers_as_they_are():
    assert sum(len(paper.claims) for paper in PAPERS.values()) >= 25
    for paper in PAPERS.values():
        for claim in paper.claims.values():
            assert claim.says and claim.where and claim.published
    everything = chosen(PAPERS, [])
    assert ("sess", "fig07") in everything and ("img2img", "fig3") in everything
    assert chosen(PAPERS, ["img2img", "sess/fig07"]) == [f for f in everything if f[0] == "img2img" or f[1] == "fig07"]
    with pytest.raises(ConfigurationError, match="'sess/fig7'; did you mean 'sess/fig07'"):
        chosen(PAPERS, ["sess/fig7"])


@pytest.fixture(scope="module")
def whole(tiny_experiments, data_sets, tmp_path_factory):
    """Every figure of every paper on tiny models, one image each."""
    out = tmp_path_factory.mktemp("whole")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SEMCOMM_DATA", str(data_sets))
        return reproduce([], "tiny", out, overrides={"images.limit": 1}, experiments=tiny_experiments), out


def test_every_experiment_runs_in_the_paper_setting_on_tiny_models(whole):
    found, _ = whole
    missing = {f"{one.paper}/{one.name}": one.missing for one in found.figures if one.missing}
    assert missing == {}
    assert {(one.paper, one.figure.file) for one in found.figures if one.results is not None} == set(FILES)
    for one in found.figures:
        if one.results is not None:
            table = one.results.table
            assert len(table) == len(one.results.experiment.points)
            for metric in one.results.experiment.image_metrics:
                assert table[metric.name].notna().all(), (one.name, metric.name)


def test_metrics_and_models_of_the_paper_take_the_place_of_ours(whole):
    experiments = {one.name: one.results.experiment for one in whole[0].figures if one.results is not None}
    names = [type(metric).__name__ for metric in experiments["fig08"].image_metrics]
    assert names == ["SeSS", "PSNR", "SSIM", "MSSSIM", "CLIPScore", "LpipsScore", "ViTScore"]
    assert experiments["fig08"].image_metrics[0].name.startswith("SeSS (pretrained")
    assert set(experiments["fig12"].transceivers) == {"variations", "unCLIP"}
    assert "Text+Sketch" in experiments["fig15"].transceivers
    assert experiments["fig08"].images.path == "coco-val2017" and experiments["fig3"].images.path == "flickr8k"


def test_one_image_decides_nothing(whole):
    """Every claim has a verdict and, where it could not be tested, a reason."""
    _, out = whole
    card = json.loads((out / "scorecard.json").read_text())
    assert len(card["claims"]) == sum(len(paper.claims) for paper in PAPERS.values())
    assert {claim["verdict"] for claim in card["claims"]} == {"could not be tested"}
    assert all(claim["why"] for claim in card["claims"])
    assert card["counts"] == {**dict.fromkeys(VERDICTS, 0), "could not be tested": len(card["claims"])}


class Page(HTMLParser):
    """Ids, links and images, and whether every element is closed."""

    def __init__(self, text):
        super().__init__()
        self.ids, self.links, self.sources, self.open = [], [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        found = dict(attributes)
        self.ids += [found["id"]] if "id" in found else []
        self.links += [found["href"]] if tag == "a" else []
        self.sources += [found["src"]] if tag == "img" else []
        if tag not in ("meta", "link", "img", "br", "line", "path", "circle", "rect", "polyline", "polygon"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        pass

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_the_page_is_whole(whole):
    found, out = whole
    text = (out / "index.html").read_text()
    page = Page(text)
    assert page.open == [] and len(set(page.ids)) == len(page.ids)
    assert len(re.findall('class="badge', text)) == len(found.claims)
    for link in page.links:
        assert link[1:] in page.ids if link.startswith("#") else (out / link).is_file()
    for source in page.sources:
        assert source.startswith("data:image/webp") or (out / source).is_file()
    assert "<script" not in text and "http" not in re.sub(r"charset|http-equiv|from http\S+|unpack http\S+", "", text)
    assert "NaN" not in text and ">nan" not in text


def test_again_does_nothing_again(whole, tiny_experiments, data_sets, monkeypatch):
    _, out = whole
    monkeypatch.setenv("SEMCOMM_DATA", str(data_sets))
    before, tasks = (out / "scorecard.md").read_text(), []
    reproduce(["sess/fig07", "sess/fig14"], "tiny", out, 1, {"images.limit": 1}, tiny_experiments, tasks.append)
    assert [progress.total for progress in tasks] == [0, 0]
    assert (out / "scorecard.md").read_text() != before  # the page is of what was asked for


def test_a_changed_experiment_is_refused_by_its_key_before_anything_runs(
    whole, tiny_experiments, data_sets, monkeypatch
):
    _, out = whole
    monkeypatch.setenv("SEMCOMM_DATA", str(data_sets))
    told = []
    with pytest.raises(RunError, match=r"sess.fig07: holds another experiment: images\.size was None and is now 170"):
        changes = {"images.limit": 1, "images.size": 170}
        reproduce(["sess/fig07"], "tiny", out, 1, changes, tiny_experiments, told.append)
    assert told == []


def test_what_is_missing_is_said_and_the_rest_runs(tmp_path, monkeypatch):
    """In the setting `paper` without models and data nothing can be run, and each figure says why."""
    monkeypatch.setenv("SEMCOMM_DATA", str(tmp_path / "nothing"))
    notes = []
    found = reproduce(
        ["sess/fig07", "sess/fig14"], "paper", tmp_path / "out", experiments=EXPERIMENTS, on_note=notes.append
    )
    assert all("COCO 2017" in one.missing["images"] and "val2017.zip" in one.missing["images"] for one in found.figures)
    assert "COCO 2017" in (tmp_path / "out" / "index.html").read_text()
    builtin = {"images.path": "builtin", "images.limit": 1, "images.size": 64, "images.sample": None}
    setting = load_setting("paper", EXPERIMENTS)
    plan = planned(EXPERIMENTS, "sess", "fig07", setting, builtin)
    assert set(plan.absent) == {"SeSS"} and "semcomm models fetch" in plan.absent["SeSS"]
    assert [metric.name for metric in plan.experiment.metrics] == ["PSNR", "SSIM"]
    sketch = planned(EXPERIMENTS, "sess", "fig15", setting, builtin)
    assert (
        set(sketch.experiment.transceivers) == {"JPEG", "HEIF"}
        and "stable-diffusion-v1-5" in sketch.absent["Text+Sketch"]
    )


def test_people_are_asked_for(tmp_path):
    found = reproduce(["sess/fig06"], "embedded", tmp_path, experiments=EXPERIMENTS)
    assert [one.finding.verdict for one in found.claims] == ["could not be tested"] * 2
    assert all("people's scores are needed" in one.finding.why for one in found.claims)


def test_data_says_what_is_there(data_sets, monkeypatch, capsys):
    monkeypatch.setenv("SEMCOMM_DATA", str(data_sets))
    assert main(["data", "kodak", "--setting", "embedded", "--experiments", str(EXPERIMENTS)]) == 0
    shown = capsys.readouterr().out
    assert "coco-val2017            5 images" in shown and "https://r0k.us/graphics/kodak/" in shown
    assert re.search(r"kodak/rate +ready: kodak, 100 transmissions", shown)
    monkeypatch.setenv("SEMCOMM_DATA", "/nowhere")
    assert main(["data", "kodak", "--setting", "embedded", "--experiments", str(EXPERIMENTS)]) == 0
    shown = capsys.readouterr().out
    assert "kodak/rate              cannot be run" in shown and "coco-val2017            absent" in shown
    assert main(["data", "--setting", "papper", "--experiments", str(EXPERIMENTS)]) == 1
    assert "did you mean 'paper'" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["coco-val2017", "flickr8k", "kodak", "clic2020-professional"])
def test_data_sets_are_read_as_they_are_unpacked(name, data_sets, monkeypatch):
    monkeypatch.setenv("SEMCOMM_DATA", str(data_sets))
    assert len(ImageSet(name).files()) == 5
    samples = [list(ImageSet(name, sample=n).files()) for n in (2, 3, 9)]
    assert list(map(len, samples)) == [2, 3, 5]
    assert set(samples[0]) < set(samples[1]) < set(samples[2])
    assert samples[1] == sorted(samples[1]) and samples[1] == list(ImageSet(name, sample=3).files())


def test_a_setting_changes_what_it_says():
    setting = load_setting("paper", EXPERIMENTS)
    data = {"transceivers": {"a": {"class_path": "X", "init_args": {"backend": "Embedded"}, "sweep": {"k": [1]}}}}
    found = setting.applied(
        {**data, "metrics": ["SeSS", "PSNR"], "images": {"path": "builtin", "size": 9}}, "sess", "fig07"
    )
    assert found["transceivers"]["a"]["init_args"]["backend"]["class_path"] == "Diffusers"
    assert found["transceivers"]["a"]["sweep"] == {"k": [1]}
    assert [m if isinstance(m, str) else m["class_path"] for m in found["metrics"]] == ["SeSS", "PSNR"]
    assert found["images"] == {"path": "coco-val2017", "sample": 100}


def test_published_curves_are_as_their_source_has_them():
    rows = (EXPERIMENTS / "published" / "kodak.csv").read_text().splitlines()
    assert rows[0] == "codec,bpp,PSNR,MS-SSIM" and len(rows) == 100
    wanted = {c for f in PAPERS["kodak"].figures.values() for c in f.chart.published}
    assert wanted <= {row.split(",")[0] for row in rows}
    assert yaml.safe_load((EXPERIMENTS / "kodak" / "rate.yaml").read_text())["images"]["path"] == "kodak"
