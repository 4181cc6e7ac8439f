"""Learned transceivers: joint source-channel coding by the networks of `semcomm.jscc`."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from semcomm.channels import ChannelOutput
from semcomm.errors import ConfigurationError
from semcomm.jscc.codec import Allocation, Codec, Precision, effective_snr_db, estimates_of, gain_bytes, gains_from
from semcomm.jscc.constellation import BITS_PER_SYMBOL, Name
from semcomm.jscc.deepjscc_pytorch import is_of_deep_jscc_pytorch, load_deep_jscc_pytorch
from semcomm.jscc.loading import hash_of, load_codec, path_of, slice_bits
from semcomm.ledger import Ledger
from semcomm.models import UsesWeights, device_of
from semcomm.transceivers.base import Info, Signal, Transceiver

SIZE_BITS = 32
"""Size of the height and width on the control channel, beside the plan and the gains."""


@dataclass(frozen=True)
class CodecControl:
    """Side information of one image, counted in `side_bits`: its size, its plan of layers and their gains."""

    height: int
    width: int
    plan: bytes
    gains: bytes


class Learned(UsesWeights, Transceiver):
    """A trained network of any class: one that comes with semcomm, or your own `semcomm.jscc.network.LearnedNetwork`.

    It sends the same layers everywhere. `side_bits` are 32 for the size, 16 for the gain of each layer where the
    network has gains, and the plan as bytes where it has several layers.

    Args:
        checkpoint: a file of weights, a training's folder, or a codec that comes with semcomm.
        layers: first so many layers of the network; None for all.
        constellation: of the symbols, if the checkpoint was trained for it; None for the first that it was trained for.
        assumed_snr_db: SNR that the transmitter assumes where the channel lets it know none.
        precision: `fp32`, or `bf16` for networks in bfloat16.
        device: where to compute; `auto` takes a GPU where there is one.
    """

    excluded_from_recipe: ClassVar[frozenset[str]] = UsesWeights.excluded_from_recipe | {"checkpoint"}

    receiver_slices: int | None = None
    model_shared_by: int | None = None
    refine: int = 0

    def __init__(
        self,
        checkpoint: str,
        layers: int | None = None,
        constellation: Name | None = None,
        assumed_snr_db: float = 10.0,
        precision: Precision = "fp32",
        device: str = "auto",
    ) -> None:
        self.checkpoint = checkpoint
        self.layers = layers
        self.constellation = constellation
        self.assumed_snr_db = assumed_snr_db
        self.precision = precision
        self.device = device

    @property
    def file(self) -> str:
        """The checkpoint, by name or path."""
        return self.checkpoint

    def plan(self, codec: Codec, images: Tensor, snr_db: Tensor) -> Tensor:
        """Return the layers of each block of `images` [B, 3, H, W] at known SNRs [B], `uint8` [B, h, w]."""
        return codec.plan(images, codec.uses_of(images, self.layers or codec.network.held))

    def weights(self) -> str:
        """Return the SHA-256 of the checkpoint's file."""
        return hash_of(self.file)

    def codec(self, held: int | None = None) -> Codec:
        """Return the codec, with its first `held` slices or all.

        Raises:
            ModelError: when the checkpoint is missing or damaged.
            ConfigurationError: when it was not trained for this constellation.
        """
        return load_codec(self.file, str(device_of(self.device)), self.precision, held, self.constellation)

    def send(self, images: Tensor, snr_db: Tensor, rng: Sequence[torch.Generator]) -> Signal:
        """Turn `images` [B, 3, H, W] into symbols."""
        codec = self.codec()
        known_snr_db = torch.where(snr_db.isnan(), self.assumed_snr_db, snr_db)
        plan = self.plan(codec, images, known_snr_db)
        symbols, gains = codec.send(images, known_snr_db, plan, self.refine)
        uses = [len(x) for x in symbols]
        bits = BITS_PER_SYMBOL.get(codec.network.constellation, float("nan"))
        model_bits = [0.0] * len(images)
        if self.model_shared_by is not None:
            held = self.receiver_slices or codec.network.held
            needed = [min(int(one.max()), held) for one in plan]
            model_bits = [slice_bits(codec.network, layers) / self.model_shared_by for layers in needed]
        control = [
            CodecControl(*images.shape[2:], codec.plan_bytes(layers), gain_bytes(these[: int(layers.max())]))
            for layers, these in zip(plan, gains)
        ]
        ledger = Ledger.of(
            images,
            source_bits=[bits * k for k in uses],
            channel_uses=uses,
            side_bits=[SIZE_BITS + 8 * len(one.plan + one.gains) for one in control],
            model_bits=model_bits,
        )
        return Signal(ledger, symbols, control=control)

    def receive(
        self, output: ChannelOutput, control: Sequence[CodecControl], rng: Sequence[torch.Generator]
    ) -> tuple[Tensor, Info]:
        """Turn equalised symbols into images [B, 3, H, W]."""
        codec = self.codec(self.receiver_slices)
        estimates, snr_db = estimates_of(output, codec.network.constellation)
        plan = torch.stack([codec.plan_from(one.plan, one.height, one.width) for one in control])
        gains = pad_sequence([gains_from(one.gains) for one in control], batch_first=True, padding_value=1.0)
        images = codec.receive(estimates, gains, snr_db, plan, control[0].height, control[0].width)
        low, high = codec.card.get("snr_db", (float("-inf"), float("inf")))
        effective = effective_snr_db(output).tolist()
        noisy = [bool((variance > 0).any()) for variance in output.noise_variance]
        outside = [there and not low - 0.01 <= x <= high + 0.01 for x, there in zip(effective, noisy)]
        return images, {"mean_layers": plan.float().mean((1, 2)), "snr_outside_training": outside}


