import gzip
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.ndimage import convolve
from skimage.transform import resize

from semcomm.errors import MetricError
from semcomm.metrics.sess import Parameters
from semcomm.metrics.sess.importance import importance, saliency_sums, spectral_residual

# Results of the SeSS authors' published code (Apache-2.0), from the project's reference material.
CASES = json.loads(gzip.decompress((Path(__file__).parent / "sess_matching.json.gz").read_bytes()))


def textbook(image):
    """Hou and Zhang's equations as their published code has them: amplitude and phase apart, filters spelt out."""
    grey = np.einsum("chw,c->hw", image.double().numpy(), [0.299, 0.587, 0.114])
    height, width = grey.shape
    size = (round(64 * height / max(height, width)), round(64 * width / max(height, width)))
    small = torch.nn.functional.interpolate(torch.from_numpy(grey)[None, None], size, mode="bilinear", antialias=True)
    spectrum = np.fft.fft2(small[0, 0].numpy())
    log_amplitude, phase = np.log(np.abs(spectrum)), np.angle(spectrum)
    residual = log_amplitude - convolve(log_amplitude, np.full((3, 3), 1 / 9), mode="nearest")
    unexpected = np.abs(np.fft.ifft2(np.exp(residual + 1j * phase))) ** 2
    bell = np.exp(-(np.arange(-5, 6) ** 2) / (2 * 2.5**2))
    smooth = convolve(unexpected, np.outer(bell, bell) / bell.sum() ** 2, mode="nearest")
    return smooth / smooth.max()


def test_saliency_of_a_photograph_is_that_of_the_equations(photograph):
    image = photograph[:, :192, :192]
    saliency = spectral_residual(image)
    assert saliency.shape == (192, 192) and saliency.dtype == torch.float32
    expected = resize(textbook(image), (192, 192), order=1, mode="edge")
    np.testing.assert_allclose(saliency.numpy(), expected, atol=1e-4)


def test_an_odd_thing_stands_out():
    stripes = (torch.arange(96) // 4 % 2).float().expand(3, 64, 96).clone()
    stripes[:, 30:36, 60:66] = torch.tensor([1.0, 0, 0])[:, None, None]
    saliency = spectral_residual(stripes)
    y, x = divmod(int(saliency.argmax()), 96)
    assert 25 <= y <= 41 and 55 <= x <= 71
    inside = torch.zeros(64, 96, dtype=torch.bool)
    inside[26:40, 56:70] = True
    assert saliency[inside].mean() > 5 * saliency[~inside].mean()


@pytest.mark.parametrize("shape", [(8, 8), (1, 1), (3, 10000), (700, 2), (64, 64), (1500, 2000)])
def test_any_size(shape):
    image = torch.rand(3, *shape, generator=torch.Generator().manual_seed(0))
    saliency = spectral_residual(image)
    assert saliency.shape == shape
    assert torch.isfinite(saliency).all() and saliency.min() >= 0 and saliency.max() <= 1 + 1e-6
    assert torch.equal(saliency, spectral_residual(image))


def test_saliency_turns_with_the_image(photograph):
    image = photograph[:, :96, :128]
    turned = spectral_residual(image.transpose(1, 2))
    torch.testing.assert_close(turned, spectral_residual(image).T, rtol=0, atol=1e-5)


@pytest.mark.parametrize("level", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("shape", [(8, 8), (50, 333)])
def test_one_colour_has_no_saliency(level, shape):
    assert not spectral_residual(torch.full((3, *shape), level)).any()


def test_rounding_errors_decide_nothing():
    """A drawing has frequencies that are exactly absent: their phase is noise, and must not show."""
    half = torch.zeros(3, 64, 64)
    half[:, :, 32:] = 1
    noise = 1e-8 * torch.randn(3, 64, 64, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(spectral_residual(half + noise), spectral_residual(half), rtol=0, atol=0.02)


def test_what_is_no_image():
    for shape in ((64, 64), (1, 64, 64), (3, 0, 4)):
        with pytest.raises(MetricError, match="one image"):
            spectral_residual(torch.zeros(shape))


def test_sums():
    saliency = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    masks = torch.tensor([[[1, 0], [0, 1]], [[0, 0], [0, 0]], [[1, 1], [1, 1]]], dtype=torch.bool)
    np.testing.assert_array_equal(saliency_sums(saliency, masks), [5, 0, 10])
    assert saliency_sums(saliency, masks[:0]).shape == (0,)
    with pytest.raises(MetricError, match="do not lie on"):
        saliency_sums(saliency, torch.zeros(1, 3, 3, dtype=torch.bool))


@pytest.mark.parametrize("case", range(len(CASES)))
@pytest.mark.parametrize("which", ["g1", "g2"])
def test_golden_importance(case, which):
    graph = {name: np.array(value) for name, value in CASES[case][which].items()}
    found = importance(graph["saliency_sum"], graph["relation"], graph["relation_score"], Parameters.authors())
    np.testing.assert_allclose(found, graph["importance"], rtol=0, atol=1e-9)


def test_importance_of_the_paper_by_hand():
    none = np.full((3, 3), -1)
    found = importance(np.array([1.0, 4.0, 0.0]), none, none.astype(float), Parameters.paper())
    root = 4 ** (1 / 2.25)
    np.testing.assert_allclose(found, [1 / (1 + root), root / (1 + root), 0])


def test_importance_of_the_authors_by_hand():
    relation = np.array([[-1, 3, -1], [-1, -1, -1], [-1, -1, -1]])
    score = np.where(relation >= 0, 0.5, -1.0)
    salient = np.array([1, 32, 1]) ** (1 / 2.5)
    salient = salient / salient.sum()
    share = salient[0] / (salient[0] + salient[1])
    related = np.cbrt([0.5 * share, 0.5 * (1 - share), 0])
    expected = 0.8 * salient + 0.2 * related / related.sum()
    found = importance(np.array([1.0, 32.0, 1.0]), relation, score, Parameters.authors())
    np.testing.assert_allclose(found, expected)


@pytest.mark.parametrize("parameters", [Parameters.paper(), Parameters.authors()])
def test_nothing_salient(parameters):
    """As in an image of one colour: objects count alike, unless relations tell them apart."""
    none = np.full((4, 4), -1)
    np.testing.assert_allclose(importance(np.zeros(4), none, none.astype(float), parameters), 0.25)
    assert importance(np.zeros(0), none[:0, :0], none[:0, :0].astype(float), parameters).shape == (0,)
    relation = none.copy()
    relation[0, 1] = 2
    found = importance(np.zeros(4), relation, np.where(relation >= 0, 1.0, -1.0), parameters)
    assert found.sum() == pytest.approx(1) and found[0] == pytest.approx(found[1])


def test_sums_that_cannot_be():
    for sums in ([1.0, -1.0], [np.nan, 1.0]):
        with pytest.raises(MetricError, match="sums of saliency"):
            importance(np.array(sums), np.full((2, 2), -1), np.full((2, 2), -1.0), Parameters.paper())
