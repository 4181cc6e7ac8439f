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


def as_numpy(images):
    return images.permute(0, 2, 3, 1).double().numpy()


def test_psnr_and_mse_are_scikit_images(pair):
    from skimage.metrics import mean_squared_error, peak_signal_noise_ratio

    pairs = list(zip(*(as_numpy(images) for images in pair)))
    assert PSNR()(*pair).tolist() == pytest.approx([peak_signal_noise_ratio(a, b, data_range=1) for a, b in pairs])
    assert MSE()(*pair).tolist() == pytest.approx([mean_squared_error(a, b) for a, b in pairs])


def test_psnr_of_identical_images_is_infinite(pair):
    assert PSNR()(pair[0], pair[0]).isinf().all()


def test_psnr_by_hand():
    black = torch.zeros(1, 3, 4, 4)
    assert PSNR()(black, black + 0.1).item() == pytest.approx(20, abs=1e-5)


def test_ssim_is_scikit_images(pair):
    from skimage.metrics import structural_similarity

    options = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "channel_axis": 2}
    expected = []
    for a, b in zip(*(as_numpy(images) for images in pair)):
        _, whole = structural_similarity(a, b, data_range=1, full=True, **options)
        expected.append(whole[5:-5, 5:-5].mean())  # without padding, as the authors compute it
    assert SSIM()(*pair).tolist() == pytest.approx(expected, abs=1e-4)


def test_ms_ssim_is_torchmetrics(pair):
    from torchmetrics.functional.image import multiscale_structural_similarity_index_measure

    expected = multiscale_structural_similarity_index_measure(pair[1], pair[0], data_range=1.0, reduction="none")
    assert MSSSIM()(*pair).tolist() == pytest.approx(expected.tolist(), abs=1e-3)


@pytest.mark.parametrize("metric", [SSIM(), MSSSIM(), MSSSIM(window=3)])
def test_one_for_identical_images_and_symmetric(pair, metric):
    assert metric(pair[0], pair[0]).tolist() == pytest.approx([1, 1], abs=1e-5)
    assert metric(*pair).tolist() == pytest.approx(metric(*pair[::-1]).tolist(), abs=1e-6)


def test_a_batch_scores_as_its_images_alone(pair):
    for metric in (MSE(), PSNR(), SSIM(), MSSSIM()):
        alone = [metric(a[None], b[None]).item() for a, b in zip(*pair)]
        assert metric(*pair).tolist() == pytest.approx(alone, abs=1e-6)


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
