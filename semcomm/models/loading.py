"""Loading of models by name, once per process and shared. It never reaches the network."""

import pickle
import re
from collections.abc import Callable, Hashable, Iterator, Mapping
from contextlib import contextmanager
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import torch
from torch import nn

from semcomm.caches import Cache
from semcomm.errors import ConfigurationError, ModelError
from semcomm.models.cards import ModelCard, card_of
from semcomm.models.files import PICKLES, RUBBISH, Shape, cache_folder, fingerprint, read_tensors, tensors_in
from semcomm.parsing import parse_json

if TYPE_CHECKING:
    from transformers import PreTrainedModel

T = TypeVar("T")
Precision = Literal["fp32", "bf16"]
"""Of weights and arithmetic."""
DTYPES: dict[str, torch.dtype] = {"fp32": torch.float32, "bf16": torch.bfloat16}
HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
_TOKENIZERS = (("tokenizer.json",), ("vocab.json", "merges.txt"), ("vocab.txt",))
_models = Cache("models", most=32)


def find(name: str) -> Path:
    """Return where a model is on this machine: a folder, or a file of weights.

    Args:
        name: a local folder or file, a hub id that was fetched, or the short name of a card.

    Raises:
        ModelError: when it is not there; it says how to get it.
    """
    local = Path(name).expanduser()
    if local.exists():
        return local.resolve()
    card = card_of(name)
    path = _fetched(card.source if card and not card.is_file else name, card)
    if path is None:
        raise ModelError(_missing(name, card))
    return path


def is_present(card: ModelCard) -> bool:
    """Say whether a model is on this machine."""
    if not card.source:
        package = Path(__file__).parents[1]
        return all((package / file).is_file() for file in card.files)
    return _fetched(card.source, card) is not None


def converted(card: ModelCard) -> Path:
    """Return where `fetch` puts a model that is one file."""
    return cache_folder() / "models" / f"{card.name}.safetensors"


def weights_of(name: str, trust_pickle: bool = False) -> str:
    """Return the hash (hex, 64 characters) of what a model is; see `semcomm.models.files.fingerprint`."""
    return fingerprint(find(name), trust_pickle)


