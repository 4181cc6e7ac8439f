"""Learned codecs with random weights, small enough for a test, saved as a training exports them."""

import json
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from semcomm.component import class_path
from semcomm.images import quantise
from semcomm.jscc.deepjscc import DeepJSCCNetwork
from semcomm.jscc.lsci import LSCINetwork
from semcomm.jscc.network import LearnedNetwork

TINY = {
    "layers": [[16, 2], [16, 2], [8, 2], [4, 1]],
    "widths": [6, 8, 8],
    "encoder_blocks": [1, 1, 1],
    "decoder_blocks": [1, 1, 1],
}
USES = [2, 4, 12, 28]
"""Channel uses of a block of 16x16 pixels with 1 to 4 layers of `TINY`."""


def tiny_lsci(constellation: str = "16qam", seed: int = 0, **changes) -> LSCINetwork:
    return _random(LSCINetwork, seed, {**TINY, "constellation": constellation, **changes})


def tiny_deepjscc(symbols: int = 4, seed: int = 0) -> DeepJSCCNetwork:
    return _random(DeepJSCCNetwork, seed, {"symbols": symbols})


def _random(kind: type[nn.Module], seed: int, options: dict) -> nn.Module:
    """Parameters that begin at zero in a new network, such as gates by the SNR, are random here."""
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(seed)
        network = kind(**options).eval().requires_grad_(False)
        for name, parameter in network.named_parameters():
            if ".gate." in name:
                parameter.normal_(0, 0.5)
            elif not parameter.any() and parameter.ndim > 1:
                parameter.normal_(0, 0.05)
    return network


def saved(path: Path, network: LearnedNetwork, **changes) -> Path:
    """Write a network as a training does: half precision, and a card that says what it is."""
    card = {"class_path": class_path(type(network)), "network": network.options}
    card |= {"constellations": [network.constellation], "snr_db": [-2.0, 20.0], **changes}
    tensors = {name: tensor.half().contiguous() for name, tensor in network.state_dict().items()}
    save_file(tensors, path, {"card": json.dumps(card)})
    return path


def smooth_images(count: int, height: int, width: int, seed: int = 0) -> Tensor:
    """Random colours that change slowly in the left half and fast in the right, [count, 3, height, width]."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(count, 3, 3, 4, generator=generator)
    images = nn.functional.interpolate(coarse, (height, width), mode="bicubic", align_corners=True)
    detail = torch.rand(count, 3, height, width - width // 2, generator=generator) - 0.5
    images[..., width // 2 :] += 0.4 * detail
    return quantise(images.clamp(0, 1))
