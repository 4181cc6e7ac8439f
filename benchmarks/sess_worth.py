"""What the embedded SeSS is worth, beside PSNR, SSIM and MS-SSIM on the same images.

    python -m benchmarks.sess_worth KODAK [--caltech FOLDER] [--limit N]

KODAK is a folder of the 24 images of Kodak, on which nothing was trained. FOLDER holds Caltech-101, a folder
of images for each class; of it, the classes that the encoder training never saw are used.
"""

import argparse
import json
import time
from itertools import combinations, pairwise
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate

from semcomm import JPEG2000, MSSSIM, PSNR, SSIM, EmbeddedScore, ImageSet, Metric, SeSS
from semcomm.errors import RateError
from semcomm.images import quantise, read_image
from semcomm.metrics.sess.matching import match
from semcomm.transceivers import ColourFilter, Reflection, Rotation, Scaling, Translation

RATES = (0.03, 0.06, 0.125, 0.25, 0.5, 1.0, 2.0)
PUBLISHED = {"translation": 0.915, "rotation": 0.847, "reflection": 0.836, "scaling": 0.906, "colour filter": 0.864}
"""SeSS of the paper's Figure 13, with the published models, on one image each."""
PAIRS_PER_CLASS = 10


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kodak")
    parser.add_argument("--caltech", type=Path)
    parser.add_argument("--limit", type=int)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    images = [image for _, image in ImageSet(arguments.kodak, limit=arguments.limit)]
    metrics = [SeSS(), EmbeddedScore(), PSNR(), SSIM(), MSSSIM()]
    with torch.inference_mode():
        itself(images, metrics[0])
        over_rate(images, metrics)
        apart(images, metrics)
        transformed(images, metrics)
        if arguments.caltech:
            classes(arguments.caltech)
        times(images[0])


def score(metric: Metric, first: Tensor, second: Tensor) -> float:
    return metric(first[None], second[None]).item()


def table(title: str, names: list[str], rows: list[list[str]]) -> None:
    print(f"\n### {title}\n\n| {' | '.join(names)} |\n|{'---|' * len(names)}")
    for row in rows:
        print(f"| {' | '.join(row)} |", flush=True)


def itself(images: list[Tensor], metric: Metric) -> None:
    worst = min(score(metric, image, image) for image in images)
    print(f"SeSS of an image with itself: at least {worst:.9f} over {len(images)} images")


def over_rate(images: list[Tensor], metrics: list[Metric]) -> None:
    rows, means = [], []
    for bpp in RATES:
        received = [coded(image, bpp) for image in images]
        values = [[score(m, a, b) for a, b in zip(images, received)] for m in metrics]
        means.append(np.mean(values[0]))
        rows.append([f"{bpp}", *(f"{np.mean(v):.4f}" for v in values)])
    table("Over the rate of JPEG 2000", ["bpp", *(m.name for m in metrics)], rows)
    rising = all(a < b for a, b in pairwise(means))
    print(f"\nSeSS rises with the rate: {'yes' if rising else 'no'}.")


def coded(image: Tensor, bpp: float) -> Tensor:
    codec = JPEG2000()
    try:
        return codec.decode(codec.encode(image, int(bpp * image[0].numel() / 8)))
    except RateError:
        return image.mean((1, 2), keepdim=True).expand_as(image)


def apart(images: list[Tensor], metrics: list[Metric]) -> None:
    """Reconstructions of the same image at 0.1 bpp against unrelated images of the same size."""
    rows = []
    received = [coded(image, 0.1) for image in images]
    pairs = [(a, b) for a, b in combinations(images, 2) if a.shape == b.shape]
    for metric in metrics:
        same = [score(metric, a, b) for a, b in zip(images, received)]
        other = [score(metric, a, b) for a, b in pairs]
        numbers = (np.mean(same), min(same), np.mean(other), max(other), auc(same, other))
        rows.append([metric.name, *(f"{n:.3f}" for n in numbers)])
    names = ["metric", "same at 0.1 bpp, mean", "lowest", "unrelated, mean", "highest", "AUC"]
    table(f"Same image or another ({len(images)} and {len(pairs)} pairs)", names, rows)


