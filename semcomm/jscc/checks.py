"""PSNR of a codec on the built-in photographs: figures for its card that anyone can recompute without data."""

from statistics import mean

import torch

from semcomm.channels import AWGN
from semcomm.images import ImageSet, quantise
from semcomm.jscc.codec import Allocation, Codec, estimates_of
from semcomm.seeds import seeds_of

SETTINGS = (
    (1, 0, "uniform"), (1, 10, "uniform"), (1, 20, "uniform"), (3, 0, "uniform"), (3, 10, "uniform"),
    (6, 0, "uniform"), (6, 10, "uniform"), (6, 10, "adaptive"), (7, 0, "uniform"), (7, 10, "uniform"),
    (7, 20, "uniform"), (7, 10, "adaptive"),
)  # fmt: skip
"""Layers, SNR in dB and allocation; a codec with fewer layers is checked in those that it has."""


def settings_of(codec: Codec) -> dict[str, tuple[int, float, Allocation]]:
    """Return the settings in which a codec is checked, by name of the figure."""
    found = {}
    for layers, snr_db, allocation in SETTINGS:
        if layers <= codec.network.held:
            share = 3 * codec.network.stride**2 / codec.network.uses[layers - 1]
            name = f"PSNR at {snr_db} dB, CBR 1/{share:.0f}" + (", adaptive" if allocation == "adaptive" else "")
            found[name] = (layers, snr_db, allocation)
    return found


def figures(codec: Codec) -> dict[str, float]:
    """Return the mean PSNR in dB of the built-in photographs in each setting, one realisation."""
    photographs = [image[None] for _, image in ImageSet("builtin")]
    return {name: figure(codec, photographs, *setting) for name, setting in settings_of(codec).items()}


def figure(codec: Codec, images: list[torch.Tensor], layers: int, snr_db: float, allocation: Allocation) -> float:
    """Return the mean over `images`, [1, 3, H, W] each, of the PSNR in dB over AWGN, after rounding to 8 bits."""
    values = []
    for image in images:
        known_snr_db = torch.tensor([float(snr_db)])
        plan = codec.plan(image, codec.uses_of(image, layers), allocation, known_snr_db)
        symbols, gains = codec.send(image, known_snr_db, plan)
        estimates, estimates_snr_db = estimates_of(
            AWGN(float(snr_db))(symbols, seeds_of(image)), codec.network.constellation
        )
        arrived = quantise(codec.receive(estimates, gains, estimates_snr_db, plan, *image.shape[2:]))
        values.append(-10 * torch.log10(((arrived - image) ** 2).mean()).item())
    return round(mean(values), 3)
