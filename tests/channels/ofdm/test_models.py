"""The channel models against their profiles, against Sionna called directly, and against a simulation in time."""

import numpy as np
import pytest
import torch
from scipy.special import j0

from semcomm import OFDM, Seed
from semcomm.channels.ofdm.models import LIGHT, Model, Taps


def model(profile="tdl-c", speed=0.0, rx=1, tx=1, delay_spread=100e-9):
    in_cell = profile in ("umi", "uma", "rma")
    return Model(profile, None if in_cell else delay_spread, 3.5e9, speed, rx, tx)


def drawn(model, count, steps=1, seconds=1e-3):
    return [model.taps(Seed(f"draw {n}").generator("fading"), steps, seconds) for n in range(count)]


@pytest.mark.parametrize(
    ("profile", "count"),
    [(f"tdl-{letter}", 600) for letter in "abcde"] + [("cdl-a", 150), ("cdl-d", 60), ("umi", 80), ("rma", 40)],
)
def test_mean_power_is_1(profile, count):
    powers = torch.stack([taps.powers.sum() for taps in drawn(model(profile), count)])
    assert powers.mean().item() == pytest.approx(1, abs=4 * powers.std().item() / count**0.5 + 1e-3)
    assert powers.std() / count**0.5 < 0.1  # or the line above says nothing


def test_between_each_pair_of_antennas_too():
    for profile, count in (("tdl-b", 400), ("cdl-b", 150)):
        gains = torch.stack([taps.response(torch.zeros(1))[0, 0] for taps in drawn(model(profile, rx=2, tx=3), count)])
        assert gains.shape == (count, 2, 3)
        assert torch.allclose(gains.abs().square().mean(0), torch.ones(2, 3), atol=0.27)


@pytest.mark.parametrize("profile", ["tdl-a", "tdl-b", "tdl-c", "tdl-d", "tdl-e", "cdl-a", "cdl-e"])
def test_the_profile_has_its_delay_spread(profile):
    this = model(profile)
    expected = this.expected(drawn(this, 1)[0])
    powers, delays = expected.powers.double(), expected.delays.double()
    assert powers.sum().item() == pytest.approx(1, rel=1e-4)
    mean = (powers * delays).sum()
    spread = ((powers * delays**2).sum() - mean**2).sqrt().item()
    assert spread == pytest.approx(100e-9, rel=0.01)  # TR 38.901, 7.7.3: normalised to 1, then scaled


def test_correlation_in_frequency_is_that_of_the_profile():
    this = model("tdl-c")
    taps = drawn(this, 3000)
    h = torch.stack([one.response(torch.tensor([0.0, 1e6, 4e6, 8e6]))[0, :, 0, 0] for one in taps])
    found = (h[:, 0].conj()[:, None] * h).mean(0)
    expected = this.expected(taps[0])
    wanted = (
        expected.powers * torch.exp(-2j * torch.pi * torch.tensor([[0.0], [1e6], [4e6], [8e6]]) * expected.delays)
    ).sum(1)
    assert torch.allclose(found, wanted, atol=0.06)
    assert 0.2 < wanted[3].abs() < 0.8


def test_correlation_in_time_is_clarkes():
    speed, step = 30.0, 2e-4
    doppler = speed / LIGHT * 3.5e9
    h = torch.stack([one.response(torch.zeros(1))[:, 0, 0, 0] for one in drawn(model("tdl-a", speed), 2500, 9, step)])
    found = (h[:, :1].conj() * h).mean(0)
    assert torch.allclose(found.real, torch.tensor(j0(2 * np.pi * doppler * step * np.arange(9))).float(), atol=0.07)
    assert found.imag.abs().max() < 0.07


def test_what_lies_before_belongs_to_the_same_channel():
    for profile in ("tdl-e", "cdl-c", "umi"):
        this, seed = model(profile, 10.0), Seed("one").generator("fading")
        after, before = this.taps(seed, 4, 1e-4), this.taps(seed, 4, -1e-4)
        assert torch.equal(after.coefficients[:, 0], before.coefficients[:, 0])
        # second differences of a smooth curve are far smaller than first ones
        path = torch.cat([before.coefficients.flip(1), after.coefficients[:, 1:]], 1)[:, :, 0, 0]
        first, second = path.diff(dim=1), path.diff(n=2, dim=1)
        assert second.abs().max() < 0.2 * first.abs().max()


