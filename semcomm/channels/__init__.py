"""Channels: noiseless, AWGN, Rayleigh, Rician, binary symmetric; what the transmitter may know; capacities."""

from semcomm.channels.base import Channel, ChannelOutput, complex_normal, noise_variance
from semcomm.channels.fading import Rayleigh, Rician
from semcomm.channels.simple import AWGN, BinarySymmetric, Noiseless

__all__ = [
    "AWGN",
    "BinarySymmetric",
    "Channel",
    "ChannelOutput",
    "Noiseless",
    "Rayleigh",
    "Rician",
    "complex_normal",
    "noise_variance",
]
