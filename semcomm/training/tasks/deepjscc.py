"""Training of DeepJSCC, at one rate."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from semcomm.jscc.deepjscc import DeepJSCCNetwork
from semcomm.training.tasks.jscc import JSCCTask, uniform_plan


class DeepJSCCTraining(JSCCTask):
    """DeepJSCC, at one CBR.

    Args:
        folders: as for `JSCCTask`, like the arguments up to `name`.
        symbols: complex symbols for each 4x4 pixels; CBR = symbols / 48.
    """

    def __init__(
        self,
        folders: list[str],
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

    def drawn(self, images: Tensor, snr_db: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
        """Return the plan: the one layer everywhere."""
        return {"plan": uniform_plan(images, DeepJSCCNetwork, 1)}

    def judged(self, images: Tensor, module: DeepJSCCNetwork) -> Sequence[tuple[str, float, Tensor]]:
        """Return a few SNRs."""
        plan = uniform_plan(images, module, 1)
        return [("", snr_db, plan) for snr_db in (0, 10, 20)]

    def describe(self, module: DeepJSCCNetwork) -> dict[str, Any]:
        """Return what the card says."""
        return self.described(module, "deepjscc", {"symbols": self.symbols}, self.build()) | {
            "title": f"DeepJSCC at CBR 1/{48 / self.symbols:g}",
            "purpose": (
                "The five-layer network of Bourtsoulatze, Kurka and Gündüz (arXiv 1809.01733): images to analog "
                f"channel symbols and back. One model for SNRs from {self.snr_db[0]:g} to {self.snr_db[1]:g} dB; it is "
                "told none of them."
            ),
        }
