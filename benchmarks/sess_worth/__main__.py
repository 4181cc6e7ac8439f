"""The worth of SeSS's embedded scenes, beside other metrics on the same images.

    python -m benchmarks.sess_worth KODAK [--coco FOLDER] [--caltech FOLDER] [--ablations] [--limit N]

KODAK is a folder of images; COCO's has `images` and `panoptic`, Caltech-101's a folder of images for each class, of
which those are used that the encoder's training never saw. With `--photos LIST` instead, the settings are judged on
what they were chosen by: the photographs of that list (a CSV file with the column `file`) which training kept for
validation, with ellipses as objects. The interval of 95 % is over images.
"""

import argparse
import csv
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate

from benchmarks.sess_worth.cases import Cases, add_changes, add_classes, add_edits, coded
from benchmarks.sess_worth.edits import coco_objects, edits, ellipses, faces
from benchmarks.sess_worth.verdict import ROWS, interval
from semcomm import MSSSIM, PSNR, SSIM, STLPIPS, EfficientNetLite0, EmbeddedScore, ImageSet, Metric, SeSS
from semcomm.images import content_hash, quantise, read_image
from semcomm.metrics.sess import Embedded, Scenes
from semcomm.metrics.sess.geometry import GeometricRelations
from semcomm.metrics.sess.relations import NoRelations
from semcomm.models.encoders.efficientnet import DISTILLED
from semcomm.models.files import read_weights
from semcomm.models.segmenters import ColourRegions, FeatureRegions
from semcomm.training.data import share_of

