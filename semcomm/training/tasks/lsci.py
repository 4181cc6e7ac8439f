"""Training of LSCI: for many rates, SNRs and constellations at once."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from semcomm.errors import ConfigurationError
from semcomm.jscc import constellation as grids
from semcomm.jscc import linear
from semcomm.jscc.allocation import activity, allocate
from semcomm.jscc.codec import Codec
from semcomm.jscc.constellation import Name
from semcomm.jscc.lsci import LSCINetwork
from semcomm.jscc.network import uniform_plan
from semcomm.training import augment
from semcomm.training.tasks.jscc import VALIDATION_SNRS_DB, JSCCTask


class LSCITraining(JSCCTask):
    """LSCI, for all its layers, SNRs and constellations at once.

    Args:
        folders: as for `JSCCTask`, like the arguments up to `name`.
        constellations: `analog`, `qpsk`, `16qam` or `64qam` -> relative frequency; one is drawn for each step. The
            card has the scores of the first in full. 16QAM alone if left out.
        layers: (stride, symbols) of each layer, from the base on; LSCI's own if left out. A single layer on a
            constellation is DeepJSCC-Q.
        widths: channels of the features at strides 4, 8, 16, as far as layers go.
        encoder_blocks: gated blocks of the encoder at each stride.
        decoder_blocks: and of the decoder.
        drawn_layers: relative frequencies of crops with 1, 2, ... layers; equal if left out.
        adaptive: share of the crops whose layers differ from block to block.
        csi_error_fraction: share of the crops whose transmitter knows a wrong SNR, by 2 dB (standard deviation).
        fading_fraction: share of the crops with Rayleigh fading of each symbol.
    """

    def __init__(
        self,
        folders: list[str | dict[str, Any]],
        shares: list[float] | None = None,
        attribution: list[str] | None = None,
        licence: str | None = None,
        val_fraction: float = 0.04,
        crop: int = 128,
        downscale_fraction: float = 0.25,
        snr_db: tuple[float, ...] = (-2.0, 20.0),
        loss: dict[str, float] | None = None,
        name: str = "lsci",
        constellations: dict[Name, float] | None = None,
        layers: list[list[int]] | None = None,
        widths: list[int] | None = None,
        encoder_blocks: list[int] | None = None,
        decoder_blocks: list[int] | None = None,
        drawn_layers: list[float] | None = None,
        adaptive: float = 0.5,
        csi_error_fraction: float = 0.25,
        fading_fraction: float = 0.1,
    ) -> None:
        super().__init__(
            folders, shares, attribution, licence, val_fraction, crop, downscale_fraction, snr_db, loss, name
        )
        given = {
            "layers": layers,
            "widths": widths,
            "encoder_blocks": encoder_blocks,
            "decoder_blocks": decoder_blocks,
        }
        self.network = {k: v for k, v in given.items() if v is not None}
        self.constellations = constellations or {"16qam": 1.0}
        self.main, *_ = map(grids.checked, self.constellations)
        if not min(self.constellations.values()) > 0:  # the card says that the codec knows them all
            raise ConfigurationError(f"constellations is {constellations}; leave out those that are not to be drawn")
        self.drawn_constellations = torch.tensor(list(self.constellations.values()), dtype=torch.float32)
        self.adaptive, self.csi_error_fraction, self.fading_fraction = adaptive, csi_error_fraction, fading_fraction
        self.uses, self.stride = self.template.uses, self.template.stride
        self.drawn_layers = torch.tensor(drawn_layers or [1.0] * len(self.uses), dtype=torch.float32)
        if len(self.drawn_layers) != len(self.uses):
            raise ConfigurationError(f"drawn_layers has {len(self.drawn_layers)} numbers for {len(self.uses)} layers")
        if self.drawn_layers.min() < 0 or not self.drawn_layers.sum():
            raise ConfigurationError(f"drawn_layers is {drawn_layers}; they are at least 0, and one is above it")

    def build(self) -> LSCINetwork:
        """Return the network."""
        return LSCINetwork(**self.network, constellation=self.main)

    def begin(self, module: LSCINetwork) -> None:
        """Fit the linear transforms beside the networks to crops of the images."""
        generator = torch.Generator().manual_seed(torch.initial_seed())
        linear.fit(module, torch.cat([self.batch(64, 0, generator)["images"] for _ in range(8)]), generator)

    def draw(self, images: Tensor, snr_db: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
        """Return the plan, the known SNRs, the images with fading, and the constellation of the batch."""
        size = len(images)
        layers = torch.multinomial(self.drawn_layers, size, replacement=True, generator=generator)
        budget = torch.tensor(self.uses, dtype=torch.float32)[layers]
        busy = activity(images, self.stride)
        exponent = augment.uniform(generator, 0.3, 1.1, size, 1, 1)
        target_log2_uses = exponent * busy + 0.4 * torch.randn(busy.shape, generator=generator)
        varied = torch.rand(size, 1, 1, generator=generator) < self.adaptive
        wrong = torch.rand(size, generator=generator) < self.csi_error_fraction
        error = 2 * torch.randn(size, generator=generator)
        return {
            "plan": allocate(torch.where(varied, target_log2_uses, 0.0), budget, self.uses),
            "known_snr_db": snr_db + wrong * error,
            "fading": torch.rand(size, generator=generator) < self.fading_fraction,
            "constellation": torch.multinomial(self.drawn_constellations, 1, generator=generator)[0],
        }

    def losses(self, module: LSCINetwork, batch: dict[str, Tensor], generator: torch.Generator) -> dict[str, Tensor]:
        """Return the losses of `JSCCTask` on the batch's constellation."""
        module.constellation = list(self.constellations)[int(batch["constellation"])]
        return super().losses(module, batch, generator)

    def validate(self, module: LSCINetwork) -> dict[str, float]:
        """Return the scores of `JSCCTask`, on the first constellation in full, one figure for each of the others."""
        scores = {}
        for name in self.constellations:
            module.constellation = name
            found = super().validate(module)
            scores |= found if name == self.main else {f"{key} on {name}": score for key, score in found.items()}
        module.constellation = self.main
        return scores

    def validation_points(self, images: Tensor, module: LSCINetwork) -> Sequence[tuple[str, float, Tensor]]:
        """Return a few SNRs at a low, a middle and the CBR-1/6 rate, or all layers where there are few."""
        wanted = [layers for layers in (3, 6, 7) if layers <= module.held] or [module.held]
        if module.constellation != self.main:
            return [(f"{wanted[-1]} layers", 10, uniform_plan(images, module, wanted[-1]))]
        tried = [
            (f"{n} layers", snr_db, uniform_plan(images, module, n)) for n in wanted for snr_db in VALIDATION_SNRS_DB
        ]
        if 7 in wanted:
            codec = Codec(self.build())
            for snr_db in (0, 10):
                known = torch.full((len(images),), float(snr_db))
                plan = codec.plan(images, codec.uses_of(images, 7), "adaptive", known)
                tried.append(("7 layers adaptive", snr_db, plan))
        return tried

    def describe(self, module: LSCINetwork) -> dict[str, Any]:
        """Return the card."""
        names = list(self.constellations)
        return super().describe(module) | {
            "title": f"LSCI on {', '.join(names)}",
            "constellations": names,
            "purpose": (
                "A layered learned codec: images to channel symbols and back, for any number of its "
                f"{len(self.uses)} layers and any SNR from {self.snr_db[0]:g} to {self.snr_db[1]:g} dB. "
                f"Scores are those on {self.main} where they do not say otherwise. "
                "The layers are this project's own; it claims none of the published system's numbers."
            ),
        }