def transformed(images: list[Tensor], metrics: list[Metric]) -> None:
    links = {
        "translation": Translation(30),
        "rotation": Rotation(5),
        "reflection": Reflection(),
        "scaling": Scaling(30),
        "colour filter": ColourFilter(0.2),
    }
    rows, worst = [], [np.inf] * len(metrics)
    for name, link in links.items():
        changed = [quantise(link.distorted(image[None]))[0] for image in images]
        means = [np.mean([score(m, a, b) for a, b in zip(images, changed)]) for m in metrics]
        worst = [min(w, m) for w, m in zip(worst, means)]
        rows.append([name, *(f"{m:.3f}" for m in means), f"{PUBLISHED[name]:.3f}"])
    rows.append(["worst", *(f"{w:.3f}" for w in worst), f"{min(PUBLISHED.values()):.3f}"])
    table("Small changes", ["change", *(m.name for m in metrics), "published SeSS"], rows)


def classes(folder: Path) -> None:
    """Two images of one class against two of different classes, among classes that training never saw."""
    from semcomm.models.encoder import load_encoder

    unseen = json.loads(json.dumps(load_encoder().card))["unseen_classes"]
    rng = np.random.default_rng(0)
    sess = SeSS()
    names = [name for name in unseen if (folder / name).is_dir()]
    scenes, small, whole = {}, {}, {}
    for name in names:
        files = sorted((folder / name).iterdir())
        for path in (files[i] for i in rng.choice(len(files), 2 * PAIRS_PER_CLASS, replace=False)):
            image = read_image(path)
            scenes[path] = sess.backend.describe(image, sess.parameters.crop)
            whole[path] = torch.from_numpy(scenes[path].embedding)
            small[path] = quantise(interpolate(image[None], (128, 128), mode="bilinear", antialias=True))
    by_class = [[p for p in scenes if p.parent.name == name] for name in names]
    same = [(ps[2 * k], ps[2 * k + 1]) for ps in by_class for k in range(PAIRS_PER_CLASS)]
    flat = [p for ps in by_class for p in ps]
    different = []
    while len(different) < len(same):
        a, b = (flat[i] for i in rng.choice(len(flat), 2, replace=False))
        if a.parent != b.parent:
            different.append((a, b))
    functions = {
        "SeSS (embedded)": lambda a, b: sess.match(scenes[a], scenes[b]).score,
        "SeSS (embedded), graphs alone": lambda a, b: sess.match(scenes[a], scenes[b]).graph_score,
        "Embedded cosine": lambda a, b: float(whole[a] @ whole[b]),
        "PSNR, at 128x128": lambda a, b: PSNR()(small[a], small[b]).item(),
        "SSIM, at 128x128": lambda a, b: SSIM()(small[a], small[b]).item(),
    }
    rows = [[name, f"{auc([f(*p) for p in same], [f(*p) for p in different]):.3f}"] for name, f in functions.items()]
    title = f"One class or two: {len(names)} classes unseen in training, {len(same)} pairs of each kind"
    table(title, ["metric", "AUC"], rows)


def auc(high: list[float], low: list[float]) -> float:
    high, low = np.array(high)[:, None], np.array(low)[None]
    return float(((high > low) + 0.5 * (high == low)).mean())


def times(image: Tensor) -> None:
    metric, other = SeSS(), coded(image, 0.5)
    for _ in range(2):
        began = time.perf_counter()
        first, second = (metric.backend.describe(i, metric.parameters.crop) for i in (image, other))
        described = time.perf_counter() - began
        graphs = [scene.graph(metric.parameters) for scene in (first, second)]
        began = time.perf_counter()
        match(*graphs, 0.9, metric.backend.predicate_similarity(), metric.parameters)
        matched = time.perf_counter() - began
    height, width = image.shape[1:]
    share = matched / (described + matched)
    print(f"\nOne pair at {width}x{height}, one thread: {described + matched:.2f} s, of which matching {share:.1%}.")


if __name__ == "__main__":
    main()
