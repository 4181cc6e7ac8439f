"""The channels of training are those of the sweep, to within what chance allows; the SNR is not 3 dB off."""

import numpy as np
import pytest
import torch
from scipy.special import exp1

from semcomm import AWGN, QAM, Noiseless, Rayleigh
from semcomm.jscc.codec import estimates_of
from semcomm.jscc.constellation import LOAD, nearest
from semcomm.jscc.training_channel import received
from semcomm.seeds import Seed

SNRS = [-2.0, 5.0, 13.0]
KEPT = 0.9093
"""Of Gaussian values of unit power, 1.25 times as strong, in the levels of 16QAM to which they are rounded: the mean of
value times level, 2·sum of levels' differences times the density at their borders."""
COUNT = 90_000
"""Symbols of each image."""


@pytest.fixture(scope="module")
def sent() -> torch.Tensor:
    """Points of 16QAM, complex [3, COUNT]."""
    index = torch.randint(16, (3, COUNT), generator=torch.Generator().manual_seed(1))
    return QAM("16qam").points[index]


def in_training(sent: torch.Tensor, snr_db: list[float], faded: bool, name: str) -> tuple[torch.Tensor, torch.Tensor]:
    """What the training's channel makes of [B, n], as 9 channels of a square grid, and the SNR it says."""
    grid = sent.view(len(sent), 9, 100, -1)
    symbols = torch.cat([grid.real, grid.imag], 1)
    generator = torch.Generator().manual_seed(2)
    found, snr = received(symbols, torch.tensor(snr_db), torch.full((len(sent),), faded), name, generator)
    return torch.complex(*found.chunk(2, 1)).flatten(1), snr


def in_a_sweep(sent: torch.Tensor, snr_db: list[float], faded: bool, name: str) -> tuple[torch.Tensor, torch.Tensor]:
    found, said = [], []
    for index, (x, snr) in enumerate(zip(sent, snr_db)):
        channel = Rayleigh(snr, coherence="symbol") if faded else AWGN(snr)
        (estimates,), its_snr = estimates_of(channel([x], [Seed(f"test/{index}")]), name)
        found.append(estimates)
        said.append(its_snr)
    return torch.stack(found), torch.cat(said)


def expected(snr_db: float, faded: bool) -> float:
    """The error's power for symbols of power 1, from the MMSE m: the estimate keeps 1 - m of them, so m / (1 - m).

    With Rayleigh fading m is E[N0 / (|h|² + N0)] = N0·e^N0·E1(N0).
    """
    n0 = 10 ** (-snr_db / 10)
    least = n0 * np.exp(n0) * exp1(n0) if faded else n0 / (1 + n0)
    return least / (1 - least)


def interval(samples: torch.Tensor) -> tuple[float, float]:
    """Mean, and four standard errors of it."""
    return samples.mean().item(), 4 * samples.std().item() / len(samples) ** 0.5


@pytest.mark.parametrize("name", ["analog", "16qam"])
@pytest.mark.parametrize("faded", [False, True])
def test_mean_and_error_are_those_of_the_sweeps_channel_and_of_theory(sent, faded, name):
    (trained, trained_db), (swept, swept_db) = (f(sent, SNRS, faded, name) for f in (in_training, in_a_sweep))
    assert trained_db.tolist() == pytest.approx(swept_db.tolist(), abs=0.1)
    for index, snr_db in enumerate(SNRS):
        x = sent[index]
        for statistic in (
            lambda y, x: (y * x.conj()).real,
            lambda y, x: (y * x.conj()).imag,
            lambda y, x: (y - x).abs() ** 2,
            lambda y, x: (y - x).real ** 2,
            lambda y, x: (y - x).imag ** 2,
            lambda y, x: y.abs() ** 4,
        ):
            (mean, error), (other, other_error) = (interval(statistic(y[index], x)) for y in (trained, swept))
            assert abs(mean - other) < (error**2 + other_error**2) ** 0.5
        if name != "analog":
            continue
        mse, error = interval((trained[index] - x).abs() ** 2)
        assert abs(mse - expected(snr_db, faded)) < error
        assert error < 0.05 * mse  # so 3 dB, or a fading of another mean power, would not pass