OBJECTS, FACES, PHOTOGRAPHS = 36, 24, 30
VAL_FRACTION = 0.05
"""Of the photographs, as `Distillation` has it."""
SHORT = (
    *("worst of five small changes", "the same, against unrelated images", "steps in rate that raise the score"),
    *("mean at 0.03 bpp", "mean at 1.0 bpp", "unrelated images", "edits below harmless changes", "… below noise"),
    *("one class or two: AUC", "animals or not: AUC"),
)
"""Columns shown of the ablations."""
SMALL = 128
"""Side at which images of different sizes are compared by metrics that need one size."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kodak", nargs="?")
    parser.add_argument("--coco", type=Path)
    parser.add_argument("--caltech", type=Path)
    parser.add_argument("--photos", type=Path)
    parser.add_argument("--ablations", action="store_true", help="what each part of the embedded scene is worth")
    parser.add_argument("--only", nargs="*", help="so many of the metrics, by the beginnings of their names")
    parser.add_argument("--limit", type=int)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    with torch.inference_mode():
        cases = gathered(arguments)
        metrics = ablations() if arguments.ablations else compared()
        if arguments.only:
            metrics = {n: m for n, m in metrics.items() if n.startswith(tuple(arguments.only))}
        (show_short if arguments.ablations else show)(cases, metrics)
        image = cases.pairs["rate 0.5"][0][0]
        times(image, metrics)


def gathered(arguments: argparse.Namespace) -> Cases:
    cases, limit = Cases(), arguments.limit
    if arguments.photos:
        with arguments.photos.open(newline="") as text:
            names = sorted(row["file"] for row in csv.DictReader(text))
        chosen = [name for name in names if share_of(name) < VAL_FRACTION][: limit or PHOTOGRAPHS]
        images = [read_image(arguments.photos.parent / name) for name in chosen]
        found = list(edits(ellipses(images)))
    else:
        images = [image for _, image in ImageSet(arguments.kodak or "builtin", limit=limit)]
        found = list(edits(coco_objects(arguments.coco, limit or OBJECTS))) if arguments.coco else []
    add_changes(cases, images)
    if arguments.caltech:
        found += faces(arguments.caltech / "Faces", limit or FACES)
        add_classes(cases, arguments.caltech, read_weights(DISTILLED, "image encoder").card["unseen_classes"])
    if found:
        add_edits(cases, found)
    return cases


def compared() -> dict[str, Metric]:
    metrics = [SeSS(), EmbeddedScore(), EmbeddedScore("efficientnet-lite0"), PSNR(), SSIM(), MSSSIM(), STLPIPS()]
    return {metric.name: metric for metric in metrics}


class Kept(EfficientNetLite0):
    """The encoder, which keeps every map: the ablations ask for the same ones again."""

    def __init__(self, model: str = "distilled") -> None:
        super().__init__(model)
        self.maps: dict[tuple[str, int], Tensor] = {}

    def features_batch(self, images: Sequence[Tensor], side: int) -> Tensor:
        """Return the kept maps."""
        found = []
        for image in images:
            key = content_hash(image), side
            if key not in self.maps:
                self.maps[key] = super().features_batch([image], side)[0].half()
            found.append(self.maps[key].float())
        return torch.stack(found)


def ablations() -> dict[str, Metric]:
    """Return the embedded scene with one part changed in each."""
    student, geometry, regions = Kept(), GeometricRelations(), FeatureRegions(Embedded().segmenter.regions)
    pooled = {"objects": "map", "importance": "area", "both": True}

    def scenes(segmenter=regions, encoder=student, relations=geometry, **changes) -> SeSS:
        return SeSS(Scenes(segmenter, encoder, relations, **{**pooled, **changes}), "embedded")

    return {
        "as it is": scenes(),
        "published weights of the encoder": scenes(encoder=Kept("imagenet")),
        "regions by colour": scenes(ColourRegions()),
        "objects cut out": scenes(objects="crop", both=False),
        "own regions only": scenes(both=False),
        "saliency for area": scenes(importance="saliency"),
        "no relations": scenes(relations=NoRelations()),
        "2 regions": scenes(FeatureRegions(2)),
        "8 regions": scenes(FeatureRegions(8)),
        "whole images weigh 0.1": SeSS(scenes().backend, "paper"),
        "whole images alone": EmbeddedScore(student),
    }


def scored(cases: Cases, metric: Metric) -> dict[str, np.ndarray]:
    """Return the scores of every group, higher being more alike."""
    sign = 1 if metric.higher_is_better else -1
    prepared: dict[int, tuple[Tensor, object]] = {}

    def score(first: Tensor, second: Tensor) -> float:
        if metric.same_size and first.shape != second.shape:
            first, second = (reduced(image) for image in (first, second))
            return sign * metric(first[None], second[None]).item()
        if id(first) not in prepared:
            prepared[id(first)] = first, metric.prepare(first[None])
        return sign * metric.score(prepared[id(first)][1], second[None]).item()

    return {
        group: np.array([np.nan if pair is None else score(*pair) for pair in pairs])
        for group, pairs in cases.pairs.items()
    }


def reduced(image: Tensor) -> Tensor:
    return quantise(interpolate(image[None], (SMALL, SMALL), mode="bilinear", antialias=True))[0]


def show(cases: Cases, metrics: Mapping[str, Metric]) -> None:
    """Print a column for each metric, with intervals."""
    print(f"\n| | goal | {' | '.join(metrics)} |\n|{'---|' * (len(metrics) + 2)}")
    found = {name: scored(cases, metric) for name, metric in metrics.items()}
    for row, (function, goal) in ROWS.items():
        if all(answered(function, scores) for scores in found.values()):
            cells = []
            for scores in found.values():
                value = function(scores)
                low, high = (np.nan, np.nan) if np.isnan(value) else interval(function, scores)
                cells.append("–" if np.isnan(value) else f"{value:.3f} ({low:.3f} to {high:.3f})")
            print(f"| {row} | {goal} | {' | '.join(cells)} |", flush=True)


def show_short(cases: Cases, metrics: Mapping[str, Metric]) -> None:
    """Print a row for each metric, without intervals."""
    rows = {row: function for row, (function, _) in ROWS.items() if row in SHORT}
    print(f"\n| | {' | '.join(rows)} |\n|{'---|' * (len(rows) + 1)}")
    for name, metric in metrics.items():
        scores = scored(cases, metric)
        cells = [f"{f(scores):.3f}" if answered(f, scores) else "" for f in rows.values()]
        print(f"| {name} | {' | '.join(cells)} |", flush=True)


def answered(function: Callable, scores: Mapping[str, np.ndarray]) -> bool:
    """Say whether the images that were named answer a question."""
    try:
        function(scores)
    except (KeyError, ValueError):
        return False
    return True


def times(image: Tensor, metrics: Mapping[str, Metric]) -> None:
    """Print the time of one pair by each metric, in units of MS-SSIM's on the same machine."""
    other = coded(image, 0.5)
    taken = {}
    for name, metric in {**metrics, "MS-SSIM": MSSSIM()}.items():
        metric(image[None], other[None])
        seconds = []
        for number in range(3):  # images that no cache has seen
            pair = [quantise(i[None] * (1 - 0.01 * (number + 1))) for i in (image, other)]
            began = time.process_time()
            metric(*pair)
            seconds.append(time.process_time() - began)
        taken[name] = min(seconds)
    height, width = image.shape[1:]
    listed = ", ".join(f"{name} {1000 * value:.0f} ms" for name, value in taken.items())
    print(f"\nProcessor time of one pair at {width}x{height}, one thread: {listed}.")


if __name__ == "__main__":
    main()
