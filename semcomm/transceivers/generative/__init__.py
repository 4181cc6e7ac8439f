"""Generative transceivers: a caption, a latent, a sketch or an embedding is sent, and a model makes the image."""

from semcomm.transceivers.generative.adaptive import AdaptiveGenerative
from semcomm.transceivers.generative.base import GenerativeModel, Size, denoising_steps, resized
from semcomm.transceivers.generative.diffusion import Diffusers, StableUnCLIP
from semcomm.transceivers.generative.embedded import Embedded
from semcomm.transceivers.generative.text_and_latent import TextAndLatent
from semcomm.transceivers.generative.text_and_sketch import TextAndSketch
from semcomm.transceivers.generative.text_to_image import TextToImage
from semcomm.transceivers.generative.unclip import UnCLIP

__all__ = [
    "AdaptiveGenerative",
    "Diffusers",
    "Embedded",
    "GenerativeModel",
    "Size",
    "StableUnCLIP",
    "TextAndLatent",
    "TextAndSketch",
    "TextToImage",
    "UnCLIP",
    "denoising_steps",
    "resized",
]
