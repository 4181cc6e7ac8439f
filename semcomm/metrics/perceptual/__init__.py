"""Metrics by pretrained networks: LPIPS, ViTScore, CLIPScore, and the embedded encoder's own."""

from semcomm.metrics.perceptual.clip_scores import CaptionCLIPScore, CLIPScore
from semcomm.metrics.perceptual.embedded import EmbeddedScore
from semcomm.metrics.perceptual.lpips import LPIPS, LpipsScore
from semcomm.metrics.perceptual.vitscore import ViTScore

__all__ = ["LPIPS", "CLIPScore", "CaptionCLIPScore", "EmbeddedScore", "LpipsScore", "ViTScore"]
