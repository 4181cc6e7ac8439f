"""The images of the report: copies for the eye, small enough that the page stays one file."""

import base64
from collections.abc import Callable
from functools import partial
from io import BytesIO
from pathlib import Path

from torch import Tensor

from semcomm.analysis.defaults import label_of
from semcomm.analysis.report.contents import Key, facts_of, key_of_point, number, parameters_of, texts_of
from semcomm.errors import ImageError
from semcomm.images import content_hash, to_bytes
from semcomm.runs.image_store import ImageStore
from semcomm.runs.results import Results, label
from semcomm.runs.store import StoredImage

LONGEST_SIDE = 512
QUALITY = 85
BUDGET = 24 * 2**20
"""Characters of embedded images, all together."""


class Album:
    """Embedded images by the hash of the exact ones, up to a budget; after the first left out, so are all others.

    Args:
        budget: in characters.
    """

    def __init__(self, budget: int) -> None:
        self.left = budget
        self.sources: dict[str, str] = {}
        self.left_out: set[str] = set()

    def add(self, key: str, load: Callable[[], Tensor | None]) -> bool:
        """Embed an image, if there is one and the budget allows it; say whether it is in."""
        if key in self.sources or (not self.left_out and (image := load()) is not None and self._fits(key, image)):
            return True
        if self.left_out:
            self.left_out.add(key)
        return False

    def _fits(self, key: str, image: Tensor) -> bool:
        source = webp(image)
        if len(source) > self.left:
            self.left_out.add(key)
            return False
        self.left -= len(source)
        self.sources[key] = source
        return True


def album_of(results: Results, data: dict) -> dict:
    """Return the images that are on disk, and what the page says of each.

    Args:
        results: of a run.
        data: what `contents_of` made of them; images name their points by their number in it.
    """
    experiment = results.experiment
    album, kept = Album(BUDGET), ImageStore(results.folder)
    numbers = {key_of_point(p["transceiver"], p["channel"], p["parameters"]): n for n, p in enumerate(data["points"])}
    hashes, texts = _hashes(results), texts_of(results)
    captions: dict[str, list[dict]] = {name: [] for name in results.images}
    for row in results.table[results.table["realisation"] == 0].to_dict("records"):
        key = key_of_point(row["transceiver"], row["channel"], parameters_of(row, experiment))
        found = hashes.get((*key, row["image"]))
        captions[row["image"]].append(
            {
                "point": numbers[key],
                "hash": found,
                "scores": [[label_of(m.name, experiment), number(row[m.name])] for m in experiment.image_metrics],
                "facts": facts_of(row, texts, experiment),
                "failed": [name for name in ("decode_failed", "infeasible") if number(row.get(name))],
            }
        )
    shown = []
    for name, received in captions.items():
        on_disk = {entry["hash"] for entry in received if entry["hash"] and kept.has(entry["hash"])}
        if not on_disk:
            continue
        stored = results.images[name]
        original, fault = _original(results, stored, album)
        for entry in received:
            digest = entry["hash"]
            entry["shown"] = digest in on_disk and album.add(digest, partial(kept.read, digest))
        shown.append(
            {
                "name": name,
                "size": f"{stored.width} × {stored.height}",
                "original": original,
                "fault": fault,
                "received": received,
            }
        )
    return {
        "images": shown,
        "sources": album.sources,
        "leftOut": len(album.left_out),
        "notKept": len(captions) - len(shown),
        "longestSide": LONGEST_SIDE,
        "quality": QUALITY,
    }


def webp(image: Tensor) -> str:
    """Return an image [3, H, W] as a data URL, scaled down where it is large."""
    from PIL import Image

    pil = Image.fromarray(to_bytes(image))
    pil.thumbnail((LONGEST_SIDE, LONGEST_SIDE), Image.Resampling.LANCZOS)
    buffer = BytesIO()
    pil.save(buffer, format="WEBP", quality=QUALITY)
    return f"data:image/webp;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def _hashes(results: Results) -> dict[Key, str]:
    """Return (key of the point, image) -> hash of the reconstruction in the first realisation."""
    found = {}
    for (number_of_point, image, realisation), digest in results.reconstructions.items():
        if realisation == 0:
            point = results.experiment.points[number_of_point]
            parameters = {axis: label(value) for axis, value in point.parameters.items()}
            found[(*key_of_point(point.transceiver, point.channel, parameters), image)] = digest
    return found


def _original(results: Results, stored: StoredImage, album: Album) -> tuple[str | None, str | None]:
    """Embed the image that was sent; return its key, or why there is none."""
    try:
        image = results.experiment.images.load(Path(stored.path))
    except ImageError as error:
        return None, str(error)
    if content_hash(image) != stored.hash:
        return None, "the file has changed since the run"
    if not album.add(stored.hash, lambda: image):
        return None, "left out, because the page is large enough"
    return stored.hash, None
