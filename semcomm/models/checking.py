"""Is a local model complete and of the right kind?"""

import json
import re
from dataclasses import dataclass
from pathlib import Path

import torch

from semcomm.errors import ModelError
from semcomm.models.backbones import BUILD
from semcomm.models.cards import CARDS
from semcomm.models.diffusion import check_fit, read_diffuser, read_index, read_safety_checker, read_scheduler
from semcomm.models.files import Shape, files_in, fingerprint, tensors_in
from semcomm.models.inception import CLASSIFIER, InceptionV3
from semcomm.models.loading import import_transformers, load_processor, read_transformer

_NEEDED = {
    "clip": ("CLIPModel", ("CLIPImageProcessorPil", "CLIPTokenizer")),
    "sam": ("SamModel", ("SamImageProcessorPil",)),
    "blip": ("BlipForConditionalGeneration", ("BlipImageProcessorPil", "AutoTokenizer")),
    "vit": ("ViTModel", ("ViTImageProcessorPil",)),
}
"""model_type of config.json -> the class that we load, and what must stand beside it."""


@dataclass(frozen=True)
class Checked:
    """A complete model.

    Attributes:
        kind: class of it.
        files: number of its files of weights.
        tensors: number of tensors in them.
        megabytes: size of them.
    """

    kind: str
    files: int
    tensors: int
    megabytes: float


def check(folder: Path) -> Checked:
    """Return what the model in a folder is, having read all of it.

    Every tensor of a network is compared with what its configuration asks for; of diffusers' pipelines every component
    must be there and whole; a file of weights alone must be one of those that LPIPS and FID take.

    Args:
        folder: or a file of weights.

    Raises:
        ModelError: the first thing that is wrong with it.
    """
    if folder.is_file():
        shapes = tensors_in(folder)
        return Checked(_layout(folder, shapes), 1, len(shapes), folder.stat().st_size / 1e6)
    if not folder.is_dir():
        raise ModelError(f"{folder}: there is no such folder or file")
    if (folder / "model_index.json").is_file():
        kind = _check_pipeline(folder)
    else:
        kind = _check_component(folder)
    files = files_in(folder, {".safetensors"})
    for file in files:
        _check_content(file)
    size = sum(file.stat().st_size for file in files) / 1e6
    return Checked(kind, len(files), sum(len(tensors_in(file)) for file in files), size)


def _check_content(file: Path) -> None:
    """Compare a file with its hash, where there is one: the hub's cache names the large ones by theirs."""
    published = file.resolve().name
    if re.fullmatch(r"[0-9a-f]{64}", published) and fingerprint(file) != published:
        raise ModelError(f"{file}: its content is not what the hub published; delete {file.resolve()} and fetch again")


def _layout(file: Path, shapes: dict[str, Shape]) -> str:
    """Return which network a file of weights belongs to, by the names and shapes of its tensors."""
    with torch.device("meta"):
        wanted = {f"lpips-{network}": build().state_dict() for network, build in BUILD.items()}
        wanted["inception-fid"] = InceptionV3().state_dict()
    for name, state in wanted.items():
        needed = {key: tuple(value.shape) for key, value in state.items() if not key.endswith("num_batches_tracked")}
        needed |= CLASSIFIER if name == "inception-fid" else {}
        if needed.items() <= shapes.items():
            return CARDS[name].kind
    kinds = ", ".join(CARDS[name].kind for name in wanted)
    raise ModelError(f"{file}: its {len(shapes)} tensors are those of no network that is one file: {kinds}")


def _check_pipeline(folder: Path) -> str:
    for part, (library, cls) in read_index(folder).items():
        path = folder / part
        if not path.is_dir():
            raise ModelError(f"{folder}: the component {part} ({cls}) is missing; fetch the model again")
        if cls.endswith("Scheduler"):
            read_scheduler(path, cls)
        elif cls.endswith("Tokenizer"):
            load_processor(str(path), cls)
        elif cls.startswith(("CLIPImageProcessor", "CLIPFeatureExtractor")):
            load_processor(str(path), "CLIPImageProcessorPil")
        elif cls == "StableDiffusionSafetyChecker":
            read_safety_checker(path)
        elif library == "transformers":
            _check_component(path, cls)
        else:
            read_diffuser(path, cls)
    check_fit(folder)
    return _json(folder / "model_index.json").get("_class_name", "pipeline")


def _check_component(folder: Path, architecture: str | None = None) -> str:
    """Check one model; return its class."""
    path = folder / "config.json"
    if not path.is_file():
        raise ModelError(f"{folder}: has neither config.json nor model_index.json, so it is no model that we know")
    configuration = _json(path)
    if "_class_name" in configuration:  # of diffusers
        read_diffuser(folder, configuration["_class_name"])
        return configuration["_class_name"]
    kind, processors = _NEEDED.get(configuration.get("model_type"), (None, ()))
    if architecture is None:
        architecture = kind or (configuration.get("architectures") or ["unknown"])[0]
    else:
        processors = ()  # a pipeline has them in folders of their own
    if not hasattr(import_transformers(), architecture):
        raise ModelError(f"{path}: names the architecture {architecture}, which transformers does not have")
    options = {"add_pooling_layer": False} if architecture == "ViTModel" else {}
    read_transformer(folder, architecture, "auto", **options)
    for cls in processors:
        load_processor(str(folder), cls)
    return architecture


def _json(path: Path) -> dict:
    try:
        return json.loads(path.read_text())
    except ValueError:
        raise ModelError(f"{path}: is damaged; fetch the model again") from None
