import base64
import dataclasses
import hashlib
import json
import re
import shutil
from html.parser import HTMLParser
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from small_run import link, small_run

from semcomm.analysis.curves import curves
from semcomm.analysis.report import as_script, gallery, write_report
from semcomm.analysis.report.contents import contents_of
from semcomm.analysis.report.gallery import album_of
from semcomm.analysis.styles import COLOURS
from semcomm.errors import RunError
from semcomm.runs.results import Results

HOSTILE = "</script><img src=x onerror=alert(1)>"


class Page(HTMLParser):
    """What a browser would find in the page."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict]] = []
        self.texts: list[tuple[str, dict, str]] = []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        if self.tags and data.strip():
            self.texts.append((*self.tags[-1], data))

    def scripts(self, kind: str | None) -> list[str]:
        return [text for tag, attributes, text in self.texts if tag == "script" and attributes.get("type") == kind]

    def data(self, name: str) -> dict:
        (found,) = (text for tag, attributes, text in self.texts if tag == "script" and attributes.get("id") == name)
        return json.loads(found)


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    return small_run(tmp_path_factory.mktemp("run"))


@pytest.fixture(scope="module")
def page(results: Results, tmp_path_factory: pytest.TempPathFactory) -> Page:
    return Page(write_report(results, tmp_path_factory.mktemp("report") / "new" / "report.html"))


def test_nothing_comes_from_outside(page: Page) -> None:
    for tag, attributes in page.tags:
        assert "src" not in attributes
        assert not attributes.get("href", "data:").startswith(("http", "/", "."))
        assert tag not in ("iframe", "object", "embed", "base")
        assert not [name for name in attributes if name.startswith("on")]
    assert ("html", {"lang": "en"}) in page.tags


def test_the_policy_allows_these_scripts_and_no_network(page: Page) -> None:
    (policy,) = (a["content"] for tag, a in page.tags if a.get("http-equiv") == "Content-Security-Policy")
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules["default-src"] == "'none'"
    assert rules["img-src"] == "data:"
    scripts = [*page.scripts(None), *page.scripts("module")]
    digests = [base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts]
    assert rules["script-src"] == " ".join(f"'sha256-{digest}'" for digest in digests)
    assert len(scripts) == 2 and "unsafe" not in rules["script-src"]


def test_no_part_of_the_script_writes_html(page: Page) -> None:
    (script,) = page.scripts("module")
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|new Function", script)


def test_data_cannot_break_out() -> None:
    data = {"<!--<script>": "\u2028\u2029 & " + HOSTILE, "n": [1, None, "\ud800"]}
    text = as_script(data)
    assert not set("<>&\u2028\u2029") & set(text)
    assert text.isascii()
    assert json.loads(text) == data


def test_hostile_names_stay_data(tmp_path: Path) -> None:
    results = small_run(
        tmp_path,
        title=HOSTILE,
        transceivers={HOSTILE: link(channel_uses_per_pixel=1.0)},
        channels={HOSTILE: "AWGN"},
        sweep={"channel.snr_db": [20]},
        metrics=["PSNR"],
        realisations=1,
    )
    (image,) = (name for name in results.images if name == "cat")
    table = results.table.assign(caption=[HOSTILE, "another"], image=results.table["image"].replace(image, HOSTILE))
    images = {HOSTILE if name == image else name: stored for name, stored in results.images.items()}
    hashes = {(n, HOSTILE if name == image else name, r): h for (n, name, r), h in results.reconstructions.items()}
    hostile = dataclasses.replace(results, table=table, images=images, reconstructions=hashes)
    page = Page(write_report(hostile, tmp_path / "report.html"))
    assert [a for tag, a in page.tags if tag == "img"] == [{"id": "enlarged-image", "alt": ""}]
    assert len([tag for tag, _ in page.tags if tag == "script"]) == 4
    data, album = page.data("data"), page.data("gallery-data")
    assert data["title"] == HOSTILE and list(data["transceivers"]) == [HOSTILE]
    assert HOSTILE in [image["name"] for image in album["images"]]
    assert ["Caption", HOSTILE] in album["images"][0]["received"][0]["facts"]


def test_points_are_those_of_the_curves(results: Results, page: Page) -> None:
    data = page.data("data")
    assert data["main"] == "snr_db"
    assert [x["key"] for x in data["x"]] == ["snr_db", "channel_uses_per_pixel", "bpp", "total_bpp", "cbr"]
    assert [(y["key"], y["log"]) for y in data["y"]] == [("PSNR", False), ("SSIM", False), ("bler", True)]
    assert [look["colour"] for look in data["transceivers"].values()] == list(COLOURS[:2])
    for x, y in (("snr_db", "PSNR"), ("bpp", "SSIM"), ("cbr", "bler")):
        frame = curves(results, x, y)
        assert [point["x"][x] for point in data["points"]] == frame[x].tolist()
        columns = ["mean", "low", "high", "count", "infinite", "images"]
        assert [point["y"][y] for point in data["points"]] == frame[columns].to_numpy().tolist()
    assert "channel.snr_db" in data["experiment"]
    assert data["environment"]["torch"]
    assert data["counts"] == {
        "transceivers": 2,
        "channels": 1,
        "images": 2,
        "realisations": 2,
        "rows": 48,
        "planned": 48,
    }


def test_images_are_those_on_disk_with_their_own_scores(results: Results, page: Page) -> None:
    album, data = page.data("gallery-data"), page.data("data")
    assert [image["name"] for image in album["images"]] == list(results.images)
    assert (album["leftOut"], album["notKept"]) == (0, 0)
    first = results.table[results.table["realisation"] == 0]
    for image in album["images"]:
        assert image["original"] == results.images[image["name"]].hash
        assert len(image["received"]) == 12
        for entry in image["received"]:
            point = data["points"][entry["point"]]
            where = {**point["parameters"], "transceiver": point["transceiver"], "image": image["name"]}
            row = first.loc[np.all([first[name] == value for name, value in where.items()], axis=0)].iloc[0]
            assert entry["scores"] == [["PSNR (dB)", row["PSNR"]], ["SSIM", row["SSIM"]]]
            assert dict(entry["facts"])["Lost blocks"] == f"{row['block_errors']} of {row['blocks']}"
            assert entry["failed"] == (["decode_failed"] if row["decode_failed"] else [])
            assert entry["shown"] and entry["hash"] in album["sources"]
    source = next(iter(album["sources"].values()))
    with Image.open(BytesIO(base64.b64decode(source.removeprefix("data:image/webp;base64,")))) as file:
        assert file.format == "WEBP" and min(file.size) == 64


def test_images_that_are_gone_or_too_many_are_counted(
    results: Results, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = contents_of(results)
    everything = album_of(results, data)
    monkeypatch.setattr(gallery, "BUDGET", 5000)
    few = album_of(results, data)
    assert 0 < sum(map(len, few["sources"].values())) <= 5000
    assert few["leftOut"] == len(everything["sources"]) - len(few["sources"]) > 0
    monkeypatch.undo()
    elsewhere = dataclasses.replace(results, folder=tmp_path)
    none = album_of(elsewhere, data)
    assert none["images"] == [] and none["notKept"] == 2
    shutil.copytree(results.folder / "reconstructions", tmp_path / "reconstructions")
    one = everything["images"][0]["received"][-1]["hash"]
    (tmp_path / "reconstructions" / one[:2] / f"{one}.png").write_bytes(b"damaged")
    assert one not in album_of(elsewhere, data)["sources"]


def test_a_changed_original_is_said(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    Image.effect_noise((64, 64), 50).save(tmp_path / "in" / "noise.png")
    results = small_run(tmp_path / "run", images={"path": str(tmp_path / "in")}, realisations=1)
    assert album_of(results, contents_of(results))["images"][0]["fault"] is None
    Image.effect_noise((64, 64), 90).save(tmp_path / "in" / "noise.png")
    changed = album_of(results, contents_of(results))["images"][0]
    assert changed["original"] is None and "changed" in changed["fault"]
    (tmp_path / "in" / "noise.png").unlink()
    assert "no such file" in album_of(results, contents_of(results))["images"][0]["fault"]


def test_large_images_are_embedded_small() -> None:
    import torch

    image = torch.rand(3, 600, 1200, generator=torch.Generator().manual_seed(0))
    source = gallery.webp(image)
    with Image.open(BytesIO(base64.b64decode(source.split(",")[1]))) as file:
        assert file.size == (512, 256)


def test_infinite_and_missing_values_are_told_apart(results: Results, tmp_path: Path) -> None:
    at_20, at_4 = results.table["snr_db"] == 20, results.table["snr_db"] == 4
    psnr = results.table["PSNR"].mask(at_20, np.inf).mask(at_4, np.nan)
    page = Page(write_report(dataclasses.replace(results, table=results.table.assign(PSNR=psnr)), tmp_path / "r.html"))
    points = {point["x"]["snr_db"]: point["y"]["PSNR"] for point in page.data("data")["points"]}
    assert points[20] == [None, None, None, 0, 4, 0]
    assert points[4] == [None, None, None, 0, 0, 0]
    received = page.data("gallery-data")["images"][0]["received"]
    assert {entry["scores"][0][1] for entry in received if dict(entry["facts"])["SNR (dB)"] == 20} == {"∞"}


def test_unfinished_empty_and_plain_runs(results: Results, tmp_path: Path) -> None:
    half = dataclasses.replace(results, table=results.table.iloc[:30])
    counts = Page(write_report(half, tmp_path / "half.html")).data("data")["counts"]
    assert (counts["rows"], counts["planned"]) == (30, 48)
    empty = dataclasses.replace(results, table=results.table.iloc[:0], reconstructions={}, folder=tmp_path)
    data = Page(write_report(empty, tmp_path / "empty.html")).data("data")
    assert data["points"] == [] and data["environment"] == {}
    plain = small_run(
        tmp_path / "run",
        transceivers={"only": link(code=False, channel_uses_per_pixel=1.0)},
        sweep={},
        metrics=[],
    )
    data = Page(write_report(plain, tmp_path / "plain.html")).data("data")
    assert data["main"] == "transceiver" and data["y"] == [] and len(data["points"]) == 1


def test_a_folder_that_cannot_be_written(results: Results, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(RunError):
        write_report(results, tmp_path / "file" / "report.html")
