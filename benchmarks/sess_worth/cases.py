"""The pairs of images that are scored, by what is asked of them."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path

import numpy as np
from torch import Tensor

from benchmarks.sess_worth.edits import HARMLESS, Edit
from semcomm import JPEG2000
from semcomm.errors import RateError
from semcomm.images import quantise, read_image
from semcomm.transceivers import ColourFilter, Reflection, Rotation, Scaling, Translation

RATES = (0.03, 0.06, 0.125, 0.25, 0.5, 1.0)
ANIMALS = {"crab", "crocodile", "flamingo", "gerenuk", "hawksbill", "hedgehog", "rhino", "sea_horse", "starfish"}
ANIMALS |= {"cougar_body"}
PAIRS_PER_CLASS, SUPERCLASS_PAIRS = 10, 200

Pair = tuple[Tensor, Tensor]


@dataclass
class Cases:
    """Pairs (reference, other) of images [3, H, W] by group.

    Attributes:
        pairs: by group: `itself`, `change NAME` and `rate BPP`, one per image; `unrelated`; `edit`, and `harmless KIND`
            of the same PSNR, one per edit, None where there is none; `same class`, `other class`, `same superclass`,
            `other superclass`.
        kinds: of the edits.
    """

    pairs: dict[str, list[Pair | None]] = field(default_factory=dict)
    kinds: list[str] = field(default_factory=list)


def add_changes(cases: Cases, images: Sequence[Tensor]) -> None:
    """Add the five changes of the paper's Figure 13, 30 pixels being those of an image 768 wide, and JPEG 2000."""
    cases.pairs["itself"] = [(image, image) for image in images]
    for image in images:
        pixels = round(30 * image.shape[2] / 768)
        links = {
            "translation": Translation(pixels),
            "rotation": Rotation(5),
            "reflection": Reflection(),
            "scaling": Scaling(pixels),
            "colour filter": ColourFilter(0.2),
        }
        for name, link in links.items():
            changed = quantise(link.distorted(image[None]).clamp(0, 1))[0]
            cases.pairs.setdefault(f"change {name}", []).append((image, changed))
        for bpp in RATES:
            cases.pairs.setdefault(f"rate {bpp}", []).append((image, coded(image, bpp)))
    pairs = [(a, b) for a, b in combinations(images, 2) if a.shape == b.shape]
    if pairs:
        cases.pairs["unrelated"] = pairs[:: max(1, len(pairs) // 200)]


def coded(image: Tensor, bpp: float) -> Tensor:
    codec = JPEG2000()
    try:
        return codec.decode(codec.encode(image, int(bpp * image[0].numel() / 8)))
    except RateError:
        return image.mean((1, 2), keepdim=True).expand_as(image)


def add_edits(cases: Cases, edits: Sequence[Edit]) -> None:
    """Add local edits, each beside harmless changes of its PSNR."""
    for edit in edits:
        cases.kinds.append(edit.kind)
        cases.pairs.setdefault("edit", []).append((edit.image, edit.edited))
        for kind in HARMLESS:
            changed = edit.harmless.get(kind)
            pair = None if changed is None else (edit.image, changed)
            cases.pairs.setdefault(f"harmless {kind}", []).append(pair)


def add_classes(cases: Cases, folder: Path, names: Sequence[str]) -> None:
    """Add pairs of one class and of two; and of two kinds of animal, and of an animal and something else."""
    rng = np.random.default_rng(0)
    by_class = {}
    for name in names:
        files = sorted((folder / name).iterdir())
        chosen = rng.choice(len(files), 2 * PAIRS_PER_CLASS, replace=False)
        by_class[name] = [read_image(files[i]) for i in chosen]
    cases.pairs["same class"] = [
        (images[2 * k], images[2 * k + 1]) for images in by_class.values() for k in range(PAIRS_PER_CLASS)
    ]

    def drawn(first: Sequence[str], second: Sequence[str], count: int) -> list[Pair]:
        found = []
        while len(found) < count:
            a, b = rng.choice(first), rng.choice(second)
            if a != b:
                found.append(tuple(by_class[c][rng.integers(2 * PAIRS_PER_CLASS)] for c in (a, b)))
        return found

    animals, others = [n for n in names if n in ANIMALS], [n for n in names if n not in ANIMALS]
    cases.pairs["other class"] = drawn(names, names, len(cases.pairs["same class"]))
    cases.pairs["same superclass"] = drawn(animals, animals, SUPERCLASS_PAIRS)
    cases.pairs["other superclass"] = drawn(animals, others, SUPERCLASS_PAIRS)
