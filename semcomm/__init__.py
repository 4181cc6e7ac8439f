"""semcomm: send images over noisy channels and judge what arrives by its meaning.

Everything public can be imported from here; nothing heavy is imported before it is used.
"""

from importlib import import_module
from typing import Any

_PUBLIC = {
    "semcomm.channels": (
        *("AWGN", "OFDM", "BinarySymmetric", "BitFlips16QAM", "Noiseless", "Rayleigh", "Rician"),
        *("Channel", "ChannelOutput"),
    ),
    "semcomm.codecs": (
        *("AVIF", "HEIF", "JPEG", "JPEG2000", "JPEGXL", "WebP", "Bilevel", "SourceCodec"),
        *("ASCIIText", "CompressedText", "TextCodec"),
        *("FloatLatent", "QuantisedLatent", "LatentCodec"),
        *("LDPC5G", "RegularLDPC", "Uncoded", "ChannelCode"),
        *("QAM", "Constellation"),
    ),
    "semcomm.errors": ("ConfigurationError", "DecodeError", "RateError", "SemcommError"),
    "semcomm.images": ("ImageSet", "read_image", "write_image"),
    "semcomm.ledger": ("Ledger",),
    "semcomm.models.encoders": ("EfficientNetLite0", "ImageEncoder", "image_encoder"),
    "semcomm.models.recognisers": ("Recogniser",),
    "semcomm.metrics.sess": ("Scenes",),
    "semcomm.metrics": (
        *("MSE", "MSSSIM", "PSNR", "SSIM", "SeSS", "Metric"),
        *("LPIPS", "STLPIPS", "CLIPScore", "CaptionCLIPScore", "LpipsScore", "ViTScore"),
        *("EmbeddedScore", "EmbeddedViTScore", "Recognition"),
        *("FID", "EmbeddedFID", "SetMetric"),
    ),
    "semcomm.seeds": ("Seed", "seeds_of"),
    "semcomm.experiment.experiment": ("Experiment", "load"),
    "semcomm.analysis.report": ("write_report",),
    "semcomm.runs.results": ("Results",),
    "semcomm.runs.run": ("open_results", "run"),
    "semcomm.analysis.compare": ("compare",),
    "semcomm.analysis.curves": ("curves",),
    "semcomm.analysis.deltas": ("bd_quality", "bd_rate", "x_at"),
    "semcomm.analysis.figures": ("draw", "plot"),
    "semcomm.experiment.figure": ("FigureSpec", "FigureStyle"),
    "semcomm.transceivers": (
        *("Adaptive", "AtCapacity", "Link", "RandomBits", "Reception", "Separate", "Signal", "Transceiver"),
        *("AdaptiveGenerative", "TextAndLatent", "TextAndSketch", "TextToImage", "UnCLIP"),
        *("LSCI", "DeepJSCC", "Learned", "SwinJSCC", "TorchJSCC", "WITT"),
        *("Hybrid", "SoftCast"),
        *("Diffusers", "Embedded", "GenerativeModel", "StableUnCLIP"),
        *("ColourFilter", "Distortion", "Reflection", "Rotation", "Scaling", "Translation"),
    ),
}
_MODULE_OF = {name: module for module, names in _PUBLIC.items() for name in names}

__version__ = "0.1.0"
__all__ = sorted(_MODULE_OF)


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'semcomm' has no attribute {name!r}")
    return getattr(import_module(_MODULE_OF[name]), name)


def __dir__() -> list[str]:
    return [*globals(), *__all__]
