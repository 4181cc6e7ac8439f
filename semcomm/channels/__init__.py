"""Channels: noiseless, AWGN, Rayleigh, Rician, bit flips, OFDM over 3GPP models; what the transmitter may know."""

from semcomm.channels.base import Channel, ChannelOutput, complex_normal, noise_variance
from semcomm.channels.bit_flips import BitFlips16QAM
from semcomm.channels.fading import Rayleigh, Rician
from semcomm.channels.ofdm import OFDM
from semcomm.channels.simple import AWGN, BinarySymmetric, Noiseless

__all__ = [
    "AWGN",
    "OFDM",
    "BinarySymmetric",
    "BitFlips16QAM",
    "Channel",
    "ChannelOutput",
    "Noiseless",
    "Rayleigh",
    "Rician",
    "complex_normal",
    "noise_variance",
]
