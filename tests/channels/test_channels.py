from math import exp, log, log2

import pytest
import torch
from scipy.special import exp1
from scipy.stats import kstest

from semcomm import AWGN, BinarySymmetric, Noiseless, Rayleigh, Rician, Seed
from semcomm.errors import ConfigurationError

SEEDS = [Seed(f"seed {n}") for n in range(3)]
ONES = [torch.ones(20_000, dtype=torch.complex64)] * 3


@pytest.mark.parametrize("snr_db", [-3.0, 0.0, 10.0])
def test_noise_has_half_of_n0_in_each_dimension(snr_db):
    output = AWGN(snr_db)(ONES, SEEDS)
    n0 = 10 ** (-snr_db / 10)
    noise = torch.cat(output.received) - 1
    for part in (noise.real, noise.imag):
        assert part.var().item() == pytest.approx(n0 / 2, rel=0.03)
    assert output.noise_variance.tolist() == pytest.approx([n0] * 3)


def test_noise_is_set_from_nominal_power_and_common_to_snrs_and_channels():
    weak = [x / 10 for x in ONES]
    noise = AWGN(10)(weak, SEEDS).received[0] - weak[0]
    assert torch.allclose(noise, AWGN(10)(ONES, SEEDS).received[0] - 1, atol=1e-6)
    assert torch.allclose(noise * 10, AWGN(-10)(ONES, SEEDS).received[0] - 1, atol=1e-4)
    faded = Rayleigh(10)(ONES, SEEDS)
    assert torch.allclose(faded.received[0] - faded.gain[0], noise, atol=1e-5)


def test_result_does_not_depend_on_the_batch():
    for channel in (AWGN(3), Rayleigh(3, coherence=64, pilots=1), Rician(3, coherence="symbol")):
        whole = channel(ONES, SEEDS).received
        alone = [channel([x], [seed]).received[0] for x, seed in zip(ONES, SEEDS)]
        assert all(torch.equal(a, b) for a, b in zip(whole, alone))


def test_rayleigh_power_is_exponential_and_rician_has_its_k():
    power = Rayleigh(0, coherence="symbol")(ONES[:1], SEEDS[:1]).gain[0].abs() ** 2
    assert kstest(power.numpy(), "expon").pvalue > 0.01
    gain = Rician(0, k_factor_db=10, coherence="symbol")(ONES[:1], SEEDS[:1]).gain[0]
    assert (gain.abs() ** 2).mean().item() == pytest.approx(1, rel=0.02)
    assert gain.mean().abs().item() ** 2 / (gain - gain.mean()).abs().square().mean().item() == pytest.approx(
        10, rel=0.05
    )


@pytest.mark.parametrize(("coherence", "distinct"), [("image", 1), ("symbol", 20_000), (5000, 4), (7000, 3)])
def test_coherence(coherence, distinct):
    gain = Rayleigh(10, coherence=coherence)(ONES[:1], SEEDS[:1]).gain[0]
    assert torch.view_as_real(gain).unique(dim=0).shape[0] == distinct
    assert gain.shape == (20_000,)


def test_equalisers():
    output = Rayleigh(10, coherence="symbol")(ONES, SEEDS)
    (y, h), n0 = (output.received[0], output.gain[0]), output.noise_variance[0]
    symbols, variance = output.zero_forced()[0]
    assert torch.allclose(symbols * h, y, atol=1e-4)
    assert torch.allclose(variance * h.abs() ** 2, n0.expand(20_000), rtol=1e-4)
    mmse = output.equalised()[0]
    assert (mmse - 1).abs().square().mean() < (symbols - 1).abs().square().mean()
    # the orthogonality principle: the MMSE error is E[N0/(|h|²+N0)]
    assert (mmse - 1).abs().square().mean().item() == pytest.approx((n0 / (h.abs() ** 2 + n0)).mean().item(), rel=0.1)
    awgn = AWGN(3)(ONES, SEEDS)
    assert torch.equal(awgn.equalised()[0], awgn.received[0])


def test_pilots_are_counted_and_unbiased():
    output = Rayleigh(10, coherence=100, pilots=2)(ONES, SEEDS)
    assert output.pilot_uses.tolist() == [400] * 3
    truth = Rayleigh(10, coherence=100)(ONES, SEEDS).gain[0]
    error = (truth - output.gain[0])[::100]
    assert error.abs().square().mean().item() == pytest.approx(0.05 / 1.05, rel=0.25)
    assert output.noise_variance[0].item() == pytest.approx(0.1 + 0.05 / 1.05, rel=1e-4)
    exact = Rayleigh(60, coherence=100, pilots=10)(ONES, SEEDS)
    assert torch.allclose(exact.gain[0], truth, atol=0.01)


