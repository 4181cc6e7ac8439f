"""Links: what a sweep runs. A `Transceiver` is the one that a researcher writes, as two halves."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import wraps
from typing import Any

import torch
from torch import Tensor

from semcomm.channels import Channel, ChannelOutput
from semcomm.component import Component
from semcomm.errors import ConfigurationError
from semcomm.images import check_images, quantise
from semcomm.ledger import Ledger
from semcomm.seeds import Seed
from semcomm.transceivers.checks import check_reception, check_signal, images_of, plain_column
from semcomm.transceivers.knowledge import ChannelKnowledge

Info = Mapping[str, Sequence[Any] | Tensor]
"""Further columns for each image of a batch, by name: numbers, booleans and short texts become columns."""


@dataclass(frozen=True)
class Signal:
    """Signal of a transmitter for a batch.

    Attributes:
        ledger: what it costs.
        symbols: `complex64` [k] per image, of mean power 1; or None.
        bits: `uint8` [n] per image; or None. One of the two is given.
        control: per image, what a control channel carries to the receiver (payload length, constellation, scale
            factors). The ledger's `side_bits` count it, or the transceiver's documentation says that it is free.
    """

    ledger: Ledger
    symbols: list[Tensor] | None = None
    bits: list[Tensor] | None = None
    control: list[Any] = field(default_factory=list)

    def sent(self) -> list[Tensor]:
        """Return the symbols or the bits, whichever there are."""
        if (self.symbols is None) == (self.bits is None):
            raise ConfigurationError("a Signal has either symbols or bits")
        return self.symbols if self.bits is None else self.bits


@dataclass(frozen=True)
class Reception:
    """Reception of a batch: the end of every link, whatever it was.

    Attributes:
        images: reconstructions [B, 3, H, W], values k/255, of the originals' size.
        ledger: what it cost.
        info: per image: `block_errors` and `blocks`, `decode_failed`, `symbol_power`, `papr_db`, and what the link
            adds.
    """

    images: Tensor
    ledger: Ledger
    info: dict[str, list[Any]]


class Link(Component, ABC):
    """Anything that turns images into reconstructions at a cost.

    What goes into `transmit` and what comes out of it is checked, in every class that defines it.
    """

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Put the checks around a `transmit` of the class's own."""
        super().__init_subclass__(**kwargs)
        if "transmit" in vars(cls):
            cls.transmit = _checked(cls.transmit)

    @abstractmethod
    def transmit(self, images: Tensor, channel: Channel, seeds: Sequence[Seed]) -> Reception:
        """Send `images` [B, 3, H, W] in [0, 1] over `channel`, with one seed per image.

        Raises:
            ImageError: when the images are of another shape, type or range.
            ConfigurationError: when the seeds do not fit them, or what was made of them is no `Reception`.
        """


def _checked(transmit: Callable) -> Callable:
    @wraps(transmit)
    def checked(self: Link, images: Tensor, channel: Channel, seeds: Sequence[Seed]) -> Reception:
        check_images(images, f"{type(self).__name__}.transmit")
        fits = isinstance(seeds, Sequence) and all(isinstance(seed, Seed) for seed in seeds)
        if not fits or len(seeds) != len(images):
            given = f"{len(seeds)} seeds" if fits else repr(seeds)
            raise ConfigurationError(
                f"{type(self).__name__}.transmit: got {given} for {len(images)} images; semcomm.seeds_of(images) makes "
                "one for each"
            )
        reception = transmit(self, images, channel, seeds)
        check_reception(type(self).__name__, reception, images)
        return replace(reception, images=quantise(reception.images))

    return checked


class Transceiver(Link):
    """A link of two halves. `receive` sees what a receiver sees: never the images, the noise or the sent symbols."""

    def transmit(self, images: Tensor, channel: Channel, seeds: Sequence[Seed]) -> Reception:
        """Send `images` [B, 3, H, W] over `channel`, with one seed per image.

        Raises:
            ConfigurationError: when the halves do not fit the channel or return something else than they promise.
        """
        name = type(self).__name__
        knowledge = ChannelKnowledge.of(channel, seeds)
        signal = self.send_knowing(images, knowledge, [seed.generator("send") for seed in seeds])
        sent = check_signal(name, signal, images)
        output = channel(sent, seeds)
        control = signal.control or [None] * len(images)
        received, info = self.receive(output, control, [seed.generator("receive") for seed in seeds])
        received = images_of(f"{name}.receive", received, images)
        power = [float((x.abs() ** 2).mean()) if x.is_complex() and len(x) else float("nan") for x in sent]
        papr_db = [_papr_db(x) for x in sent] if output.papr_db is None else output.papr_db.tolist()
        return Reception(
            images=received,
            ledger=signal.ledger.with_channel(output.pilot_uses, output.overhead_uses, output.streams),
            info={"symbol_power": power, "papr_db": papr_db} | {key: plain_column(v) for key, v in info.items()},
        )

    @abstractmethod
    def send(self, images: Tensor, snr_db: Tensor, rng: Sequence[torch.Generator]) -> Signal:
        """Turn `images` [B, 3, H, W] into symbols or bits.

        Args:
            images: in [0, 1].
            snr_db: what the channel lets the transmitter know, per image [B]; NaN for nothing.
            rng: a generator per image, for whatever is random here.
        """

    def send_knowing(self, images: Tensor, knowledge: ChannelKnowledge, rng: Sequence[torch.Generator]) -> Signal:
        """Turn `images` into symbols or bits by all that is known of their channels.

        It is `send`, with one SNR per image, unless a transceiver uses the gains, or the statistics of the fading.
        """
        return self.send(images, knowledge.snr_db, rng)

    @abstractmethod
    def receive(
        self, output: ChannelOutput, control: Sequence[Any], rng: Sequence[torch.Generator]
    ) -> tuple[Tensor, Info]:
        """Turn what arrived into images [B, 3, H, W] in [0, 1], and what there is to say about each.

        Args:
            output: what came out of the channel.
            control: the `control` of the signal, per image.
            rng: a generator per image, for whatever is random here.
        """


def _papr_db(x: Tensor) -> float:
    power = x.abs().square() if x.is_complex() else x[:0].float()
    return float(10 * torch.log10(power.max() / power.mean())) if len(power) and power.any() else float("nan")