class LSCI(Learned):
    """A layered learned codec with joint source-channel coding (`semcomm.jscc.lsci`).

    The budget is a number of layers or of channel uses per pixel. The decoder takes conditional means of the symbols,
    not decisions. Over `Noiseless`, it is a source codec of log2(M) bits per symbol.

    `side_bits` are 32 for the size, 16 for the gain of each layer, and the plan: the layers of each block as bytes, one
    or two where they are the same everywhere.

    Args:
        checkpoint: a codec that comes with semcomm, a file of weights, or a training's folder; none takes the one that
            comes with semcomm.
        layers: first so many layers everywhere, 1 to 9. This or `channel_uses_per_pixel`.
        channel_uses_per_pixel: budget in complex symbols per pixel.
        constellation: of the symbols: `16qam`, `qpsk`, `64qam` or `analog`, if the checkpoint was trained for it.
        allocation: `uniform`: the same layers everywhere; `adaptive`: more where there is more detail, the more so the
            better the channel is, at no more channel uses. None takes `uniform` with `layers`, `adaptive` with
            `channel_uses_per_pixel`.
        receiver_slices: slices that the receiver holds; it ignores further layers. None for all.
        model_shared_by: charge the decoder's slices that are needed, 16 bits a weight, to so many images
            (`model_bits`); None if the receiver has them already.
        assumed_snr_db: SNR that the transmitter assumes where the channel lets it know none.
        refine: gradient steps on each image's symbols through the decoder at the known SNR, before they are sent
            (`semcomm.jscc.refinement`), a few seconds of a core for each step and megapixel. None by default.
        precision: `fp32`, or `bf16` for networks in bfloat16.
        device: where to compute; `auto` takes a GPU where there is one.
    """

    version: ClassVar[int] = 2

    def __init__(
        self,
        checkpoint: str | None = None,
        layers: int | None = None,
        channel_uses_per_pixel: float | None = None,
        constellation: Name = "16qam",
        allocation: Allocation | None = None,
        receiver_slices: int | None = None,
        model_shared_by: int | None = None,
        assumed_snr_db: float = 10.0,
        refine: int = 0,
        precision: Precision = "fp32",
        device: str = "auto",
    ) -> None:
        if (layers is None) == (channel_uses_per_pixel is None):
            raise ConfigurationError("LSCI takes a budget: either layers or channel_uses_per_pixel")
        if channel_uses_per_pixel is not None and not channel_uses_per_pixel > 0:
            raise ConfigurationError(f"channel_uses_per_pixel is {channel_uses_per_pixel}; it must be above 0")
        if model_shared_by is not None and model_shared_by < 1:
            raise ConfigurationError(f"model_shared_by is {model_shared_by}; it must be at least 1 image")
        if refine < 0:
            raise ConfigurationError(f"refine is {refine}; it is a number of steps, at least 0")
        self.checkpoint = checkpoint
        self.layers = layers
        self.channel_uses_per_pixel = channel_uses_per_pixel
        self.constellation = constellation
        self.allocation = allocation or ("uniform" if layers else "adaptive")
        self.receiver_slices = receiver_slices
        self.model_shared_by = model_shared_by
        self.assumed_snr_db = assumed_snr_db
        self.refine = refine
        self.precision = precision
        self.device = device

    @property
    def file(self) -> str:
        """The checkpoint, by name or path."""
        return self.checkpoint or "lsci"

    def plan(self, codec: Codec, images: Tensor, snr_db: Tensor) -> Tensor:
        """Return the layers of each block of `images` [B, 3, H, W]."""
        if self.layers is not None:
            uses = codec.uses_of(images, self.layers)
        else:
            uses = int(self.channel_uses_per_pixel * images.shape[2] * images.shape[3])
        return codec.plan(images, uses, self.allocation, snr_db)


