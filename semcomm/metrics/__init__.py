"""Metrics of images: pixels, structure, what networks see, meaning (`sess`); and of sets of images.

Each takes [B, 3, H, W] in [0, 1] and returns one score per image [B]; a set metric, one number for all.
"""

from semcomm.metrics.base import Metric
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
from semcomm.metrics.pixel import MSE, PSNR
from semcomm.metrics.recognition import Recognition
from semcomm.metrics.sess import SeSS
from semcomm.metrics.sets import FID, EmbeddedFID, SetMetric
from semcomm.metrics.structural import MSSSIM, SSIM

__all__ = [
    "FID",
    "LPIPS",
    "MSE",
    "MSSSIM",
    "PSNR",
    "SSIM",
    "STLPIPS",
    "CLIPScore",
    "CaptionCLIPScore",
    "EmbeddedFID",
    "EmbeddedScore",
    "EmbeddedViTScore",
    "LpipsScore",
    "Metric",
    "Recognition",
    "SeSS",
    "SetMetric",
    "ViTScore",
]
