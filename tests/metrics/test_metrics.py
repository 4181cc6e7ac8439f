import numpy as np
import pytest
import torch

from semcomm import MSE, MSSSIM, PSNR, SSIM
from semcomm.errors import ConfigurationError, MetricError
from semcomm.images import quantise


@pytest.fixture(scope="module")
def pair(photograph):
    reference = torch.stack([photograph, photograph.flip(2)])
    noise = torch.randn(reference.shape, generator=torch.Generator().manual_seed(0))
    return reference, quantise(reference + torch.tensor([0.05, 0.15])[:, None, None, None] * noise)


def test_psnr_by_hand():
    black = torch.zeros(1, 3, 4, 4)
    assert PSNR()(black, black + 0.1).item() == pytest.approx(20, abs=1e-5)


@pytest.mark.parametrize("metric", [SSIM(), MSSSIM(), MSSSIM(window=3)])
def test_structure_is_symmetric(pair, metric):
    assert metric(*pair).tolist() == pytest.approx(metric(*pair[::-1]).tolist(), abs=1e-6)


def test_small_and_unequal_images_are_refused_by_name():
    small, tiny, other = torch.zeros(1, 3, 160, 200), torch.zeros(1, 3, 10, 200), torch.zeros(1, 3, 200, 200)
    with pytest.raises(MetricError, match=r"MS-SSIM .*200x160.* 161 pixels; MSSSIM\(window=3\)"):
        MSSSIM()(small, small)
    with pytest.raises(MetricError, match=r"SSIM .*200x10 .*11"):
        SSIM()(tiny, tiny)
    with pytest.raises(MetricError, match="one size, not 200x160 with 200x200"):
        PSNR()(small, other)
    assert MSSSIM(window=3).name == "MS-SSIM (window 3)"
    assert MSSSIM(window=3)(small[..., :33], small[..., :33]).item() == pytest.approx(1)
    with pytest.raises(ConfigurationError, match="window is 4"):
        MSSSIM(window=4)


def test_range_and_direction_are_declared():
    assert [m.higher_is_better for m in (MSE(), PSNR(), SSIM(), MSSSIM())] == [False, True, True, True]
    assert PSNR.unit == "dB"
    assert np.isinf(PSNR.range[1])