def test_what_the_transmitter_is_told():
    assert AWGN(7).csi(SEEDS).tolist() == [7] * 3
    assert AWGN(7, csi_error_db=-3).csi(SEEDS).tolist() == [4] * 3
    assert AWGN(7, csi="none").csi(SEEDS).isnan().all()
    channel = Rayleigh(7, csi="instantaneous", csi_error_db=1)
    gains = torch.stack([g[0] for g in channel(ONES, SEEDS).gain])
    assert torch.allclose(channel.csi(SEEDS), 8 + 20 * gains.abs().log10(), atol=1e-4)
    assert Rayleigh(7).csi(SEEDS).tolist() == [7] * 3
    assert Noiseless().csi(SEEDS).isinf().all()


def test_known_gains_agree_with_the_csi():
    for channel in (AWGN(7), Rayleigh(7), Rayleigh(7, coherence=10), Rayleigh(7, csi="none"), Noiseless()):
        assert channel.known_gains(SEEDS, [5, 6, 7]) is None
    channel = Rician(7, csi="instantaneous", csi_error_db=-2)
    known = channel.known_gains(SEEDS, [5, 6, 7])
    assert [len(h) for h in known] == [5, 6, 7]
    snr_db = torch.stack([7 + 20 * h.mean().log10() for h in known])
    assert torch.allclose(snr_db, channel.csi(SEEDS), atol=1e-4)


def test_gains_are_those_of_the_output():
    for channel in (Rayleigh(7), Rayleigh(7, coherence=3000), Rician(7, coherence="symbol")):
        output = channel(ONES, SEEDS)
        for h, y in zip(channel.gains(SEEDS, [20_000] * 3), output.gain):
            assert torch.allclose(h, y.abs(), atol=1e-6)
    channel = Rayleigh(7, coherence=500, pilots=2)  # the estimate's noise lowers them
    (y, variance), h = channel(ONES, SEEDS).zero_forced()[0], channel.gains(SEEDS[:1], [20_000])[0]
    assert torch.allclose(1 / variance, h**2 * 10**0.7, rtol=1e-3)


def test_capacities():
    assert AWGN(10).capacity(SEEDS)[0].item() == pytest.approx(log2(11))
    assert BinarySymmetric(0.11).capacity(SEEDS)[0].item() == pytest.approx(0.5, abs=1e-3)
    assert BinarySymmetric(1).capacity(SEEDS)[0].item() == 1
    ergodic = exp(0.1) * exp1(0.1) / log(2)
    assert Rayleigh(10, coherence="symbol").capacity(SEEDS)[0].item() == pytest.approx(ergodic, rel=1e-6)
    assert Rician(10, 40, coherence="symbol").capacity(SEEDS)[0].item() == pytest.approx(log2(11), rel=1e-3)
    gain = Rayleigh(10)(ONES, SEEDS).gain[1][0].abs().item()
    assert Rayleigh(10).capacity(SEEDS)[1].item() == pytest.approx(log2(1 + 10 * gain**2), rel=1e-5)
    blocks = Rayleigh(10, coherence=50).capacity(SEEDS, [20_000] * 3)
    assert blocks[0].item() == pytest.approx(ergodic, rel=0.15)
    assert blocks.unique().numel() == 3


def test_bits_and_symbols_do_not_mix():
    bits = [torch.ones(4, dtype=torch.uint8)]
    with pytest.raises(ConfigurationError, match="AWGN carries symbols, and was given bits"):
        AWGN(1)(bits, SEEDS[:1])
    with pytest.raises(ConfigurationError, match="BinarySymmetric carries bits, and was given symbols"):
        BinarySymmetric(0.1)(ONES[:1], SEEDS[:1])
    assert torch.equal(Noiseless()(bits, SEEDS[:1]).received[0], bits[0])
    with pytest.raises(ValueError, match="demodulate"):
        AWGN(1)(ONES[:1], SEEDS[:1]).llr()


def test_llr_of_flipped_bits():
    llr = BinarySymmetric(0.1)([torch.tensor([1, 0], dtype=torch.uint8)], SEEDS[:1]).llr()[0]
    assert llr.abs().tolist() == pytest.approx([log(9)] * 2, rel=1e-5)


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda: AWGN(float("inf")), "use Noiseless"),
        (lambda: AWGN(float("nan")), "finite number of dB"),
        (lambda: Rayleigh(1, coherence=0), "coherence is 0"),
        (lambda: Rayleigh(1, coherence="symbol", pilots=1), "pilots is 1"),
        (lambda: Rayleigh(1, coherence=10, csi="instantaneous"), "instantaneous"),
        (lambda: Rician(1, k_factor_db=float("inf")), "k_factor_db"),
        (lambda: BinarySymmetric(1.5), "probability"),
    ],
)
def test_impossible_channels(make, reason):
    with pytest.raises(ConfigurationError, match=reason):
        make()
