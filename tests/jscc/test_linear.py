"""Training begins with a linear code: principal components, and what is known is not lost by more layers."""

import numpy as np
import pytest
import torch
from tiny_codecs import smooth_images
from torch import nn

from semcomm.jscc import linear
from semcomm.jscc.lsci import LSCINetwork
from semcomm.jscc.training_channel import simulate


def fitted(images: torch.Tensor, **options) -> LSCINetwork:
    """A network whose linear part alone speaks."""
    torch.manual_seed(1)
    network = LSCINetwork(**options).requires_grad_(False)
    linear.fit(network, images, torch.Generator().manual_seed(2))
    for piece in network.encoder["slices"]:
        nn.init.zeros_(piece.head.weight), nn.init.zeros_(piece.head.bias)
    nn.init.zeros_(network.decoder["base"].to_rgb["4"].weight)
    return network


def error(network: LSCINetwork, images: torch.Tensor, layers: int, snr_db: float) -> float:
    snr_db = torch.full((len(images),), snr_db)
    plan = torch.full((len(images), *(s // network.stride for s in images.shape[2:])), layers, dtype=torch.uint8)
    sent, gains = network.encode(images, snr_db, plan)
    unfaded, generator = torch.zeros(len(images), dtype=torch.bool), torch.Generator().manual_seed(3)
    found = simulate(network, sent, gains, snr_db, unfaded, plan, generator)
    return ((found - images) ** 2).mean().item()


def test_one_layer_without_noise_is_principal_component_analysis():
    images = smooth_images(24, 32, 48, seed=6)
    options = {"layers": [[4, 4]], "widths": [6], "encoder_blocks": [1], "decoder_blocks": [1]}
    network = fitted(images, constellation="analog", **options)
    cells = images.unfold(2, 4, 4).unfold(3, 4, 4).permute(0, 2, 3, 1, 4, 5).reshape(-1, 48).double().numpy()
    # the mean colour is known, not the mean of each pixel of a cell
    centred = cells - cells.reshape(-1, 3, 16).mean((0, 2)).repeat(16)
    singular = np.linalg.svd(centred, compute_uv=False)
    assert error(network, images, 1, 80.0) == pytest.approx((singular[8:] ** 2).sum() / centred.size, rel=0.01)


def test_a_cell_with_more_values_than_pixels_sends_some_again():
    images = smooth_images(24, 32, 48, seed=6)
    options = {"widths": [6], "encoder_blocks": [1], "decoder_blocks": [1], "constellation": "analog"}
    networks = [fitted(images, layers=[[4, symbols]], **options) for symbols in (16, 24, 36)]
    errors = [error(network, images, 1, linear.SNR_DB) for network in networks]
    assert errors[0] > errors[1] > errors[2]
    assert error(networks[2], images, 1, 40.0) < 0.01 * images.var().item()


@pytest.fixture(scope="module", params=["analog", "qpsk", "16qam"])
def tiny(request) -> tuple[LSCINetwork, torch.Tensor]:
    """A fitted network of layers at strides 8 and 4, and its images; it is judged at several SNRs."""
    images = smooth_images(48, 48, 48, seed=7)
    layers = [[8, 1], [8, 1], [8, 2], [4, 1]]
    options = {"widths": [6, 8], "encoder_blocks": [1, 1], "decoder_blocks": [1, 1]}
    return fitted(images, layers=layers, constellation=request.param, **options), images


@pytest.mark.parametrize("snr_db", [0.0, 8.0, 20.0])
def test_every_layer_helps_and_so_does_the_snr(tiny, snr_db):
    network, images = tiny
    errors = [error(network, images, layers, snr_db) for layers in (1, 2, 3, 4)]
    assert errors == sorted(errors, reverse=True)
    assert errors[3] < 0.7 * errors[0] < 0.7 * images.var().item()
    better = error(network, images, 4, snr_db + 5)
    if (network.constellation, snr_db) == ("qpsk", 20.0):  # both of its bits arrive as they are
        assert better == pytest.approx(errors[3], rel=1e-6)
    else:
        assert better < errors[3]


@pytest.mark.parametrize(("constellation", "least"), [("qpsk", 2.0), ("16qam", 4.5), ("64qam", 2.5)])
def test_later_layers_send_finer_digits_of_what_was_rounded(constellation, least):
    """With a value for each pixel in each layer, the residual is the quantisation error alone.

    Sent again, the same values would halve the error's power at most.
    """
    images = smooth_images(24, 32, 48, seed=6)
    options = {"layers": [[4, 24], [4, 24]], "widths": [6], "encoder_blocks": [1], "decoder_blocks": [1]}
    network = fitted(images, constellation=constellation, **options)
    assert error(network, images, 1, 60.0) > least * error(network, images, 2, 60.0)
