"""SoftCast and the hybrid: transform, power and estimator against formulas; no cliff; costs; errors."""

import numpy as np
import pytest
import torch
from scipy.fft import dctn

from semcomm import (
    AWGN,
    JPEG2000,
    LDPC5G,
    OFDM,
    PSNR,
    Hybrid,
    Noiseless,
    Rayleigh,
    Separate,
    SoftCast,
    seeds_of,
)
from semcomm.errors import ConfigurationError
from semcomm.transceivers.softcast import analog_symbols, analog_values, restored, transformed


def psnr(link, images, channel):
    reception = link.transmit(images, channel, seeds_of(images))
    return PSNR()(images, reception.images).mean().item(), reception


def test_the_transform_is_scipys_and_orthonormal():
    values = torch.randn(3, 32, 48, generator=torch.Generator().manual_seed(0))
    bands = transformed(values, 16)
    assert bands.shape == (768, 6)
    tile = values[:, 16:32, 32:48].double().numpy()  # second row, third column: block 5
    assert np.allclose(bands[:, 5], dctn(tile, norm="ortho").reshape(-1), atol=1e-5)
    assert bands.square().sum().item() == pytest.approx(values.square().sum().item(), rel=1e-5)
    assert torch.allclose(restored(bands, 16, 32, 48), values, atol=1e-5)
    odd = torch.randn(3, 21, 30)
    assert torch.allclose(restored(transformed(odd, 8), 8, 21, 30), odd, atol=1e-5)


