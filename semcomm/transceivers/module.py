"""A transceiver from any pair of torch modules: your own encoder and decoder with their checkpoint."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from semcomm.caches import cached
from semcomm.channels import ChannelOutput
from semcomm.errors import ConfigurationError, ModelError
from semcomm.jscc.codec import Precision, effective_snr_db
from semcomm.ledger import Ledger
from semcomm.models import UsesWeights, device_of
from semcomm.models.files import fingerprint, read_tensors
from semcomm.recipes import key_of, source_hash
from semcomm.transceivers.base import Info, Signal, Transceiver

Layout = Literal["halves", "interleaved", "last_axis", "complex"]
LEADS = ("", "module.", "model.", "net.", "_orig_mod.", "model._orig_mod.", "model.module.", "module.model.")
"""Prefixes of tensor names before that of encoder or decoder."""
SIZE_BITS, POWER_BITS = 32, 32
MOST_SNR_DB = 60.0
"""SNR that the modules are given where there is no noise."""


@dataclass(frozen=True)
class ModuleControl:
    """Side information of one image, counted in `side_bits`.

    Attributes:
        height: of the image.
        width: of the image.
        shape: of the encoder's output without the batch axis; it follows from the size and costs nothing.
        power: mean power of a symbol at the decoder's input.
    """

    height: int
    width: int
    shape: tuple[int, ...]
    power: float


class TorchJSCC(UsesWeights, Transceiver):
    """A learned codec of your own: an encoder that makes symbols of images, and a decoder that makes images of them.

    Symbols are scaled to mean power 1 over each image, so that the SNR is Es/N0 and counts as for every other link.
    The decoder takes the received symbols (over fading, MMSE estimates) in the encoder's own shape and scale. Side
    information is the size (32 bits) and, with `signal_power: null`, the power of the image (32 bits).

    Args:
        encoder: import path of an `nn.Module`, `my_lab.Encoder`; its forward takes images [B, 3, H, W] and perhaps
            the SNR, and returns [B, ...].
        decoder: import path of the other one; its forward takes what the encoder returned and perhaps the SNR, and
            returns images.
        checkpoint: weights of both, as people save them: a state dict, or one under `state_dict` (as Lightning has
            it), `model` or `model_state_dict`, its names perhaps beginning with `module.`, `model.` or `net.`.
        encoder_args: arguments of the encoder's constructor.
        decoder_args: arguments of the decoder's.
        encoder_prefix: beginning of the encoder's names in the checkpoint.
        decoder_prefix: beginning of the decoder's.
        layout: which reals of the encoder's output are a complex symbol: `halves` (the first half in phase, the second
            in quadrature, in the order of memory), `interleaved` (neighbours), `last_axis` (of length 2), or `complex`
            where it is complex already.
        snr: second argument of the modules: `none`, `db` or `linear`.
        snr_to: which module takes it.
        snr_shape: `vector` [B], `column` [B, 1], or `scalar`, a number; the images of a batch are then sent one by one.
        signal_power: mean power of a complex symbol that the decoder expects: 1, or 2 where the encoder was trained
            with power 1 in each real value. None for each image's own, signalled in 32 bits, where the encoder was
            normalised over batches or not at all.
        multiple: of the sides that the encoder takes; images are padded at the bottom and right (by repetition), the
            padding is sent, and cut off again.
        value_range: of the modules' images: `[0, 1]`, or `[-1, 1]`.
        trust_pickle: read a PyTorch file, which is a pickle. Even then only tensors, numbers and containers are read.
        assumed_snr_db: SNR that the transmitter assumes where the channel lets it know none.
        precision: `fp32`, or `bf16` for autocast.
        device: where to compute; `auto` takes a GPU where there is one.
    """

    excluded_from_recipe: ClassVar[frozenset[str]] = UsesWeights.excluded_from_recipe | {"checkpoint"}

    def __init__(
        self,
        encoder: str,
        decoder: str,
        checkpoint: str,
        encoder_args: dict[str, Any] | None = None,
        decoder_args: dict[str, Any] | None = None,
        encoder_prefix: str = "encoder.",
        decoder_prefix: str = "decoder.",
        layout: Layout = "halves",
        snr: Literal["none", "db", "linear"] = "none",
        snr_to: Literal["both", "encoder", "decoder"] = "both",
        snr_shape: Literal["vector", "column", "scalar"] = "vector",
        signal_power: float | None = 1.0,
        multiple: int = 1,
        value_range: tuple[float, float] = (0.0, 1.0),
        trust_pickle: bool = False,
        assumed_snr_db: float = 10.0,
        precision: Precision = "fp32",
        device: str = "auto",
    ) -> None:
        if multiple < 1:
            raise ConfigurationError(f"multiple is {multiple}; it must be at least 1")
        if signal_power is not None and not signal_power > 0:
            raise ConfigurationError(f"signal_power is {signal_power}; it must be above 0")
        if len(value_range) != 2 or not value_range[0] < value_range[1]:
            raise ConfigurationError(f"value_range is {value_range}; it is the values of black and white")
        self.encoder = encoder
        self.decoder = decoder
        self.checkpoint = checkpoint
        self.encoder_args = encoder_args or {}
        self.decoder_args = decoder_args or {}
        self.encoder_prefix = encoder_prefix
        self.decoder_prefix = decoder_prefix
        self.layout = layout
        self.snr = snr
        self.snr_to = snr_to
        self.snr_shape = snr_shape
        self.signal_power = signal_power
        self.multiple = multiple
        self.value_range = tuple(value_range)
        self.trust_pickle = trust_pickle
        self.assumed_snr_db = assumed_snr_db
        self.precision = precision
        self.device = device

    def weights(self) -> str:
        """Return the hash of the checkpoint and of the modules' source."""
        path = _existing(self.checkpoint)
        sources = [source_hash(module_class(name)) for name in (self.encoder, self.decoder)]
        return key_of({"file": fingerprint(path), "sources": sources})

    def module(self, side: Literal["encoder", "decoder"]) -> nn.Module:
        """Return the encoder or the decoder with its weights, in evaluation mode.

        Raises:
            ConfigurationError: when it cannot be imported or built.
            ModelError: when the checkpoint is missing or damaged, or its tensors do not fit.
        """
        path = _existing(self.checkpoint)
        stat = path.stat()
        name, arguments, prefix = (getattr(self, side + part) for part in ("", "_args", "_prefix"))
        stamp = (path, stat.st_mtime_ns, stat.st_size)
        device = str(device_of(self.device))
        return _loaded(*stamp, name, json.dumps(arguments, sort_keys=True), prefix, self.trust_pickle, device)

    @torch.inference_mode()
    def send(self, images: Tensor, snr_db: Tensor, rng: Sequence[torch.Generator]) -> Signal:
        """Turn `images` [B, 3, H, W] into symbols."""
        known_snr_db = torch.where(snr_db.isnan(), self.assumed_snr_db, snr_db).clamp(max=MOST_SNR_DB)
        height, width = images.shape[2:]
        low, high = self.value_range
        padded = F.pad(images, (0, -width % self.multiple, 0, -height % self.multiple), mode="replicate")
        outputs = self._run("encoder", low + (high - low) * padded, known_snr_db)
        symbols, control = [], []
        for output in outputs:
            values = symbols_of(output, self.layout)
            power = values.abs().square().mean().item()
            if not 0 < power < float("inf"):
                raise ModelError(f"{self.encoder}: its output has power {power}; it must be finite and above 0")
            symbols.append(values / power**0.5)
            expected = power if self.signal_power is None else self.signal_power
            control.append(ModuleControl(height, width, tuple(output.shape), expected))
        uses = [len(x) for x in symbols]
        side_bits = SIZE_BITS + (POWER_BITS if self.signal_power is None else 0)
        ledger = Ledger.of(
            images, source_bits=[float("nan")] * len(uses), channel_uses=uses, side_bits=[side_bits] * len(uses)
        )
        return Signal(ledger, symbols, control=control)

    @torch.inference_mode()
    def receive(
        self, output: ChannelOutput, control: Sequence[ModuleControl], rng: Sequence[torch.Generator]
    ) -> tuple[Tensor, Info]:
        """Turn what was received into images [B, 3, H, W]."""
        snr_db = effective_snr_db(output)
        inputs = [
            values_of(symbols.to(torch.complex64) * one.power**0.5, one.shape, self.layout)
            for symbols, one in zip(output.equalised(), control)
        ]
        images = self._run("decoder", torch.stack(inputs), snr_db)
        if images.ndim != 4 or images.shape[1] != 3:
            raise ModelError(f"{self.decoder}: returned {list(images.shape)}, not images [B, 3, H, W]")
        low, high = self.value_range
        height, width = control[0].height, control[0].width
        images = ((images.float() - low) / (high - low))[..., :height, :width].clamp(0, 1)
        return images, {"receiver_snr_db": snr_db}

    def _run(self, side: Literal["encoder", "decoder"], x: Tensor, snr_db: Tensor) -> Tensor:
        """Return a module's output on the CPU."""
        module, device = self.module(side), device_of(self.device)
        takes_snr = self.snr != "none" and self.snr_to in ("both", side)
        value = snr_db if self.snr == "db" else 10 ** (snr_db / 10)
        with torch.autocast(device.type, torch.bfloat16, enabled=self.precision == "bf16"):
            if not takes_snr:
                found = module(x.to(device))
            elif self.snr_shape == "scalar":
                parts = [module(one[None].to(device), v) for one, v in zip(x, value.tolist())]
                found = torch.cat(parts) if all(isinstance(part, Tensor) for part in parts) else parts[0]
            else:
                found = module(x.to(device), (value[:, None] if self.snr_shape == "column" else value).to(device))
        if not isinstance(found, Tensor) or len(found) != len(x):
            what = list(found.shape) if isinstance(found, Tensor) else type(found).__name__
            raise ModelError(f"{getattr(self, side)}: returned {what}; it must be a tensor with one entry per image")
        return found.cpu() if found.is_complex() else found.float().cpu()


