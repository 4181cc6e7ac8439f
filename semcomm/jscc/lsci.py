"""LSCI's network: a base slice and refinement slices, each adding channel symbols.

The system and its name: Dong et al., "Semantic communication system based on semantic slice models propagation",
IEEE JSAC 41(1), 2023. Its layer table is not public; these layers are ours. That refinements of an image lose little
against a code made for the whole rate: Kurka and Gündüz, DeepJSCC-l (arXiv 2009.12480).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from semcomm.channels import noise_variance
from semcomm.errors import ConfigurationError
from semcomm.jscc import constellation as grids
from semcomm.jscc.blocks import Analysis, Condition, GatedBlock, Stage, Synthesis, shuffled, unshuffled


@dataclass(frozen=True)
class Layer:
    """One layer's symbols.

    Attributes:
        stride: of their grid, in pixels: 4, 8 or 16.
        symbols: complex symbols in each cell of the grid.
    """

    stride: int
    symbols: int


LAYERS = (
    Layer(16, 2), Layer(16, 2), Layer(16, 4), Layer(16, 8), Layer(8, 4), Layer(8, 8), Layer(4, 4), Layer(4, 4),
    Layer(4, 4),
)  # fmt: skip
"""CBR 1/384, 1/192, 1/96, 1/48, 1/24, 1/12, 1/6, 1/4 and 1/3 with 1 to 9 layers."""
LATER = 0.1
"""Factor of the weights through which the networks reach symbols and images, at first: linear transforms go before.

Those through which they reach images at a coarse stride begin at 0: what is foreseen is linear at first."""
SNR_RANGE = (-2.0, 20.0)
"""In dB; what the networks are trained for. A higher SNR is told to them as the highest of these."""
STEPS_DB = (2.0, 12.0)
"""SNRs of the channel at which the step for a low one and that for a high one are taken alone."""
ESTIMATES_RANGE = (-5.0, 20.0)
"""The same of the estimates, which rounding made worse."""


class EncoderSlice(nn.Module):
    """From an image, its features at the layer's stride and what a receiver will have of it, to this layer's values.

    A linear transform of the pixels of each cell (`semcomm.jscc.linear` begins it) stands beside the network. What is
    foreseen includes the rounding of earlier layers' symbols: this layer's can tell what theirs could not.

    Args:
        layer: whose values these are.
        width: channels of the features.
        first: whether nothing is foreseen yet.
    """

    def __init__(self, layer: Layer, width: int, first: bool) -> None:
        super().__init__()
        self.analysis = Analysis(3 if first else 6, 2 * layer.symbols, layer.stride)
        self.look = None if first else Analysis(3, width, layer.stride)
        self.weigh = GatedBlock(width, 1)
        self.head = nn.Conv2d(width, 2 * layer.symbols, 3, 1, 1)
        with torch.no_grad():
            self.head.weight *= LATER
            for weights in [] if first else self.look.parameters():
                weights.zero_()

    def forward(self, cells: Tensor, features: Tensor, predicted: Tensor, condition: Tensor) -> Tensor:
        """Return the values [B, 2·symbols, h, w].

        Args:
            cells: of the image, around 0, [B, 3·stride², h, w].
            features: [B, width, h, w].
            foreseen: as `cells`.
            condition: the SNR, [B, SNR_FEATURES].
        """
        if self.look is not None:
            lacking = cells - predicted
            cells, features = torch.cat([cells, lacking], 1), features + self.look(lacking)
        return self.analysis(cells) + self.head(self.weigh(features, condition))


class DecoderSlice(nn.Module):
    """What a layer's values say beyond what is known, which changes the image and, through `join`, the features.

    A step of a Kalman filter, with all of its matrices learned: the values are compared with what the image so far lets
    expect, and each difference weighs λ / (λ + noise), where λ is its variance. There are two such steps, for a low SNR
    and a high one; in between, both are taken in part. The transmitter takes the same step with the values that noise
    does not change, and so foresees the image.
    """

    def __init__(self, layer: Layer, width: int, first: bool) -> None:
        super().__init__()
        self.expected = None if first else Analysis(3, 4 * layer.symbols, layer.stride)
        self.log_variance = nn.Parameter(torch.zeros(4 * layer.symbols))
        self.synthesis = Synthesis(4 * layer.symbols, 3, layer.stride)
        self.join = nn.Conv2d(4 * layer.symbols, width, 3, 1, 1)

    def news(self, values: Tensor, noise: Tensor, high: Tensor, present: Tensor, cells: Tensor) -> Tensor:
        """Return weighted differences for the low and the high SNR, [B, 4·symbols, h, w].

        Args:
            values: [B, 2·symbols, h, w].
            noise: power of a pair, [B, 1, 1, 1].
            high: how much of the step for a high SNR is taken, [B, 1, 1, 1].
            present: 0 or 1, [B, 1, h, w].
            cells: of the image so far, [B, 3·stride², h, w].
        """
        share = torch.cat([1 - high, high], 1).repeat_interleave(values.shape[1], 1)
        weight = share * torch.sigmoid(self.log_variance[:, None, None] - noise.log())
        values = values.repeat(1, 2, 1, 1)
        return present * weight * (values if self.expected is None else values - self.expected(cells))

    def forward(
        self, values: Tensor, noise: Tensor, high: Tensor, present: Tensor, cells: Tensor
    ) -> tuple[Tensor, Tensor]:
        """As `news` -> news, and cells."""
        news = self.news(values, noise, high, present, cells)
        return news, cells + self.synthesis(news)


class Encoder(nn.Module):
    """From images to features at each stride: the encoder's share of the base slice."""

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
        """[B, 3, H, W] in [0, 1], sides divisible by the largest stride, and the SNR -> features by stride."""
        features, x = {}, images - 0.5
        for stride, step in self.steps.items():
            x = self.stages[stride](step(x), condition)
            features[int(stride)] = x
        return features


