"""Links: separate coding, bounds, and the two halves that a researcher writes."""

from semcomm.transceivers.adaptation import Adaptive
from semcomm.transceivers.base import Info, Link, Reception, Signal, Transceiver
from semcomm.transceivers.bounds import AtCapacity, RandomBits
from semcomm.transceivers.separate import Separate

__all__ = ["Adaptive", "AtCapacity", "Info", "Link", "RandomBits", "Reception", "Separate", "Signal", "Transceiver"]
