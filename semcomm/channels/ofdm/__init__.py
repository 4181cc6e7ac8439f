"""OFDM over the channel models of 3GPP TR 38.901, with several antennas, pilots and clipping."""

from semcomm.channels.ofdm.channel import OFDM

__all__ = ["OFDM"]
