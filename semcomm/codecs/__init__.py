"""Codecs: image <-> bytes (`source`), text and latents, bits <-> coded bits (`ldpc`), bits <-> symbols (`qam`)."""

from semcomm.codecs.base import ChannelCode, Constellation, Decoded, SourceCodec
from semcomm.codecs.bilevel import Bilevel
from semcomm.codecs.latent import FloatLatent, LatentCodec, QuantisedLatent, ReceivedLatent
from semcomm.codecs.ldpc import LDPC5G, RegularLDPC
from semcomm.codecs.qam import QAM
from semcomm.codecs.source import AVIF, HEIF, JPEG, JPEG2000, JPEGXL, WebP
from semcomm.codecs.text import ASCIIText, CompressedText, TextCodec
from semcomm.codecs.uncoded import Uncoded

__all__ = [
    "AVIF",
    "HEIF",
    "JPEG",
    "JPEG2000",
    "JPEGXL",
    "LDPC5G",
    "QAM",
    "ASCIIText",
    "Bilevel",
    "ChannelCode",
    "CompressedText",
    "Constellation",
    "Decoded",
    "FloatLatent",
    "LatentCodec",
    "QuantisedLatent",
    "ReceivedLatent",
    "RegularLDPC",
    "SourceCodec",
    "TextCodec",
    "Uncoded",
    "WebP",
]
