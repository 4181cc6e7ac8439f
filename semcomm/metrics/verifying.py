"""Known answers: what a published model says of images that everyone has, got again and shown beside what is expected.

`check` says whether a model is complete; this says whether it is the model that it should be, and read rightly.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from semcomm.errors import ConfigurationError, ModelError
from semcomm.images import read_image
from semcomm.models.cards import card_of
from semcomm.models.loading import find
from semcomm.parsing import parse_json

CAPTIONS = {
    "astronaut": "a portrait of an astronaut in front of a flag",
    "chelsea": "a photo of the face of a tabby cat",
    "coffee": "a cup of coffee on a saucer",
    "rocket": "a rocket standing on a launch pad",
    "camera": "a man looking through a camera on a tripod",
    "page": "a page of text about segmentation",
    "retina": "a medical image of the retina of an eye",
    "coins": "a black and white photo of old coins",
}
"""Photographs that scikit-image brings, and a caption each: CLIP prefers each one's own (as in OpenAI's example)."""
CLASSES = {
    "chelsea": ("a cat", {281, 282, 283, 284, 285}),
    "coffee": ("a cup or espresso", {504, 925, 967, 968, 969}),
}
"""Classes of ImageNet that a classifier should give the same photographs."""
CAPTION_WORDS = {"astronaut": {"woman", "man", "person", "astronaut", "space", "suit"}, "chelsea": {"cat", "kitten"}}
"""Words of which a caption should have one."""
MASKS = {"coins": (20, 40)}
"""Masks that SAM should find: there are 24 coins, a background, and shadows or parts."""
LPIPS_EXAMPLES = {"ex_p0.png": 0.722, "ex_p1.png": 0.138}
"""Distances from `ex_ref.png` by LPIPS (AlexNet, version 0.1): the authors' example (their repository, issue 120)."""
LPIPS_TOLERANCE = 0.002


@dataclass(frozen=True)
class Answer:
    """One known answer.

    Attributes:
        question: what was asked.
        expected: what the model should say.
        got: what it said.
        holds: whether that is it.
    """

    question: str
    expected: str
    got: str
    holds: bool


def verify(name: str, images: Path | None = None, trust_pickle: bool = False) -> list[Answer]:
    """Ask a model what it is known to answer.

    Args:
        name: short name, hub id, folder or file of a CLIP, BLIP, SAM or an image classifier; `efficientnet-lite0`; or
            `lpips-alex`, whose examples are in a folder of one's own.
        images: folder with `ex_ref.png`, `ex_p0.png` and `ex_p1.png` of the LPIPS repository (its `imgs`).
        trust_pickle: read weights that are a pickle.

    Raises:
        ModelError: when the model is missing, or nothing is known of its kind.
        ConfigurationError: when the images are missing.
    """
    if name == "efficientnet-lite0":
        return classifier_answers(name)
    if name == "lpips-alex":
        return lpips_answers(images, trust_pickle=trust_pickle)
    asked: dict[str, Callable[..., list[Answer]]] = {
        "clip": clip_answers,
        "blip": blip_answers,
        "sam": sam_answers,
    }
    kind, architectures = _kind(name)
    if kind in asked:
        return asked[kind](name, trust_pickle=trust_pickle)
    if any(architecture.endswith("ForImageClassification") for architecture in architectures):
        return classifier_answers(name)
    raise ModelError(
        f"{name}: no answers are known of its kind ({kind or 'unknown'}); there are some for CLIP, BLIP, SAM, image "
        "classifiers of ImageNet, efficientnet-lite0 and lpips-alex"
    )


def clip_answers(name: str, captions: Mapping[str, str] | None = None, trust_pickle: bool = False) -> list[Answer]:
    """Ask which of the captions CLIP prefers for each image: its own is expected."""
    from semcomm.models.clip import CLIP

    captions = CAPTIONS if captions is None else captions
    clip = CLIP(name, trust_pickle=trust_pickle)
    texts = list(captions.values())
    cosines = clip.embed_images(photographs(list(captions))) @ clip.embed_texts(texts).T
    return [
        Answer(f"caption of {image}", own, texts[best], texts[best] == own)
        for (image, own), best in zip(captions.items(), cosines.argmax(1).tolist())
    ]