def test_power_goes_by_the_root_of_the_variance_and_the_largest_are_sent():
    generator = torch.Generator().manual_seed(0)
    bands = torch.randn(192, 400, generator=generator) * torch.logspace(0, -3, 192)[:, None]
    symbols, known = analog_symbols(restored(bands, 8, 160, 160), 8, 15_000)
    assert len(symbols) == 15_000 and known.sent == 30_000
    assert symbols.abs().square().mean().item() == pytest.approx(1, rel=1e-5)
    sent = torch.bincount(known.order() // 400, minlength=192)
    assert sent[:75].tolist() == [400] * 75 and sent[76:].sum() == 0  # 30,000 coefficients are 75 bands
    values = torch.view_as_real(symbols).flatten()
    band = known.order() // 400
    power = torch.stack([values[band == n].square().mean() for n in (0, 37, 74)])
    deviation = torch.logspace(0, -3, 192)[[0, 37, 74]]
    assert torch.allclose(power / power[0], deviation / deviation[0], rtol=0.35)  # variances are rounded to 2.7 dB
    # the fourth root is the optimum: no other exponent does better at high SNR (Lee and Petersen 1976)
    variances, n0 = deviation.double() ** 2, 1e-5
    errors = {}
    for exponent in (-0.4, -0.25, -0.1):
        gains = variances**exponent
        gains = gains / (gains**2 * variances).mean().sqrt()
        errors[exponent] = (variances * n0 / (gains**2 * variances + n0)).sum()
    assert errors[-0.25] == min(errors.values())


def test_the_receiver_reaches_the_error_that_the_variances_let_expect():
    generator = torch.Generator().manual_seed(0)
    values = restored(torch.randn(192, 400, generator=generator) * torch.logspace(0, -3, 192)[:, None], 8, 160, 160)
    symbols, known = analog_symbols(values, 8, 30_000)
    for snr_db in (0.0, 10.0, 20.0):
        output = AWGN(snr_db)([symbols], seeds_of(torch.rand(1, 3, 8, 8)))
        found = analog_values(*output.zero_forced()[0], known, 8, 160, 160)
        assert (found - values).square().mean().item() == pytest.approx(known.expected_error(snr_db), rel=0.03)


def test_quality_follows_the_snr_without_a_cliff(photograph):
    images = photograph[None]
    over = [psnr(SoftCast(0.5), images, AWGN(snr))[0] for snr in (-5.0, 0.0, 5.0, 10.0, 15.0, 20.0)]
    steps = np.diff(over)
    assert (steps > 1).all() and (steps < 6).all()
    clean, reception = psnr(SoftCast(1.5), images, Noiseless())
    assert clean > 60
    assert psnr(SoftCast(0.5), images, AWGN(10.0, csi="none"))[0] == pytest.approx(over[3])  # it needs no CSI
    uses = int(0.5 * images.shape[2] * images.shape[3])
    ledger = psnr(SoftCast(0.5, block=8), images, AWGN(10.0))[1].ledger
    assert ledger.channel_uses.tolist() == [uses] and ledger.bpp.isnan().all()
    assert ledger.side_bits.tolist() == [32 + 24 + 32 + 5 * 192]
    assert reception.info["symbol_power"] == pytest.approx([1.0], abs=1e-5)


def test_a_flat_image_sends_nothing_and_comes_back():
    images = torch.full((1, 3, 16, 16), 100 / 255)
    quality, reception = psnr(SoftCast(0.25), images, AWGN(0.0))
    assert quality == float("inf")
    assert reception.ledger.channel_uses.tolist() == [0]


@pytest.mark.parametrize("link", [SoftCast(0.5), Hybrid(JPEG2000(), LDPC5G(0.5), "qpsk", 0.5, share=0.3)], ids=repr)
@pytest.mark.parametrize(
    "channel", [Rayleigh(15.0, coherence="symbol"), OFDM(15.0, "tdl-c", estimation="lmmse")], ids=repr
)
def test_batches_and_fading_change_nothing_but_the_noise(photograph, link, channel):
    images = torch.stack([photograph[:, :96, :96], photograph[:, 96:192, 64:160]])
    seeds = seeds_of(images)
    together = link.transmit(images, channel, seeds)
    for n in range(2):
        alone = link.transmit(images[n : n + 1], channel, seeds[n : n + 1])
        assert torch.equal(alone.images[0], together.images[n])
        assert alone.ledger.side_bits[0] == together.ledger.side_bits[n]
    assert (PSNR()(images, together.images) > 20).all()


def test_a_hybrid_has_its_digital_layer_and_gains_from_better_channels(photograph):
    images = photograph[None]
    uses = int(0.5 * images.shape[2] * images.shape[3])
    hybrid = Hybrid(JPEG2000(), LDPC5G(0.5), "qpsk", 0.5, share=0.4)
    low, reception = psnr(hybrid, images, AWGN(4.0))
    high = psnr(hybrid, images, AWGN(18.0))[0]
    layer = Separate(JPEG2000(), LDPC5G(0.5), "qpsk", 0.2)
    base = psnr(layer, images, AWGN(4.0))[0]
    assert psnr(layer, images, AWGN(18.0))[0] == base  # the digital layer alone gains nothing
    assert base + 0.5 < low < high - 3
    assert reception.ledger.channel_uses.tolist() == [uses]
    assert reception.info["digital_share"] == pytest.approx([0.4], abs=0.001)
    assert reception.ledger.side_bits.tolist() == [88 + 32 + 5 * 768]
    lost, reception = psnr(hybrid, images, AWGN(-3.0))
    assert reception.info["decode_failed"] == [True] and 10 < lost < base
    infeasible = Hybrid(JPEG2000(), LDPC5G(0.5), "qpsk", 0.02, share=0.05)  # nothing digital fits: all is analog
    quality, reception = psnr(infeasible, images, AWGN(10.0))
    assert reception.info["infeasible"] == [True] and reception.info["digital_share"] == [0]
    assert quality > 15


def test_the_share_is_that_of_the_range(photograph):
    images = photograph[None]
    narrow, wide = (Hybrid(JPEG2000(), LDPC5G(0.5), "qpsk", 0.5, meant_for=snrs) for snrs in ((4, 4), (12, 20)))
    (at_4, few), (at_16, many) = psnr(narrow, images, AWGN(4.0)), psnr(wide, images, AWGN(16.0))
    assert few.info["digital_share"][0] > many.info["digital_share"][0]
    fixed = {share: Hybrid(JPEG2000(), LDPC5G(0.5), "qpsk", 0.5, share=share) for share in (0.1, 0.5, 0.9)}
    assert at_4 >= max(psnr(link, images, AWGN(4.0))[0] for link in fixed.values()) - 0.3
    assert at_16 >= max(psnr(link, images, AWGN(16.0))[0] for link in fixed.values()) - 0.3
    assert many.ledger.side_bits.tolist() == [88 + 32 + 5 * 768 + 4]


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda: SoftCast(0), "channel_uses_per_pixel is 0"),
        (lambda: SoftCast(2.0), "at most 1.5"),
        (lambda: SoftCast(0.5, block=7), "block is 7; it is one of 4, 8, 16, 32"),
        (lambda: Hybrid(JPEG2000(), LDPC5G(0.5), "qpsk", 0.5), "either a share"),
        (lambda: Hybrid(JPEG2000(), LDPC5G(0.5), "qpsk", 0.5, 0.3, (0, 5)), "either a share"),
        (lambda: Hybrid(JPEG2000(), LDPC5G(0.5), "qpsk", 0.5, share=1.0), "below 1"),
        (lambda: Hybrid(JPEG2000(), LDPC5G(0.5), "qpsk", 0.5, meant_for=(5, 0)), "lowest SNR"),
        (lambda: Hybrid(JPEG2000(), LDPC5G(0.5), "adaptive", 0.5, share=0.5), "constellation is 'adaptive'"),
        (lambda: Hybrid(JPEG2000(), LDPC5G(0.5), "qpsk", -1.0, share=0.5), "must be above 0"),
    ],
)
def test_impossible_links(make, reason):
    with pytest.raises(ConfigurationError, match=reason):
        make()
