"""Items of a study, taken from runs, from a list, or from folders."""

import csv
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from semcomm.errors import ImageError, StudyError
from semcomm.images import ImageSet, content_hash, read_image
from semcomm.ratings.study import Shown

ORIGINALS = ("original", "originals", "reference")
"""Names of the folder of originals among folders of reconstructions."""


@dataclass(frozen=True)
class Candidate:
    """A reconstruction that may be shown.

    Attributes:
        original: name of its original.
        link: by which it came.
        place: where on the axes of that link, for instance its rate and SNR.
        load: reads it.
        facts: what is known of it.
    """

    original: str
    link: str
    place: str
    load: Callable[[], Any]
    facts: dict


def from_runs(folders: Sequence[Path], count: int, kind: str, seed: int = 0) -> list[Shown]:
    """Return items of what the runs in these folders have kept, balanced over originals, links and their points.

    Args:
        folders: of runs.
        count: how many items, or as many as there are.
        kind: of the study.
        seed: of the draw.

    Raises:
        RunError: when there is no run.
        StudyError: when it has kept no reconstruction.
        ImageError: when an original is not what the run was made on.
    """
    from semcomm.runs.image_store import ImageStore
    from semcomm.runs.run import open_results

    originals: dict[str, Callable[[], Any]] = {}
    found: list[Candidate] = []
    for folder in folders:
        results = open_results(folder)
        kept, experiment = ImageStore(results.folder), results.experiment
        names = {}
        for name, stored in results.images.items():
            names[name] = name if name not in originals else f"{folder.name}/{name}"
            originals[names[name]] = partial(_original, experiment.images, stored)
        rates = results.table.drop_duplicates(["point", "image"]).set_index(["point", "image"])
        for (number, name, realisation), key in results.reconstructions.items():
            if realisation or not kept.has(key):
                continue
            point, row = experiment.points[number], rates.loc[(number, name)]
            if row["infeasible"] is True or row["infeasible"] == 1:  # nothing was sent, so there is nothing to judge
                continue
            facts = {"link": point.transceiver, "channel": point.channel}
            facts |= {column: float(row[column]) for column in ("snr_db", "bpp", "cbr") if row[column] == row[column]}
            link = (
                f"{folder.name}: {point.transceiver}, {point.channel}"
                if len(folders) > 1
                else (f"{point.transceiver}, {point.channel}")
            )
            found.append(Candidate(names[name], link, f"{number}", partial(_kept, kept, key), facts))
    if not found:
        raise StudyError(
            f"{', '.join(map(str, folders))}: has kept no reconstructions; set `keep: all` in its experiment file and "
            "run it again, or name a run that has"
        )
    return balanced(originals, found, count, kind, seed)


def from_folders(folder: Path, count: int, kind: str, seed: int = 0) -> list[Shown]:
    """Return items of a folder of folders: one of originals, and one for each link with images of the same names.

    Raises:
        StudyError: when it has no folder of originals, or no other.
        ImageError: when a folder has no images.
    """
    folders = {path.name: path for path in sorted(folder.iterdir()) if path.is_dir()} if folder.is_dir() else {}
    named = [name for name in folders if name in ORIGINALS]
    if len(named) != 1 or len(folders) < 2:
        raise StudyError(
            f"{folder}: expected a folder named {ORIGINALS[0]} and one folder for each link, with images of the "
            "same names"
        )
    files = {name: _by_stem(path) for name, path in folders.items()}
    originals = files.pop(named[0])
    found = [
        Candidate(stem, link, "", partial(read_image, path), {"link": link})
        for link, paths in files.items()
        for stem, path in paths.items()
        if stem in originals
    ]
    if not found:
        raise StudyError(f"{folder}: no image has the name of an original")
    return balanced({name: partial(read_image, path) for name, path in originals.items()}, found, count, kind, seed)


