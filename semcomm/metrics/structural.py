"""Metrics on local structure, by pytorch-msssim."""

from torch import Tensor

from semcomm.errors import ConfigurationError
from semcomm.metrics.base import Metric


class SSIM(Metric):
    """Structural similarity (Wang et al., IEEE TIP 13(4), 2004) of [0, 1] RGB images.

    Gaussian window of 11 pixels, sigma 1.5, K1 = 0.01, K2 = 0.03, no padding, population covariance, mean over
    positions and the three channels.
    """

    name = "SSIM"
    range = (-1.0, 1.0)
    min_side = 11

    def score(self, prepared: Tensor, reconstruction: Tensor) -> Tensor:
        """Return the SSIM of each image [B]."""
        from pytorch_msssim import ssim

        return ssim(prepared, reconstruction, data_range=1.0, size_average=False).double()


class MSSSIM(Metric):
    """Multi-scale structural similarity (Wang, Simoncelli, Bovik, Asilomar 2003) of [0, 1] RGB images.

    Five scales with the weights of the paper; negative terms count as 0; mean over the three channels. Five scales of
    an 11 pixel window need sides over 160 pixels. A smaller window serves smaller images; its column says so.

    Args:
        window: odd width of the Gaussian window (sigma 1.5), 3 to 11.
    """

    range = (0.0, 1.0)

    def __init__(self, window: int = 11) -> None:
        if window % 2 == 0 or not 3 <= window <= 11:
            raise ConfigurationError(f"window is {window}; it is odd, 3 to 11 (11 is the standard)")
        self.window = window
        self.name = "MS-SSIM" if window == 11 else f"MS-SSIM (window {window})"
        self.min_side = 16 * (window - 1) + 1

    def smaller(self) -> str:
        """Return the variant for smaller images."""
        return "; MSSSIM(window=3) takes 33, under a name of its own" if self.window > 3 else ""

    def score(self, prepared: Tensor, reconstruction: Tensor) -> Tensor:
        """Return the MS-SSIM of each image [B]."""
        from pytorch_msssim import ms_ssim

        return ms_ssim(prepared, reconstruction, data_range=1.0, size_average=False, win_size=self.window).double()
