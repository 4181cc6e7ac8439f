"""Training of DeepJSCC, at one rate."""

from typing import Any

from semcomm.jscc.deepjscc import DeepJSCCNetwork
from semcomm.training.tasks.jscc import JSCCTask


class DeepJSCCTraining(JSCCTask):
    """DeepJSCC, at one CBR.

    Args:
        folders: as for `JSCCTask`, like the arguments up to `name`.
        symbols: complex symbols for each 4x4 pixels; CBR = symbols / 48.
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
        name: str = "deepjscc",
        symbols: int = 8,
    ) -> None:
        super().__init__(
            folders, shares, attribution, licence, val_fraction, crop, downscale_fraction, snr_db, loss, name
        )
        self.symbols = symbols

    def build(self) -> DeepJSCCNetwork:
        """Return the network."""
        return DeepJSCCNetwork(self.symbols)

    def describe(self, module: DeepJSCCNetwork) -> dict[str, Any]:
        """Return the card."""
        return super().describe(module) | {
            "title": f"DeepJSCC at CBR 1/{48 / self.symbols:g}",
            "purpose": (
                "The five-layer network of Bourtsoulatze, Kurka and Gündüz (arXiv 1809.01733): images to analog "
                f"channel symbols and back. One model for SNRs from {self.snr_db[0]:g} to {self.snr_db[1]:g} dB, "
                "none of which it is given."
            ),
        }
