"""The site builds without a warning, fetches nothing when it is read, and leaves no public name and no file out."""

import os
import re
import subprocess
import sys
import zlib
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import pytest

import semcomm

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
MISSING = [name for name in ("mkdocs", "material", "mkdocstrings", "latex2mathml") if find_spec(name) is None]
FETCHED = re.compile(r"<(?:script|img|iframe|source)\b[^>]*\bsrc=[\"']?((?:https?:)?//[^\"' >]+)|<link\b[^>]*>")


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The folder of the site, built as `make docs` does."""
    if MISSING:
        pytest.skip(f"needs the extra docs: {', '.join(MISSING)} not installed")
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--quiet", "--site-dir", str(folder)]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "WARNING" not in done.stderr
    return folder


def pages(site):
    return {str(path.relative_to(site)): path.read_text(encoding="utf-8") for path in site.rglob("*.html")}


def test_pages_fetch_nothing_from_elsewhere(site):
    for name, text in pages(site).items():
        for found in FETCHED.finditer(text):
            address = found[1] or (re.search(r"href=[\"']?((?:https?:)?//[^\"' >]+)", found[0]) or [None, None])[1]
            assert address is None, f"{name} takes {address}"


def test_styles_fetch_nothing_from_elsewhere(site):
    for path in site.rglob("*.css"):
        for address in re.findall(r"url\([\"']?([^\"')]+)", path.read_text(encoding="utf-8")):
            assert not address.startswith(("http:", "https:", "//")), f"{path.name} takes {address}"


def test_equations_are_mathml(site):
    texts = pages(site)
    assert texts["metrics/ssim.html"].count("<math") >= 10
    assert not [name for name, text in texts.items() if "arithmatex" in text or "<merror" in text]


def test_the_road_is_drawn_in_the_page(site):
    assert 'class="road"' in pages(site)["concepts.html"]


def test_every_public_name_is_in_the_reference(site):
    inventory = (site / "objects.inv").read_bytes()
    lines = zlib.decompress(inventory.split(b"\n", 4)[4]).decode().splitlines()
    described = {line.split(" ")[0].rpartition(".")[2] for line in lines if ":class" in line or ":function" in line}
    assert {"AWGN", "run"} <= described
    assert set(semcomm.__all__) - described == set()


def test_every_experiment_is_listed(site):
    listed = pages(site)["experiments.html"]
    files = [str(path.relative_to(ROOT)) for path in sorted(ROOT.glob("experiments/**/*.yaml"))]
    assert len(files) > 5
    assert [file for file in files if file not in listed] == []


@pytest.mark.parametrize("path", sorted(ROOT.glob("experiments/**/*.yaml")), ids=lambda path: path.stem)
def test_every_experiment_says_what_it_shows(path):
    assert path.read_text(encoding="utf-8").startswith("# "), "its first comment is its line in docs/experiments.md"


@pytest.mark.parametrize(
    "room, tables",
    [("metrics", ["metrics/index.md"]), ("transceivers", ["transceivers/index.md", "transceivers/distortions.md"])],
)
def test_every_metric_and_link_is_in_its_table(room, tables):
    from semcomm.metrics import Metric, SetMetric
    from semcomm.transceivers import Link

    text = "".join((DOCS / page).read_text(encoding="utf-8") for page in tables)
    module = import_module(f"semcomm.{room}")
    classes = [thing for name in module.__all__ if isinstance(thing := getattr(module, name), type)]
    wanted = [c.__name__ for c in classes if issubclass(c, Metric | SetMetric | Link) and not c.__abstractmethods__]
    assert len(wanted) > 8
    assert [name for name in wanted if f"`{name}`" not in text] == []
