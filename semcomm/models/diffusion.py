"""Diffusion pipelines in the layout of diffusers: read part by part, each part once per process and shared."""

import inspect
import json
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch

from semcomm.errors import ConfigurationError, ModelError
from semcomm.models.files import tensors_in
from semcomm.models.loading import (
    DTYPES,
    Precision,
    complain,
    device_of,
    find,
    first_line,
    load_processor,
    load_transformer,
    quiet_transformers,
    shared,
)

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline, ModelMixin

Offload = Literal["none", "model", "sequential"]
"""Place of weights while they are not used: on the GPU, or on the CPU as whole models, or layer by layer."""

_TEXT_TO_IMAGE = ("vae", "text_encoder", "tokenizer", "unet", "scheduler")
REQUIRED: dict[str, tuple[str, ...]] = {
    "StableDiffusionPipeline": _TEXT_TO_IMAGE,
    "StableUnCLIPImg2ImgPipeline": (
        *_TEXT_TO_IMAGE,
        *("feature_extractor", "image_encoder", "image_normalizer", "image_noising_scheduler"),
    ),
}
"""Kind of a folder, `_class_name` in its model_index.json -> the components without which it is of no use here."""

_KIND = {
    "StableDiffusionPipeline": "StableDiffusionPipeline",
    "StableDiffusionImg2ImgPipeline": "StableDiffusionPipeline",
    "StableDiffusionControlNetPipeline": "StableDiffusionPipeline",
    "StableUnCLIPImg2ImgPipeline": "StableUnCLIPImg2ImgPipeline",
}
"""Class of a pipeline -> the kind of folder that its parts come from."""

_DAMAGE = (OSError, ValueError, RuntimeError, TypeError, LookupError, AttributeError, ArithmeticError, ImportError)
"""Errors that a damaged configuration can end in."""

_MODULES = {
    "StableDiffusionSafetyChecker": "diffusers.pipelines.stable_diffusion.safety_checker",
    "StableUnCLIPImageNormalizer": "diffusers.pipelines.stable_diffusion.stable_unclip_image_normalizer",
}
"""Classes that diffusers has, but not at its top."""

_DDIM = {"clip_sample": False, "set_alpha_to_one": False, "steps_offset": 1}
"""DDIM as latent diffusion has it, whatever the folder's scheduler leaves unsaid."""


def load_pipeline(
    name: str,
    pipeline: str,
    precision: Precision = "fp32",
    device: str = "auto",
    offload: Offload = "none",
    safety_checker: bool = False,
    controlnet: str | None = None,
) -> "DiffusionPipeline":
    """Return a pipeline of diffusers with a DDIM scheduler, made once per process; pipelines share their parts.

    Args:
        name: a local folder, a hub id that was fetched, or the short name of a card.
        pipeline: class of diffusers.
        precision: of weights and arithmetic.
        device: `auto`, or as PyTorch names it.
        offload: where weights wait on a GPU machine; without a GPU only `none` makes sense.
        safety_checker: load the folder's own, too; what it objects to becomes black.
        controlnet: name of a ControlNet, for pipelines that take one.

    Raises:
        ModelError: when something is missing, incomplete, damaged or of another kind.
        ConfigurationError: for offloading without a GPU.
    """
    folder, target = find(name), device_of(device)
    if offload != "none" and target.type == "cpu":
        raise ConfigurationError(f"offload is {offload!r}, which spares a GPU's memory, but the device is the CPU")
    home = torch.device("cpu") if offload != "none" else target
    guide = find(controlnet) if controlnet else None
    key = (folder, pipeline, precision, target, offload, safety_checker, guide)

    def make() -> "DiffusionPipeline":
        cls = _class(pipeline)
        index = read_index(folder, _KIND[pipeline])
        check_fit(folder, guide)
        accepted = set(inspect.signature(cls.__init__).parameters)
        wanted = (*REQUIRED[_KIND[pipeline]], *(("safety_checker", "feature_extractor") if safety_checker else ()))
        for part in wanted:
            if part not in index:
                raise ModelError(f"{folder}: has no {part}; do without (safety_checker: false), or fetch one")
        parts: dict[str, Any] = dict.fromkeys({"safety_checker", "feature_extractor", "image_encoder"} & accepted)
        parts |= {part: _part(folder / part, *index[part], precision, home) for part in wanted}
        if guide:
            parts["controlnet"] = _shared_model(guide, "ControlNetModel", precision, home)
        parts["scheduler"] = _class("DDIMScheduler").from_config(parts["scheduler"].config, **_DDIM)
        flags = {"requires_safety_checker": safety_checker} if "requires_safety_checker" in accepted else {}
        with quiet_diffusers():
            made = cls(**parts, **flags)
        if offload == "model":
            made.enable_model_cpu_offload(device=target)
        elif offload == "sequential":
            made.enable_sequential_cpu_offload(device=target)
        return made

    return shared(key, make)


