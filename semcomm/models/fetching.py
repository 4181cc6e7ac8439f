"""Downloading a model, when the user asks for it and only then."""

import tempfile
from pathlib import Path

from torch.hub import download_url_to_file

from semcomm.errors import ModelError
from semcomm.models.cards import ModelCard, card_of
from semcomm.models.files import PICKLES, files_in, read_tensors, tensors_in
from semcomm.models.loading import HUB_ID, converted

_PATTERNS = ("*.json", "*.txt", "*.safetensors")


def fetch(name: str, folder: Path | None = None, trust_pickle: bool = False) -> Path:
    """Download a model and return where it is; an interrupted download goes on where it stopped.

    Args:
        name: short name of a card, or a hub id.
        folder: where to put it; by default the hub's cache, where the name alone finds it again.
        trust_pickle: take PyTorch's pickles too. A card that is one such file is checked against its published hash,
            converted to safetensors, and the pickle deleted.

    Raises:
        ModelError: when the name is unknown, the network or the hub refuses, or what came is not whole.
    """
    card = card_of(name)
    if card and not card.source:
        raise ModelError(f"{name}: comes with semcomm; there is nothing to fetch")
    if card and card.is_file:
        return _fetch_file(card, folder, trust_pickle)
    if not card and not HUB_ID.fullmatch(name):
        raise ModelError(f"{name}: is no hub id (owner/name), and `semcomm models` lists no such name")
    return _fetch_repository(card.source if card else name, card, folder, trust_pickle)


def _fetch_repository(repository: str, card: ModelCard | None, folder: Path | None, trust_pickle: bool) -> Path:
    try:
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import HFValidationError
        from huggingface_hub.errors import HTTPError as HubError
    except ImportError:
        raise ModelError("fetching needs huggingface_hub: pip install 'semcomm[models]'") from None
    patterns = [*(card.files if card else _PATTERNS), *(["pytorch_model*.bin"] if trust_pickle else [])]
    try:
        path = Path(snapshot_download(repository, allow_patterns=patterns, local_dir=folder))
    except (OSError, HubError, HFValidationError) as error:
        raise ModelError(f"{repository}: could not be fetched ({str(error).splitlines()[0]})") from error
    files = files_in(path, {".safetensors", *PICKLES})
    if not files:
        raise ModelError(f"{repository}: offers no safetensors; --trust-pickle takes a pickle instead, if you trust it")
    for file in files:
        if file.suffix == ".safetensors":
            tensors_in(file)
    return path


def _fetch_file(card: ModelCard, folder: Path | None, trust_pickle: bool) -> Path:
    if not trust_pickle:
        raise ModelError(
            f"{card.name}: is published as a pickle only ({card.source}). --trust-pickle downloads it, checks its "
            "hash, reads nothing but tensors from it and keeps them as safetensors"
        )
    from safetensors.torch import save_file

    out = folder / converted(card).name if folder else converted(card)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ModelError(f"{out.parent}: cannot be written ({error.strerror}); --to names another folder") from error
    with tempfile.TemporaryDirectory(dir=out.parent) as temporary:
        path = Path(temporary) / "weights.pth"
        try:
            download_url_to_file(card.source, str(path), hash_prefix=card.sha256)
        except OSError as error:
            raise ModelError(f"{card.source}: could not be fetched ({error})") from error
        except RuntimeError as error:
            raise ModelError(f"{card.source}: what came is damaged or not the published file ({error})") from error
        tensors = {name: tensor.contiguous() for name, tensor in read_tensors(path, trust_pickle=True).items()}
        save_file(tensors, Path(temporary) / out.name)
        (Path(temporary) / out.name).replace(out)
    return out