def test_fading_is_chosen_image_by_image_and_the_generator_decides(sent):
    grid = sent.view(3, 9, 100, -1)
    symbols = torch.cat([grid.real, grid.imag], 1)
    snr_db = torch.tensor([5.0, 5.0, 5.0])

    def run(faded, seed):
        return received(symbols, snr_db, torch.tensor(faded), "analog", torch.Generator().manual_seed(seed))[0]

    both, none = run([True, False, True], 3), run([False, False, False], 3)
    assert torch.equal(both[1], none[1])
    assert not torch.equal(both[0], none[0])
    errors = ((both - symbols) ** 2).mean((1, 2, 3)) * 2  # of complex symbols
    assert errors[0].item() == pytest.approx(expected(5, True), rel=0.03)
    assert errors[1].item() == pytest.approx(expected(5, False), rel=0.03)
    assert torch.equal(both, run([True, False, True], 3))
    assert not torch.equal(both, run([True, False, True], 4))


def test_absent_symbols_and_gradients():
    symbols = torch.zeros(1, 4, 8, 8)
    symbols[..., :4] = 0.5
    symbols.requires_grad_()
    for name, mean in (("analog", 1.0), ("16qam", KEPT)):
        generator = torch.Generator().manual_seed(5)
        found, _ = received(symbols, torch.tensor([10.0]), torch.tensor([True]), name, generator)
        (gradient,) = torch.autograd.grad(found.sum(), symbols)
        assert (gradient > 0).all()  # shares, |h|² / (|h|² + N0) of analog symbols, over their mean
        assert 1 / gradient.mean().item() == pytest.approx(mean, abs=1e-4)


def test_what_a_receiver_takes_is_the_mmse_estimate_with_the_size_of_what_was_sent():
    x = torch.tensor([1 + 1j, -0.5j, 0.2], dtype=torch.complex64)
    seeds = [Seed("a"), Seed("b")]
    output = AWGN(3.0)([x, x], seeds)
    estimates, snr_db = estimates_of(output, "analog")
    for estimate, y in zip(estimates, output.received):
        assert torch.allclose(estimate, y)  # what one factor took away is given back
    assert snr_db.tolist() == pytest.approx([3.0, 3.0], abs=1e-4)
    (estimate,), snr_db = estimates_of(Noiseless()([x], seeds[:1]), "analog")
    assert torch.allclose(estimate, x) and snr_db.item() > 50
    output = Rayleigh(3.0, coherence=2)([x, x], seeds)
    estimates, snr_db = estimates_of(output, "analog")
    for estimate, y, h, snr in zip(estimates, output.received, output.gain, snr_db):
        kept = h.abs() ** 2 / (h.abs() ** 2 + 10**-0.3)
        assert torch.allclose(estimate, kept * y / h / kept.mean(), atol=1e-6)
        assert snr.item() == pytest.approx(10 * torch.log10(kept.mean() / (1 - kept.mean())).item(), abs=1e-4)


@pytest.mark.parametrize("channel", [AWGN(4.0), Rayleigh(4.0), Rayleigh(4.0, coherence="symbol")])
def test_the_snr_that_the_receiver_is_given_is_that_of_its_estimates(sent, channel):
    (estimate,), snr_db = estimates_of(channel([sent[0]], [Seed("snr")]), "analog")
    error = (estimate - sent[0]).abs() ** 2
    n0 = 10 ** (-snr_db.item() / 10)
    assert error.mean().item() == pytest.approx(n0, rel=0.03)
    assert ((estimate - sent[0]) * sent[0].conj()).real.mean().abs() < 0.02  # nothing of the symbols is in the error


@pytest.mark.parametrize("channel", [AWGN(8.0), Rayleigh(8.0), Rayleigh(8.0, coherence="symbol")])
def test_rounding_to_points_is_in_the_snr_of_the_estimates(channel):
    """Of Gaussian values, of which the points are the nearest."""
    x = torch.randn(COUNT, dtype=torch.complex64, generator=torch.Generator().manual_seed(3))
    parts = nearest(torch.view_as_real(x) * LOAD["16qam"], "16qam")
    (estimate,), snr_db = estimates_of(channel([torch.view_as_complex(parts)], [Seed("rounded")]), "16qam")
    error = estimate - x
    assert (error.abs() ** 2).mean().item() == pytest.approx(10 ** (-snr_db.item() / 10), rel=0.03)
    assert (error * x.conj()).real.mean().abs() < 0.02
    assert snr_db.item() < 7
