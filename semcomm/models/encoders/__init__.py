"""Image encoders: networks that turn images into embeddings and feature maps."""

from semcomm.models.encoders.base import DEFAULT, ImageEncoder, image_encoder, squash
from semcomm.models.encoders.efficientnet import EfficientNetLite0
from semcomm.models.encoders.transformers import TransformerEncoder

__all__ = [
    "DEFAULT",
    "EfficientNetLite0",
    "ImageEncoder",
    "TransformerEncoder",
    "image_encoder",
    "squash",
]
