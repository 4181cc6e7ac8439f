"""Precoders and receivers against Telatar's formula, numpy's singular values, a solver and Sionna."""

import numpy as np
import pytest
import torch
from scipy.optimize import brentq

from semcomm import OFDM, Seed
from semcomm.channels.ofdm import mimo

SEEDS = [Seed(f"mimo {n}") for n in range(3)]


def channels(count, rx, tx, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, rx, tx, dtype=torch.complex64, generator=generator)


@pytest.mark.parametrize(("rx", "tx", "streams"), [(2, 2, 2), (2, 2, 1), (4, 4, 4), (2, 4, 2), (3, 2, 2), (1, 2, 1)])
def test_svd_precoding_makes_parallel_channels_of_the_singular_values(rx, tx, streams):
    known = channels(50, rx, tx)
    precoder = mimo.precoder(known, streams, "svd", 0.1)
    assert torch.allclose(precoder.abs().square().sum((1, 2)), torch.ones(50), atol=1e-5)
    _, gain = mimo.receive(torch.zeros(50, rx, dtype=torch.complex64), known @ precoder, torch.full((50,), 0.1))
    singular = np.linalg.svd(known.numpy(), compute_uv=False)[:, :streams] / streams**0.5
    assert np.allclose(gain, singular, rtol=2e-3, atol=2e-3)


def test_eigenvectors_of_2x2_where_they_are_not_unique():
    for gram in (torch.eye(2), torch.diag(torch.tensor([1.0, 3.0])), torch.zeros(2, 2), torch.ones(2, 2)):
        values, vectors = mimo._eigen(gram.to(torch.complex64)[None])
        assert torch.allclose(vectors.mH @ vectors, torch.eye(2).to(torch.complex64), atol=1e-6)
        assert torch.allclose(vectors @ torch.diag_embed(values).to(torch.complex64) @ vectors.mH, gram + 0j, atol=1e-6)
        assert values[0, 0] >= values[0, 1]


def test_water_filling_is_that_of_a_solver():
    rng = np.random.default_rng(0)
    for noise in (0.01, 0.3, 3.0):
        powers = np.sort(rng.exponential(size=(40, 4)), 1)[:, ::-1].copy()
        found = mimo.water_filling(torch.tensor(powers), noise).numpy()
        for row, shares in zip(powers, found):
            floor = noise / row
            level = brentq(lambda mu, floor=floor: np.maximum(mu - floor, 0).sum() - 1, 0, 1 + floor.max())
            assert np.allclose(shares, np.maximum(level - floor, 0), atol=1e-6)


@pytest.mark.parametrize("antennas", [2, 4])
def test_capacity_is_telatars(antennas):
    """SVD: sum of log2(1 + p·s²/N0). With equal power and all streams that is log2 det(I + HH^H/(Nt·N0))."""
    snr_db, slot = 12.0, 240 * 14
    both = {"tx_antennas": antennas, "rx_antennas": antennas}
    equal = OFDM(snr_db, "tdl-b", **both, csi="instantaneous", precoding="svd")
    best = OFDM(snr_db, "tdl-b", **both, csi="instantaneous", precoding="svd-water-filling")
    open_loop = OFDM(snr_db, "tdl-b", **both)
    n0 = 10 ** (-snr_db / 10)
    for seed in SEEDS:
        taps = equal.model.taps(seed.generator("fading"), 14, equal.grid.seconds)
        h = taps.response(equal.grid.frequencies()).flatten(0, 1).numpy().astype(complex)
        gram = h @ h.conj().transpose(0, 2, 1)
        wanted = np.log2(np.linalg.det(np.eye(antennas) + gram / (antennas * n0)).real).mean()
        found = [c.capacity([seed], [antennas * slot]).item() * antennas for c in (open_loop, equal, best)]
        assert found[1] == pytest.approx(wanted, rel=1e-3)
        assert found[0] < found[1] < found[2]


def test_the_linear_receiver_is_sionnas_lmmse():
    from sionna.phy.mimo import lmmse_equalizer

    channel, noise = channels(200, 4, 3), 0.2
    y = channels(200, 4, 1, seed=1)[..., 0]
    received, gain = mimo.receive(y, channel, torch.full((200,), noise))
    estimate, variance = lmmse_equalizer(y, channel, noise * torch.eye(4).to(torch.complex64).expand(200, 4, 4))
    assert torch.allclose(received / gain, estimate, atol=1e-3, rtol=1e-3)
    assert torch.allclose(noise / gain**2, variance, rtol=1e-3)


def test_maximum_ratio_combining_adds_up_the_powers():
    channel, n0 = channels(100, 3, 1), torch.full((100,), 0.1)
    y = channel[..., 0] * (2 - 1j)
    received, gain = mimo.receive(y, channel, n0)
    assert torch.allclose(gain[:, 0] ** 2, channel.abs().square().sum((1, 2)), rtol=1e-5)
    assert torch.allclose(received / gain, torch.full((100, 1), 2 - 1j), atol=1e-5)
    assert torch.equal(gain, mimo.stream_gains(channel, n0))


def test_what_is_whitened_is_white():
    channel = channels(1, 2, 2).expand(40_000, 2, 2)
    noise, distortion = torch.full((40_000,), 0.1), torch.tensor([0.2, 0.5])
    filter_ = mimo.whitening(channel, noise, distortion)
    sent = channels(40_000, 2, 1, 1) * distortion[:, None].sqrt()
    seen = filter_ @ (channel @ sent + 0.1**0.5 * channels(40_000, 2, 1, 2))
    covariance = (seen @ seen.mH).mean(0)
    assert torch.allclose(covariance, 0.1 * torch.eye(2).to(torch.complex64), atol=4e-3)


def test_a_stream_without_power_or_an_unseen_antenna_gives_no_nan():
    dark = torch.zeros(5, 2, 2, dtype=torch.complex64)
    for precoding in ("none", "svd", "svd-water-filling"):
        precoder = mimo.precoder(dark, 2, precoding, 0.1)
        received, gain = mimo.receive(torch.ones(5, 2, dtype=torch.complex64), dark @ precoder, torch.full((5,), 0.1))
        assert received.isfinite().all() and gain.isfinite().all() and (gain < 1e-3).all()
