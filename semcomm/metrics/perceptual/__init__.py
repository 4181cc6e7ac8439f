"""Metrics by pretrained networks: LPIPS and ST-LPIPS, ViTScore, CLIPScore, and what any image encoder measures."""

from semcomm.metrics.perceptual.clip_scores import CaptionCLIPScore, CLIPScore
from semcomm.metrics.perceptual.embedded import EmbeddedScore, EmbeddedViTScore
from semcomm.metrics.perceptual.lpips import LPIPS, LpipsScore
from semcomm.metrics.perceptual.stlpips import STLPIPS
from semcomm.metrics.perceptual.vitscore import ViTScore

__all__ = [
    "LPIPS",
    "STLPIPS",
    "CLIPScore",
    "CaptionCLIPScore",
    "EmbeddedScore",
    "EmbeddedViTScore",
    "LpipsScore",
    "ViTScore",
]
