"""SwinJSCC and WITT: one network of shifted-window attention, with modules named as in the authors' checkpoints.

Sources: Yang et al., "SwinJSCC: Taming Swin Transformer for deep joint source-channel coding", IEEE TCCN 2024 (arXiv
2308.09361); Yang et al., "WITT: a wireless image transmission transformer for semantic communications", ICASSP 2023
(arXiv 2211.00937). WITT is SwinJSCC with SNR adaptation. Written from a description of the networks, not from code.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from semcomm.caches import cached

MODULATIONS = 7
"""Gates in a row in a modulator, between as many linear layers and one more."""
MASKED = -100.0
"""Logit of attention between regions that the cyclic shift made neighbours."""


class Attention(nn.Module):
    """Self-attention within windows, with a learned bias for each relative position."""

    def __init__(self, width: int, heads: int, window: int) -> None:
        super().__init__()
        self.heads, self.window = heads, window
        self.relative_position_bias_table = nn.Parameter(torch.zeros((2 * window - 1) ** 2, heads))
        self.qkv, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """Windows [B·n, w², d], and the mask [n, w², w²] that is added to their logits -> [B·n, w², d]."""
        count, tokens, width = x.shape
        q, k, v = self.qkv(x).view(count, tokens, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        bias = self.relative_position_bias_table[_relative_positions(self.window, x.device)].permute(2, 0, 1)[None]
        if mask is not None:
            bias = bias + mask[:, None].repeat(count // len(mask), 1, 1, 1)
        x = F.scaled_dot_product_attention(q, k, v, attn_mask=bias.to(q.dtype))
        return self.proj(x.transpose(1, 2).reshape(count, tokens, width))


class Mlp(nn.Module):
    """Two linear layers with an exact GELU between them."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        """Tokens [..., d] -> [..., d]."""
        return self.fc2(F.gelu(self.fc1(x)))


class Block(nn.Module):
    """Attention and an MLP with residual connections; windows are shifted by `shift`, cyclically."""

    def __init__(self, width: int, heads: int, window: int, shift: int) -> None:
        super().__init__()
        self.window, self.shift = window, shift
        self.norm1, self.attn = nn.LayerNorm(width), Attention(width, heads, window)
        self.norm2, self.mlp = nn.LayerNorm(width), Mlp(width)

    def forward(self, x: Tensor) -> Tensor:
        """Grids [B, h, w, d], sides divisible by the window -> [B, h, w, d]."""
        height, width = x.shape[1:3]
        y = self.norm1(x).roll((-self.shift, -self.shift), (1, 2))
        mask = _shift_mask(height, width, self.window, self.shift, x.device) if self.shift else None
        y = _merged(self.attn(_windows(y, self.window), mask), self.window, height, width)
        x = x + y.roll((self.shift, self.shift), (1, 2))
        return x + self.mlp(self.norm2(x))


class Merging(nn.Module):
    """Each 2x2 cell of tokens becomes one."""

    def __init__(self, width: int, out: int) -> None:
        super().__init__()
        self.norm, self.reduction = nn.LayerNorm(4 * width), nn.Linear(4 * width, out, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Grids [B, 2h, 2w, d] -> [B, h, w, out]."""
        cells = [x[:, row::2, column::2] for column in (0, 1) for row in (0, 1)]
        return self.reduction(self.norm(torch.cat(cells, -1)))


