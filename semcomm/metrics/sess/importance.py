"""The importance of each object in its image: saliency inside its mask, and the relations it takes part in.

Saliency: X. Hou and L. Zhang, "Saliency Detection: A Spectral Residual Approach", CVPR 2007. Importance: equations 24
and 25 of the SeSS paper, and what the authors' code adds to them.
"""

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate

from semcomm.errors import MetricError
from semcomm.metrics.sess.graph import Parameters

WORKING_SIZE = 64
"""Longer side, in pixels, at which saliency is found. Hou and Zhang, section 2.3: "height (or width) equals 64"."""
MEAN_FILTER = 3
"""Side of the mean filter on the log amplitude (their h_n, n = 3)."""
SMOOTHING = 2.5
"""Standard deviation of the final Gaussian, in working pixels, cut off at 5: their published code. The text says 8."""
LUMA = (0.299, 0.587, 0.114)
"""Weights of red, green and blue (ITU-R BT.601)."""
FLAT = 1e-6
"""Grey values that differ by less than this after shrinking are one colour."""
SPECTRUM_FLOOR = 1e-4
"""Added to amplitudes before the logarithm: far below what a grey level makes, far above rounding errors."""


def spectral_residual(image: Tensor) -> Tensor:
    """Return how much each pixel stands out, by the spectral residual.

    The residual is what the log amplitude of the image has beyond its local mean; transformed back with the phase, and
    squared, it shows what is unexpected (equations 3 to 5). The spectrum F is multiplied by exp(-mean of log |F|)
    rather than taken apart: the same where |F| is not tiny, while frequencies that are absent, as in drawings, stay
    absent instead of being raised to the common level with the phase of a rounding error.

    Args:
        image: [3, H, W] in [0, 1], of any size.

    Returns:
        `float32` [H, W] from 0 to about 1, the largest at the working size being 1. All 0 for an image of one colour.
    """
    from scipy.ndimage import gaussian_filter, uniform_filter  # slow to import, and not every command scores

    if image.ndim != 3 or image.shape[0] != 3 or not image.numel():
        raise MetricError(f"saliency is defined for one image [3, H, W], not {list(image.shape)}")
    height, width = image.shape[1:]
    grey = torch.einsum("chw,c->hw", image.detach().cpu().double(), torch.tensor(LUMA, dtype=torch.float64))
    scale = WORKING_SIZE / max(height, width)
    small = _resized(grey, max(1, round(height * scale)), max(1, round(width * scale))).numpy()
    if np.ptp(small) < FLAT:
        return torch.zeros(height, width)
    spectrum = np.fft.fft2(small)
    local_mean = uniform_filter(np.log(np.abs(spectrum) + SPECTRUM_FLOOR), MEAN_FILTER, mode="nearest")
    unexpected = np.square(np.abs(np.fft.ifft2(spectrum * np.exp(-local_mean))))
    saliency = gaussian_filter(unexpected, SMOOTHING, mode="nearest", truncate=5 / SMOOTHING)
    return _resized(torch.from_numpy(saliency / saliency.max()).float(), height, width)


def _resized(plane: Tensor, height: int, width: int) -> Tensor:
    return interpolate(plane[None, None], (height, width), mode="bilinear", antialias=True)[0, 0]


def saliency_sums(saliency: Tensor, masks: Tensor) -> np.ndarray:
    """Return the sum of the saliency inside each mask (equation 25).

    Args:
        saliency: [H, W], not negative.
        masks: `bool` [n, H, W].

    Returns:
        `float64` [n].
    """
    if masks.ndim != 3 or masks.shape[1:] != saliency.shape:
        raise MetricError(f"masks of shape {list(masks.shape)} do not lie on a saliency map {list(saliency.shape)}")
    values = saliency.cpu().double().numpy()
    return np.array([values[mask].sum() for mask in masks.bool().cpu().numpy()], dtype=np.float64)


def importance(
    saliency_sum: np.ndarray, relation: np.ndarray, relation_score: np.ndarray, parameters: Parameters
) -> np.ndarray:
    """Return each object's share in the image's meaning.

    S is the saliency sum to the power of 1 / `saliency_root`, normalised. With `relation_importance` w > 0, as in the
    authors' code, each related ordered pair (i, j) of score p > 0 gives p·S_i/(S_i + S_j) to i and p·S_j/(S_i + S_j) to
    j; R is the total to the power of 1 / `relation_root`, normalised; the importance is (1 - w)·S + w·R.

    Args:
        saliency_sum: [n], not negative.
        relation: predicate from row to column, [n, n]; -1 where there is none.
        relation_score: [n, n].
        parameters: of SeSS.

    Returns:
        `float64` [n], sum 1. Uniform where no object has any saliency; saliency alone where there is no relation.
    """
    saliency_sum = np.asarray(saliency_sum, dtype=np.float64)
    if any(values.shape != 2 * saliency_sum.shape for values in (relation, relation_score)):
        raise MetricError(f"relations of {len(saliency_sum)} objects and their scores are matrices of that size")
    if not np.isfinite(saliency_sum).all() or (saliency_sum < 0).any():
        raise MetricError("sums of saliency are finite and not negative")
    salient = _normalised(saliency_sum ** (1 / parameters.saliency_root))
    weight = parameters.relation_importance
    score = np.where((relation >= 0) & (relation_score > 0), relation_score, 0.0)
    if weight == 0 or not score.any():
        return salient
    both = salient[:, None] + salient[None]
    share = np.divide(salient[:, None], both, out=np.full_like(both, 0.5), where=both > 0)
    related = ((score + score.T) * share).sum(axis=1)
    return _normalised((1 - weight) * salient + weight * _normalised(related ** (1 / parameters.relation_root)))


def _normalised(values: np.ndarray) -> np.ndarray:
    total = values.sum()
    return values / total if total > 0 else np.full(len(values), 1 / max(len(values), 1))
