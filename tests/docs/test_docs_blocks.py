"""The code blocks of README.md and docs/ run, page by page and in their order, on tiny images.

Python is executed; `semcomm` commands run in this process, experiments on one image; YAML is checked as what it is.
Installing, fetching, long trainings and clusters are not started: those commands are checked as far as that goes
without it. A block that cannot stand alone has the line `<!-- not run: why -->` above it.
"""

import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

from semcomm import load
from semcomm.cli import COMMANDS
from semcomm.errors import ModelError
from semcomm.images import ImageSet, write_image

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(
    r"(?:Save this as `(?P<name>[^`]+)`:?\n\n)?(?:<!-- not run: (?P<excuse>.+?) -->\n)?"
    r"^```(?P<language>python|sh|yaml)\n(?P<code>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
INCLUDED = re.compile(r'^--8<-- "(.+)"$', re.MULTILINE)
SMALL = {"metrics": ["PSNR"], "images.limit": 1, "images.size": 176, "realisations": 1}
MOST_EXCUSES = 5


class Block:
    """A block of code in a page."""

    def __init__(self, page: Path, found: re.Match):
        self.page = page
        self.line = page.read_text(encoding="utf-8").count("\n", 0, found.start("code"))
        self.language, self.excuse, self.name = found["language"], found["excuse"], found["name"]
        self.code = INCLUDED.sub(lambda m: (ROOT / m[1]).read_text(encoding="utf-8").rstrip(), found["code"])

    def __str__(self):
        return f"{self.page.relative_to(ROOT)}:{self.line}"


BLOCKS = [Block(page, found) for page in PAGES for found in BLOCK.finditer(page.read_text(encoding="utf-8"))]


class Reader:
    """Someone who types a page's blocks one after the other."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.names = {"__name__": "page"}
        self.outcomes: dict[str, BaseException | None] = {}

    def read(self, block: Block) -> None:
        """Run a block, and those before it that have not run."""
        for each in BLOCKS:
            if each.page == block.page and each.line <= block.line and str(each) not in self.outcomes:
                self.outcomes[str(each)] = self._outcome(each)
        if outcome := self.outcomes[str(block)]:
            raise outcome

    def _outcome(self, block: Block) -> BaseException | None:
        try:
            if block.excuse:
                pytest.skip(block.excuse)
            getattr(self, f"_{block.language}")(block)
        except ModelError as error:
            return pytest.skip.Exception(f"needs weights: {error}")
        except (Exception, SystemExit, pytest.skip.Exception) as error:
            return error
        return None

    def _python(self, block: Block) -> None:
        exec(compile("\n" * block.line + block.code, str(block.page), "exec"), self.names)

    def _yaml(self, block: Block) -> None:
        data = yaml.safe_load(block.code)
        if block.name:
            Path(block.name).write_text(block.code, encoding="utf-8")
        if data.keys() & {"transceivers", "metrics", "channels", "images"}:
            load(
                {
                    "transceivers": {"link": {"class_path": "Separate", "init_args": {"source": "JPEG", "bpp": 1}}},
                    **data,
                }
            )

    def _sh(self, block: Block) -> None:
        for line in block.code.replace("\\\n", " ").splitlines():
            words = shlex.split(line, comments=True)
            if words:
                command(words, line)


def command(words: list[str], line: str) -> None:
    """Run a command, or check it as far as that goes without installing, fetching or hours of work."""
    program, *rest = words
    if program == "semcomm":
        semcomm(rest)
    elif program == "make":
        targets = re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
        assert set(rest) <= set(targets)
    elif program == "pip":
        project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
        for extras in re.findall(r"\[([\w,]+)\]", line):
            assert set(extras.split(",")) <= set(project["optional-dependencies"])
    elif program in ("sed", "cat", "ls", "cp", "mkdir"):
        subprocess.run(["bash", "-c", line], check=True, capture_output=True)
    else:
        pytest.skip(f"does not start {program}")


def semcomm(words: list[str]) -> None:
    """Run a semcomm command on little, or check what it says."""
    name, *rest = words
    if name == "train":
        return training_file(rest)
    if name == "models" and rest[:1] == ["fetch"]:
        from semcomm.models import CARDS

        assert rest[1] in CARDS, "only models that have a card are in the documentation"
        return None
    if name == "thresholds" or "--executor" in rest:
        pytest.skip(f"takes long, or a cluster: {' '.join(words)}")
    if name == "run":
        small = [f"{key}={value}" for key, value in smaller(Path(rest[0])).items()]
        rest = [rest[0], *small, *rest[1:], "--workers", "1", "--no-report"]  # what the page sets comes last
    if name == "reproduce":  # its claims and page at full size are `make reproduction`
        rest = [*rest, "images.limit=1", "images.size=176", "realisations=1"]
    if name == "ratings" and rest[0] == "serve":
        return answered(rest[1])
    if name == "ratings" and rest[0] == "report":
        rest = [*rest, "--resamples", "5"]
    if rest[:1] == ["tune"]:
        rest = [*rest, "--trials", "5"]
    return COMMANDS[name](rest)


def answered(study: str) -> None:
    """Have simulated raters answer all of a study, which then says so."""
    pytest.importorskip("starlette")
    from simulated_raters import answer_all

    from semcomm.ratings import Study

    settings = Path(study, "study.yaml")
    settings.write_text(settings.read_text().replace("simulated: false", "simulated: true"))
    opened = Study(study)
    for rater in opened.database.raters()[:2]:
        answer_all(opened, rater.code)
    opened.close()


def smaller(file: Path) -> dict[str, object]:
    """Return what makes an experiment small: key -> value."""
    swept = yaml.safe_load(file.read_text(encoding="utf-8")).get("sweep") or {}
    return SMALL | {f"sweep.{axis}": [5, 10] for axis in swept if axis.endswith("snr_db")}


def training_file(words: list[str]) -> None:
    """Check a training file and the keys set on the command line; train nothing."""
    from semcomm.configuration import assignment
    from semcomm.training.configuration import read

    read(Path(words[0]), [assignment(word) for word in words[1:] if "=" in word and not word.startswith("-")])


@pytest.fixture(scope="module")
def readers(tmp_path_factory):
    """A folder for each page, with what the pages name in it: images, folders of images, experiments."""
    made: dict[Path, Reader] = {}
    images = [image for _, image in ImageSet(limit=2, size=192, crop=192)]

    def reader(page: Path) -> Reader:
        if page not in made:
            folder = tmp_path_factory.mktemp(page.stem)
            for name in ("photo.png", "original.png", "kodak/1.png", "Flickr8k/1.png", "images/1.png"):
                (folder / name).parent.mkdir(exist_ok=True)
                write_image(folder / name, images[0])
            write_image(folder / "kodak" / "2.png", images[1])
            write_image(folder / "received.png", images[0].mul(15).round() / 15)
            write_image(folder / "other.png", images[1])
            rows = [f"original.png,received.png,other.png,{0.9 - n / 100},{0.1 + n / 100}" for n in range(6)]
            (folder / "triplets.csv").write_text("\n".join(["reference,first,second,first_score,second_score", *rows]))
            for name in ("experiments", "examples"):
                shutil.copytree(ROOT / name, folder / name)
            quick = folder / "experiments" / "quickstart.yaml"  # Python runs it as it stands
            quick.write_text(yaml.safe_dump(load(quick, smaller(quick)).resolved()))
            made[page] = Reader(folder)
        return made[page]

    return reader


@pytest.mark.parametrize("block", BLOCKS, ids=str)
def test_block_runs(block, readers, monkeypatch):
    reader = readers(block.page)
    monkeypatch.chdir(reader.folder)
    monkeypatch.setattr(sys, "path", [str(ROOT / "examples"), *sys.path])
    reader.read(block)


def test_few_blocks_are_not_run():
    excused = [f"{block}: {block.excuse}" for block in BLOCKS if block.excuse]
    assert len(excused) <= MOST_EXCUSES, "\n".join(excused)


def test_the_blocks_are_found():
    assert len(BLOCKS) >= 40
    assert {"python", "sh", "yaml"} == {block.language for block in BLOCKS}
