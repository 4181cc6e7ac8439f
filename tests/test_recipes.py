"""Equal recipes mean equal results, however an object was spelt and whatever it reads."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from semcomm import (
    JPEG2000,
    LDPC5G,
    QAM,
    Adaptive,
    ConfigurationError,
    RandomBits,
    Separate,
    SeSS,
    TextToImage,
    Uncoded,
)
from semcomm.component import Component
from semcomm.metrics.sess import Embedded, Parameters
from semcomm.transceivers.adaptation import SHIPPED


def separate(**changes):
    return Separate(**{"source": JPEG2000(), "code": LDPC5G(0.5), "bpp": 1.0, **changes})


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (lambda: separate(constellation="16qam"), lambda: separate(constellation=QAM("16qam"))),
        (lambda: separate(constellation="adaptive"), lambda: separate(constellation=Adaptive())),
        (lambda: separate(code=None), lambda: separate(code=Uncoded())),
        (lambda: separate(bpp=1), lambda: separate(bpp=np.float64(1))),
        (lambda: RandomBits(constellation="qpsk"), lambda: RandomBits(Uncoded(), QAM("qpsk"))),
        (lambda: SeSS("embedded", "paper"), lambda: SeSS(Embedded(), Parameters.paper())),
        (lambda: TextToImage("embedded"), lambda: TextToImage("embedded", text_code=Uncoded())),
        (lambda: Adaptive(), lambda: Adaptive(thresholds=str(SHIPPED))),
    ],
)
def test_a_name_or_a_default_and_what_it_stands_for_have_one_recipe(one, other):
    assert json.dumps(one().recipe(), sort_keys=True) == json.dumps(other().recipe(), sort_keys=True)


@pytest.mark.parametrize(
    ("cls", "link"),
    [
        (QAM, lambda: separate(constellation="16qam")),
        (Adaptive, lambda: separate(constellation="adaptive")),
        (Uncoded, lambda: separate(code=None, constellation="qpsk")),
        (JPEG2000, lambda: separate(constellation="qpsk")),
    ],
)
def test_a_version_raised_deep_inside_changes_the_recipe(cls, link, monkeypatch):
    before = link().recipe()
    monkeypatch.setattr(cls, "version", cls.version + 1)
    assert link().recipe() != before


def test_files_count_by_content(tmp_path):
    file = tmp_path / "mine.json"
    file.write_bytes(SHIPPED.read_bytes())
    shipped, same = Adaptive().recipe(), Adaptive(thresholds=str(file)).recipe()
    assert same == shipped
    table = json.loads(file.read_text())
    for row in table["rows"]:
        row["snr_db"] = [value + 6 for value in row["snr_db"]]
    file.write_text(json.dumps(table))
    assert Adaptive(thresholds=str(file)).recipe() != shipped


class Reader(Component):
    version = 1

    def __init__(self, checkpoint: str, classes: list[str] = ()):
        self.checkpoint = checkpoint


def test_whatever_argument_names_them(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    recipes = []
    for content in (b"one", b"two", b"one"):
        Path("best.ckpt").write_bytes(content)
        recipes.append(Reader("best.ckpt").recipe())
    assert recipes[0] == recipes[2] != recipes[1]
    Path("adaptive").write_text("a file that no argument means")
    assert Reader("adaptive").recipe()["init_args"]["checkpoint"] == "adaptive"
    Path("folder").mkdir()
    before = Reader("./folder").recipe()
    Path("folder/weights.bin").write_bytes(b"w")
    assert Reader("./folder").recipe() != before
    assert Reader("x", ["best.ckpt"]).recipe() != Reader("x", ["worst.ckpt"]).recipe()


LAB = """
from semcomm.component import Component
from helper import factor
class Mine(Component):
    {body}
"""


def recipe_in_a_new_process(folder: Path, body: str, factor: str = "factor = 2") -> dict:
    (folder / "lab.py").write_text(LAB.format(body=body))
    (folder / "helper.py").write_text(factor)
    code = "import json, lab; print(json.dumps(lab.Mine().recipe()))"
    found = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=True)
    return json.loads(found.stdout)


def test_the_source_of_a_users_class_is_part_of_its_recipe(tmp_path):
    first = recipe_in_a_new_process(tmp_path, "def gain(self): return 2")
    assert recipe_in_a_new_process(tmp_path, '"""Documented."""\n    def gain(self):  # said\n        return 2') == {
        **first,
        "source": recipe_in_a_new_process(tmp_path, "pass\n    def gain(self): return 2")["source"],
    }
    assert recipe_in_a_new_process(tmp_path, "def gain(self): return 3") != first
    assert recipe_in_a_new_process(tmp_path, "def gain(self): return 2", "factor = 3") != first
    own = recipe_in_a_new_process(tmp_path, "version = 4\n    def gain(self): return 2")
    assert own == recipe_in_a_new_process(tmp_path, "version = 4\n    def gain(self): return 9")


def test_literals_are_checked_in_python_too():
    with pytest.raises(ConfigurationError, match="Separate: damage is 'sufix'; choose from prefix, as-is, discard"):
        separate(damage="sufix")
    with pytest.raises(ConfigurationError, match="constellations is '8psk'"):
        Adaptive(["qpsk", "8psk"])
