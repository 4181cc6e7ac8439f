"""LSCI's network: a base slice and refinement slices, each adding channel symbols.

The system and its name: Dong et al., "Semantic communication system based on semantic slice models propagation",
IEEE JSAC 41(1), 2023. Its layer table is not public; these layers are ours. That refinements of an image lose little
against a code made for the whole rate: Kurka and Gündüz, DeepJSCC-l (arXiv 2009.12480).
"""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from semcomm.channels import noise_variance
from semcomm.errors import ConfigurationError
from semcomm.jscc import constellation as grids
from semcomm.jscc.blocks import Condition, GatedBlock, Stage, shuffled, unshuffled


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
SNR_RANGE = (-2.0, 20.0)
"""In dB; what the networks are trained for. A higher SNR is told to them as the highest of these."""


class EncoderSlice(nn.Module):
    """From features at the layer's stride, and what the symbols before it left, to its symbols' values.

    So a layer can send the finer digits of what an earlier one had to round.

    Args:
        layer: whose symbols these are.
        before: the layer before it; None for the base.
        widths: channels of the features at each stride.
    """

    def __init__(self, layer: Layer, before: Layer | None, widths: dict[int, int]) -> None:
        super().__init__()
        width = widths[layer.stride]
        self.head = nn.Conv2d(width, 2 * layer.symbols, 3, 1, 1)
        self.read = self.carry = None
        if before:
            self.read = nn.Conv2d(2 * before.symbols, widths[before.stride], 3, 1, 1)
            if before.stride > layer.stride:
                self.carry = shuffled(widths[before.stride], width, before.stride // layer.stride, 1)
            for weights in (*self.read.parameters(), *([] if self.carry is None else [self.carry[0].bias])):
                nn.init.zeros_(weights)  # it begins by sending nothing of them

    def noted(self, left: Tensor, notes: Tensor | None) -> Tensor:
        """Return notes of all that is left so far, [B, width, h, w].

        Args:
            left: by the layer before, [B, 2·symbols, h', w'] on its grid.
            notes: of the layers before that one, on its grid too; None where there are none.
        """
        read = self.read(left) if notes is None else notes + self.read(left)
        return read if self.carry is None else self.carry(read)

    def forward(self, features: Tensor, notes: Tensor | None) -> Tensor:
        """[B, width, h, w] each -> [B, 2·symbols, h, w]."""
        return self.head(features if notes is None else features + notes)


class DecoderSlice(nn.Module):
    """Adds what a layer's symbols say to the features at its stride, where the layer is present."""

    def __init__(self, layer: Layer, width: int, refines: bool) -> None:
        super().__init__()
        self.join = nn.Conv2d(2 * layer.symbols, width, 3, 1, 1)
        self.block = GatedBlock(width) if refines else None

    def forward(self, features: Tensor | None, symbols: Tensor, present: Tensor, condition: Tensor) -> Tensor:
        """Features [B, width, h, w] or None, symbols [B, 2·symbols, h, w] -> features."""
        joined = present * self.join(symbols)
        features = joined if features is None else features + joined
        return features if self.block is None else features + present * self.block(features, condition)


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

    def forward(self, images: Tensor, snr_db: Tensor) -> dict[int, Tensor]:
        """[B, 3, H, W] in [0, 1], sides divisible by the largest stride -> features by stride."""
        condition = self.condition(snr_db)
        features, x = {}, images - 0.5
        for stride, step in self.steps.items():
            x = self.stages[stride](step(x), condition)
            features[int(stride)] = x
        return features


class Decoder(nn.Module):
    """From features at each stride to images: the decoder's share of the base slice."""

    def __init__(self, widths: dict[int, int], blocks: dict[int, int]) -> None:
        super().__init__()
        self.condition = Condition()
        steps, stages = {}, {}
        order = sorted(widths, reverse=True)
        for stride, finer in zip(order, [*order[1:], 1]):
            stages[str(stride)] = Stage(widths[stride], blocks[stride])
            steps[str(stride)] = shuffled(widths[stride], widths.get(finer, 3), stride // finer, 3 if finer == 1 else 1)
        self.steps, self.stages = nn.ModuleDict(steps), nn.ModuleDict(stages)


class LSCINetwork(nn.Module):
    """The networks of both sides, slice by slice.

    Weights named `encoder.slices.K.*` and `decoder.slices.K.*` are those of slice K (from 0); `encoder.base.*` and
    `decoder.base.*` belong to slice 0. A network that holds fewer slices has no weights of the others.

    Args:
        layers: the symbols of each layer, from the base on; strides never grow.
        widths: channels of the features at each stride used, from the finest.
        encoder_blocks: gated blocks of the encoder at each stride, from the finest.
        decoder_blocks: those of the decoder, beside one for each refinement slice at strides below the base's.
        constellation: what the symbols are.
        held: slices that are there; None for all.
    """

    def __init__(
        self,
        layers: Sequence[Layer] = LAYERS,
        widths: Sequence[int] = (64, 128, 160),
        encoder_blocks: Sequence[int] = (2, 2, 1),
        decoder_blocks: Sequence[int] = (1, 1, 1),
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
        self.held = len(self.layers) if held is None else held
        if not 1 <= self.held <= len(self.layers):
            raise ConfigurationError(f"a network of {len(self.layers)} layers cannot hold {held} slices")
        there = self.layers[: self.held]
        self.encoder = nn.ModuleDict(
            {
                "base": Encoder(self.widths, dict(zip(scales, encoder_blocks))),
                "slices": nn.ModuleList(
                    EncoderSlice(layer, before, self.widths) for layer, before in zip(there, (None, *there))
                ),
            }
        )
        refined = [layer.stride < self.stride for layer in there]
        self.decoder = nn.ModuleDict(
            {
                "base": Decoder(self.widths, dict(zip(scales, decoder_blocks))),
                "slices": nn.ModuleList(
                    DecoderSlice(layer, self.widths[layer.stride], r) for layer, r in zip(there, refined)
                ),
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

    def encode(self, images: Tensor, snr_db: Tensor, plan: Tensor) -> list[Tensor]:
        """Return the symbols of each layer that the plan uses: [B, 2·symbols, h, w], zero where a layer is absent.

        Args:
            images: [B, 3, H, W] in [0, 1], sides divisible by `stride`.
            snr_db: that the transmitter knows [B].
            plan: layers of each block [B, H/stride, W/stride].
        """
        features = self.encoder["base"](images, snr_db.clamp(*SNR_RANGE))
        symbols, left, notes = [], None, None
        for index in range(int(plan.max())):
            piece = self.encoder["slices"][index]
            notes = None if left is None else piece.noted(left, notes)
            values = piece(features[self.layers[index].stride], notes)
            emitted, left = grids.emitted(values, self.presence(plan, index), self.constellation)
            symbols.append(emitted)
        return symbols

    def decode(self, symbols: Sequence[Tensor], snr_db: Tensor, plan: Tensor) -> Tensor:
        """Return images [B, 3, H, W], not clamped, from equalised symbols as `encode` arranges them.

        Args:
            symbols: of the first layers, as many as there are; those of layers that are not held must be left out.
            snr_db: that the receiver knows [B].
            plan: layers of each block [B, h, w]; what it has beyond `symbols` is ignored.
        """
        base = self.decoder["base"]
        condition = base.condition(snr_db.clamp(*SNR_RANGE))
        kept = 1 / (1 + noise_variance(snr_db))[:, None, None, None]  # of the symbols, by the MMSE equaliser
        x = None
        for stride, stage in base.stages.items():
            for index, received in enumerate(symbols):
                if self.layers[index].stride == int(stride):
                    present = self.presence(plan, index)
                    received = received - kept * grids.dither(received.shape[1:], self.constellation, received.device)
                    x = self.decoder["slices"][index](x, received * present, present, condition)
            x = base.steps[stride](stage(x, condition))
        return x + 0.5
