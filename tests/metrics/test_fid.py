import numpy as np
import pytest
import torch
from safetensors.torch import save_file
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
    """Random weights in the layout of pytorch-fid, with running statistics that are not 0 and 1."""
    torch.manual_seed(0)
    found = InceptionV3().state_dict()
    for name, tensor in found.items():
        if name.endswith("conv.weight"):
            torch.nn.init.kaiming_normal_(tensor)
        elif name.endswith(("bn.weight", "running_var")):
            tensor.uniform_(0.8, 1.25)
        elif name.endswith(("bn.bias", "running_mean")):
            tensor.uniform_(-0.1, 0.1)
    found |= {"fc.weight": torch.zeros(1008, 2048), "fc.bias": torch.zeros(1008)}
    path = tmp_path_factory.mktemp("fid") / "inception.safetensors"
    save_file(found, path)
    return path, found


def inception_by_names(state, images):
    """The network written out again as a list of names, from the tensors alone: their shapes tell the kernels."""

    def conv(x, name, stride=1):
        kernel = state[f"{name}.conv.weight"]
        same = not (stride == 2 or name in ("Conv2d_2a_3x3", "Conv2d_4a_3x3"))
        x = F.conv2d(x, kernel, None, stride, [k // 2 for k in kernel.shape[2:]] if same else 0)
        moments = [state[f"{name}.bn.{part}"] for part in ("running_mean", "running_var", "weight", "bias")]
        return F.relu(F.batch_norm(x, *moments, training=False, eps=1e-3))

    def row(x, block, *names, last_stride=1):
        for name in names:
            x = conv(x, f"{block}.{name}", last_stride if name == names[-1] else 1)
        return x

    def numbered(name, count):
        return [f"{name}_{n}" for n in range(1, count + 1)]

    def mean(x):
        counts = F.conv2d(torch.ones_like(x[:, :1]), torch.ones(1, 1, 3, 3), padding=1)
        return F.avg_pool2d(x, 3, 1, 1) * 9 / counts

    x = 2 * F.interpolate(images, size=(299, 299), mode="bilinear", align_corners=False) - 1
    x = conv(conv(conv(x, "Conv2d_1a_3x3", 2), "Conv2d_2a_3x3"), "Conv2d_2b_3x3")
    x = F.max_pool2d(x, 3, 2)
    x = F.max_pool2d(conv(conv(x, "Conv2d_3b_1x1"), "Conv2d_4a_3x3"), 3, 2)
    for b in ("Mixed_5b", "Mixed_5c", "Mixed_5d"):
        deep = row(x, b, *numbered("branch3x3dbl", 3))
        wide = row(x, b, *numbered("branch5x5", 2))
        x = torch.cat([row(x, b, "branch1x1"), wide, deep, row(mean(x), b, "branch_pool")], 1)
    b = "Mixed_6a"
    deep = row(x, b, *numbered("branch3x3dbl", 3), last_stride=2)
    x = torch.cat([row(x, b, "branch3x3", last_stride=2), deep, F.max_pool2d(x, 3, 2)], 1)
    for b in ("Mixed_6b", "Mixed_6c", "Mixed_6d", "Mixed_6e"):
        once, twice = row(x, b, *numbered("branch7x7", 3)), row(x, b, *numbered("branch7x7dbl", 5))
        x = torch.cat([row(x, b, "branch1x1"), once, twice, row(mean(x), b, "branch_pool")], 1)
    b = "Mixed_7a"
    narrow, wide = (row(x, b, *numbered(*n), last_stride=2) for n in (("branch3x3", 2), ("branch7x7x3", 4)))
    x = torch.cat([narrow, wide, F.max_pool2d(x, 3, 2)], 1)
    for b in ("Mixed_7b", "Mixed_7c"):
        once, twice = row(x, b, "branch3x3_1"), row(x, b, *numbered("branch3x3dbl", 2))
        forks = [row(once, b, "branch3x3_2a"), row(once, b, "branch3x3_2b")]
        forks += [row(twice, b, "branch3x3dbl_3a"), row(twice, b, "branch3x3dbl_3b")]
        pooled = mean(x) if b == "Mixed_7b" else F.max_pool2d(x, 3, 1, 1)
        x = torch.cat([row(x, b, "branch1x1"), *forks, row(pooled, b, "branch_pool")], 1)
    return x.flatten(2).mean(2)


def test_features_agree_with_the_network_written_out_again(weights, photograph):
    path, state = weights
    images = torch.stack([photograph, 1 - photograph])[..., :60, :90]
    found = FID(str(path)).features(images)
    expected = inception_by_names(state, images)
    assert found.shape == (2, 2048)
    assert expected.std() > 1e-3
    assert torch.allclose(found, expected, rtol=1e-3, atol=1e-4 * expected.abs().max())


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
