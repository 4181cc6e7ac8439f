"""An encoder and a decoder as anyone may have them: images to 8 complex symbols for each 4x4 pixels, and back."""

from torch import Tensor, nn


class Encoder(nn.Module):
    """Images [B, 3, H, W] and SNRs in dB [B] -> [B, 16, H/4, W/4]: 8 symbols of two real channels."""

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(3, width, 4, 4), nn.GELU(), nn.Conv2d(width, 16, 1))
        self.gate = nn.Linear(1, 16)

    def forward(self, images: Tensor, snr_db: Tensor) -> Tensor:
        """Return the symbols' real and imaginary parts."""
        return self.layers(images) * self.gate(snr_db[:, None] / 10)[..., None, None].sigmoid()


class Decoder(nn.Module):
    """Received symbols [B, 16, H/4, W/4] and SNRs in dB [B] -> images [B, 3, H, W]."""

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        layers = (nn.Conv2d(16, width, 1), nn.GELU(), nn.ConvTranspose2d(width, 3, 4, 4), nn.Sigmoid())
        self.layers = nn.Sequential(*layers)
        self.gate = nn.Linear(1, 16)

    def forward(self, symbols: Tensor, snr_db: Tensor) -> Tensor:
        """Return the images."""
        return self.layers(symbols * self.gate(snr_db[:, None] / 10)[..., None, None].sigmoid())
