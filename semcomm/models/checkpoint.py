"""Reading the state dict of a checkpoint file that others published."""

import pickle
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from semcomm.errors import ModelError
from semcomm.models.files import RUBBISH

WRAPPERS = ("model", "state_dict")
"""Keys under which training scripts keep the state dict, beside optimiser and epoch."""


def read_checkpoint(path: str | Path, trust_pickle: bool = False) -> dict[str, Tensor]:
    """Return the tensors of a checkpoint by name.

    A `.safetensors` file holds tensors and nothing else. Any other file is taken for a pickle of torch. Of a pickle
    only tensors, numbers and containers are read (`weights_only`), and even so only when you say that you trust it.
    The state dict may lie under `model` or `state_dict`, and its names may begin with `module.`, as data-parallel
    training leaves them.

    Args:
        path: of the file.
        trust_pickle: whether you trust whoever made this pickle.

    Raises:
        ModelError: when the file is missing, damaged, a pickle that was not said to be trusted, or no state dict.
    """
    path = Path(path)
    if not path.is_file():
        raise ModelError(f"{path}: there is no such checkpoint file")
    if path.suffix == ".safetensors":
        state = _safetensors(path)
    elif trust_pickle:
        state = _pickle(path)
    else:
        raise ModelError(
            f"{path} is not a .safetensors file. A pickle can run code when it is read: if you trust who made it, say "
            "so with trust_pickle=True, or save its state dict as safetensors"
        )
    for wrapper in WRAPPERS:
        if isinstance(state, Mapping) and isinstance(state.get(wrapper), Mapping):
            state = state[wrapper]
    if not isinstance(state, Mapping) or not state or not all(isinstance(v, Tensor) for v in state.values()):
        raise ModelError(f"{path}: holds no state dict (names with tensors), nor one under {' or '.join(WRAPPERS)}")
    return {name.removeprefix("module."): tensor for name, tensor in state.items()}


def _safetensors(path: Path) -> Mapping:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except (SafetensorError, RuntimeError, ValueError, TypeError, KeyError) as error:
        raise ModelError(f"{path}: cannot be read as safetensors ({error}); fetch it again") from None


def _pickle(path: Path) -> object:
    import torch

    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        raise ModelError(
            f"{path}: is damaged, or holds more than tensors; save its state dict alone, best as safetensors"
        ) from None
    except RUBBISH as error:
        raise ModelError(f"{path}: cannot be read as a torch checkpoint ({error}); fetch it again") from None
