"""The features that torch-fidelity's Inception gives with test weights: `inception.safetensors` was made by

    pip install --no-deps --target DIR torch-fidelity==0.4.0
    PYTHONPATH=DIR python tests/metrics/inception_golden.py

(torch-fidelity asks for torchvision, which its Inception does not use, so its package is not imported as a whole.)
"""

import importlib
import math
import sys
import types
import zlib
from importlib.util import find_spec
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

GOLDEN = Path(__file__).with_name("inception.safetensors")


def weights(shapes: dict[str, tuple[int, ...]]) -> dict[str, Tensor]:
    """Random weights by the names of the tensors, with running statistics that are not 0 and 1."""
    found = {}
    for name, shape in shapes.items():
        generator = torch.Generator().manual_seed(zlib.crc32(name.encode()))
        uniform = torch.rand(shape, generator=generator)
        if name.endswith("conv.weight"):
            found[name] = torch.randn(shape, generator=generator) * math.sqrt(2 / math.prod(shape[1:]))
        elif name.endswith(("bn.weight", "running_var")):
            found[name] = 0.8 + 0.45 * uniform
        elif name.endswith(("bn.bias", "running_mean")):
            found[name] = 0.2 * uniform - 0.1
        else:  # counters, and the classifier, which FID does not use
            found[name] = torch.zeros(shape)
    return found


def pixels() -> Tensor:
    """Two smooth random images `uint8` [2, 3, 299, 299]."""
    coarse = torch.rand(2, 3, 12, 12, generator=torch.Generator().manual_seed(0))
    fine = torch.nn.functional.interpolate(coarse, (299, 299), mode="bicubic", align_corners=True)
    return (255 * fine.clamp(0, 1)).to(torch.uint8)


def main() -> None:
    """Write the golden features."""
    package = types.ModuleType("torch_fidelity")
    package.__path__ = list(find_spec("torch_fidelity").submodule_search_locations)
    sys.modules["torch_fidelity"] = package
    module = importlib.import_module("torch_fidelity.feature_extractor_inceptionv3")
    module.load_state_dict_from_url = lambda *_, **__: {}
    inception = module.FeatureExtractorInceptionV3
    inception.load_state_dict = lambda self, _: None
    network = inception("inception", ["2048"])
    del inception.load_state_dict
    state = weights({name: tuple(tensor.shape) for name, tensor in network.state_dict().items()})
    network.load_state_dict(state)
    (features,) = network(pixels())
    save_file({"features": features}, GOLDEN)
    print(features.shape, features.mean().item(), features.std().item())


if __name__ == "__main__":
    main()
