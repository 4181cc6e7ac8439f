"""The rooms depend on one another in the order that pyproject.toml states and docs/architecture.md draws."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
GROUND = "the ground"


def layers() -> list[str]:
    contract = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"][0]
    return [name.strip(" ()") for layer in contract["layers"] for name in layer.split("|")]


def test_every_import_goes_down():
    command = [sys.executable, "-c", "from importlinter.cli import lint_imports_command; lint_imports_command()"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout


def test_the_figure_shows_the_order():
    figure = (ROOT / "docs/assets/architecture.svg").read_text()
    drawn = re.findall(r'class="room"[^>]*>([^<]+)<', figure)
    order = layers()
    assert drawn[-1] == GROUND
    assert [name for name in order if name in drawn] == drawn[:-1]
    ground = re.findall(r"\w+", re.search(r"the ground</text><text[^>]*>([^<]+)<", figure)[1])
    assert {*drawn[:-1], *ground, "terminal", "configuration", "__main__"} >= set(order)