def test_response_is_sionnas():
    from sionna.phy.channel import cir_to_ofdm_channel

    taps = drawn(model("cdl-b", 3.0, rx=2, tx=3), 1, steps=5)[0]
    frequencies = (torch.arange(12) - 6) * 30e3
    a = taps.coefficients.permute(2, 3, 0, 1)[None, None, :, None]  # [1, 1, Nr, 1, Nt, paths, T]
    theirs = cir_to_ofdm_channel(frequencies, a, taps.delays[None, None, None])[0, 0, :, 0].permute(2, 3, 0, 1)
    assert torch.allclose(taps.response(frequencies), theirs, atol=1e-5)


def test_draws_do_not_depend_on_the_state_of_sionna_or_torch_and_leave_it():
    from sionna.phy import config

    for profile in ("tdl-d", "cdl-d", "uma"):
        this = model(profile, 1.0, 2, 2)
        once = drawn(this, 3, steps=2)
        config.seed = 17
        torch.manual_seed(3)
        before = config.torch_rng("cpu").get_state()
        again = drawn(this, 3, steps=4)
        assert torch.equal(before, config.torch_rng("cpu").get_state())
        alone = this.taps(Seed("draw 2").generator("fading"), 2, 1e-3)
        for a, b in zip((*once, once[2]), (*again, alone)):
            assert torch.allclose(a.coefficients, b.coefficients[:, :2], atol=1e-6)
            assert torch.equal(a.delays, b.delays)
        assert not torch.equal(once[0].coefficients[:1], once[1].coefficients[:1])


def in_time(symbols, taps, prefix, noise_free=True):
    """Send OFDM symbols [T, N] through taps {delay in samples: gains over time} with a cyclic prefix; return [T, N]."""
    count = symbols.shape[1]
    signal = np.fft.ifft(symbols, norm="ortho")
    signal = np.concatenate([signal[:, count - prefix :], signal], 1).reshape(-1)
    received = sum(
        (gain[: len(signal)] if np.ndim(gain) else gain) * np.concatenate([np.zeros(delay), signal])[: len(signal)]
        for delay, gain in taps.items()
    )
    return np.fft.fft(received.reshape(len(symbols), -1)[:, prefix:], norm="ortho")


def test_interference_of_late_paths_and_of_movement_by_simulation_in_time():
    rng = np.random.default_rng(0)
    symbols = (rng.choice([1, -1], (200, 64)) + 1j * rng.choice([1, -1], (200, 64))) / 2**0.5
    channel = OFDM(subcarriers=64, guard_carriers=0, cyclic_prefix=4, speed_kmh=0)
    grid = channel.grid
    sample = 1 / (64 * grid.spacing)
    gains = {0: 0.8, 3: 0.36j, 12: 0.48}  # the last is 8 samples late
    taps = Taps(
        torch.tensor(list(gains.values()), dtype=torch.complex64)[:, None, None, None],
        torch.tensor([delay * sample for delay in gains]),
    )
    response = np.fft.ifftshift(taps.response(grid.frequencies())[0, :, 0, 0].numpy())
    kept = in_time(symbols, {d: g for d, g in gains.items() if d <= 4}, 4)
    assert np.allclose(kept / symbols, (response - 0.48 * np.exp(-2j * np.pi * np.arange(64) * 12 / 64)), atol=1e-5)
    late = 1 - 8 / 64  # of the late path, what is still heard as it should be
    heard = response - (1 - late) * 0.48 * np.exp(-2j * np.pi * np.arange(64) * 12 / 64)
    measured = (np.abs(in_time(symbols, gains, 4)[1:] - heard * symbols[1:]) ** 2).mean()
    assert channel.model.interference(taps, grid) == pytest.approx(measured, rel=0.1)
    assert OFDM(subcarriers=64, guard_carriers=0, cyclic_prefix=12, speed_kmh=0).model.interference(
        taps, OFDM(subcarriers=64, guard_carriers=0, cyclic_prefix=12).grid
    ) == pytest.approx(0, abs=1e-6)

    fast = OFDM(subcarriers=64, guard_carriers=0, cyclic_prefix=0, speed_kmh=500)
    times = np.arange(200 * 64) * sample
    shifts = 2 * np.pi * fast.model.doppler * np.cos(2 * np.pi * rng.random(40))
    gain = np.exp(1j * (shifts * times[:, None] + 2 * np.pi * rng.random(40))).mean(1) * 40**0.5
    received = in_time(symbols, {0: gain}, 0)
    heard = gain.reshape(200, 64).mean(1, keepdims=True)
    measured = (np.abs(received - heard * symbols) ** 2).mean() / (np.abs(gain) ** 2).mean()
    flat = Taps(torch.ones(1, 1, 1, 1, dtype=torch.complex64), torch.zeros(1))
    assert fast.model.interference(flat, fast.grid) == pytest.approx(measured, rel=0.3)
