"""Scoring images on disk."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from semcomm.errors import ImageError
from semcomm.images import ImageSet, read_image
from semcomm.metrics import Metric

if TYPE_CHECKING:
    import pandas as pd


def score_files(
    reference: Path,
    reconstruction: Path,
    metrics: Sequence[Metric],
    on_note: Callable[[str], None] = lambda note: None,
) -> "pd.DataFrame":
    """Return one row per pair of images: `image`, and a column per metric.

    Args:
        reference: an image, or a folder of them.
        reconstruction: likewise; in a folder each has the reference's name, whatever its suffix.
        metrics: to compute.
        on_note: called with which files of a folder are left out.

    Raises:
        ImageError: when an image cannot be read or has no partner.
        MetricError: when a metric is not defined for a pair.
    """
    import pandas as pd

    rows = []
    for name, (first, second) in _pairs(reference, reconstruction, on_note).items():
        images = read_image(first)[None], read_image(second)[None]
        rows.append({"image": name, **{metric.name: metric(*images).item() for metric in metrics}})
    return pd.DataFrame(rows)


def _pairs(reference: Path, reconstruction: Path, on_note: Callable[[str], None]) -> dict[str, tuple[Path, Path]]:
    if reference.is_dir() != reconstruction.is_dir():
        raise ImageError(f"{reference} and {reconstruction}: give two images or two folders")
    if not reference.is_dir():
        return {reference.name: (reference, reconstruction)}
    ours, theirs = _by_stem(reference, on_note), _by_stem(reconstruction, on_note)
    if missing := sorted(set(ours) - set(theirs)):
        raise ImageError(
            f"{reconstruction}: has no image for {', '.join(missing[:5])}{' and others' if len(missing) > 5 else ''}"
        )
    return {stem: (path, theirs[stem]) for stem, path in ours.items()}


def _by_stem(folder: Path, on_note: Callable[[str], None]) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for name, path in ImageSet(str(folder)).files(on_note).items():
        stem = str(Path(name).with_suffix(""))
        if stem in found:
            raise ImageError(f"{folder}: {found[stem].name} and {path.name} differ in their suffix only")
        found[stem] = path
    return found