def device_of(name: str) -> torch.device:
    """Return the device of a name: `auto` is the first GPU where there is one, else the CPU."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        return torch.device(name)
    except RuntimeError:
        raise ConfigurationError(f"device is {name!r}; say auto, cpu, cuda or cuda:1") from None


def shared(key: Hashable, make: Callable[[], T]) -> T:
    """Return what was made for `key` in this process, or make it."""
    return _models.get(key, make)


def load_transformer(
    name: str,
    architecture: str,
    precision: Precision = "fp32",
    device: str = "auto",
    trust_pickle: bool = False,
    **options: Any,
) -> "PreTrainedModel":
    """Return a model of transformers in evaluation mode, loaded once per process.

    Args:
        name: a local folder, a hub id that was fetched, or the short name of a card.
        architecture: class of transformers, `CLIPModel` for instance.
        precision: of weights and arithmetic.
        device: `auto`, or as PyTorch names it.
        trust_pickle: read `pytorch_model.bin` where there is no safetensors file.
        options: arguments of the class's constructor beside its configuration.

    Raises:
        ModelError: when it is missing, incomplete, damaged, of another kind, or a pickle that is not trusted.
    """
    folder, target = find(name), device_of(device)
    key = (folder, architecture, precision, target, tuple(options.items()))

    def make() -> "PreTrainedModel":
        model = read_transformer(folder, architecture, DTYPES[precision], trust_pickle, **options)
        return model.to(target).eval().requires_grad_(False)

    return shared(key, make)


def read_transformer(
    folder: Path, architecture: str, dtype: torch.dtype | Literal["auto"], trust_pickle: bool = False, **options: Any
) -> "PreTrainedModel":
    """Read a model of transformers from a folder; every tensor that its configuration asks for must be there."""
    transformers = import_transformers()
    cls = getattr(transformers, architecture)
    configuration = _configuration(folder)
    wanted = cls.config_class.model_type
    if configuration.get("model_type") != wanted:
        raise ModelError(
            f"{folder}: is of the kind {configuration.get('model_type') or 'unknown'!r} by its config.json; "
            f"{architecture} needs {wanted!r}"
        )
    has_safetensors = _check_weights(folder, trust_pickle)
    try:
        if has_safetensors:
            _check_size(folder, cls, configuration, options)
        with quiet_transformers():
            model, report = cls.from_pretrained(
                folder,
                dtype=dtype,
                local_files_only=True,
                use_safetensors=has_safetensors,
                output_loading_info=True,
                ignore_mismatched_sizes=True,
                **options,
            )
    except pickle.UnpicklingError as error:
        raise ModelError(f"{folder}: its pickle is damaged, or holds more than tensors, which is not read") from error
    except (*RUBBISH, ImportError, ArithmeticError) as error:  # what a damaged configuration can end in
        raise ModelError(f"{folder}: cannot be loaded as {architecture} ({first_line(error)})") from error
    mismatched = {name: (tuple(found), tuple(asked)) for name, found, asked in report["mismatched_keys"]}
    complain(folder, architecture, report["missing_keys"], mismatched)
    return model


def _check_size(folder: Path, cls: type, configuration: dict, options: Mapping[str, Any]) -> None:
    """Refuse a configuration that asks for far more than the files hold, before any memory is taken for it."""
    shapes = [shape for file in folder.glob("model*.safetensors") for shape in tensors_in(file).values()]
    if (layers := _most_layers(configuration)) > len(shapes):
        raise ModelError(f"{folder}: its config.json asks for {layers} layers, and there are {len(shapes)} tensors")
    with torch.device("meta"):
        model = cls(cls.config_class.from_dict(dict(configuration)), **options)
    asked, held = sum(p.numel() for p in model.parameters()), sum(map(prod, shapes))
    if asked > 2 * held + 2**20:
        raise ModelError(f"{folder}: its config.json asks for {asked:,} numbers, and its files hold {held:,}")


def _most_layers(configuration: Mapping[str, Any]) -> int:
    found = [0]
    for key, value in configuration.items():
        if isinstance(value, Mapping):
            found.append(_most_layers(value))
        elif isinstance(value, int) and ("layer" in key or "depth" in key):
            found.append(value)
        elif "attn_implementation" in key and "/" in str(value):
            raise ModelError(f"config.json names code to be fetched, {value!r}; that is not done")
    return max(found)


def load_processor(name: str, cls: str, **options: Any) -> Any:
    """Return a tokenizer or image processor of transformers from a model's folder, loaded once per process.

    Raises:
        ModelError: when its files are missing or damaged.
    """
    folder = find(name)
    if cls.endswith("Tokenizer") and not any(all((folder / f).is_file() for f in files) for files in _TOKENIZERS):
        # without them transformers makes a tokenizer of no words
        raise ModelError(f"{folder}: has no tokenizer (tokenizer.json, or vocab.json and merges.txt); fetch it again")

    def make() -> Any:
        transformers = import_transformers()
        try:
            with quiet_transformers():
                return getattr(transformers, cls).from_pretrained(folder, local_files_only=True, **options)
        except (*RUBBISH, ImportError) as error:
            raise ModelError(f"{folder}: has no usable {cls} ({first_line(error)})") from error

    return shared((folder, cls, tuple(options.items())), make)


def load_module(
    name: str,
    build: Callable[[], nn.Module],
    device: str = "auto",
    trust_pickle: bool = False,
    exact: Mapping[str, Shape] | None = None,
) -> nn.Module:
    """Return a module of our own with weights from a file, in evaluation mode, loaded once per process.

    Args:
        name: a file of weights, a folder with one such file, or the short name of a card.
        build: makes the module; its tensors' names are those of the file, which may hold others besides.
        device: `auto`, or as PyTorch names it.
        trust_pickle: read a PyTorch file (`.pth`).
        exact: name -> shape of further tensors that the file must hold, by which one network differs from another.

    Raises:
        ModelError: when it is missing, damaged, of another layout, or a pickle that is not trusted.
    """
    path, target = find(name), device_of(device)

    def make() -> nn.Module:
        file = _only_file(path, trust_pickle) if path.is_dir() else path
        found = read_tensors(file, trust_pickle)
        module = build()
        wanted = {key: tuple(value.shape) for key, value in module.state_dict().items()} | dict(exact or {})
        # torchvision's oldest files lack the counters of batch normalisation, which evaluation does not use
        missing = [key for key in wanted if key not in found and not key.endswith("num_batches_tracked")]
        shapes = {key: (tuple(found[key].shape), shape) for key, shape in wanted.items() if key in found}
        kind = build.__name__.strip("_")
        complain(file, kind, missing, {key: pair for key, pair in shapes.items() if pair[0] != pair[1]})
        module.load_state_dict({k: v for k, v in found.items() if k in module.state_dict()}, strict=False)
        return module.to(target).eval().requires_grad_(False)

    return shared((path, build, target), make)


def import_transformers() -> Any:
    """Return transformers, which is needed only by who uses its models.

    Raises:
        ModelError: when it is not installed.
    """
    try:
        import transformers
    except ImportError:
        raise ModelError("this model needs transformers: pip install 'semcomm[models]'") from None
    return transformers


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """Keep transformers' progress bars and load reports away: what they say, our errors say."""
    from transformers.utils import logging

    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()