def read_index(folder: Path, kind: str | None = None) -> dict[str, tuple[str, str]]:
    """Return component -> (library, class) of a pipeline's folder, without those that it does without.

    Args:
        folder: with a model_index.json.
        kind: the kind it must be; None takes any.

    Raises:
        ModelError: when it is no pipeline, of another kind, or a component is missing.
    """
    path = folder / "model_index.json"
    if not path.is_file():
        what = "a file" if folder.is_file() else "no pipeline: it has no model_index.json"
        raise ModelError(f"{folder}: is {what}; this model is a folder in the layout of diffusers")
    try:
        index = json.loads(path.read_text())
        found = index.get("_class_name", "unknown")
        parts = {n: tuple(e) for n, e in index.items() if not n.startswith("_") and isinstance(e, list) and e[0]}
    except (ValueError, AttributeError, IndexError):
        raise ModelError(f"{path}: is damaged; fetch the model again") from None
    if kind and found != kind:
        raise ModelError(f"{folder}: is a {found}, and a {kind} is needed; `semcomm models` lists those that will do")
    for part in REQUIRED.get(found, ()):
        if part not in parts:
            raise ModelError(f"{path}: names no {part}, which a {found} needs; `semcomm models fetch` gets a whole one")
    return parts


def read_diffuser(folder: Path, architecture: str, dtype: torch.dtype = torch.float32) -> "ModelMixin":
    """Read one network of diffusers from a folder; every tensor that its configuration asks for must be there.

    Raises:
        ModelError: when it is missing, incomplete, damaged or of another kind.
    """
    path = folder / "config.json"
    if not path.is_file():
        raise ModelError(f"{folder}: has no config.json, so it is no {architecture}; `semcomm models fetch` gets it")
    try:
        found = json.loads(path.read_text()).get("_class_name", architecture)
    except (ValueError, AttributeError):
        raise ModelError(f"{path}: is damaged; fetch the model again") from None
    if found != architecture:
        raise ModelError(f"{folder}: holds a {found}, but the pipeline asks for a {architecture}")
    files = sorted(folder.glob("diffusion_pytorch_model*.safetensors"))
    if not files:
        raise ModelError(f"{folder}: has no weights (diffusion_pytorch_model.safetensors); fetch it again")
    for file in files:
        tensors_in(file)
    try:
        with quiet_diffusers():
            model, report = _class(architecture).from_pretrained(
                folder,
                torch_dtype=dtype,
                local_files_only=True,
                use_safetensors=True,
                output_loading_info=True,
                ignore_mismatched_sizes=True,
            )
    except _DAMAGE as error:
        raise ModelError(f"{folder}: cannot be loaded as {architecture} ({first_line(error)})") from error
    mismatched = {name: (tuple(have), tuple(want)) for name, have, want in report["mismatched_keys"]}
    complain(folder, architecture, report["missing_keys"], mismatched)
    return model


def import_diffusers() -> Any:
    """Return diffusers, which is needed only by who generates.

    Raises:
        ModelError: when it is not installed.
    """
    try:
        import diffusers
    except ImportError:
        raise ModelError("this model needs diffusers: pip install 'semcomm[models]'") from None
    return diffusers