def classifier_answers(name: str, classes: Mapping[str, tuple[str, set[int]]] | None = None) -> list[Answer]:
    """Ask for the class of each image: one of a few is expected."""
    from semcomm.models.recognisers import recogniser

    classes = CLASSES if classes is None else classes
    found = recogniser(name).probabilities(photographs(list(classes))).argmax(1).tolist()
    return [
        Answer(f"class of {image}", f"{what} ({', '.join(map(str, sorted(numbers)))})", str(got), got in numbers)
        for (image, (what, numbers)), got in zip(classes.items(), found)
    ]


def blip_answers(name: str, words: Mapping[str, set[str]] | None = None, trust_pickle: bool = False) -> list[Answer]:
    """Ask for a caption of each image: it should have one of a few words."""
    from semcomm.models.blip import Captioner

    words = CAPTION_WORDS if words is None else words
    captions = Captioner(name, trust_pickle=trust_pickle).captions(photographs(list(words)))
    return [
        Answer(f"caption of {image}", f"one of {', '.join(sorted(own))}", got, bool(own & set(got.lower().split())))
        for (image, own), got in zip(words.items(), captions)
    ]


def sam_answers(
    name: str, counts: Mapping[str, tuple[int, int]] | None = None, trust_pickle: bool = False
) -> list[Answer]:
    """Ask how many masks there are in each image: a number between two is expected."""
    from semcomm.models.segmenters import SAMMasks

    counts = MASKS if counts is None else counts
    segmenter = SAMMasks(name, trust_pickle=trust_pickle)
    answers = []
    for (image, (least, most)), pixels in zip(counts.items(), photographs(list(counts))):
        found = len(segmenter.segment(pixels, None).masks)
        answers.append(Answer(f"masks in {image}", f"{least} to {most}", str(found), least <= found <= most))
    return answers


def lpips_answers(
    images: Path | None,
    examples: Mapping[str, float] | None = None,
    weights: str | None = None,
    trust_pickle: bool = False,
) -> list[Answer]:
    """Ask for the distances of the authors' two examples.

    Raises:
        ConfigurationError: when the images are not there.
    """
    from semcomm.metrics.perceptual.lpips import LPIPS

    examples = LPIPS_EXAMPLES if examples is None else examples
    names = ["ex_ref.png", *examples]
    if images is None or any(not (images / name).is_file() for name in names):
        raise ConfigurationError(
            f"LPIPS's examples need {', '.join(names)} of its repository (github.com/richzhang/PerceptualSimilarity, "
            "folder imgs): name the folder with --images"
        )
    reference, *others = (read_image(images / name)[None] for name in names)
    metric = LPIPS("alex", weights, trust_pickle)
    found = [metric(reference, other).item() for other in others]
    return [
        Answer(f"distance of {name}", f"{expected:.3f}", f"{got:.3f}", abs(got - expected) <= LPIPS_TOLERANCE)
        for (name, expected), got in zip(examples.items(), found)
    ]


def photographs(names: Sequence[str]) -> list[Tensor]:
    """Return photographs that scikit-image brings or fetches, each [3, H, W].

    Raises:
        ConfigurationError: when scikit-image has to fetch one and cannot.
    """
    from skimage import data

    found = []
    for name in names:
        try:
            pixels = torch.from_numpy(getattr(data, name)().copy()).float() / 255
        except (AttributeError, OSError, ModuleNotFoundError, ValueError) as error:
            raise ConfigurationError(f"scikit-image's photograph {name!r} cannot be had ({error})") from None
        found.append(pixels.expand(3, -1, -1) if pixels.ndim == 2 else pixels.permute(2, 0, 1)[:3])
    return found


def _kind(name: str) -> tuple[str | None, list[str]]:
    path = find(name)
    if path.is_file():
        return "sam" if (card := card_of(name)) is None or card.kind == "SamModel" else None, []
    try:
        configuration = parse_json((path / "config.json").read_text())
        return configuration.get("model_type"), configuration.get("architectures") or []
    except (OSError, ValueError, AttributeError):
        return None, []
