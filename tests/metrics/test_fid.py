import inception_golden
import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.nn import functional as F

from semcomm import ImageEncoder
from semcomm.errors import ConfigurationError, MetricError, ModelError
from semcomm.metrics.sets import FID, EmbeddedFID, frechet_distance
from semcomm.models.checking import check
from semcomm.models.inception import InceptionV3


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("SEMCOMM_CACHE", str(tmp_path / "cache"))


def gaussian(seed, count, dimensions, scale=1.0, shift=0.0):
    return np.random.default_rng(seed).normal(size=(count, dimensions)) * scale + shift


def by_matrix_root(first, second):
    """The formula as it is written, with scipy's general matrix root."""
    from scipy.linalg import sqrtm

    means, covariances = zip(*((x.mean(0), np.cov(x, rowvar=False)) for x in (first, second)))
    root = sqrtm(covariances[0] @ covariances[1])
    assert np.abs(root.imag).max() < 1e-3
    return np.sum((means[0] - means[1]) ** 2) + np.trace(covariances[0] + covariances[1] - 2 * root.real)


def test_the_distance_of_independent_gaussians_is_known():
    """(μ1 − μ2)² + (σ1 − σ2)² summed over dimensions, where sample moments are exactly these."""
    base = gaussian(0, 500, 6)
    base -= base.mean(0)
    base = np.linalg.qr(base)[0] * np.sqrt(499)  # sample covariance exactly 1
    one, two = np.array([1, 2, 3, 0.5, 0, 4.0]), np.array([2, 2, 1, 0.1, 3, 0.0])
    shift = np.array([0, 1, 0, -2, 0.5, 0])
    expected = (shift**2).sum() + ((one - two) ** 2).sum()
    assert frechet_distance(base * one, base * two + shift) == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize(("first", "second"), [((300, 20), (300, 20)), ((300, 20), (50, 20)), ((40, 30), (200, 30))])
def test_the_distance_by_the_matrix_root(first, second):
    mixed = gaussian(9, first[1], first[1])
    a, b = gaussian(1, *first) @ mixed, gaussian(2, *second, scale=2.0, shift=0.3) @ mixed.T
    assert frechet_distance(a, b) == pytest.approx(by_matrix_root(a, b), rel=1e-8)


def test_singular_covariances_are_exact():
    """Fewer vectors than dimensions, where a general matrix root is inexact or complex."""
    a = gaussian(1, 10, 60)
    assert frechet_distance(a, a) == pytest.approx(0, abs=1e-9)
    assert frechet_distance(a, a + 0.5) == pytest.approx(60 * 0.25, rel=1e-9)
    rotated = a @ np.linalg.qr(gaussian(2, 60, 60))[0]
    assert frechet_distance(a, rotated) == pytest.approx(frechet_distance(rotated, a), rel=1e-9)
    constant = np.ones((10, 60))
    assert frechet_distance(constant, a) == pytest.approx(
        ((a.mean(0) - 1) ** 2).sum() + np.trace(np.cov(a, rowvar=False))
    )


def test_the_order_and_the_scale_of_numbers_do_not_matter():
    a, b = gaussian(1, 100, 8, scale=1e-4), gaussian(2, 100, 8, scale=1e-4, shift=1e-4)
    assert frechet_distance(a[::-1], b) == pytest.approx(frechet_distance(a, b), rel=1e-9)
    assert frechet_distance(a * 1e8, b * 1e8) == pytest.approx(frechet_distance(a, b) * 1e16, rel=1e-6)


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """Test weights in the layout of pytorch-fid."""
    shapes = {name: tuple(tensor.shape) for name, tensor in InceptionV3().state_dict().items()}
    found = inception_golden.weights(shapes | {"fc.weight": (1008, 2048), "fc.bias": (1008,)})
    path = tmp_path_factory.mktemp("fid") / "inception.safetensors"
    save_file(found, path)
    return path, found


