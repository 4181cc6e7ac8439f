"""Links: separate coding, generation, bounds, distortions, and the two halves that a researcher writes."""

from semcomm.transceivers.adaptation import Adaptive
from semcomm.transceivers.base import Info, Link, Reception, Signal, Transceiver
from semcomm.transceivers.bounds import AtCapacity
from semcomm.transceivers.distortions import (
    ColourFilter,
    Distortion,
    Reflection,
    Rotation,
    Scaling,
    Translation,
)
from semcomm.transceivers.generative import (
    AdaptiveGenerative,
    Diffusers,
    Embedded,
    GenerativeModel,
    StableUnCLIP,
    TextAndLatent,
    TextAndSketch,
    TextToImage,
    UnCLIP,
)
from semcomm.transceivers.hybrid import Hybrid
from semcomm.transceivers.learned import LSCI, DeepJSCC, Learned
from semcomm.transceivers.module import TorchJSCC
from semcomm.transceivers.peers import WITT, SwinJSCC
from semcomm.transceivers.random_bits import RandomBits
from semcomm.transceivers.separate import Separate
from semcomm.transceivers.softcast import SoftCast

__all__ = [
    "LSCI",
    "WITT",
    "Adaptive",
    "AdaptiveGenerative",
    "AtCapacity",
    "ColourFilter",
    "DeepJSCC",
    "Diffusers",
    "Distortion",
    "Embedded",
    "GenerativeModel",
    "Hybrid",
    "Info",
    "Learned",
    "Link",
    "RandomBits",
    "Reception",
    "Reflection",
    "Rotation",
    "Scaling",
    "Separate",
    "Signal",
    "SoftCast",
    "StableUnCLIP",
    "SwinJSCC",
    "TextAndLatent",
    "TextAndSketch",
    "TextToImage",
    "TorchJSCC",
    "Transceiver",
    "Translation",
    "UnCLIP",
]
