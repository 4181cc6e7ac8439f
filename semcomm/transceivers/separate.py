"""Separate source and channel coding: image -> bytes -> bits -> coded bits -> symbols, and back."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, log2
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from semcomm.channels import ChannelOutput
from semcomm.codecs.base import ChannelCode, Decoded, SourceCodec
from semcomm.codecs.qam import QAM, Name
from semcomm.codecs.scrambling import descrambled, scrambled
from semcomm.codecs.uncoded import Uncoded
from semcomm.errors import ConfigurationError, DecodeError, RateError
from semcomm.images import quantise
from semcomm.ledger import Ledger
from semcomm.transceivers.adaptation import Adaptive, Mode, efficiency, known
from semcomm.transceivers.base import Info, Signal, Transceiver
from semcomm.transceivers.expectation import ExpectedPSNR
from semcomm.transceivers.knowledge import ChannelKnowledge

Damage = Literal["prefix", "as-is", "discard"]
Fill = Literal["mean", "grey"]

LENGTH_BITS, SIZE_BITS, COLOUR_BITS = 32, 32, 24
"""Side information on the control channel: the payload's length in bytes, height and width, the fill colour."""


@dataclass(frozen=True)
class SeparateControl:
    """The side information of one image, in `side_bits`: length, size, fill colour and, if adaptive, the mode."""

    payload_bytes: int
    height: int
    width: int
    fill: Tensor
    payload_bits: int
    code: ChannelCode
    constellation: QAM | None


