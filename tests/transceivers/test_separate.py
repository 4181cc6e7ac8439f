import pytest
import torch

from semcomm import (
    AWGN,
    JPEG2000,
    LDPC5G,
    PSNR,
    QAM,
    BinarySymmetric,
    Noiseless,
    Rayleigh,
    Separate,
    SourceCodec,
    Uncoded,
    seeds_of,
)
from semcomm.errors import ConfigurationError, DecodeError, RateError
from semcomm.images import quantise


class MeanColour(SourceCodec):
    """Three bytes of mean colour, again and again up to the budget: exact to check by hand."""

    def encode(self, image, max_bytes):
        if max_bytes < 3:
            raise RateError("three bytes are needed")
        return bytes((image.mean((1, 2)) * 255).round().int().tolist()) * (max_bytes // 3)

    def decode(self, payload):
        if len(payload) < 3:
            raise DecodeError("no colour")
        colour = torch.tensor(list(payload[:3])) / 255
        return colour[:, None, None].expand(3, 24, 32)


@pytest.fixture
def seeds(noise_images):
    return seeds_of(noise_images)


def test_ledger_agrees_with_counting_by_hand(noise_images, seeds):
    # 24·32 = 768 pixels, 1/2 use each: 384 symbols of 4 bits = 1536 coded bits, 768 payload bits = 96 bytes
    link = Separate(MeanColour(), LDPC5G(0.5), "16qam", channel_uses_per_pixel=0.5)
    reception = link.transmit(noise_images, AWGN(30), seeds)
    ledger = reception.ledger
    assert ledger.channel_uses.tolist() == [384] * 3
    assert ledger.coded_bits.tolist() == [1536] * 3
    assert ledger.source_bits.tolist() == [768] * 3
    assert ledger.code_rate.tolist() == [0.5] * 3
    assert ledger.bpp.tolist() == [1.0] * 3
    assert ledger.cbr.tolist() == [pytest.approx(1 / 6)] * 3
    assert ledger.side_bits.tolist() == [32 + 32 + 24] * 3
    assert reception.info["block_errors"] == [0, 0, 0]
    assert reception.info["blocks"] == [1, 1, 1]
    expected = quantise(noise_images.mean((2, 3)))[:, :, None, None].expand_as(noise_images)
    assert torch.equal(reception.images, expected)


def test_padding_is_sent_and_counted(noise_images, seeds):
    # 100 uses per image of QPSK at rate 1/2: 100 payload bits, of which 12 bytes are filled; 4 bits are padding
    link = Separate(MeanColour(), LDPC5G(0.5), "qpsk", channel_uses_per_pixel=100.5 / 768)
    ledger = link.transmit(noise_images, AWGN(30), seeds).ledger
    assert ledger.channel_uses.tolist() == [100] * 3
    assert ledger.coded_bits.tolist() == [200] * 3
    assert ledger.source_bits.tolist() == [96] * 3


def test_constant_channel_uses_whatever_the_constellation(noise_images, seeds):
    for name, per_symbol in {"bpsk": 1, "qpsk": 2, "16qam": 4, "64qam": 6, "256qam": 8}.items():
        link = Separate(MeanColour(), LDPC5G(0.5), name, channel_uses_per_pixel=0.25)
        ledger = link.transmit(noise_images, AWGN(40), seeds).ledger
        assert ledger.channel_uses.tolist() == [192] * 3
        assert ledger.bpp[0].item() == pytest.approx(0.25 * per_symbol / 2, rel=0.2)


def test_bpp_budget_counts_the_uses_that_follow(noise_images, seeds):
    ledger = Separate(MeanColour(), LDPC5G(1 / 3), "qpsk", bpp=0.5).transmit(noise_images, AWGN(30), seeds).ledger
    assert ledger.source_bits.tolist() == [384] * 3
    assert ledger.coded_bits.tolist() == [pytest.approx(1152, abs=4)] * 3
    assert ledger.channel_uses.tolist() == [pytest.approx(576, abs=2)] * 3


def test_source_coding_alone(photograph):
    images = photograph[None]
    reception = Separate(JPEG2000(), bpp=1.0).transmit(images, Noiseless(), seeds_of(images))
    assert 0.97 < reception.ledger.bpp.item() <= 1
    assert reception.ledger.channel_uses.isnan().all()
    assert reception.ledger.cbr.isnan().all()
    direct = JPEG2000().decode(JPEG2000().encode(photograph, photograph[0].numel() // 8))
    assert torch.equal(reception.images[0], direct)


def test_coded_bits_over_a_binary_symmetric_channel(photograph):
    images = photograph[None]
    link = Separate(JPEG2000(), LDPC5G(0.5), bpp=1.0)
    clean = link.transmit(images, Noiseless(), seeds_of(images))
    flipped = link.transmit(images, BinarySymmetric(0.05), seeds_of(images))
    assert flipped.info["block_errors"] == [0]  # capacity at 0.05 is 0.71
    assert torch.equal(clean.images, flipped.images)
    lost = link.transmit(images, BinarySymmetric(0.2), seeds_of(images))  # capacity 0.28
    assert lost.info["block_errors"] == lost.info["blocks"]


def test_uncoded_bit_errors_reach_the_source(photograph):
    images = photograph[None]
    link = Separate(JPEG2000(), None, "qpsk", channel_uses_per_pixel=0.25)
    good, bad = (link.transmit(images, AWGN(snr), seeds_of(images)) for snr in (20, 6))
    assert good.ledger.code_rate.item() == pytest.approx(1, abs=0.02)
    assert good.info["blocks"] == [0]
    assert PSNR()(images, good.images).item() > PSNR()(images, bad.images).item() + 3


def test_what_is_lost_is_filled_and_recorded(noise_images, seeds):
    for fill, side in (("mean", 88), ("grey", 64)):
        link = Separate(MeanColour(), LDPC5G(0.5), "64qam", channel_uses_per_pixel=0.5, fill=fill)
        reception = link.transmit(noise_images, AWGN(-5), seeds)
        assert reception.info["decode_failed"] == [True] * 3
        assert reception.info["block_errors"] == reception.info["blocks"]
        assert reception.ledger.side_bits.tolist() == [side] * 3
        expected = noise_images.mean((2, 3)) if fill == "mean" else torch.full((3, 3), 0.5)
        assert torch.equal(reception.images[:, :, 0, 0], quantise(expected))


def test_a_budget_below_the_floor_sends_nothing(noise_images, seeds):
    link = Separate(MeanColour(), LDPC5G(0.5), "qpsk", channel_uses_per_pixel=0.02)
    reception = link.transmit(noise_images, AWGN(30), seeds)
    assert reception.info["infeasible"] == [True] * 3
    assert reception.info["decode_failed"] == [True] * 3
    assert reception.ledger.source_bits.tolist() == [0] * 3
    assert reception.ledger.channel_uses.tolist() == [0] * 3
    assert torch.equal(reception.images[:, :, 0, 0], quantise(noise_images.mean((2, 3))))


def test_prefix_beats_discard_and_is_beaten_by_a_whole_stream(photograph):
    """At an SNR where some blocks fail, the blocks before the first lost one still make an image."""
    images = photograph[None]
    seeds = seeds_of(images)
    scores = {}
    for damage in ("prefix", "as-is", "discard"):
        link = Separate(JPEG2000(), LDPC5G(0.5), "16qam", channel_uses_per_pixel=2.0, damage=damage)
        scores[damage] = {}
        for realisation in range(8):
            reception = link.transmit(images, AWGN(6.25), seeds_of(images, realisation=realisation))
            errors, blocks = reception.info["block_errors"][0], reception.info["blocks"][0]
            if 0 < errors < blocks:
                scores[damage][realisation] = PSNR()(images, reception.images).item()
                assert reception.info["damage"] == [damage]
    assert scores["prefix"], "no realisation lost some blocks and not others: choose another SNR"
    for realisation, score in scores["prefix"].items():
        assert score >= scores["discard"][realisation]
    whole = Separate(JPEG2000(), LDPC5G(0.5), "16qam", channel_uses_per_pixel=2.0).transmit(images, AWGN(20), seeds)
    assert PSNR()(images, whole.images).item() > max(scores["prefix"].values())


def test_single_images_give_the_batch_exactly(noise_images, seeds):
    link = Separate(MeanColour(), LDPC5G(0.5), "16qam", channel_uses_per_pixel=0.5)
    channel = Rayleigh(8, coherence=16, pilots=2)
    together = link.transmit(noise_images, channel, seeds)
    for n in range(3):
        alone = link.transmit(noise_images[n : n + 1], channel, seeds[n : n + 1])
        assert torch.equal(alone.images[0], together.images[n])
        assert alone.ledger.pilot_uses[0] == together.ledger.pilot_uses[n] == 48


def test_same_seed_same_result_other_realisation_other_noise(noise_images):
    link = Separate(MeanColour(), None, "qpsk", channel_uses_per_pixel=0.5)
    first, again, other = (link.transmit(noise_images, AWGN(0), seeds_of(noise_images, 5, r)) for r in (0, 0, 1))
    assert torch.equal(first.images, again.images)
    assert not torch.equal(first.images, other.images)


def test_symbol_power_is_reported(noise_images, seeds):
    reception = Separate(MeanColour(), LDPC5G(0.5), "qpsk", channel_uses_per_pixel=0.5).transmit(
        noise_images, AWGN(10), seeds
    )
    assert reception.info["symbol_power"] == pytest.approx([1.0] * 3, abs=1e-5)


def test_eb_n0_from_ledger_is_es_n0_less_the_bits(noise_images, seeds):
    """Eb/N0 = Es/N0 / (R·log2 M): BPSK at rate 1/2 decodes at an Es/N0 3 dB below its Eb/N0."""
    link = Separate(MeanColour(), LDPC5G(0.5), "bpsk", channel_uses_per_pixel=4)
    assert link.transmit(noise_images, AWGN(0), seeds).info["block_errors"] == [0] * 3  # Eb/N0 = 3 dB
    assert link.transmit(noise_images, AWGN(-4), seeds).info["block_errors"] != [0] * 3  # Eb/N0 = -1 dB < Shannon's


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({}, "either channel_uses_per_pixel or bpp"),
        ({"bpp": 1, "channel_uses_per_pixel": 1}, "either channel_uses_per_pixel or bpp"),
        ({"channel_uses_per_pixel": 1}, "without a constellation"),
        ({"bpp": -1}, "above 0"),
        ({"bpp": 1, "constellation": "8qam"}, "8qam"),
    ],
)
def test_impossible_links(arguments, reason):
    with pytest.raises(ConfigurationError, match=reason):
        Separate(MeanColour(), **arguments)


def test_symbols_into_a_bit_channel_and_back(noise_images, seeds):
    with pytest.raises(ConfigurationError, match="give the transceiver no constellation"):
        Separate(MeanColour(), None, "qpsk", bpp=1).transmit(noise_images, BinarySymmetric(0.1), seeds)
    with pytest.raises(ConfigurationError, match="give the transceiver a constellation"):
        Separate(MeanColour(), bpp=1).transmit(noise_images, AWGN(3), seeds)


def test_none_means_uncoded(noise_images, seeds):
    links = (Separate(MeanColour(), code, QAM("qpsk"), bpp=0.5) for code in (None, Uncoded()))
    first, second = (link.transmit(noise_images, AWGN(1), seeds) for link in links)
    assert torch.equal(first.images, second.images)