def test_features_are_those_of_torch_fidelity(weights):
    """It takes pixels to (p - 128) / 128, pytorch-fid to 2p/255 - 1: p/256 here makes the two the same."""
    expected = load_file(inception_golden.GOLDEN)["features"]
    found = FID(str(weights[0])).features(inception_golden.pixels() / 256)
    assert found.shape == (2, 2048)
    assert (expected[0] - expected[1]).abs().max() > 0.1
    assert torch.allclose(found, expected, rtol=1e-3, atol=1e-4 * expected.abs().max())


def test_images_of_any_size_are_resized_and_scaled_first(weights, photograph):
    """Bilinear to 299x299 without antialiasing, as pytorch-fid does it."""
    metric, image = FID(str(weights[0])), photograph[None, :, :60, :90]
    resized = F.interpolate(image, size=(299, 299), mode="bilinear", align_corners=False)
    assert torch.allclose(metric.features(image), metric.features(resized), rtol=1e-4)


def test_the_network_has_the_published_number_of_parameters():
    """torchvision counts 27,161,264, of which 3,326,696 are its auxiliary head's and 2,049,000 its classifier's."""
    assert sum(p.numel() for p in InceptionV3().parameters()) == 27_161_264 - 3_326_696 - 2_049_000


def test_the_file_is_known_by_its_tensors(weights):
    assert check(weights[0]).kind == "Inception v3 (pytorch-fid layout)"


def test_torchvisions_own_inception_is_not_taken_for_it(weights, tmp_path):
    _, state = weights
    path = tmp_path / "inception_v3_google.safetensors"
    save_file({**state, "fc.weight": torch.zeros(1000, 2048)}, path)
    with pytest.raises(ModelError, match=r"fc.weight is \[1000, 2048\], not \[1008, 2048\]"):
        FID(str(path)).features(torch.zeros(1, 3, 8, 8))


def test_too_few_images_are_refused_unless_told():
    few, many = torch.rand(10, 4), torch.rand(2048, 4)
    with pytest.raises(MetricError, match=r"FID of 10 references: it needs at least 2048.*minimum=10"):
        FID().distance(few, many)
    with pytest.raises(MetricError, match="FID of 10 reconstructions"):
        FID().distance(many, few)
    assert FID(minimum=10).distance(few, few) == pytest.approx(0, abs=1e-6)
    with pytest.raises(ConfigurationError, match="minimum is 1"):
        FID(minimum=1)
    with pytest.raises(MetricError, match="no numbers"):
        FID(minimum=2).distance(few, few / 0)


def test_without_weights_a_clear_error():
    for ask in (lambda: FID().features(torch.zeros(1, 3, 8, 8)), lambda: FID().recipe()):
        with pytest.raises(ModelError, match="`semcomm models fetch inception-fid --trust-pickle`"):
            ask()


class TinyEncoder(ImageEncoder):
    """An encoder of one's own: mean colours."""

    name = "tiny"

    def weights(self):
        return "none"

    def embed_batch(self, images):
        return torch.stack([image.mean((1, 2)) - 0.5 for image in images])


def test_the_embedded_distance_of_sets_in_batches_of_any_size():
    random = torch.Generator().manual_seed(0)
    first = [torch.rand(5, 3, 8, 12, generator=random), torch.rand(7, 3, 16, 16, generator=random)]
    second = [torch.rand(9, 3, 10, 10, generator=random)]
    metric = EmbeddedFID(9, TinyEncoder())
    features = [torch.cat([TinyEncoder().embed(batch) for batch in batches]) for batches in (first, second)]
    expected = by_matrix_root(*(f.double().numpy() for f in features))
    assert metric(first, second) == pytest.approx(expected, rel=1e-6)
    assert metric(first, first) == pytest.approx(0, abs=1e-9)
    assert (metric.name, FID.name) == ("Fréchet distance (tiny)", "FID")
    assert metric.recipe()["weights"] == "none"
    assert EmbeddedFID().name == "Fréchet distance (EfficientNet-Lite0, distilled)"
    assert not metric.higher_is_better
