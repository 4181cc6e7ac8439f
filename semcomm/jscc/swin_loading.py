"""Checkpoints of SwinJSCC and WITT as their authors save them: constructor arguments inferred from names and shapes."""

import re
from collections.abc import Mapping
from math import isqrt
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from semcomm.caches import cached
from semcomm.errors import ConfigurationError, ModelError
from semcomm.jscc.swin import SwinNetwork
from semcomm.models.files import read_tensors

Variant = Literal["w/o", "SA", "RA", "SA&RA"]
DROPPED = ("distortion_loss.", "squared_difference.")
"""Buffers of the authors' training losses."""


def load_swin(
    path: Path,
    variant: Variant | None = None,
    constructed_at: int | None = None,
    trust_pickle: bool = False,
    device: str = "cpu",
) -> SwinNetwork:
    """Return the network of a checkpoint in evaluation mode, read once as long as its file stays the same.

    Args:
        path: the state dict of the whole network, as `*.model` (a pickle) or as safetensors.
        variant: `w/o`, `SA`, `RA` or `SA&RA`. Files of the first two look the same: one of them must be named. None
            for what the file says.
        constructed_at: side of the images for which the authors constructed the network, where the file has no
            attention masks that say it (256 for the published ones, 32 on CIFAR-10).
        trust_pickle: read a pickle. Even then only tensors, numbers and containers are read.
        device: where to compute.

    Raises:
        ModelError: when the file is missing, damaged, a pickle that is not trusted, or of another network.
        ConfigurationError: when the file cannot tell the variant or the shifts, or tells another.
    """
    if not path.is_file():
        raise ModelError(f"{path}: there is no such checkpoint of SwinJSCC or WITT")
    stat = path.stat()
    return _loaded(path, stat.st_mtime_ns, stat.st_size, variant, constructed_at, trust_pickle, device)


@cached(most=4)
def _loaded(
    path: Path,
    modified: int,
    size: int,
    variant: Variant | None,
    constructed_at: int | None,
    trust_pickle: bool,
    device: str,
) -> SwinNetwork:
    state = {k: v for k, v in read_tensors(path, trust_pickle).items() if not k.startswith(DROPPED)}
    try:
        options = options_of(state, variant, constructed_at)
    except (KeyError, ValueError, IndexError) as error:
        raise ModelError(f"{path}: is no SwinJSCC or WITT: {error} is not as in their state dicts") from None
    except ConfigurationError as error:
        raise ConfigurationError(f"{path}: {error}") from None
    with torch.device("meta"):
        network = SwinNetwork(**options)
    wanted = network.state_dict()
    missing = sorted(set(wanted) - set(state))
    wrong = [name for name in wanted if name in state and state[name].shape != wanted[name].shape]
    unused = [name for name in state if name not in wanted and not _expected_beside(name)]
    if missing or wrong or unused:
        parts = {"missing": missing, "of another shape": wrong, "unknown": unused}
        said = "; ".join(f"{len(names)} {what} ({', '.join(names[:3])})" for what, names in parts.items() if names)
        raise ModelError(f"{path}: its tensors do not fit the network that their shapes say: {said}")
    network.load_state_dict({name: state[name].float() for name in wanted}, assign=True)
    return network.eval().requires_grad_(False).to(device)


def _expected_beside(name: str) -> bool:
    """Say whether a tensor is one that the authors save and the network does not need."""
    buffer = name.endswith((".attn_mask", ".relative_position_index"))
    return buffer or bool(re.match(r"(en|de)coder\.(bm_list1?|sm_list1?|head_list)\.", name))


def options_of(
    state: Mapping[str, Tensor], variant: Variant | None = None, constructed_at: int | None = None
) -> dict[str, Any]:
    """Return the arguments of `SwinNetwork` for a state dict.

    Raises:
        ConfigurationError: when it cannot tell the variant or the shifts of windows, or tells another variant.
        KeyError: when a tensor is missing that every such network has.
    """
    found = _variant(state, variant)
    count = 1 + max(int(name.split(".")[2]) for name in state if name.startswith("encoder.layers."))
    stages = range(count)
    blocks = [
        {int(name.split(".")[4]) for name in state if name.startswith(f"encoder.layers.{n}.blocks.")} for n in stages
    ]
    tables = [state[f"encoder.layers.{n}.blocks.0.attn.relative_position_bias_table"].shape for n in stages]
    windows = [(isqrt(rows) + 1) // 2 for rows, _ in tables]
    return {
        "widths": [len(state[f"encoder.layers.{n}.blocks.0.norm1.weight"]) for n in stages],
        "depths": [len(indices) for indices in blocks],
        "heads": [heads for _, heads in tables],
        "windows": windows,
        "shifts": _shifts(state, windows, constructed_at),
        "snr_adaptive": "SA" in found,
        "rate_adaptive": "RA" in found,
        "channels": None if "RA" in found else len(state["encoder.head_list.weight"]),
    }


def _variant(state: Mapping[str, Tensor], variant: Variant | None) -> Variant:
    def has(prefix: str) -> bool:
        return any(name.startswith(prefix) for name in state)

    if has("encoder.bm_list1."):
        found: tuple[Variant, ...] = ("SA&RA",)
    else:
        found = ("w/o", "SA") if has("decoder.bm_list.") else ("RA",)
    if variant is None and len(found) > 1:
        raise ConfigurationError(
            "the checkpoints of w/o and SA hold the same tensors: say variant='SA' (also for WITT) or variant='w/o'"
        )
    if variant is not None and variant not in found:
        raise ConfigurationError(f"is a checkpoint of the variant {' or '.join(found)}, not {variant}")
    return variant or found[0]


def _shifts(state: Mapping[str, Tensor], windows: list[int], constructed_at: int | None) -> list[bool]:
    """Return whether each stage shifts: by its attention masks, else by the image size of the construction."""
    if any(name.endswith(".attn_mask") for name in state):
        return [f"encoder.layers.{n}.blocks.1.attn_mask" in state for n in range(len(windows))]
    if constructed_at is None:
        raise ConfigurationError(
            "holds no attention masks, which say whether the deepest stage shifts its windows: say for which image "
            "size it was constructed (constructed_at=256 for the published ones, 32 on CIFAR-10)"
        )
    return [constructed_at // 2 ** (n + 1) > window for n, window in enumerate(windows)]
