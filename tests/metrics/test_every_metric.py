"""One tester for all metrics: reference implementation, batch equals singles, identical images, type, range."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import inf
from pathlib import Path

import pytest
import tiny_models
import torch
from test_clip_scores import features
from test_vitscore import by_hand
from torch import Tensor
from torch.nn.functional import interpolate

from semcomm import MSE, MSSSIM, PSNR, SSIM, EfficientNetLite0, Recognition, SeSS, memo
from semcomm.images import quantise
from semcomm.metrics import Metric
from semcomm.metrics.perceptual import (
    LPIPS,
    STLPIPS,
    CaptionCLIPScore,
    CLIPScore,
    EmbeddedScore,
    EmbeddedViTScore,
    LpipsScore,
    ViTScore,
)


@dataclass(frozen=True)
class Case:
    """A metric and what is known of it.

    Attributes:
        make: the metric, from a folder with tiny models.
        identical: its score of identical images; None where that depends on the images.
        reference: scores of a pair by something else; None where that is tested beside the metric.
        tolerance: of the comparison with the reference.
    """

    make: Callable[[Path], Metric]
    identical: float | None
    reference: Callable[[Path, Tensor, Tensor], Sequence[float]] | None = None
    tolerance: float = 1e-6


def one_by_one(score: Callable) -> Callable:
    """Score images [H, W, 3] of `float64` one at a time."""

    def scores(_, reference: Tensor, reconstruction: Tensor) -> list[float]:
        pairs = zip(*(images.permute(0, 2, 3, 1).double().numpy() for images in (reference, reconstruction)))
        return [score(a, b) for a, b in pairs]

    return scores


def skimage_psnr(a, b):
    from skimage.metrics import peak_signal_noise_ratio

    return peak_signal_noise_ratio(a, b, data_range=1)


def skimage_mse(a, b):
    from skimage.metrics import mean_squared_error

    return mean_squared_error(a, b)


def skimage_ssim(a, b):
    from skimage.metrics import structural_similarity

    options = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "channel_axis": 2}
    _, whole = structural_similarity(a, b, data_range=1, full=True, **options)
    return whole[5:-5, 5:-5].mean()  # without padding, as the authors compute it


def torchmetrics_ms_ssim(_, reference, reconstruction):
    from torchmetrics.functional.image import multiscale_structural_similarity_index_measure

    options = {"data_range": 1.0, "reduction": "none"}
    return multiscale_structural_similarity_index_measure(reconstruction, reference, **options).tolist()


def torchmetrics_lpips(_, reference, reconstruction):
    from torchmetrics.functional.image import lpips

    with pytest.MonkeyPatch.context() as patch, torch.no_grad():
        patch.setattr(lpips, "_get_tv_model_features", lambda *_: tiny_models.torchvision_features("alex"))
        return lpips._LPIPS(net="alex").eval()(reference, reconstruction, normalize=True).flatten().tolist()


def clip_cosine(folder, reference, reconstruction):
    return torch.cosine_similarity(*(features(str(folder / "clip"), x) for x in (reference, reconstruction))).tolist()


def encoder_cosine(_, reference, reconstruction):
    network = EfficientNetLite0().network()
    small = (interpolate(x, (224, 224), mode="bilinear", antialias=True) for x in (reference, reconstruction))
    with torch.no_grad():
        return torch.cosine_similarity(*(network.features(x.clamp(0, 1)).mean((2, 3)) for x in small)).tolist()


def double_loop(folder, reference, reconstruction):
    return [by_hand(str(folder / "vit"), a, b) for a, b in zip(reference, reconstruction)]


CASES = {
    "MSE": Case(lambda _: MSE(), 0, one_by_one(skimage_mse)),
    "PSNR": Case(lambda _: PSNR(), inf, one_by_one(skimage_psnr), 1e-4),
    "SSIM": Case(lambda _: SSIM(), 1, one_by_one(skimage_ssim), 1e-4),
    "MSSSIM": Case(lambda _: MSSSIM(), 1, torchmetrics_ms_ssim, 1e-3),
    "MSSSIM(3)": Case(lambda _: MSSSIM(window=3), 1),
    "LPIPS": Case(lambda at: LPIPS(weights=str(at / "alex.safetensors")), 0, torchmetrics_lpips, 1e-4),
    "LpipsScore": Case(lambda at: LpipsScore(weights=str(at / "alex.safetensors")), 1),
    "CLIPScore": Case(lambda at: CLIPScore(str(at / "clip")), 1, clip_cosine),
    "CaptionCLIPScore": Case(lambda at: CaptionCLIPScore(str(at / "clip"), str(at / "blip")), None),
    "ViTScore": Case(lambda at: ViTScore(str(at / "vit")), 1, double_loop),
    "EmbeddedScore": Case(lambda _: EmbeddedScore(), 1, encoder_cosine),
    "EmbeddedViTScore": Case(lambda _: EmbeddedViTScore(side=96), 1),
    "STLPIPS": Case(lambda _: STLPIPS(), 0),  # test_stlpips.py has what the authors' package gives
    "Recognition": Case(lambda _: Recognition(score="probability"), 1),
    "SeSS": Case(lambda _: SeSS(), 1),
}


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    tiny_models.clip(folder / "clip")
    tiny_models.blip(folder / "blip")
    tiny_models.vit(folder / "vit")
    tiny_models.torchvision_file(folder / "alex.safetensors", "alex")
    return folder


@pytest.fixture(scope="module")
def pair(photograph):
    reference = torch.stack([photograph, photograph.flip(2)])
    noise = torch.randn(reference.shape, generator=torch.Generator().manual_seed(0))
    return reference, quantise(reference + torch.tensor([0.05, 0.15])[:, None, None, None] * noise)


@pytest.mark.parametrize("name", CASES)
def test_a_metric(name, models, pair):
    case, (reference, reconstruction) = CASES[name], pair
    metric, before = case.make(models), [images.clone() for images in pair]
    with memo.using(memo.Memo()):
        scores = metric(reference, reconstruction)
        alone = torch.cat([metric(a[None], b[None]) for a, b in zip(*pair)])
        prepared = metric.score(metric.prepare(reference), reconstruction)
        same = metric(reference, reference)
    assert (scores.dtype, scores.shape, scores.device.type) == (torch.float64, (2,), "cpu")
    torch.testing.assert_close(alone, scores, rtol=1e-4, atol=1e-5)
    assert torch.equal(prepared, scores)
    low, high = metric.range
    assert ((scores >= low) & (scores <= high)).all()
    assert all(torch.equal(*images) for images in zip(pair, before)), "it changed its inputs"
    if case.identical is not None:
        assert same.tolist() == pytest.approx([case.identical] * 2, abs=1e-5)
        assert ((same > scores) if metric.higher_is_better else (same < scores)).all()
    if case.reference:
        expected = case.reference(models, reference, reconstruction)
        assert scores.tolist() == pytest.approx(list(expected), abs=case.tolerance)


def test_every_metric_is_tested():
    import semcomm

    exported = {name for name in semcomm.__all__ if isinstance(found := getattr(semcomm, name), type)
                and issubclass(found, Metric) and found is not Metric}  # fmt: skip
    assert exported == {name.partition("(")[0] for name in CASES}
