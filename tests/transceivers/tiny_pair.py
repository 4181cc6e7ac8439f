"""A user's encoder and decoder, as small as they can be: an orthogonal transform of 2x2 pixels, all 12 values sent."""

import torch
from torch import Tensor, nn


class Encoder(nn.Module):
    def __init__(self, gain: float = 1.0, layout: str = "map") -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 12, 2, 2, bias=False)
        self.gain, self.layout = gain, layout

    def forward(self, images: Tensor, snr: Tensor | float | None = None) -> Tensor:
        x = self.conv(images)
        if snr is not None:
            x = x * (snr if isinstance(snr, float) else snr.view(-1, 1, 1, 1))
        rms = x.square().mean((1, 2, 3), keepdim=True).sqrt()
        x = self.gain * x if self.gain else x / rms  # power 1 in each real value
        if self.layout == "map":
            return x
        pairs = x.flatten(1).unflatten(1, (-1, 2))
        return torch.view_as_complex(pairs.contiguous()) if self.layout == "complex" else pairs


class Decoder(nn.Module):
    def __init__(self, layout: str = "map", sides: tuple[int, int] = (0, 0)) -> None:
        super().__init__()
        self.conv = nn.ConvTranspose2d(12, 3, 2, 2, bias=False)
        self.layout, self.sides = layout, sides

    def forward(self, x: Tensor, snr: Tensor | None = None) -> Tensor:
        self.seen, self.snr = x, snr
        if x.is_complex():
            x = torch.view_as_real(x)
        if self.layout != "map":
            x = x.reshape(len(x), 12, *self.sides)
        return self.conv(x)


class NotAModule:
    pass


def state(seed: int = 0) -> dict[str, Tensor]:
    """Weights of both: the decoder's transform is the inverse of the encoder's."""
    matrix, _ = torch.linalg.qr(torch.randn(12, 12, generator=torch.Generator().manual_seed(seed)))
    weight = matrix.contiguous().view(12, 3, 2, 2)
    return {"encoder.conv.weight": weight, "decoder.conv.weight": weight.clone()}