def from_list(path: Path) -> list[Shown]:
    """Return the items of a CSV file: `reference, first` or `reference, first, second`; names are relative to it.

    Raises:
        StudyError: for missing columns or files.
    """
    try:
        rows = list(csv.DictReader(path.read_text(encoding="utf-8-sig").splitlines()))
    except (OSError, ValueError, csv.Error) as error:
        raise StudyError(f"{path}: cannot be read as a list of images ({error})") from None
    columns = list(rows[0]) if rows else []
    wanted = [name for name in ("reference", "first", "second") if name in columns]
    if len(wanted) < 2 or wanted[1] != "first":
        raise StudyError(f"{path}: needs the columns reference, first and, for triplets and choices, second")
    items = []
    for number, row in enumerate(rows, 1):
        names = [row.get(name) for name in wanted]
        if not all(names):
            raise StudyError(f"{path}, line {number + 1}: needs {', '.join(wanted)}")
        files = [path.parent / name for name in names]
        for file in files:
            try:
                present = file.is_file()
            except (OSError, ValueError):
                present = False
            if not present:
                raise StudyError(f"{path}, line {number + 1}: there is no file {str(file)!r}")
        facts = {"names": names + [None] * (3 - len(names))}
        items.append(Shown(*files, *[None] * (3 - len(files)), facts))
    return items


def balanced(
    originals: Mapping[str, Callable[[], Any]], found: Sequence[Candidate], count: int, kind: str, seed: int
) -> list[Shown]:
    """Return items in which every original, then every link, then every point of a link is shown about as often."""
    rng = np.random.default_rng(seed)
    of: dict[str, list[Candidate]] = {}
    for n in rng.permutation(len(found)):
        of.setdefault(found[n].original, []).append(found[n])
    used: Counter = Counter()
    seen: set[tuple] = set()
    each = 1 if kind == "pairs" else 2
    items: list[Shown] = []
    open_ = [name for name in sorted(of) if len(of[name]) >= each]
    while open_ and len(items) < count:
        name = min(open_, key=lambda original: used["original", original])
        chosen = _least_used(of[name], used, seen, each)
        if chosen is None:
            open_.remove(name)
            continue
        seen.add(frozenset(map(id, chosen)))
        used["original", name] += 1
        for candidate in chosen:
            used.update([("link", candidate.link), ("point", candidate.link, candidate.place), ("own", id(candidate))])
        facts = [candidate.facts for candidate in chosen]
        names = [name, *(f"{c.link}{f' ({c.place})' if c.place else ''}" for c in chosen), *[None] * (2 - each)]
        loads = [candidate.load for candidate in chosen] + [None] * (2 - each)
        items.append(Shown(originals[name], *loads, {"names": names, "candidates": facts}))
    if not items:
        raise StudyError(
            "no original has two reconstructions to compare; add links or points, or make a study of pairs"
        )
    return [items[n] for n in rng.permutation(len(items))]


def _least_used(candidates: Sequence[Candidate], used: Counter, seen: set, each: int) -> tuple[Candidate, ...] | None:
    """Return the one or two candidates that were shown least and not together before."""

    def worth(candidate: Candidate, beside: str = "") -> tuple[int, ...]:
        link, point = ("link", candidate.link), ("point", candidate.link, candidate.place)
        return used[link] + (candidate.link == beside), used[point], used["own", id(candidate)]

    ordered = sorted(candidates, key=worth)
    for first in ordered:
        if each == 1:
            if frozenset([id(first)]) not in seen:
                return (first,)
            continue
        for second in sorted(ordered, key=partial(worth, beside=first.link)):
            if second is not first and frozenset([id(first), id(second)]) not in seen:
                return first, second
    return None


def _original(images: ImageSet, stored: Any) -> Any:
    image = images.load(Path(stored.path))
    if content_hash(image) != stored.hash:
        raise ImageError(f"{stored.path}: has changed since the run; put that file back")
    return image


def _kept(kept: Any, key: str) -> Any:
    image = kept.read(key)
    if image is None:
        raise ImageError(f"reconstruction {key} is damaged; run the experiment again, which mends it")
    return image


def _by_stem(folder: Path) -> dict[str, Path]:
    return {str(Path(name).with_suffix("")): path for name, path in ImageSet(str(folder)).files().items()}
