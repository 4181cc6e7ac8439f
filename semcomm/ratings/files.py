"""Opinions from files, and files of opinions."""

import csv
import io
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from semcomm.errors import StudyError
from semcomm.files import write_whole
from semcomm.images import read_image
from semcomm.metrics.sess.tuning import COLUMNS
from semcomm.ratings.opinions import Opinions, Pair
from semcomm.ratings.study import Study


def opinions_of_file(rows: Sequence[dict], source: str) -> Opinions:
    """Return what people said in a file that gives one score a pair.

    Args:
        rows: as `read_human` gives them.
        source: name of the file.
    """
    pairs, scores, groups, rivals, preferences = [], [], [], [], []
    originals: dict[str, int] = {}
    for row in rows:
        group = originals.setdefault(row["reference"], len(originals))
        sides = [name for name in ("first", "second") if name in row]
        for side in sides:
            names = Path(row["reference"]).name, Path(row[side]).name
            pairs.append(Pair(row["reference"], row[side], names, {}))
            scores.append(row[f"{side}_score"])
            groups.append(group)
        if len(sides) == 2:
            rivals.append((len(pairs) - 2, len(pairs) - 1))
            first, second = scores[-2:]
            preferences.append(np.nan if first == second else float(first > second))
    return Opinions(
        pairs,
        np.array([scores]),
        np.array(rivals, int).reshape(-1, 2),
        np.array([preferences]).reshape(1, -1),
        np.array(groups),
        ["mean"],
        read_image,
        source,
        single=True,
    )


def write_triplets(opinions: Opinions, study: Study, path: Path) -> int:
    """Write the mean scores of a study as triplets, which `semcomm sess tune` takes; return how many rows there are.

    A pair becomes a triplet whose two candidates are the same, which weighs every pair alike. The column `raters` says
    of how many scores a mean is made, and `source` whose they are.

    Raises:
        StudyError: for a study of choices, which has no scores, or when nothing was rated.
    """
    if study.settings.kind == "choices":
        raise StudyError(
            f"{study.folder}: is a study of choices, which give no scores to tune on; use triplets or pairs"
        )
    means, counts = opinions.means(), (~np.isnan(opinions.scores)).sum(0)
    twos = opinions.rivals if len(opinions.rivals) else np.repeat(np.arange(len(opinions.pairs))[:, None], 2, 1)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*COLUMNS, "raters", "source"])
    rows = 0
    for first, second in twos:
        if counts[first] and counts[second]:
            a, b = opinions.pairs[first], opinions.pairs[second]
            files = [
                os.path.relpath(study.path_of(key), path.parent) for key in (a.reference, a.candidate, b.candidate)
            ]
            scores = [f"{means[n]:.6f}" for n in (first, second)]
            writer.writerow([*files, *scores, min(counts[first], counts[second]), opinions.people])
            rows += 1
    if not rows:
        raise StudyError(f"{study.folder}: has no item that a rater who counts has rated")
    write_whole(path, text.getvalue().encode())
    return rows


def write_ratings(study: Study, path: Path) -> None:
    """Write every answer as it was given, one a row: the first score is that of the item's first image."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(
        ["rater", "position", "item", "kind", "first_on_the_right", "first_score", "second_score", "seconds", "at"]
    )
    writer.writerows(study.database.answers())
    write_whole(path, text.getvalue().encode())
