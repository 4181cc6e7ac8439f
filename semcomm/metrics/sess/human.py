"""Scores that people gave to pairs of images, from whatever file has them.

Crisscrossed Captions (Parekh et al., "Crisscrossed Captions: Extended Intramodal and Intermodal Semantic Similarity
Judgments for MS-COCO", 2020) has 89,486 pairs of COCO val2014 photographs in `sis_val.csv` and `sis_test.csv`, rated
from 0 to 5. The images are not part of it.
"""

import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np

from semcomm.errors import ConfigurationError
from semcomm.metrics.sess.tuning import COLUMNS, read_triplets

PAIRS = ("image_a", "image_b", "score")
CRISSCROSSED = ("image1", "image2", "agg_score")
SCALE, SCALE_OF_CRISSCROSSED = (0.0, 1.0), (0.0, 5.0)


def read_human(
    path: Path,
    images: Path | None = None,
    scale: tuple[float, float] | None = None,
    limit: int | None = None,
    on_note: Callable[[str], None] = lambda note: None,
) -> list[dict]:
    """Read people's scores: triplets, as `read_triplets` has them, or pairs.

    A pair has one candidate: `reference, first, first_score`. The kind of file is told by its columns: those of
    triplets, `image_a, image_b, score`, or Crisscrossed Captions' `image1, image2, agg_score`.

    Args:
        path: of the CSV file (or JSON lines of triplets).
        images: folder of the images of pairs; none is that of the file. Pairs whose images are not both in a folder
            that is named here are left out, which is noted.
        scale: ends of the scores, mapped to 0 and 1; none is 0 to 1, and 0 to 5 for Crisscrossed Captions.
        limit: so many rows only, drawn at random, the same every time.
        on_note: called with what a reader should know.

    Raises:
        ConfigurationError: for other columns, a score outside the scale, or nothing that is left.
    """
    header = _header(path)
    if set(COLUMNS) <= set(header) or path.suffix != ".csv":
        if images is not None or scale is not None:
            raise ConfigurationError(
                f"{path}: has triplets, whose images are beside it and whose scores are from 0 to 1"
            )
        rows = read_triplets(path)
    else:
        columns = next((names for names in (PAIRS, CRISSCROSSED) if set(names) <= set(header)), None)
        if columns is None:
            known = "; ".join(", ".join(names) for names in (COLUMNS, PAIRS, CRISSCROSSED))
            raise ConfigurationError(f"{path}: has the columns {', '.join(header)}; known are {known}")
        rows = _pairs(path, columns, scale or (SCALE_OF_CRISSCROSSED if columns == CRISSCROSSED else SCALE), images)
        rows = rows if images is None else _present(rows, path, images, on_note)
    if limit is not None and limit < 1:
        raise ConfigurationError(f"limit is {limit}; it must be at least 1")
    if limit is not None and limit < len(rows):
        chosen = np.random.default_rng(0).permutation(len(rows))[:limit]
        rows = [rows[n] for n in sorted(chosen)]
    return rows


def _header(path: Path) -> list[str]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            return next(csv.reader(file), [])
    except (OSError, ValueError, csv.Error) as error:
        raise ConfigurationError(f"{path}: cannot be read as people's scores ({error})") from None


def _pairs(path: Path, columns: tuple[str, ...], scale: tuple[float, float], images: Path | None) -> list[dict]:
    low, high = scale
    if not (np.isfinite([low, high]).all() and low < high):
        raise ConfigurationError(f"the scale is from {low:g} to {high:g}; its lower end comes first")
    folder = path.parent if images is None else images
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            found = list(csv.DictReader(file))
    except (OSError, ValueError, csv.Error) as error:
        raise ConfigurationError(f"{path}: cannot be read as people's scores ({error})") from None
    rows = []
    for number, row in enumerate(found, 1):
        first, second, text = (row.get(name) for name in columns)
        if not first or not second:
            raise ConfigurationError(f"{path}, pair {number}: needs {', '.join(columns)}")
        try:
            score = float(text)
        except (TypeError, ValueError):
            score = float("nan")
        if not low <= score <= high:
            raise ConfigurationError(
                f"{path}, pair {number}: {columns[2]} is {text!r}; the scale is {low:g} to {high:g}"
            )
        rows.append(
            {
                "reference": str(folder / first),
                "first": str(folder / second),
                "first_score": (score - low) / (high - low),
            }
        )
    if not rows:
        raise ConfigurationError(f"{path}: holds no pairs")
    return rows


def _present(rows: list[dict], path: Path, images: Path, on_note: Callable[[str], None]) -> list[dict]:
    there = {name: _is_file(name) for row in rows for name in (row["reference"], row["first"])}
    left = [row for row in rows if there[row["reference"]] and there[row["first"]]]
    if not left:
        raise ConfigurationError(f"{images}: has both images of none of the {len(rows)} pairs in {path}")
    if len(left) < len(rows):
        on_note(f"{path.name}: {len(left)} of {len(rows)} pairs have both images in {images}; the others are left out")
    return left


def _is_file(name: str) -> bool:
    try:
        return Path(name).is_file()
    except (OSError, ValueError):
        return False
