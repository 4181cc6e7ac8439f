"""ST-LPIPS beside what the authors' package gives (stlpips-pytorch 0.0.2, run once on these images)."""

import pytest
import torch

from semcomm.errors import MetricError, ModelError
from semcomm.metrics import STLPIPS
from semcomm.models import installed

AUTHORS = {
    "alex": [0.0029676666017621756, 0.003299391595646739],
    "vgg": [0.006544759031385183, 0.006445011124014854],
}


@pytest.fixture(scope="module", autouse=True)
def weights():
    try:
        installed.installed_weights("stlpips-pytorch", "0.0.2", "alex_shift_tolerant.pth", STLPIPS().weights())
    except ModelError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def pair():
    generator = torch.Generator().manual_seed(0)
    reference = torch.rand(2, 3, 64, 80, generator=generator)
    return reference, (reference + 0.1 * torch.randn(reference.shape, generator=generator)).clamp(0, 1)


@pytest.mark.parametrize("network", ["alex", "vgg"])
def test_agrees_with_the_authors_package(network, pair):
    assert STLPIPS(network)(*pair).tolist() == pytest.approx(AUTHORS[network], rel=1e-4)


def test_small_shifts_count_less_than_noise_of_their_psnr(photograph):
    shifted = photograph.roll(2, 2)
    deviation = (shifted - photograph).square().mean().sqrt()
    noisy = photograph + deviation * torch.randn(photograph.shape, generator=torch.Generator().manual_seed(0))
    metric = STLPIPS()
    distances = [metric(photograph[None], other[None]).item() for other in (photograph, shifted, noisy.clamp(0, 1))]
    assert distances[0] == 0
    assert distances[0] < distances[1] < distances[2]


@pytest.mark.parametrize("network", ["alex", "vgg"])
def test_the_smallest_images_it_is_defined_for(network):
    metric = STLPIPS(network)
    side = metric.min_side
    images = torch.rand(1, 3, side, side, generator=torch.Generator().manual_seed(0))
    assert metric(images, 1 - images).item() > 0
    with pytest.raises(MetricError, match=f"needs sides of {side} pixels"):
        metric(images[..., 1:], images[..., 1:])


def test_name_and_recipe():
    assert (STLPIPS().name, STLPIPS("vgg").name) == ("ST-LPIPS", "ST-LPIPS (VGG16)")
    assert STLPIPS().recipe() != STLPIPS("vgg").recipe()
    assert not STLPIPS().higher_is_better
