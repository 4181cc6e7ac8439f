"""The embedded generator: a small autoencoder and denoiser of our own, for generative transceivers without a download.

It makes images of 128x128 pixels from latents [4, 16, 16], and knows the 100 classes of Caltech-101. It is made for
trying and testing, and is no match for Stable Diffusion. What it was measured to do stands in the two cards in
`semcomm/models/weights`.
"""

from semcomm.models.generator.autoencoder import CHANNELS, SIZE, STRIDE
from semcomm.models.generator.generator import Generator, load_generator, weights_hash

__all__ = ["CHANNELS", "SIZE", "STRIDE", "Generator", "load_generator", "weights_hash"]