class DeepJSCC(Learned):
    """The five-layer network of Bourtsoulatze, Kurka and Gündüz 2019 (`semcomm.jscc.deepjscc`), on analog symbols.

    It takes checkpoints of Deep-JSCC-PyTorch too. The SNR that those name is 3.01 dB below Es/N0: the column
    `snr_label_db` has it.

    Args:
        checkpoint: a codec that comes with semcomm, a file of weights (also of Deep-JSCC-PyTorch), or a training's
            folder; none takes the one that comes with semcomm for `channel_uses_per_pixel`.
        channel_uses_per_pixel: 0.5 (CBR 1/6) or 0.25 (CBR 1/12) with the codecs that come with semcomm.
        trust_pickle: read a pickle of Deep-JSCC-PyTorch. Even then only tensors, numbers and containers are read.
        precision: `fp32`, or `bf16` for networks in bfloat16.
        device: where to compute; `auto` takes a GPU where there is one.
    """

    constellation = None
    assumed_snr_db = 10.0

    def __init__(
        self,
        checkpoint: str | None = None,
        channel_uses_per_pixel: float | None = None,
        trust_pickle: bool = False,
        precision: Precision = "fp32",
        device: str = "auto",
    ) -> None:
        if checkpoint is None and channel_uses_per_pixel not in SHIPPED:
            raise ConfigurationError(
                f"channel_uses_per_pixel is {channel_uses_per_pixel}; DeepJSCC comes with weights for "
                f"{' and '.join(map(str, SHIPPED))}, and takes those of other rates as checkpoint"
            )
        self.checkpoint = checkpoint
        self.channel_uses_per_pixel = channel_uses_per_pixel
        self.trust_pickle = trust_pickle
        self.precision = precision
        self.device = device

    @property
    def file(self) -> str:
        """The checkpoint, by name or path."""
        return self.checkpoint or SHIPPED[self.channel_uses_per_pixel]

    def codec(self, held: int | None = None) -> Codec:
        """Return the codec, of Deep-JSCC-PyTorch where the checkpoint is theirs."""
        path = path_of(self.file)
        if is_of_deep_jscc_pytorch(path):
            return load_deep_jscc_pytorch(path, self.trust_pickle, str(device_of(self.device)), self.precision)
        return super().codec(held)

    def receive(
        self, output: ChannelOutput, control: Sequence[CodecControl], rng: Sequence[torch.Generator]
    ) -> tuple[Tensor, Info]:
        """Turn equalised symbols into images [B, 3, H, W]."""
        images, info = super().receive(output, control, rng)
        offset = self.codec().card.get("snr_offset_db")
        return images, {**info, "snr_label_db": effective_snr_db(output) - offset} if offset else info

    def plan(self, codec: Codec, images: Tensor, snr_db: Tensor) -> Tensor:
        """Return the one layer everywhere."""
        if len(codec.network.layers) > 1:
            raise ConfigurationError(
                f"{self.file} has {len(codec.network.layers)} layers, and DeepJSCC sends one: use LSCI for it"
            )
        rate = codec.network.uses[0] / codec.network.stride**2
        if self.channel_uses_per_pixel not in (None, rate):
            raise ConfigurationError(
                f"{self.file} has {rate:g} channel uses per pixel, not {self.channel_uses_per_pixel:g}"
            )
        return codec.plan(images, codec.uses_of(images, 1))


SHIPPED = {0.5: "deepjscc-6", 0.25: "deepjscc-12"}
