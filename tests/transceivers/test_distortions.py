import pytest
import torch
from scipy.ndimage import rotate

from semcomm import ColourFilter, Noiseless, Reflection, Rotation, Scaling, Translation, run, seeds_of
from semcomm.errors import ConfigurationError
from semcomm.images import quantise


def changed(link, images):
    return link.transmit(images, Noiseless(), seeds_of(images))


def test_translation_is_to_the_left_and_black_comes_in(noise_images):
    found = changed(Translation(5), noise_images).images
    assert torch.equal(found[..., :-5], noise_images[..., 5:])
    assert (found[..., -5:] == 0).all()
    right = changed(Translation(-5), noise_images).images
    assert torch.equal(right[..., 5:], noise_images[..., :-5])
    assert (changed(Translation(99), noise_images).images == 0).all()


def test_rotation_is_counter_clockwise_as_scipy_has_it(photograph):
    smooth = torch.nn.functional.avg_pool2d(photograph[None], 9, 1, 4)
    found = changed(Rotation(20), smooth).images[0].numpy()
    expected = rotate(smooth[0].numpy(), 20, axes=(2, 1), reshape=False, order=1)
    centre = (slice(None), slice(40, 150), slice(40, 150))
    assert abs(found[centre] - expected[centre]).mean() < 0.01
    assert torch.equal(changed(Rotation(0), smooth).images, quantise(smooth))


def test_reflection_scaling_and_filter(noise_images):
    assert torch.equal(changed(Reflection(), noise_images).images, noise_images.flip(-1))
    assert torch.equal(changed(Scaling(0), noise_images).images, noise_images)
    zoomed = changed(Scaling(6), torch.arange(32).expand(1, 3, 24, 32) / 31).images
    assert zoomed[0, 0, 12, 0] == pytest.approx(6 / 31, abs=0.02)
    tinted = changed(ColourFilter(0.25), torch.ones(1, 3, 2, 2)).images[0, :, 0, 0]
    assert tinted.tolist() == pytest.approx([191 / 255, 191 / 255, 1])


def test_they_cost_nothing(noise_images):
    ledger = changed(Reflection(), noise_images).ledger
    assert ledger.bpp.isnan().all()
    assert ledger.cbr.isnan().all()


def test_they_run_in_sweeps(tmp_path):
    experiment = {
        "transceivers": {
            "shift": {"class_path": "Translation", "sweep": {"pixels": [0, 4, 8]}},
            "mirror": {"class_path": "Reflection"},
        },
        "metrics": ["PSNR"],
        "images": {"limit": 1, "size": 48},
    }
    table = run(experiment, tmp_path / "run").table
    assert list(table["pixels"].dropna()) == [0, 4, 8]
    assert table["PSNR"].iloc[0] == float("inf")
    assert table["PSNR"].iloc[1] > table["PSNR"].iloc[2]


@pytest.mark.parametrize(
    "make", [lambda: Scaling(-1), lambda: ColourFilter(2), lambda: changed(Scaling(12), torch.rand(1, 3, 24, 24))]
)
def test_impossible_ones(make):
    with pytest.raises(ConfigurationError):
        make()
