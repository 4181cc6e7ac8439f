"""LSCI's network: a base slice and refinement slices, each adding channel symbols.

The system and its name: Dong et al., "Semantic communication system based on semantic slice models propagation",
IEEE JSAC 41(1), 2023. Its layer table is not public; these layers are ours. That refinements of an image lose little
against a code made for the whole rate: Kurka and Gündüz, DeepJSCC-l (arXiv 2009.12480).
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from semcomm.channels import noise_variance
from semcomm.errors import ConfigurationError
from semcomm.jscc import constellation as grids
from semcomm.jscc.blocks import Analysis, Condition, GatedBlock, Stage, Synthesis, shuffled, unshuffled
from semcomm.jscc.network import Layer, LearnedNetwork

LAYERS = (
    Layer(16, 2), Layer(16, 2), Layer(16, 4), Layer(16, 8), Layer(8, 4), Layer(8, 8), Layer(4, 4), Layer(4, 4),
    Layer(4, 4),
)  # fmt: skip
"""CBR 1/384, 1/192, 1/96, 1/48, 1/24, 1/12, 1/6, 1/4 and 1/3 with 1 to 9 layers."""
INITIAL_SCALE = 0.1
"""Initial factor of the weights from the networks to symbols and images: training begins with the linear code.

At coarse strides, those to images begin at 0: the transmitter's prediction is linear at first."""
SNR_RANGE = (-2.0, 20.0)
"""SNRs in dB that the networks are trained for; others are clamped to them at their input."""
UPDATES_DB = (2.0, 12.0)
"""SNRs of the channel at which the update for low SNRs and that for high SNRs are used alone."""
ESTIMATES_RANGE = (-5.0, 20.0)
"""The same as `SNR_RANGE` for estimates, whose SNR quantisation lowers."""


class EncoderSlice(nn.Module):
    """The encoder of one layer: values from an image, its features and the receiver's predicted reconstruction.

    A linear transform of the pixels of each cell (initialised by `semcomm.jscc.linear`) stands beside the network. The
    prediction includes the quantisation of earlier layers' symbols, so that this layer can send its error.

    Args:
        layer: of the values.
        width: channels of the features.
        first: whether there is no prediction yet.
    """

    def __init__(self, layer: Layer, width: int, first: bool) -> None:
        super().__init__()
        self.analysis = Analysis(3 if first else 6, 2 * layer.symbols, layer.stride)
        self.look = None if first else Analysis(3, width, layer.stride)
        self.weigh = GatedBlock(width, 1)
        self.head = nn.Conv2d(width, 2 * layer.symbols, 3, 1, 1)
        with torch.no_grad():
            self.head.weight *= INITIAL_SCALE
            for weights in [] if first else self.look.parameters():
                weights.zero_()

    def forward(self, cells: Tensor, features: Tensor, predicted: Tensor, condition: Tensor) -> Tensor:
        """Return the values [B, 2·symbols, h, w].

        Args:
            cells: of the image, around 0, [B, 3·stride², h, w].
            features: [B, width, h, w].
            predicted: reconstruction, as `cells`.
            condition: features of the SNR, [B, SNR_FEATURES].
        """
        if self.look is not None:
            residual = cells - predicted
            cells, features = torch.cat([cells, residual], 1), features + self.look(residual)
        return self.analysis(cells) + self.head(self.weigh(features, condition))