def _fetched(source: str, card: ModelCard | None) -> Path | None:
    if card and card.is_file:
        return converted(card) if converted(card).is_file() else None
    if not HUB_ID.fullmatch(source):
        return None
    try:
        from huggingface_hub import try_to_load_from_cache
    except ImportError:
        return None
    for file in ("model_index.json", "config.json"):
        if isinstance(path := try_to_load_from_cache(source, file), str):
            return Path(path).parent
    return None


def _missing(name: str, card: ModelCard | None) -> str:
    if card is None and not HUB_ID.fullmatch(name):
        return f"{name}: there is no such folder or file, and no model of that name; `semcomm models` lists them"
    what = f"{card.source} ({card.size}, {card.licence})" if card else name
    pickle = " --trust-pickle" if card and card.is_file else ""
    fetch = f"`semcomm models fetch {card.name if card else name}{pickle}` downloads it"
    return f"the model {what} is not on this machine: {fetch}, or name a local {'file' if pickle else 'folder'} instead"


def _configuration(folder: Path) -> dict:
    if not folder.is_dir():
        raise ModelError(f"{folder}: is a file; this model is a folder with config.json and its weights")
    try:
        configuration = parse_json((folder / "config.json").read_text())
        if not isinstance(configuration, dict):
            raise ValueError
        return configuration
    except FileNotFoundError:
        raise ModelError(f"{folder}: has no config.json, so it is no model of transformers") from None
    except ValueError:
        raise ModelError(f"{folder / 'config.json'}: is damaged; fetch the model again") from None


def _check_weights(folder: Path, trust_pickle: bool) -> bool:
    """Say whether there are safetensors files, all of them whole; raise where there is nothing to read."""
    files = sorted(folder.glob("model*.safetensors"))
    for file in files:
        tensors_in(file)
    if files:
        return True
    if pickles := sorted(p.name for p in folder.iterdir() if p.suffix in PICKLES):
        if trust_pickle:
            return False
        raise ModelError(
            f"{folder}: has its weights as a pickle only ({pickles[0]}), which can run code when it is opened. If you "
            "know where it comes from, say trust_pickle=True; or save the model as safetensors"
        )
    raise ModelError(f"{folder}: has no weights (model.safetensors); `semcomm models fetch` gets what is missing")


def _only_file(folder: Path, trust_pickle: bool) -> Path:
    files = sorted(folder.glob("*.safetensors"))
    files = files or sorted(p for p in folder.iterdir() if p.suffix in PICKLES)
    if len(files) != 1:
        raise ModelError(f"{folder}: holds {len(files)} files of weights; name the one you mean")
    return files[0]


def complain(
    where: Path, kind: str, missing: set[str] | list[str], mismatched: Mapping[str, tuple[Shape, Shape]]
) -> None:
    """Raise one error about tensors that are not there or have another shape."""
    faults = []
    if missing:
        names = sorted(missing)
        faults.append(f"{len(names)} tensors are missing ({', '.join(names[:3])}{' …' if len(names) > 3 else ''})")
    if mismatched:
        name, (found, asked) = min(mismatched.items())
        faults.append(f"{len(mismatched)} have another shape ({name} is {list(found)}, not {list(asked)})")
    if faults:
        raise ModelError(f"{where}: is no complete {kind}: {'; '.join(faults)}")


def first_line(error: Exception) -> str:
    """Return the first line of what an error says, or its name."""
    return (str(error).splitlines() or [type(error).__name__])[0]