class Separate(Transceiver):
    """A source codec, a channel code and a constellation in a row.

    The budget is a number of channel uses per pixel, or of source bits per pixel. With channel uses, the source gets
    what the code and the constellation leave it and zeros fill what it does not use, so every image costs the same
    whatever the constellation: the constant "image compression rate / bits per symbol" of the SeSS paper, section IV.B.
    With `bpp`, the source gets that many bits and the channel uses follow. Bits are scrambled before they are mapped to
    symbols, or the zeros would all be the same symbol, which is more often wrong than others.

    Where the budget is below the source codec's floor, nothing is sent and the receiver shows the fill
    (`infeasible`). `side_bits` are 64 for length and size, 24 for a mean colour and, if adaptive, the mode.

    Args:
        source: image to bytes.
        code: bits to coded bits; none sends them as they are.
        constellation: bits to symbols; `adaptive` or `Adaptive(...)` chooses it and the code's rate for each image by
            what the transmitter knows of its channel; none sends bits, over a channel that carries bits.
        channel_uses_per_pixel: budget in complex symbols per pixel. This or `bpp`.
        bpp: budget in source bits per pixel.
        damage: what is decoded of a payload with lost blocks: the `prefix` before the first, all of it `as-is`,
            wrong bits included, or nothing (`discard`).
        fill: what is shown when nothing can be decoded: the original's `mean` colour, or mid `grey`.
    """

    version = 2

    def __init__(
        self,
        source: SourceCodec,
        code: ChannelCode | None = None,
        constellation: Name | Literal["adaptive"] | QAM | Adaptive | None = None,
        channel_uses_per_pixel: float | None = None,
        bpp: float | None = None,
        damage: Damage = "prefix",
        fill: Fill = "mean",
    ) -> None:
        if (channel_uses_per_pixel is None) == (bpp is None):
            raise ConfigurationError("Separate takes a budget: either channel_uses_per_pixel or bpp")
        if channel_uses_per_pixel is not None and constellation is None:
            raise ConfigurationError("without a constellation there are no channel uses: give the budget as bpp")
        budget = bpp if channel_uses_per_pixel is None else channel_uses_per_pixel
        if not budget > 0:
            raise ConfigurationError(f"the budget is {budget} per pixel; it must be above 0")
        self.source = source
        self.code = code or Uncoded()
        self.adaptive = constellation if isinstance(constellation, Adaptive) else None
        if constellation == "adaptive":
            self.adaptive = Adaptive()
        elif isinstance(constellation, str):
            constellation = QAM(constellation)
        self.constellation = None if self.adaptive else constellation
        self.channel_uses_per_pixel = channel_uses_per_pixel
        self.bpp = bpp
        self.damage = damage
        self.fill = fill

    def resolved(self) -> dict[str, Any]:
        """Return what became of each argument; of `constellation`, the adaptation where there is one."""
        return {**super().resolved(), "constellation": self.adaptive or self.constellation}

    def send(self, images: Tensor, snr_db: Tensor, rng: Sequence[torch.Generator]) -> Signal:
        """Turn `images` [B, 3, H, W] into symbols, or bits without a constellation, for AWGN at these SNRs [B]."""
        return self.send_knowing(images, ChannelKnowledge(snr_db), rng)

    def send_knowing(self, images: Tensor, knowledge: ChannelKnowledge, rng: Sequence[torch.Generator]) -> Signal:
        """Turn `images` [B, 3, H, W] into symbols, or bits without a constellation, in the mode that suits best."""
        sent, control, source_bits = [], [], []
        for number, image in enumerate(images):
            code, constellation = self.code, self.constellation
            if self.adaptive:
                code, constellation = self._adapted(image, knowledge, number)
            tensor, signalled = self._send_one(image, code, constellation)
            sent.append(tensor)
            control.append(signalled)
            source_bits.append(8 * signalled.payload_bytes)
        symbols = sent[0].is_complex()
        per_symbol = [signalled.constellation.bits_per_symbol if symbols else 1 for signalled in control]
        side_bits = LENGTH_BITS + SIZE_BITS + COLOUR_BITS * (self.fill == "mean")
        if self.adaptive:
            side_bits += ceil(log2(len(self.adaptive.modes(self.code))))
        ledger = Ledger.of(
            images,
            source_bits=source_bits,
            coded_bits=[bits * len(tensor) for bits, tensor in zip(per_symbol, sent)],
            channel_uses=[len(tensor) for tensor in sent] if symbols else float("nan"),
            side_bits=side_bits,
        )
        return Signal(ledger, **{"symbols" if symbols else "bits": sent}, control=control)

    def _adapted(self, image: Tensor, knowledge: ChannelKnowledge, number: int) -> Mode:
        known(float(knowledge.snr_db[number]))
        pixels = image.shape[1] * image.shape[2]
        modes = self.adaptive.modes(self.code)
        quality = None
        if self.bpp is None:
            uses = int(self.channel_uses_per_pixel * pixels)
            quality = ExpectedPSNR(self.source, image, [self._allotted(*mode, image)[0] for mode in modes], self.damage)
        else:
            uses = int(self.bpp * pixels / min(map(efficiency, modes)))
        states = knowledge.states(number, uses)
        return self.adaptive.choose(states, self.code, lambda c, q: self._allotted(c, q, image)[0], quality)

    def _send_one(self, image: Tensor, code: ChannelCode, constellation: QAM | None) -> tuple[Tensor, SeparateControl]:
        height, width = image.shape[1:]
        payload_bits, coded_bits = self._allotted(code, constellation, image)
        try:
            payload = self.source.encode(image, payload_bits // 8)
        except RateError:
            payload, payload_bits, coded_bits = b"", 0, 0
        if self.bpp is not None and payload:
            payload_bits = 8 * len(payload)
            coded_bits = code.coded_bits(payload_bits, constellation.bits_per_symbol if constellation else 1)
        mean = image.mean((1, 2)) if self.fill == "mean" else torch.full((3,), 0.5)
        control = SeparateControl(len(payload), height, width, quantise(mean), payload_bits, code, constellation)
        bits = torch.zeros(payload_bits, dtype=torch.uint8)
        bits[: 8 * len(payload)] = torch.from_numpy(np.unpackbits(np.frombuffer(payload, dtype=np.uint8)))
        per_symbol = constellation.bits_per_symbol if constellation else 1
        if coded_bits:
            bits = code.encode(bits, coded_bits, per_symbol)
        return (constellation.modulate(scrambled(bits)) if constellation else bits), control

    def _allotted(self, code: ChannelCode, constellation: QAM | None, image: Tensor) -> tuple[int, int]:
        """Return (payload bits, coded bits) that the budget allows for this image; zeros where nothing fits."""
        pixels = image.shape[1] * image.shape[2]
        if self.bpp is not None:
            return int(self.bpp * pixels), 0
        coded_bits = int(self.channel_uses_per_pixel * pixels) * constellation.bits_per_symbol
        try:
            return code.payload_bits(coded_bits), coded_bits
        except RateError:
            return 0, 0

    def receive(
        self, output: ChannelOutput, control: Sequence[SeparateControl], rng: Sequence[torch.Generator]
    ) -> tuple[Tensor, Info]:
        """Demodulate, decode and show what can be shown of each image [B, 3, H, W]."""
        symbols = output.noise_variance is not None and control[0].constellation is not None
        inputs = output.zero_forced() if symbols else output.llr()
        images, columns = [], []
        for received, signalled in zip(inputs, control):
            llr = descrambled(signalled.constellation.demodulate(*received)) if symbols else received
            image, column = self._receive_one(llr, signalled)
            images.append(image)
            columns.append(column)
        return torch.stack(images), {name: [column[name] for column in columns] for name in columns[0]}

    def _receive_one(self, llr: Tensor, signalled: SeparateControl) -> tuple[Tensor, dict]:
        per_symbol = signalled.constellation.bits_per_symbol if signalled.constellation else 1
        decoded = None
        image = None
        if signalled.payload_bytes:
            decoded = signalled.code.decode(llr, signalled.payload_bits, per_symbol)
            image = self._decoded(decoded, signalled)
        block_ok = torch.zeros(0) if decoded is None else decoded.block_ok
        return (
            signalled.fill[:, None, None].expand(3, signalled.height, signalled.width) if image is None else image,
            {
                "blocks": len(block_ok),
                "block_errors": len(block_ok) - int(block_ok.sum()),
                "decode_failed": image is None,
                "infeasible": not signalled.payload_bytes,
                "modulation": signalled.constellation.name if signalled.constellation else "none",
                "nominal_code_rate": getattr(signalled.code, "rate", 1.0),
                "damage": self.damage,
            },
        )

    def _decoded(self, decoded: Decoded, signalled: SeparateControl) -> Tensor | None:
        """Return the image in the bits, as far as the `damage` policy and the codec go; None for nothing."""
        usable = decoded.intact_bits()
        if usable < len(decoded.bits):
            usable = {"prefix": usable, "as-is": len(decoded.bits), "discard": 0}[self.damage]
        payload = np.packbits(decoded.bits.numpy()[: usable // 8 * 8]).tobytes()[: signalled.payload_bytes]
        if not payload:
            return None
        try:
            image = self.source.decode_sized(payload, signalled.height, signalled.width)
        except DecodeError:
            return None
        return image if image.shape[1:] == (signalled.height, signalled.width) else None