def symbols_of(output: Tensor, layout: Layout) -> Tensor:
    """Return the complex symbols [k] in one image's encoder output.

    Raises:
        ConfigurationError: when it has no such layout.
    """
    if output.is_complex() != (layout == "complex"):
        raise ConfigurationError(f"layout is {layout}, and the encoder's output is {output.dtype}")
    if layout == "complex":
        return output.flatten().to(torch.complex64)
    if output.numel() % 2 or (layout == "last_axis" and output.shape[-1] != 2):
        raise ConfigurationError(f"layout is {layout}, and the encoder's output is {list(output.shape)} for an image")
    if layout == "halves":
        return torch.complex(*output.flatten().chunk(2))
    return torch.view_as_complex(output.reshape(-1, 2).contiguous())


def values_of(symbols: Tensor, shape: Sequence[int], layout: Layout) -> Tensor:
    """Return symbols [k] in the shape and layout of the encoder's output."""
    if layout == "complex":
        return symbols.view(*shape)
    if layout == "halves":
        return torch.cat([symbols.real, symbols.imag]).view(*shape)
    return torch.view_as_real(symbols).reshape(*shape)


def module_class(name: str) -> type[nn.Module]:
    """Return the class of an import path.

    Raises:
        ConfigurationError: when there is none, or it is no `nn.Module`.
    """
    module, _, attribute = name.rpartition(".")
    try:
        cls = getattr(import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigurationError(f"{name}: cannot be imported ({error}); say it as in my_lab.Encoder") from None
    if not (isinstance(cls, type) and issubclass(cls, nn.Module)):
        raise ConfigurationError(f"{name}: is no torch.nn.Module class")
    return cls


def part_of(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Return the tensors whose names begin with `prefix`, after whatever wrappers put before it, without both."""
    leads = [lead + prefix for lead in LEADS]
    return max(({k.removeprefix(p): v for k, v in tensors.items() if k.startswith(p)} for p in leads), key=len)


@cached(most=8)
def _loaded(
    path: Path,
    modified: int,
    size: int,
    name: str,
    arguments: str,
    prefix: str,
    trust_pickle: bool,
    device: str,
) -> nn.Module:
    cls = module_class(name)
    try:
        module = cls(**json.loads(arguments))
    except TypeError as error:
        raise ConfigurationError(f"{name}: cannot be built ({error}); set encoder_args and decoder_args") from None
    tensors = read_tensors(path, trust_pickle)
    part = part_of(tensors, prefix)
    if not part:
        begin = sorted({key.split(".")[0] for key in tensors})[:5]
        raise ModelError(f"{path}: no tensor's name begins with {prefix!r}; they begin with {', '.join(begin)}")
    wanted = module.state_dict()
    wrong = [
        f"{key} is {list(part[key].shape)}, not {list(value.shape)}"
        for key, value in wanted.items()
        if key in part and part[key].shape != value.shape
    ]
    faults = {"missing": sorted(set(wanted) - set(part)), "not used": sorted(set(part) - set(wanted)), "misfits": wrong}
    if any(faults.values()):
        said = "; ".join(
            f"{len(keys)} {what}: {', '.join(keys[:3])}{' …' if len(keys) > 3 else ''}"
            for what, keys in faults.items()
            if keys
        )
        raise ModelError(f"{path}: its tensors under {prefix!r} do not fit {name}: {said}")
    module.load_state_dict(part)
    return module.eval().requires_grad_(False).to(device)


def _existing(checkpoint: str) -> Path:
    path = Path(checkpoint).expanduser()
    if not path.is_file():
        raise ModelError(f"{checkpoint}: there is no such checkpoint")
    return path