class Splitting(nn.Module):
    """Each token becomes a 2x2 cell."""

    def __init__(self, width: int, out: int) -> None:
        super().__init__()
        self.norm, self.increment = nn.LayerNorm(width), nn.Linear(width, 4 * out, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Grids [B, h, w, d] -> [B, 2h, 2w, out]."""
        return F.pixel_shuffle(self.increment(self.norm(x)).permute(0, 3, 1, 2), 2).permute(0, 2, 3, 1)


class Stage(nn.Module):
    """Blocks at one resolution, after a downsampling (encoder) or before an upsampling (decoder)."""

    def __init__(self, width: int, depth: int, heads: int, window: int, shifts: bool) -> None:
        super().__init__()
        shift = window // 2 if shifts else 0
        self.blocks = nn.ModuleList(Block(width, heads, window, shift if n % 2 else 0) for n in range(depth))
        self.downsample = self.upsample = None

    def forward(self, x: Tensor) -> Tensor:
        """Grids [B, h, w, d] -> grids at this stage's output resolution."""
        x = x if self.downsample is None else self.downsample(x)
        for block in self.blocks:
            x = block(x)
        return x if self.upsample is None else self.upsample(x)


class Gate(nn.Module):
    """Gates in (0, 1) from one number: an SNR in dB or a rate in channels."""

    def __init__(self, width: int) -> None:
        super().__init__()
        sizes = ((1, width), (width, width), (width, width))
        first, second, third = (nn.Linear(*size) for size in sizes)
        self.fc = nn.Sequential(first, nn.ReLU(), second, nn.ReLU(), third, nn.Sigmoid())

    def forward(self, value: Tensor) -> Tensor:
        """Values [B, 1] -> [B, width]."""
        return self.fc(value)


def modulation(x: Tensor, value: Tensor, gates: nn.ModuleList, layers: nn.ModuleList) -> Tensor:
    """Return the factors in (0, 1) of features [B, h, w, E] for values [B], one for each feature."""
    t = x
    for layer, gate in zip(layers, gates):
        t = layer(t) * gate(value.float()[:, None])[:, None, None]
    return torch.sigmoid(layers[-1](t))


def _modulator(features: int) -> tuple[nn.ModuleList, nn.ModuleList]:
    width = int(1.5 * features)
    gates = nn.ModuleList(Gate(width) for _ in range(MODULATIONS))
    sizes = [(features, width), *[(width, width)] * (MODULATIONS - 1), (width, features)]
    return gates, nn.ModuleList(nn.Linear(*size) for size in sizes)


class PatchEmbedding(nn.Module):
    """Tokens of 2x2 pixels."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(3, width, 2, 2)

    def forward(self, images: Tensor) -> Tensor:
        """Images [B, 3, H, W] -> [B, H/2, W/2, width]."""
        return self.proj(images).permute(0, 2, 3, 1)


class SwinNetwork(nn.Module):
    """Encoder and decoder of SwinJSCC or WITT.

    Args:
        widths: of the stages, from the finest.
        depths: blocks of the encoder's stages; the decoder mirrors them.
        heads: of the stages' attention.
        windows: side of the attention windows of each stage.
        shifts: whether odd blocks of each stage shift their windows.
        snr_adaptive: whether features are modulated by the SNR on both sides (w/ SA).
        rate_adaptive: whether the strongest features alone are sent (w/ RA).
        channels: features sent for each token; None without heads (w/ RA), where `rate` of all features are sent.
    """

    def __init__(
        self,
        widths: Sequence[int] = (128, 192, 256, 320),
        depths: Sequence[int] = (2, 2, 6, 2),
        heads: Sequence[int] = (4, 6, 8, 10),
        windows: Sequence[int] = (8, 8, 8, 8),
        shifts: Sequence[bool] = (True, True, True, True),
        snr_adaptive: bool = True,
        rate_adaptive: bool = False,
        channels: int | None = 96,
    ) -> None:
        super().__init__()
        self.snr_adaptive, self.rate_adaptive = snr_adaptive, rate_adaptive
        self.features, self.channels = widths[-1], widths[-1] if rate_adaptive else channels
        self.stride = 2 ** len(widths)
        self.multiple = max(2 ** (n + 1) * window for n, window in enumerate(windows))
        stages = [Stage(*options) for options in zip(widths, depths, heads, windows, shifts)]
        for stage, before, width in zip(stages[1:], widths, widths[1:]):
            stage.downsample = Merging(before, width)
        back = [Stage(*options) for options in zip(widths, depths, heads, windows, shifts)][::-1]
        for stage, width, after in zip(back, widths[::-1], (*widths[::-1][1:], 3)):
            stage.upsample = Splitting(width, after)
        self.encoder, self.decoder = nn.Module(), nn.Module()
        self.encoder.patch_embed = PatchEmbedding(widths[0])
        self.encoder.layers, self.decoder.layers = nn.ModuleList(stages), nn.ModuleList(back)
        self.encoder.norm = nn.LayerNorm(self.features)
        if rate_adaptive or snr_adaptive:
            self.encoder.bm_list, self.encoder.sm_list = _modulator(self.features)
        if rate_adaptive and snr_adaptive:
            self.encoder.bm_list1, self.encoder.sm_list1 = _modulator(self.features)
        if snr_adaptive:
            self.decoder.bm_list, self.decoder.sm_list = _modulator(self.features)
        if not rate_adaptive:
            self.encoder.head_list = nn.Linear(self.features, channels)
            self.decoder.head_list = nn.Linear(channels, self.features)

    def encode(
        self, images: Tensor, snr_db: Tensor, rate: int | None = None, legacy_sort: bool = False
    ) -> tuple[Tensor, Tensor | None]:
        """Return features [B, h, w, channels] before power normalisation, and the mask [B, channels] of RA, else None.

        Args:
            images: [B, 3, H, W] in [0, 1], sides divisible by `multiple`.
            snr_db: known to the transmitter [B]; without effect without SA.
            rate: features to send for each token, with RA.
            legacy_sort: order equal sums as torch up to 1.12 did on CUDA; see `legacy_order`.
        """
        x = self.encoder.patch_embed(images)
        for stage in self.encoder.layers:
            x = stage(x)
        x = self.encoder.norm(x)
        if not self.rate_adaptive:
            if self.snr_adaptive:
                x = x * modulation(x, snr_db, self.encoder.bm_list, self.encoder.sm_list)
            return self.encoder.head_list(x), None
        if self.snr_adaptive:
            x = x * modulation(x, snr_db, self.encoder.bm_list1, self.encoder.sm_list1)
        rates = torch.full_like(snr_db, rate)
        gates = modulation(x, rates, self.encoder.bm_list, self.encoder.sm_list)
        sums = gates.float().flatten(1, 2).sum(1)
        if legacy_sort:
            order = torch.stack([legacy_order(one) for one in sums.cpu()]).to(sums.device)
        else:
            order = sums.argsort(descending=True, stable=True)
        mask = torch.zeros_like(sums).scatter_(1, order[:, :rate], 1)
        return x * gates * mask[:, None, None], mask

    def decode(self, features: Tensor, snr_db: Tensor) -> Tensor:
        """Return images [B, 3, H, W], not clamped, from received features [B, h, w, channels] at an SNR in dB [B]."""
        x = features if self.rate_adaptive else self.decoder.head_list(features)
        if self.snr_adaptive:
            x = x * modulation(x, snr_db, self.decoder.bm_list, self.decoder.sm_list)
        for stage in self.decoder.layers:
            x = stage(x)
        return x.permute(0, 3, 1, 2)


def legacy_order(values: Tensor) -> Tensor:
    """Return the descending order of values [n] that torch up to 1.12 gave on CUDA, where equal values have another.

    A bitonic sorting network over 32, 128, 1024 or 2048 slots, of which the first n are filled. What a rate-adaptive
    checkpoint sends depends on it where gates saturate and sums are equal.
    """
    count = len(values)
    slots = next(size for size in (32, 128, 1024, 2048) if count <= size)
    keys = F.pad(values.float(), (0, slots - count))
    index = torch.arange(slots)
    valid = index < count
    t = torch.arange(slots // 2)

    def step(distance: int, direction: Tensor) -> None:
        a = 2 * t - t % distance
        b = a + distance
        good = ((keys[a] > keys[b]) & valid[a]) | ~valid[b]
        swap = good == direction
        for data in (keys, index, valid):
            first, second = data[a], data[b]
            data[a], data[b] = torch.where(swap, second, first), torch.where(swap, first, second)

    size = 2
    while size < slots:
        direction = (t & (size // 2)) != 0
        for distance in _halvings(size // 2):
            step(distance, direction)
        size *= 2
    for distance in _halvings(slots // 2):
        step(distance, torch.zeros_like(t, dtype=torch.bool))
    return index[:count]


def _halvings(start: int) -> list[int]:
    return [start >> n for n in range(start.bit_length())]


def _windows(x: Tensor, side: int) -> Tensor:
    """Return the windows [B·n, side², d] of grids [B, h, w, d], row by row."""
    batch, height, width, channels = x.shape
    x = x.view(batch, height // side, side, width // side, side, channels)
    return x.transpose(2, 3).reshape(-1, side * side, channels)


def _merged(windows: Tensor, side: int, height: int, width: int) -> Tensor:
    """Return the grids [B, height, width, d] of windows."""
    x = windows.view(-1, height // side, width // side, side, side, windows.shape[-1])
    return x.transpose(2, 3).reshape(-1, height, width, windows.shape[-1])


@cached(most=16)
@torch.inference_mode(False)
def _relative_positions(window: int, device: torch.device) -> Tensor:
    """Return the row of the bias table for each query and key of a window, [w², w²]."""
    y, x = torch.meshgrid(torch.arange(window), torch.arange(window), indexing="ij")
    y, x = y.flatten(), x.flatten()
    rows = y[:, None] - y + window - 1
    return (rows * (2 * window - 1) + x[:, None] - x + window - 1).to(device)


@cached(most=16)
@torch.inference_mode(False)
def _shift_mask(height: int, width: int, window: int, shift: int, device: torch.device) -> Tensor:
    """Return what to add to the logits of shifted windows, [n, w², w²]: `MASKED` between different regions."""
    rows, columns = (_regions(side, window, shift) for side in (height, width))
    regions = _windows((3 * rows[:, None] + columns)[None, ..., None].float(), window)[..., 0]
    return torch.where(regions[:, :, None] == regions[:, None], 0.0, MASKED).to(device)


def _regions(side: int, window: int, shift: int) -> Tensor:
    index = torch.arange(side)
    return (index >= side - window).long() + (index >= side - shift)
