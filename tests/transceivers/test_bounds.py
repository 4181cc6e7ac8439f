from math import log2

import pytest
import torch

from semcomm import AWGN, JPEG2000, LDPC5G, AtCapacity, Noiseless, RandomBits, Rayleigh, Separate, seeds_of
from semcomm.codecs.base import SourceCodec
from semcomm.errors import ConfigurationError
from semcomm.seeds import Seed


class Spendthrift(SourceCodec):
    """Uses every byte that it may."""

    def encode(self, image, max_bytes):
        return bytes(max_bytes)

    def decode(self, payload):
        return torch.zeros(3, 50, 70)


@pytest.mark.parametrize("snr_db", [-5, 0, 10, 23.7])
def test_rate_at_capacity_is_shannons_to_the_byte(snr_db):
    images = torch.zeros(1, 3, 50, 70)
    ledger = AtCapacity(Spendthrift(), 0.25).transmit(images, AWGN(snr_db), seeds_of(images)).ledger
    assert ledger.channel_uses.item() == 875
    assert ledger.source_bits.item() == 8 * int(875 * log2(1 + 10 ** (snr_db / 10)) // 8)


def test_no_link_beats_its_bound(photograph):
    from semcomm import PSNR

    images = photograph[None]
    bound = AtCapacity(JPEG2000(), channel_uses_per_pixel=0.25)
    for snr_db in (0, 6, 12, 18):
        best = PSNR()(images, bound.transmit(images, AWGN(snr_db), seeds_of(images)).images).item()
        for name in ("bpsk", "qpsk", "16qam", "64qam"):
            link = Separate(JPEG2000(), LDPC5G(0.5), name, channel_uses_per_pixel=0.25)
            assert PSNR()(images, link.transmit(images, AWGN(snr_db), seeds_of(images)).images).item() <= best


def test_bound_follows_the_gain_of_the_image(photograph):
    images = torch.stack([photograph, photograph.flip(2)])
    seeds = seeds_of(images)
    channel = Rayleigh(10, csi="instantaneous")
    ledger = AtCapacity(JPEG2000(), 0.25).transmit(images, channel, seeds).ledger
    shares = ledger.bpp / (0.25 * channel.capacity(seeds))
    assert ((shares > 0.95) & (shares <= 1)).all()


def test_bound_knows_no_more_than_the_transmitter(photograph):
    """With average CSI one rate serves every image, and those whose capacity is below it are lost."""
    images = photograph[None].expand(12, -1, -1, -1)
    seeds = [Seed(f"fade {n}") for n in range(12)]
    channel = Rayleigh(10)
    bound = AtCapacity(JPEG2000(), 0.25)
    reception = bound.transmit(images, channel, seeds)
    assert len(set(reception.ledger.source_bits.tolist())) == 1
    rate = reception.ledger.bpp[0].item() / 0.25
    assert reception.info["outage"] == [capacity < rate for capacity in channel.capacity(seeds).tolist()]
    assert 1 < sum(reception.info["outage"]) + 2 < 8
    fast = bound.transmit(images[:1], Rayleigh(10, coherence="symbol"), seeds[:1])
    assert not fast.info["outage"][0]
    assert 0.95 < fast.ledger.bpp.item() / (0.25 * 2.9) < 1.01  # the ergodic capacity
    wrong = bound.transmit(images[:1], AWGN(8, csi_error_db=3), seeds[:1])
    assert wrong.info["outage"] == [True]
    known = bound.transmit(images[:1], AWGN(8, csi="none"), seeds[:1])
    assert known.info["outage"] == [False]


def test_bound_below_the_floor_and_without_noise(noise_images):
    reception = AtCapacity(JPEG2000(), 0.01).transmit(noise_images, AWGN(0), seeds_of(noise_images))
    assert reception.info["infeasible"] == [True] * 3
    assert (reception.images[0].flatten(1).std(1) == 0).all()
    with pytest.raises(ConfigurationError, match="infinite"):
        AtCapacity(JPEG2000(), 0.1).transmit(noise_images, Noiseless(), seeds_of(noise_images))


def test_random_bits_count_what_was_lost():
    link = RandomBits(LDPC5G(0.5), "qpsk", payload_bits=1000, messages=20)
    image = torch.zeros(1, 3, 1, 1)
    clean = link.transmit(image, AWGN(10), [Seed("a")])
    assert clean.info == {"bits": [20_000], "bit_errors": [0], "blocks": [20], "block_errors": [0]}
    assert clean.ledger.code_rate.item() == pytest.approx(0.5, abs=0.002)
    lost = link.transmit(image, AWGN(-3), [Seed("a")])
    assert lost.info["block_errors"] == [20]
    assert 0.05 < lost.info["bit_errors"][0] / 20_000 < 0.5