class DecoderSlice(nn.Module):
    """The innovation of a layer's values, which updates the image and, through `join`, the features.

    A Kalman filter's update with learned matrices: the innovation is the values minus their prediction from the image
    so far, each weighted by λ / (λ + noise), where λ is its variance. There are two updates, for low and for high SNRs,
    blended in between. The transmitter makes the same update with the noiseless values, and so predicts the image.
    """

    def __init__(self, layer: Layer, width: int, first: bool) -> None:
        super().__init__()
        self.expected = None if first else Analysis(3, 4 * layer.symbols, layer.stride)
        self.log_variance = nn.Parameter(torch.zeros(4 * layer.symbols))
        self.synthesis = Synthesis(4 * layer.symbols, 3, layer.stride)
        self.join = nn.Conv2d(4 * layer.symbols, width, 3, 1, 1)

    def innovation(self, values: Tensor, noise: Tensor, high: Tensor, present: Tensor, cells: Tensor) -> Tensor:
        """Return the weighted innovations for low and high SNRs, [B, 4·symbols, h, w].

        Args:
            values: [B, 2·symbols, h, w].
            noise: power of a pair, [B, 1, 1, 1].
            high: weight of the update for high SNRs, [B, 1, 1, 1].
            present: 0 or 1, [B, 1, h, w].
            cells: of the image so far, [B, 3·stride², h, w].
        """
        blend = torch.cat([1 - high, high], 1).repeat_interleave(values.shape[1], 1)
        weight = blend * torch.sigmoid(self.log_variance[:, None, None] - noise.log())
        values = values.repeat(1, 2, 1, 1)
        return present * weight * (values if self.expected is None else values - self.expected(cells))

    def forward(
        self, values: Tensor, noise: Tensor, high: Tensor, present: Tensor, cells: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return the innovations, and the updated cells; arguments as for `innovation`."""
        innovation = self.innovation(values, noise, high, present, cells)
        return innovation, cells + self.synthesis(innovation)


class Encoder(nn.Module):
    """Features of images at each stride: the encoder's part of the base slice."""

    def __init__(self, widths: dict[int, int], blocks: dict[int, int]) -> None:
        super().__init__()
        self.condition = Condition()
        steps, stages = {}, {}
        before, channels = 1, 3
        for stride, width in sorted(widths.items()):
            steps[str(stride)] = unshuffled(channels, width, stride // before, 3 if before == 1 else 1)
            stages[str(stride)] = Stage(width, blocks[stride])
            before, channels = stride, width
        self.steps, self.stages = nn.ModuleDict(steps), nn.ModuleDict(stages)

    def forward(self, images: Tensor, condition: Tensor) -> dict[int, Tensor]:
        """Return features by stride of images [B, 3, H, W] in [0, 1], sides divisible by the largest stride."""
        features, x = {}, images - 0.5
        for stride, step in self.steps.items():
            x = self.stages[stride](step(x), condition)
            features[int(stride)] = x
        return features


class Decoder(nn.Module):
    """The decoder's part of the base slice: features at each stride to the next, and updates of the image."""

    def __init__(self, widths: dict[int, int], blocks: dict[int, int]) -> None:
        super().__init__()
        self.condition = Condition()
        stages, to_rgb, steps = {}, {}, {}
        order = sorted(widths, reverse=True)
        for stride, finer in zip(order, [*order[1:], None]):
            kernel = 1 if finer else 3
            stages[str(stride)] = Stage(widths[stride], blocks[stride])
            to_rgb[str(stride)] = nn.Conv2d(widths[stride], 3 * stride**2, kernel, 1, kernel // 2)
            with torch.no_grad():
                for weights in to_rgb[str(stride)].parameters():
                    weights *= 0 if finer else INITIAL_SCALE
            if finer:
                steps[str(stride)] = shuffled(widths[stride], widths[finer], stride // finer, 1)
        self.stages, self.to_rgb, self.steps = nn.ModuleDict(stages), nn.ModuleDict(to_rgb), nn.ModuleDict(steps)


class Reconstruction:
    """The state of a decoder as layers arrive: an image, and features at the stride of the last layer.

    The receiver runs it on estimates, the transmitter on noiseless values to predict the receiver's.

    Args:
        network: to decode with.
        snr_db: of the estimates [B].
        plan: layers of each block [B, h, w].
    """

    def __init__(self, network: "LSCINetwork", snr_db: Tensor, plan: Tensor) -> None:
        self.slices, self.base = network.decoder["slices"], network.decoder["base"]
        error = grids.quantisation_error(network.constellation)
        self.condition = self.base.condition(snr_db.clamp(*ESTIMATES_RANGE), error)
        self.noise, self.high = noise_variance(snr_db)[:, None, None, None], network.high(snr_db)
        self.stride, self.finest = network.stride, min(network.widths)
        self.cells = torch.zeros(len(plan), 3 * self.stride**2, *plan.shape[1:], device=plan.device)
        self.features, self.pending = None, []

    def refine_to(self, stride: int) -> Tensor:
        """Return the image around 0 with all updates of coarser strides, as cells of `stride`."""
        while self.stride > stride:
            self._fuse()
            self.features = self.base.steps[str(self.stride)](self.features)
            self.cells = F.pixel_unshuffle(F.pixel_shuffle(self.cells, self.stride), self.stride // 2)
            self.stride //= 2
        return self.cells

    def update(self, index: int, values: Tensor, gain: Tensor, present: Tensor) -> None:
        """Update with a layer's values [B, 2·symbols, h, w], their gain [B, 1, 1, 1] and presence [B, 1, h, w]."""
        piece = self.slices[index]
        innovation, self.cells = piece(values, self.noise / gain**2, self.high, present, self.cells)
        self.pending.append((piece.join, innovation, present))

    def image(self) -> Tensor:
        """Return the images [B, 3, H, W] around 0, not clamped."""
        self.refine_to(self.finest)
        self._fuse()
        return F.pixel_shuffle(self.cells, self.stride)

    def _fuse(self) -> None:
        """Fuse the innovations of this stride with the features, and update the image from them."""
        updates = [present * join(innovation) for join, innovation, present in self.pending]
        features = sum(updates) if self.features is None else sum(updates, self.features)
        self.features, self.pending = self.base.stages[str(self.stride)](features, self.condition), []
        self.cells = self.cells + self.base.to_rgb[str(self.stride)](self.features)


class LSCINetwork(LearnedNetwork):
    """The networks of both sides, slice by slice.

    Weights named `encoder.slices.K.*` and `decoder.slices.K.*` are those of slice K (from 0); `encoder.base.*` and
    `decoder.base.*` belong to slice 0. A network that holds fewer slices has no weights of the others.

    Args:
        layers: the symbols of each layer, from the base on; strides never grow.
        widths: channels of the features at each stride used, from the finest.
        encoder_blocks: gated blocks of the encoder at each stride, from the finest.
        decoder_blocks: those of the decoder.
        constellation: of the symbols.
        held: slices to hold, from the base on; None for all.

    Attributes:
        constellation: may be changed at any time. The weights are the same for all; a card names those trained for.
        options: the arguments but `constellation` and `held`, as JSON data.
    """

    def __init__(
        self,
        layers: Sequence[Layer] = LAYERS,
        widths: Sequence[int] = (96, 108, 104),
        encoder_blocks: Sequence[int] = (3, 1, 1),
        decoder_blocks: Sequence[int] = (5, 2, 1),
        constellation: str = "16qam",
        held: int | None = None,
    ) -> None:
        super().__init__()
        pairs = [(layer.stride, layer.symbols) if isinstance(layer, Layer) else tuple(layer) for layer in layers]
        if any(len(pair) != 2 or pair[1] < 1 for pair in pairs):
            raise ConfigurationError(f"a layer is a stride and a number of symbols, at least 1; these are {pairs}")
        self.layers = tuple(Layer(*pair) for pair in pairs)
        self.constellation = grids.checked(constellation)
        strides = [layer.stride for layer in self.layers]
        if not strides or strides != sorted(strides, reverse=True) or set(strides) - {4, 8, 16}:
            raise ConfigurationError(f"strides of layers are 16, 8 or 4 and never grow; these are {strides}")
        scales = [stride for stride in (4, 8, 16) if stride <= strides[0]]
        if not len(widths) == len(encoder_blocks) == len(decoder_blocks) == len(scales):
            raise ConfigurationError(
                f"widths, encoder_blocks and decoder_blocks need {len(scales)} numbers each, for strides {scales}"
            )
        self.widths = dict(zip(scales, widths))
        self.options = {
            "layers": [list(pair) for pair in pairs],
            "widths": list(widths),
            "encoder_blocks": list(encoder_blocks),
            "decoder_blocks": list(decoder_blocks),
        }
        self._held = len(self.layers) if held is None else held
        if not 1 <= self._held <= len(self.layers):
            raise ConfigurationError(f"a network of {len(self.layers)} layers cannot hold {held} slices")
        there = self.layers[: self._held]
        self.encoder = nn.ModuleDict(
            {
                "base": Encoder(self.widths, dict(zip(scales, encoder_blocks))),
                "slices": nn.ModuleList(EncoderSlice(x, self.widths[x.stride], n == 0) for n, x in enumerate(there)),
            }
        )
        self.decoder = nn.ModuleDict(
            {
                "base": Decoder(self.widths, dict(zip(scales, decoder_blocks))),
                "slices": nn.ModuleList(DecoderSlice(x, self.widths[x.stride], n == 0) for n, x in enumerate(there)),
            }
        )

    @property
    def held(self) -> int:
        """Number of slices that are there."""
        return self._held

    @classmethod
    def from_card(cls, card: Mapping[str, Any], held: int | None = None, constellation: str | None = None) -> Self:
        """Return the network that a card describes, with its first `held` slices."""
        return cls(**card["network"], held=held, constellation=constellation or card["constellations"][0])

    @staticmethod
    def layer_of(name: str) -> int:
        """Return the slice that a tensor belongs to."""
        part = name.split(".")
        return int(part[2]) if part[1] == "slices" else 0

    def receiver_weights(self, layers: int) -> Iterator[nn.Parameter]:
        """Yield the weights of the decoder's first `layers` slices."""
        yield from self.decoder["base"].parameters()
        yield from self.decoder["slices"][:layers].parameters()

    def high(self, snr_db: Tensor) -> Tensor:
        """Return the weight of the update for high SNRs at an SNR of estimates [B], [B, 1, 1, 1]."""
        low, high = grids.snr_of_estimates(torch.tensor(UPDATES_DB), self.constellation).tolist()
        return ((snr_db - low) / (high - low)).clamp(0, 1)[:, None, None, None]

    def encode(self, images: Tensor, snr_db: Tensor, plan: Tensor) -> tuple[list[Tensor], Tensor]:
        """Return the symbols of each layer that the plan uses, and their gains [B, layers]; see `LearnedNetwork`."""
        _, symbols, gains = self.encode_values(images, snr_db, plan)
        return symbols, gains

    def encode_values(self, images: Tensor, snr_db: Tensor, plan: Tensor) -> tuple[list[Tensor], list[Tensor], Tensor]:
        """Return the values of each layer that the plan uses, [B, 2·symbols, h, w], and what `encode` makes of them."""
        snr_db = snr_db.clamp(*SNR_RANGE)
        condition = self.encoder["base"].condition(snr_db, grids.quantisation_error(self.constellation))
        features = self.encoder["base"](images, condition)
        predicted = Reconstruction(self, grids.snr_of_estimates(snr_db, self.constellation), plan)
        layers = self.layers[: int(plan.max())]
        cells = {stride: F.pixel_unshuffle(images - 0.5, stride) for stride in {layer.stride for layer in layers}}
        values_of, symbols, gains = [], [], []
        for index, layer in enumerate(layers):
            present, stride = self.presence(plan, index), layer.stride
            prediction = predicted.refine_to(stride)
            values = self.encoder["slices"][index](cells[stride], features[stride], prediction, condition)
            sent, gain, known = grids.quantise_to_constellation(values, present, self.constellation)
            if index + 1 < len(layers):
                predicted.update(index, known, gain, present)
            values_of.append(values)
            symbols.append(sent)
            gains.append(gain.flatten())
        return values_of, symbols, torch.stack(gains, 1)

    def decode(self, symbols: Sequence[Tensor], gains: Tensor, snr_db: Tensor, plan: Tensor) -> Tensor:
        """Return images [B, 3, H, W], not clamped, from conditional means of the symbols; see `LearnedNetwork`."""
        made = Reconstruction(self, snr_db, plan)
        for index, received in enumerate(symbols):
            gain, present = gains[:, index, None, None, None], self.presence(plan, index)
            made.refine_to(self.layers[index].stride)
            made.update(index, grids.dft_spread(received * present, present, inverse=True) / gain, gain, present)
        return made.image() + 0.5