@contextmanager
def quiet_diffusers() -> Iterator[None]:
    """Keep the warnings and progress bars of loading away: what they say, our errors say."""
    from diffusers.utils import logging

    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        with quiet_transformers():
            yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()


def _part(folder: Path, library: str, kind: str, precision: Precision, device: torch.device) -> Any:
    if not folder.is_dir():
        raise ModelError(
            f"{folder.parent}: the component {folder.name} ({kind}) is missing; `semcomm models fetch` gets what is "
            "missing, `semcomm models check` looks at a whole folder"
        )
    if kind.endswith("Scheduler"):
        return read_scheduler(folder, kind)
    if kind.endswith("Tokenizer"):
        return load_processor(str(folder), kind)
    if kind.startswith(("CLIPImageProcessor", "CLIPFeatureExtractor")):
        return load_processor(str(folder), "CLIPImageProcessorPil")
    if library == "transformers":
        return load_transformer(str(folder), kind, precision, str(device))
    return _shared_model(folder, kind, precision, device)


def read_scheduler(folder: Path, kind: str) -> Any:
    """Read a scheduler's settings from its folder.

    Raises:
        ModelError: when they are missing or damaged.
    """
    try:
        with quiet_diffusers():
            return _class(kind).from_pretrained(folder, local_files_only=True)
    except _DAMAGE as error:
        raise ModelError(f"{folder}: has no usable {kind} ({first_line(error)}); fetch the model again") from error


def _shared_model(folder: Path, kind: str, precision: Precision, device: torch.device) -> Any:
    def make() -> Any:
        if kind == "StableDiffusionSafetyChecker":
            model = read_safety_checker(folder, DTYPES[precision])
        else:
            model = read_diffuser(folder, kind, DTYPES[precision])
        return model.to(device).eval().requires_grad_(False)

    return shared((folder, kind, precision, device), make)


def read_safety_checker(folder: Path, dtype: torch.dtype = torch.float32) -> Any:
    """Read the network that looks for objectionable images.

    Raises:
        ModelError: when it is missing, incomplete or damaged.
    """
    for file in sorted(folder.glob("model*.safetensors")):
        tensors_in(file)
    try:
        with quiet_diffusers():
            model, report = _class("StableDiffusionSafetyChecker").from_pretrained(
                folder, dtype=dtype, local_files_only=True, use_safetensors=True, output_loading_info=True
            )
    except _DAMAGE as error:
        raise ModelError(f"{folder}: cannot be loaded as a safety checker ({first_line(error)})") from error
    complain(folder, "StableDiffusionSafetyChecker", report["missing_keys"], {})
    return model


def _class(kind: str) -> Any:
    import_diffusers()
    with quiet_diffusers():  # importing a pipeline warns of image processors that are not used
        found = getattr(import_module(_MODULES.get(kind, "diffusers")), kind, None)
    if found is None:
        raise ModelError(f"there is no {kind} in diffusers: the folder asks for something that it does not have")
    return found


def check_fit(folder: Path, controlnet: Path | None = None) -> None:
    """Refuse parts that are whole, but not of one model, by what their configurations say.

    Raises:
        ModelError: which two parts do not fit.
    """

    def said(part: Path, name: str) -> Any:
        try:
            return json.loads((part / "config.json").read_text()).get(name)
        except (OSError, ValueError, AttributeError):
            return None  # what is missing or damaged is refused where it is read

    def compare(one: Path, name: str, other: Path, same: str) -> None:
        mine, theirs = said(one, name), said(other, same)
        if None not in (mine, theirs) and mine != theirs:
            raise ModelError(
                f"{one}: its {name} is {mine}, but {same} of {other} is {theirs}: they are not of one model"
            )

    unet = folder / "unet"
    compare(unet, "cross_attention_dim", folder / "text_encoder", "hidden_size")
    compare(unet, "in_channels", folder / "vae", "latent_channels")
    if controlnet and said(controlnet, "_class_name") == "ControlNetModel":
        for name in ("block_out_channels", "cross_attention_dim"):
            compare(controlnet, name, unet, name)
