"""Image encoders: networks that turn images into embeddings and feature maps."""

from semcomm.models.encoders.base import DEFAULT, ImageEncoder, image_encoder, squash
from semcomm.models.encoders.efficientnet import EfficientNetLite0
from semcomm.models.encoders.transformers import CLIPEncoder, DINOv2Encoder, ViTEncoder, transformer_encoder

__all__ = [
    "DEFAULT",
    "CLIPEncoder",
    "DINOv2Encoder",
    "EfficientNetLite0",
    "ImageEncoder",
    "ViTEncoder",
    "image_encoder",
    "squash",
    "transformer_encoder",
]
