"""Channel estimates: the claimed error against the measured one, and against Sionna's estimators."""

import numpy as np
import pytest
import torch

from semcomm import OFDM, Seed
from semcomm.channels.ofdm.estimation import interpolators
from semcomm.channels.ofdm.grid import SYMBOLS

FEW = {"subcarriers": 48, "guard_carriers": 0, "cyclic_prefix": 6}


def errors(channel, slots, draws):
    """Return the measured |h - ĥ|² [Nr, Nt] and the claimed mean, over many draws."""
    measured, claimed = [], []
    for n in range(draws):
        seed = Seed(f"estimate {n}")
        taps = channel.model.taps(seed.generator("fading"), SYMBOLS * slots, channel.grid.seconds)
        true = taps.response(channel.grid.frequencies())
        added = channel._n0 + channel.model.interference(taps, channel.grid)
        known, error = channel._estimated(true, taps, added, seed)
        by_symbol = (known - true).abs().square().unflatten(0, (slots, SYMBOLS)).mean((0, 2, 3))
        measured.append(by_symbol)
        claimed.append(error.mean(1))
    return torch.stack(measured).mean(0), torch.stack(claimed).mean(0)


@pytest.mark.parametrize(
    ("profile", "settings", "draws"),
    [
        ("tdl-a", {"speed_kmh": 3.0}, 150),
        ("tdl-c", {"speed_kmh": 200.0, "tx_antennas": 2, "rx_antennas": 2, "delay_spread_ns": 300.0}, 150),
        ("tdl-e", {"speed_kmh": 200.0, "snr_db": 25.0}, 150),
        ("cdl-b", {"speed_kmh": 100.0, "delay_spread_ns": 300.0}, 100),
        ("umi", {"speed_kmh": 30.0}, 40),
    ],
)
@pytest.mark.parametrize("estimation", ["ls", "lmmse"])
def test_the_claimed_error_is_the_measured_one(profile, settings, draws, estimation):
    channel = OFDM(**{"snr_db": 10.0, **FEW, **settings}, profile=profile, estimation=estimation)
    measured, claimed = errors(channel, 2, draws)
    assert torch.allclose(measured.mean(), claimed.mean(), rtol=0.08)
    for n in (0, 2, 6, 13):  # within the slot too: at pilots, between and beyond them
        assert torch.allclose(measured[n], claimed[n], rtol=0.2)


def test_lmmse_is_never_worse_and_both_fall_with_the_noise():
    for profile in ("tdl-a", "cdl-d"):
        ls, lmmse, better = (
            errors(OFDM(snr, profile, **FEW, estimation=way), 1, 30)
            for snr, way in ((5.0, "ls"), (5.0, "lmmse"), (25.0, "lmmse"))
        )
        assert (lmmse[1] <= ls[1]).all() and lmmse[0].mean() < 0.6 * ls[0].mean()
        assert better[1].mean() < lmmse[1].mean() / 10


def sionnas_grid(channel):
    from sionna.phy.ofdm import ResourceGrid

    return ResourceGrid(
        num_ofdm_symbols=SYMBOLS,
        fft_size=channel.grid.subcarriers,
        subcarrier_spacing=channel.grid.spacing,
        cyclic_prefix_length=channel.grid.cyclic_prefix,
        pilot_pattern="kronecker",
        pilot_ofdm_symbol_indices=list(channel.grid.pilot_symbols),
        device="cpu",
        precision="single",
    )


def observed(channel, n):
    """Return the true channel [T, F], and noisy observations of it at the pilots [P_t, F]."""
    seed = Seed(f"sionna {n}")
    taps = channel.model.taps(seed.generator("fading"), SYMBOLS, channel.grid.seconds)
    true = taps.response(channel.grid.frequencies())[..., 0, 0]
    noise = torch.randn(2, channel.grid.subcarriers, dtype=torch.complex64, generator=seed.generator("pilots"))
    return true, true[list(channel.grid.pilot_symbols)] + channel._n0**0.5 * noise


def estimate(channel, grid, estimator, pilots):
    """Return Sionna's estimate [T, F]."""
    y = torch.zeros(1, 1, 1, SYMBOLS, channel.grid.subcarriers, dtype=torch.complex64)
    y[0, 0, 0, list(channel.grid.pilot_symbols)] = pilots * grid.pilot_pattern.pilots.reshape(2, -1)
    return estimator(y, torch.tensor(channel._n0))[0][0, 0, 0, 0, 0]


def test_least_squares_is_sionnas():
    from sionna.phy.ofdm import LSChannelEstimator

    channel = OFDM(12.0, "tdl-b", **FEW, estimation="ls", speed_kmh=60)
    grid = sionnas_grid(channel)
    _, pilots = observed(channel, 0)
    estimator = LSChannelEstimator(grid, interpolation_type="lin", device="cpu", precision="single")
    taps = channel.model.taps(Seed("sionna 0").generator("fading"), 1, 1.0)
    ours, theirs = channel._interpolators(taps, 0.0)[0](pilots), estimate(channel, grid, estimator, pilots)
    assert torch.allclose(ours[2:12], theirs[2:12], atol=1e-5)  # beyond the pilots they extrapolate


def test_lmmse_against_sionnas_and_against_one_large_inverse():
    from sionna.phy.ofdm import LMMSEChannelEstimator, tdl_freq_cov_mat, tdl_time_cov_mat

    channel = OFDM(8.0, "tdl-b", **FEW, estimation="lmmse", speed_kmh=250)
    grid, ours_grid = sionnas_grid(channel), channel.grid
    on_cpu = {"device": "cpu", "precision": "single"}
    in_frequency = tdl_freq_cov_mat("B", ours_grid.spacing, ours_grid.subcarriers, 100e-9, **on_cpu)
    in_time = tdl_time_cov_mat("B", 250 / 3.6, 3.5e9, ours_grid.seconds, SYMBOLS, **on_cpu)
    estimator = LMMSEChannelEstimator(grid, in_time, in_frequency, order="f-t", **on_cpu)
    expected = channel.model.expected(channel.model.taps(Seed("s").generator("fading"), 1, 1.0))
    interpolator = interpolators("lmmse", ours_grid, expected, channel.model.doppler, channel._n0)[0]
    both = torch.kron(in_time, in_frequency)
    index = (torch.tensor([2, 11])[:, None] * ours_grid.subcarriers + torch.arange(ours_grid.subcarriers)).flatten()
    inverse = torch.linalg.inv(both[index][:, index] + channel._n0 * torch.eye(len(index)))
    ours_error, theirs_error = [], []
    for n in range(60):
        true, pilots = observed(channel, n)
        ours = interpolator(pilots)
        assert torch.allclose(ours, (both[:, index] @ inverse @ pilots.flatten()).reshape(ours.shape), atol=2e-3)
        theirs = estimate(channel, grid, estimator, pilots)
        ours_error.append((ours - true).abs().square().mean().item())
        theirs_error.append((theirs - true).abs().square().mean().item())
    # theirs goes over one dimension after the other, ours over both at once
    assert np.mean(ours_error) <= np.mean(theirs_error) * 1.001
    assert np.mean(ours_error) == pytest.approx(np.mean(theirs_error), rel=0.1)
