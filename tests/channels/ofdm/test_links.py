"""Every transceiver over TDL-C with pilots and over 2x2, unchanged: an image alone as in a batch, all costs counted."""

import pytest
import torch
from tiny_codecs import saved, smooth_images, tiny_deepjscc, tiny_lsci

from semcomm import (
    JPEG2000,
    LDPC5G,
    LSCI,
    OFDM,
    AdaptiveGenerative,
    AtCapacity,
    DeepJSCC,
    Embedded,
    Hybrid,
    Separate,
    SoftCast,
    TextAndLatent,
    TextToImage,
    seeds_of,
)

TWO = {"tx_antennas": 2, "rx_antennas": 2}
CHANNELS = {
    "TDL-C, pilots": OFDM(14.0, "tdl-c", delay_spread_ns=300.0, estimation="lmmse"),
    "2x2, open loop, pilots": OFDM(14.0, "tdl-c", delay_spread_ns=300.0, estimation="ls", **TWO),
    "2x2, SVD": OFDM(14.0, "cdl-c", csi="instantaneous", precoding="svd", **TWO),
}


@pytest.fixture(scope="module")
def links(tmp_path_factory):
    folder = tmp_path_factory.mktemp("codecs")
    code, generator = LDPC5G(0.5), Embedded()
    lsci = str(saved(folder / "lsci.safetensors", tiny_lsci("16qam")))
    deepjscc = str(saved(folder / "deepjscc.safetensors", tiny_deepjscc(4)))
    text = TextToImage(generator, text_code=code, steps=2)
    both = TextAndLatent(generator, text_code=code, latent_code=code, steps=2)
    return {
        "fixed": Separate(JPEG2000(), code, "qpsk", 0.5),
        "adaptive": Separate(JPEG2000(), code, "adaptive", 0.5),
        "uncoded": Separate(JPEG2000(), None, "qpsk", 0.5),
        "lsci": LSCI(lsci, layers=2),
        "deepjscc": DeepJSCC(deepjscc),
        "softcast": SoftCast(0.5, block=8),
        "hybrid": Hybrid(JPEG2000(), code, "qpsk", 0.5, share=0.6, block=8),
        "text": text,
        "text and latent": both,
        "adaptive, generative": AdaptiveGenerative(text, both, min_snr_db=10.0),
    }


NAMES = ["fixed", "adaptive", "uncoded", "lsci", "deepjscc", "softcast", "hybrid", "text", "text and latent"]


@pytest.mark.parametrize("name", [*NAMES, "adaptive, generative"])
@pytest.mark.parametrize("over", CHANNELS)
def test_every_transceiver_runs_over_it(links, name, over):
    link, channel = links[name], CHANNELS[over]
    images = smooth_images(2, 64, 72)
    seeds = seeds_of(images)
    reception = link.transmit(images, channel, seeds)
    ledger = reception.ledger
    assert reception.images.shape == images.shape and reception.images.isfinite().all()
    assert ledger.streams.tolist() == [channel.streams] * 2
    samples = 14 * (channel.grid.carriers + channel.grid.cyclic_prefix)
    slots = ledger.resource_uses / samples  # whole slots, whatever the image
    assert torch.equal(slots, slots.round()) and (slots >= 1).all()
    assert torch.equal(ledger.pilot_uses, slots * channel.grid.pilots)
    assert all(3 < papr < 30 for papr in reception.info["papr_db"])  # 240 equal carriers make 23.8 dB
    alone = link.transmit(images[1:], channel, seeds[1:])
    assert torch.equal(alone.images[0], reception.images[1])
    assert alone.ledger.resource_uses[0] == ledger.resource_uses[1]


@pytest.mark.parametrize("over", CHANNELS)
def test_the_bound_stays_below_capacity_or_is_an_outage(over):
    images, channel = smooth_images(2, 64, 72), CHANNELS[over]
    seeds, uses = seeds_of(images), int(0.5 * 64 * 72)
    reception = AtCapacity(JPEG2000(), 0.5).transmit(images, channel, seeds)
    bits = channel.capacity(seeds, [uses] * 2) * uses
    within = ~torch.tensor(reception.info["outage"])
    assert (reception.ledger.source_bits <= bits * 1.002)[within].all()
    if channel.known_csi == "instantaneous":  # then the rate is that of the image's own channel
        assert within.all() and (reception.ledger.source_bits > 0.9 * bits).all()
