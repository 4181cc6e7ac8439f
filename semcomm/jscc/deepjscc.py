"""DeepJSCC: five convolutions to analog symbols and five back.

Source: Bourtsoulatze, Kurka and Gündüz, "Deep joint source-channel coding for wireless image transmission", IEEE TCCN
5(3), 2019 (arXiv 1809.01733), figure 2. Its form on a constellation, DeepJSCC-Q (Tung et al. 2022, arXiv 2206.08100),
is `LSCINetwork` with a single layer.
"""

from collections.abc import Sequence

from torch import Tensor, nn

from semcomm.channels import noise_variance
from semcomm.errors import ConfigurationError
from semcomm.jscc.constellation import normalised
from semcomm.jscc.network import Layer, LearnedNetwork

WIDTHS = (16, 32, 32, 32)


class DeepJSCCNetwork(LearnedNetwork):
    """The published network, for any image size: one layer at stride 4, which does not take the SNR.

    Args:
        symbols: complex symbols for each 4x4 pixels; CBR = symbols / 48.
        mmse: whether the receiver scales the symbols by the MMSE gain 1 / (1 + N0).
    """

    def __init__(self, symbols: int = 8, mmse: bool = True) -> None:
        super().__init__()
        self.mmse = mmse
        if symbols < 1:
            raise ConfigurationError(f"symbols is {symbols}; it must be at least 1")
        self.layers = (Layer(4, symbols),)
        self.options = {"symbols": symbols} | ({} if mmse else {"mmse": False})
        a, b, c, d = WIDTHS
        values = 2 * symbols
        self.encoder = nn.Sequential(
            nn.Conv2d(3, a, 5, 2, 2), nn.PReLU(a),
            nn.Conv2d(a, b, 5, 2, 2), nn.PReLU(b),
            nn.Conv2d(b, c, 5, 1, 2), nn.PReLU(c),
            nn.Conv2d(c, d, 5, 1, 2), nn.PReLU(d),
            nn.Conv2d(d, values, 5, 1, 2), nn.PReLU(values),
        )  # fmt: skip
        self.decoder = nn.Sequential(
            nn.ConvTranspose2d(values, d, 5, 1, 2), nn.PReLU(d),
            nn.ConvTranspose2d(d, c, 5, 1, 2), nn.PReLU(c),
            nn.ConvTranspose2d(c, b, 5, 1, 2), nn.PReLU(b),
            nn.ConvTranspose2d(b, a, 5, 2, 2, output_padding=1), nn.PReLU(a),
            nn.ConvTranspose2d(a, 3, 5, 2, 2, output_padding=1), nn.Sigmoid(),
        )  # fmt: skip

    def encode(self, images: Tensor, snr_db: Tensor, plan: Tensor) -> tuple[list[Tensor], Tensor]:
        """Return [symbols [B, 2·symbols, H/4, W/4]] of mean power 1, and no gains [B, 0]."""
        values = self.encoder(images)
        return [normalised(values, self.presence(plan, 0))[0]], images.new_empty(len(images), 0)

    def decode(self, symbols: Sequence[Tensor], gains: Tensor, snr_db: Tensor, plan: Tensor) -> Tensor:
        """Return images [B, 3, H, W] from equalised symbols."""
        if not self.mmse:
            return self.decoder(symbols[0])
        return self.decoder(symbols[0] / (1 + noise_variance(snr_db))[:, None, None, None])
