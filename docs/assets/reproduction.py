"""Copies what a reproduction found into the site: its scorecard, and an image of each of its figures.

python docs/assets/reproduction.py [runs/reproduce-embedded]
"""

import re
import shutil
import sys
import tempfile
from pathlib import Path

from semcomm import open_results
from semcomm.analysis.figures import draw

HERE = Path(__file__).resolve().parent
MOST = 3
FIRST = ("sess", "ssim", "psnr")


def main(folder: Path) -> None:
    """Copy from the folder of a reproduction."""
    scorecard = (folder / "scorecard.md").read_text(encoding="utf-8")  # none as long as it runs: then nothing is lost
    images = HERE / "reproduction"
    shutil.rmtree(images, ignore_errors=True)
    images.mkdir()
    (images / "scorecard.md").write_text(re.sub("^#", "##", scorecard, flags=re.MULTILINE), encoding="utf-8")
    for database in sorted(folder.glob("*/*/results.sqlite")):
        run = database.parent
        with tempfile.TemporaryDirectory() as drawn:
            draw(open_results(run), Path(drawn))
            found = sorted(Path(drawn).glob("*.png"), key=_rank)[:MOST]
            for path in found:
                shutil.copy(path, images / f"{run.parent.name}-{run.name}-{path.name}")


def _rank(path: Path) -> tuple[int, str]:
    return next((n for n, begin in enumerate(FIRST) if path.name.startswith(begin)), len(FIRST)), path.name


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "runs/reproduce-embedded"))
