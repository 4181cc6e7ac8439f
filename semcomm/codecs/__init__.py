"""Codecs: image <-> bytes (`source`), bits <-> coded bits (`ldpc`), bits <-> symbols (`qam`)."""

from semcomm.codecs.base import ChannelCode, Constellation, Decoded, SourceCodec
from semcomm.codecs.qam import QAM

__all__ = ["QAM", "ChannelCode", "Constellation", "Decoded", "SourceCodec"]
