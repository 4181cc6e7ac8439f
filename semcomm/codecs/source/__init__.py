"""Source codecs: an image into at most so many bytes, and back from what arrived of them."""

from semcomm.codecs.source.jpeg2000 import JPEG2000
from semcomm.codecs.source.still import AVIF, HEIF, JPEG, JPEGXL, WebP

__all__ = ["AVIF", "HEIF", "JPEG", "JPEG2000", "JPEGXL", "WebP"]
