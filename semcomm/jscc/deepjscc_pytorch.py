"""Checkpoints of Deep-JSCC-PyTorch (github.com/chunbaobao/Deep-JSCC-PyTorch) as `DeepJSCCNetwork`.

The architecture is that of Bourtsoulatze et al.; written from a description of the files, not from code. Differences of
their evaluation: their encoder's output has power 1 in each real value, 2 in each complex symbol, and their noise is
that of power 1: **the SNR that they name is 3.01 dB lower than Es/N0**. Their receiver does not scale its input by an
MMSE gain.
"""

from collections.abc import Mapping
from math import log10, sqrt
from pathlib import Path

from torch import Tensor

from semcomm.caches import cached
from semcomm.errors import ModelError
from semcomm.jscc.codec import Codec, Precision
from semcomm.jscc.deepjscc import DeepJSCCNetwork
from semcomm.models.files import fingerprint, read_tensors, tensors_in

SNR_OFFSET_DB = 10 * log10(2)
"""Es/N0 in dB above the SNR that they name."""
LAYERS = 5
_MARK = "encoder.conv1.conv.weight"


def is_of_deep_jscc_pytorch(path: Path) -> bool:
    """Say whether a checkpoint is one of theirs: a pickle, or safetensors with their names."""
    return path.is_file() and (path.suffix != ".safetensors" or _MARK in tensors_in(path))


def load_deep_jscc_pytorch(
    path: Path, trust_pickle: bool = False, device: str = "cpu", precision: Precision = "fp32"
) -> Codec:
    """Return the codec of a checkpoint, read once as long as its file stays the same.

    Raises:
        ModelError: when it is damaged, a pickle that is not trusted, or of another network.
    """
    stat = path.stat()
    return _loaded(path, stat.st_mtime_ns, stat.st_size, trust_pickle, device, precision)


@cached(most=4)
def _loaded(path: Path, modified: int, size: int, trust_pickle: bool, device: str, precision: Precision) -> Codec:
    try:
        network = converted(read_tensors(path, trust_pickle))
    except (KeyError, RuntimeError, IndexError) as error:
        said = str(error).strip().splitlines()
        raise ModelError(f"{path}: is no checkpoint of Deep-JSCC-PyTorch ({said[-1].strip()})") from None
    return Codec(network, fingerprint(path), {"snr_offset_db": SNR_OFFSET_DB}, device, precision)


def converted(tensors: Mapping[str, Tensor]) -> DeepJSCCNetwork:
    """Return the network with the weights of their state dict.

    Raises:
        ModelError: for their older network, with kernels of 6 and unpadded convolutions.
        KeyError: when a tensor is missing.
        RuntimeError: when one has another shape.
    """
    values = len(tensors["encoder.conv5.conv.weight"])
    if values % 2 or tensors["decoder.tconv4.transconv.weight"].shape[2:] != (5, 5):
        raise ModelError(
            "this is a checkpoint of an older network of Deep-JSCC-PyTorch (kernels of 6, no padding), which its own "
            "code does not load any more; train it again, or take another"
        )
    network = DeepJSCCNetwork(values // 2, mmse=False)
    state = {}
    for n in range(LAYERS):
        sides = (("encoder", f"conv{n + 1}.conv", "prelu"), ("decoder", f"tconv{n + 1}.transconv", "activate"))
        for side, name, activation in sides:
            state |= {f"{side}.{2 * n}.{kind}": tensors[f"{side}.{name}.{kind}"].float() for kind in ("weight", "bias")}
            if side == "encoder" or n < LAYERS - 1:  # the last activation is a sigmoid
                own = f"{side}.{2 * n + 1}.weight"
                slope = tensors[f"{side}.{name.split('.')[0]}.{activation}.weight"].float()
                state[own] = slope.expand_as(network.get_parameter(own))
    state["decoder.0.weight"] = state["decoder.0.weight"] * sqrt(2)  # their symbols have power 2
    network.load_state_dict(state)
    return network
