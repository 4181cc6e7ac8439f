"""The page's messages are those of the commands above them."""

import re
import shlex
from pathlib import Path

import pytest
import torch

from semcomm.cli import main
from semcomm.errors import SemcommError
from semcomm.images import ImageSet, write_image

PAGE = (Path(__file__).resolve().parents[2] / "docs/troubleshooting.md").read_text()
FILE = re.search(r"```yaml\n(.*?)```", PAGE, re.DOTALL)[1]
CASES = re.findall(r"```(console|pycon)\n(.*?)```\n\n```text\n(.*?)\n```", PAGE, re.DOTALL)


def test_there_are_ten():
    assert len(CASES) >= 10


@pytest.mark.parametrize(("kind", "code", "message"), CASES)
def test_a_mistake_has_its_message(kind, code, message, tmp_path, monkeypatch, capsys):
    if "cuda" in code and torch.cuda.is_available():
        pytest.skip("this machine has the device")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SEMCOMM_CACHE", str(tmp_path / "cache"))
    Path("mine.yaml").write_text(FILE)
    for name, image in ImageSet(limit=2, size=32):
        write_image({"astronaut": "a.png", "cat": "b.png"}[name], image)
    if kind == "pycon":
        with pytest.raises(SemcommError) as caught:
            exec(code, {})
        said = str(caught.value)
    else:
        *before, last = (shlex.split(line)[1:] for line in code.splitlines())
        for command in before:
            assert main([*command, "--workers", "1", "--no-report"]) == 0
        capsys.readouterr()
        assert main(last) == 1
        (said,) = capsys.readouterr().err.splitlines()
        said = said.removeprefix("semcomm: error: ")
    assert said == message
