"""A learned codec of your own: its network, and the task that trains it with semcomm's channels, loss and loop."""

from collections.abc import Sequence

from torch import Tensor, nn

from semcomm.jscc.constellation import normalised
from semcomm.jscc.network import Layer, LearnedNetwork
from semcomm.training.tasks import JSCCTask


class Patches(LearnedNetwork):
    """One layer of analog symbols for each 8x8 pixels: CBR = symbols / 192."""

    def __init__(self, symbols: int = 16, width: int = 128) -> None:
        super().__init__()
        self.layers = (Layer(stride=8, symbols=symbols),)
        self.options = {"symbols": symbols, "width": width}  # for the card, from which it is built again
        self.encoder = nn.Sequential(nn.Conv2d(3, width, 8, 8), nn.GELU(), nn.Conv2d(width, 2 * symbols, 1))
        self.decoder = nn.Sequential(nn.Conv2d(2 * symbols, width, 1), nn.GELU(), nn.ConvTranspose2d(width, 3, 8, 8))

    def encode(self, images: Tensor, snr_db: Tensor, plan: Tensor) -> tuple[list[Tensor], Tensor]:
        """Return the symbols of each layer, of mean power 1, and no gains."""
        symbols, _ = normalised(self.encoder(images - 0.5), self.presence(plan, 0))
        return [symbols], images.new_empty(len(images), 0)

    def decode(self, symbols: Sequence[Tensor], gains: Tensor, snr_db: Tensor, plan: Tensor) -> Tensor:
        """Return the images."""
        return self.decoder(symbols[0]) + 0.5


class PatchesTraining(JSCCTask):
    """The training of `Patches`; its arguments are the keys of the training file."""

    def __init__(self, folders: list[str], symbols: int = 16, crop: int = 64, name: str = "patches") -> None:
        super().__init__(folders, crop=crop, name=name)
        self.symbols = symbols

    def build(self) -> Patches:
        """Return the network to train."""
        return Patches(self.symbols)
