"""Links: separate coding, bounds, distortions, and the two halves that a researcher writes."""

from semcomm.transceivers.adaptation import Adaptive
from semcomm.transceivers.base import Info, Link, Reception, Signal, Transceiver
from semcomm.transceivers.bounds import AtCapacity, RandomBits
from semcomm.transceivers.distortions import (
    ColourFilter,
    Distortion,
    Reflection,
    Rotation,
    Scaling,
    Translation,
)
from semcomm.transceivers.separate import Separate

__all__ = [
    "Adaptive",
    "AtCapacity",
    "ColourFilter",
    "Distortion",
    "Info",
    "Link",
    "RandomBits",
    "Reception",
    "Reflection",
    "Rotation",
    "Scaling",
    "Separate",
    "Signal",
    "Transceiver",
    "Translation",
]
