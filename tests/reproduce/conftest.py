"""Shared parts of the tests of reproductions: tiny models for the published ones, a few images for the data sets."""

import sys
from pathlib import Path

import pytest
import yaml

TESTS = Path(__file__).resolve().parent.parent
EXPERIMENTS = TESTS.parent / "experiments"
sys.path.append(str(TESTS / "metrics" / "sess"))  # for `small_sam`


@pytest.fixture(scope="session")
def data_sets(tmp_path_factory) -> Path:
    """A folder of data sets as they are unpacked, a few images in each."""
    from PIL import Image

    from semcomm.images import ImageSet, to_bytes

    root = tmp_path_factory.mktemp("data")
    images = [to_bytes(image) for _, image in ImageSet(size=176, crop=176)]
    places = {
        "coco-val2017/val2017": "{:012d}.jpg",
        "flickr8k/Flicker8k_Dataset": "{}_0a1b2c3d4e.jpg",
        "kodak": "kodim{:02d}.png",
        "clic2020-professional/valid": "photographer-{}.png",
    }
    for place, name in places.items():
        (root / place).mkdir(parents=True)
        for number, pixels in enumerate(images, 1):
            Image.fromarray(pixels).save(root / place / name.format(number))
        (root / place / "README.txt").write_text("no image")
    return root


@pytest.fixture(scope="session")
def tiny_experiments(tmp_path_factory) -> Path:
    """The experiment files with the ends of every swept axis alone, and the setting `paper` on tiny random models."""
    import small_sam
    import tiny_codecs
    import tiny_diffusion
    import tiny_models

    folder = tmp_path_factory.mktemp("experiments")
    made = folder / "models"
    made.mkdir()
    tiny_models.quietly(small_sam.small_sam().save_pretrained, made / "sam")
    clip = str(tiny_models.clip(made / "clip"))
    captioner = str(tiny_models.blip(made / "blip"))
    names = {
        "sam-vit-huge": str(made / "sam"),
        "clip-vit-h-14": clip,
        "blip-large": captioner,
        "stable-diffusion-v1-5": str(tiny_diffusion.stable_diffusion(made / "sd")),
        "controlnet-canny": str(tiny_diffusion.controlnet(made / "controlnet")),
        "ViTScore": {"class_path": "ViTScore", "init_args": {"model": str(tiny_models.vit(made / "vit"))}},
        "UnCLIP": "UnCLIP",
    }
    alex = str(tiny_models.torchvision_file(made / "alexnet.safetensors", "alex"))
    for name in ("LPIPS", "LpipsScore"):
        names[name] = {"class_path": name, "init_args": {"weights": alex}}
    unclip = str(tiny_diffusion.unclip(made / "unclip"))
    codec = str(tiny_codecs.saved(made / "lsci.safetensors", tiny_codecs.tiny_lsci()))

    def named(data):
        if isinstance(data, str):
            return names.get(data, data)
        if isinstance(data, list):
            return [
                named(value) for value in data if not (isinstance(value, dict) and value.get("class_path") == "FID")
            ]
        if isinstance(data, dict):
            found = {key: value if key == "class_path" else named(value) for key, value in data.items()}
            arguments = found.setdefault("init_args", {}) if "class_path" in data else {}
            extra = {"CaptionCLIPScore": {"model": clip}, "Pretrained": {"grid": 2}, "TextAndSketch": {"steps": 1}}
            extra["TextAndSketch"] |= {"candidates": 1}
            extra["UnCLIP"] = {"steps": 1, "backend": {"class_path": "StableUnCLIP", "init_args": {"model": unclip}}}
            arguments |= extra.get(data.get("class_path"), {})
            return found
        return data

    setting = named(yaml.safe_load((EXPERIMENTS / "settings" / "paper.yaml").read_text()))
    setting["replace"]["LSCI"] = {"class_path": "LSCI", "init_args": {"checkpoint": codec}}
    (folder / "settings").mkdir()
    (folder / "settings" / "tiny.yaml").write_text(yaml.safe_dump(setting))
    for file in EXPERIMENTS.glob("*/*.yaml"):
        if (file.parent / "claims.yaml").exists():
            (folder / file.parent.name).mkdir(exist_ok=True)
            data = yaml.safe_load(file.read_text())
            (folder / file.parent.name / file.name).write_text(yaml.safe_dump(_ends(data, file.name)))
    return folder


def _ends(data: dict, name: str) -> dict:
    """Keep the ends of every axis, one denoising step, one realisation, and layers that the tiny codec has."""
    if name == "claims.yaml":
        return data
    for entry in [data, *(e for e in data["transceivers"].values() if isinstance(e, dict))]:
        for axis, values in (entry.get("sweep") or {}).items():
            entry["sweep"][axis] = [1, 2] if axis == "layers" else list(dict.fromkeys([values[0], values[-1]]))
        arguments = entry.get("init_args", {})
        for inner in [entry, *(a for a in arguments.values() if isinstance(a, dict))]:
            if inner.get("class_path") in ("TextToImage", "TextAndLatent"):
                inner["init_args"]["steps"] = 2
    return {**data, "realisations": 1}