class Decoder(nn.Module):
    """From features at each stride to those at the next, and to changes of the image: its share of the base slice."""

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
                    weights *= 0 if finer else LATER
            if finer:
                steps[str(stride)] = shuffled(widths[stride], widths[finer], stride // finer, 1)
        self.stages, self.to_rgb, self.steps = nn.ModuleDict(stages), nn.ModuleDict(to_rgb), nn.ModuleDict(steps)


class Reconstruction:
    """What is made of an image's layers as they come: an image, and features at the stride of the last.

    The receiver has it, and the transmitter foresees it.

    Args:
        network: whose decoder it is.
        snr_db: of the estimates [B].
        plan: layers of each block [B, h, w].
    """

    def __init__(self, network: "LSCINetwork", snr_db: Tensor, plan: Tensor) -> None:
        self.slices, self.base = network.decoder["slices"], network.decoder["base"]
        self.condition = self.base.condition(snr_db.clamp(*ESTIMATES_RANGE), grids.rounding(network.constellation))
        self.noise, self.high = noise_variance(snr_db)[:, None, None, None], network.high(snr_db)
        self.stride, self.finest = network.stride, min(network.widths)
        self.cells = torch.zeros(len(plan), 3 * self.stride**2, *plan.shape[1:], device=plan.device)
        self.features, self.heard = None, []

    def reach(self, stride: int) -> Tensor:
        """Return the image around 0 with all that was heard at coarser strides, as cells of `stride`."""
        while self.stride > stride:
            self._fuse()
            self.features = self.base.steps[str(self.stride)](self.features)
            self.cells = F.pixel_unshuffle(F.pixel_shuffle(self.cells, self.stride), self.stride // 2)
            self.stride //= 2
        return self.cells

    def update(self, index: int, values: Tensor, gain: Tensor, present: Tensor) -> None:
        """Take layer `index`'s values [B, 2·symbols, h, w], their gain [B, 1, 1, 1] and where they are [B, 1, h, w]."""
        piece = self.slices[index]
        news, self.cells = piece(values, self.noise / gain**2, self.high, present, self.cells)
        self.heard.append((piece.join, news, present))

    def finished(self) -> Tensor:
        """Return the images [B, 3, H, W] around 0, not clamped."""
        self.reach(self.finest)
        self._fuse()
        return F.pixel_shuffle(self.cells, self.stride)

    def _fuse(self) -> None:
        """Join what was heard at this stride to the features, and change the image by what they say."""
        changes = [present * join(news) for join, news, present in self.heard]
        features = sum(changes) if self.features is None else sum(changes, self.features)
        self.features, self.heard = self.base.stages[str(self.stride)](features, self.condition), []
        self.cells = self.cells + self.base.to_rgb[str(self.stride)](self.features)


class LSCINetwork(nn.Module):
    """The networks of both sides, slice by slice.

    Weights named `encoder.slices.K.*` and `decoder.slices.K.*` are those of slice K (from 0); `encoder.base.*` and
    `decoder.base.*` belong to slice 0. A network that holds fewer slices has no weights of the others.

    Args:
        layers: the symbols of each layer, from the base on; strides never grow.
        widths: channels of the features at each stride used, from the finest.
        encoder_blocks: gated blocks of the encoder at each stride, from the finest.
        decoder_blocks: those of the decoder.
        constellation: what the symbols are.
        held: slices that are there; None for all.

    Attributes:
        constellation: may be changed at any time. The weights are the same for all; a card says which they know.
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
        self.held = len(self.layers) if held is None else held
        if not 1 <= self.held <= len(self.layers):
            raise ConfigurationError(f"a network of {len(self.layers)} layers cannot hold {held} slices")
        there = self.layers[: self.held]
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
    def stride(self) -> int:
        """Sides of images are multiples of this: side in pixels of a block."""
        return self.layers[0].stride

    @property
    def uses(self) -> list[int]:
        """Channel uses of a block with 1, 2, ... layers."""
        total, sums = 0, []
        for layer in self.layers:
            total += layer.symbols * (self.stride // layer.stride) ** 2
            sums.append(total)
        return sums

    def presence(self, plan: Tensor, index: int) -> Tensor:
        """Return 1 where a plan [B, h, w] has layer `index` (from 0), else 0: `float32` [B, 1, h', w'] on its grid."""
        factor = self.stride // self.layers[index].stride
        there = (plan > index).float()[:, None]
        return there.repeat_interleave(factor, 2).repeat_interleave(factor, 3) if factor > 1 else there

    def high(self, snr_db: Tensor) -> Tensor:
        """Return how much of the steps for a high SNR is taken at an SNR of estimates [B], [B, 1, 1, 1]."""
        low, high = grids.snr_of_estimates(torch.tensor(STEPS_DB), self.constellation).tolist()
        return ((snr_db - low) / (high - low)).clamp(0, 1)[:, None, None, None]

    def encode(self, images: Tensor, snr_db: Tensor, plan: Tensor) -> tuple[list[Tensor], Tensor]:
        """Return the symbols of each layer that the plan uses, and their gains, which the receiver needs.

        Args:
            images: [B, 3, H, W] in [0, 1], sides divisible by `stride`.
            snr_db: that the transmitter knows [B].
            plan: layers of each block [B, H/stride, W/stride].

        Returns:
            [B, 2·symbols, h, w] for each layer, zero where it is absent, and [B, layers].
        """
        snr_db = snr_db.clamp(*SNR_RANGE)
        condition = self.encoder["base"].condition(snr_db, grids.rounding(self.constellation))
        features = self.encoder["base"](images, condition)
        predicted = Reconstruction(self, grids.snr_of_estimates(snr_db, self.constellation), plan)
        layers = self.layers[: int(plan.max())]
        cells = {stride: F.pixel_unshuffle(images - 0.5, stride) for stride in {layer.stride for layer in layers}}
        symbols, gains = [], []
        for index, layer in enumerate(layers):
            present, stride = self.presence(plan, index), layer.stride
            seen = cells[stride], features[stride], predicted.reach(stride)
            values = self.encoder["slices"][index](*seen, condition)
            sent, gain, told = grids.quantise_to_constellation(values, present, self.constellation)
            if index + 1 < len(layers):
                predicted.update(index, told, gain, present)
            symbols.append(sent)
            gains.append(gain.flatten())
        return symbols, torch.stack(gains, 1)

    def decode(self, symbols: Sequence[Tensor], gains: Tensor, snr_db: Tensor, plan: Tensor) -> Tensor:
        """Return images [B, 3, H, W], not clamped, from `estimated` symbols as `encode` arranges them.

        Args:
            symbols: of the first layers, as many as there are; those of layers that are not held must be left out.
            gains: of these layers at least, [B, layers].
            snr_db: of the estimates [B].
            plan: layers of each block [B, h, w]; what it has beyond `symbols` is ignored.
        """
        made = Reconstruction(self, snr_db, plan)
        for index, received in enumerate(symbols):
            gain, present = gains[:, index, None, None, None], self.presence(plan, index)
            made.reach(self.layers[index].stride)
            made.update(index, grids.spread(received * present, present, back=True) / gain, gain, present)
        return made.finished() + 0.5
