"""Generative transceivers: a caption, a latent, a sketch or an embedding is sent, and a model makes the image."""

from semcomm.transceivers.generative.base import GenerativeModel, Size, denoising_steps, resized

__all__ = ["GenerativeModel", "Size", "denoising_steps", "resized"]
