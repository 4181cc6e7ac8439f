"""Metrics: pixel and structural. Each takes [B, 3, H, W] in [0, 1] and returns one score per image [B]."""

from semcomm.metrics.base import Metric
from semcomm.metrics.pixel import MSE, PSNR
from semcomm.metrics.sess import SeSS
from semcomm.metrics.structural import MSSSIM, SSIM

__all__ = ["MSE", "MSSSIM", "PSNR", "SSIM", "Metric", "SeSS"]
