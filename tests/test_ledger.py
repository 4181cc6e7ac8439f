import pytest
import torch

from semcomm.ledger import Ledger

IMAGES = torch.zeros(2, 3, 32, 48)  # 1536 pixels


def test_counted_by_hand():
    # 96 source bytes, rate 1/2, 16QAM: 768 bits -> 1536 coded bits -> 384 symbols
    ledger = Ledger.of(IMAGES, source_bits=768, coded_bits=1536, channel_uses=384, side_bits=32)
    assert ledger.bpp.tolist() == [0.5, 0.5]
    assert ledger.cbr.tolist() == [pytest.approx(384 / 4608)] * 2
    assert ledger.code_rate.tolist() == [0.5, 0.5]
    assert ledger.spectral_efficiency.tolist() == [2.0, 2.0]
    assert ledger.total_bpp.tolist() == [pytest.approx(800 / 1536)] * 2
    # DESIGN: CBR = bpp / (3 R log2 M)
    assert ledger.cbr[0].item() == pytest.approx(0.5 / (3 * 0.5 * 4))


def test_pilots_cost_the_bits_of_a_data_symbol():
    ledger = Ledger.of(IMAGES, source_bits=[768, 384], channel_uses=[384, 384]).with_channel(pilot_uses=96)
    assert ledger.pilot_uses.tolist() == [96, 96]
    assert ledger.total_bpp.tolist() == [pytest.approx(768 * 1.25 / 1536), pytest.approx(384 * 1.25 / 1536)]
    assert ledger.spectral_efficiency[0].item() == pytest.approx(768 / 480)
    assert ledger.cbr[0].item() == pytest.approx(384 / 4608)


def test_a_frame_of_several_antennas_counted_by_hand():
    # 384 symbols over 2 streams: 192 elements; 48 of pilots; 60 samples of prefix, guards and padding: 300 in all
    ledger = Ledger.of(IMAGES, source_bits=768, channel_uses=384).with_channel(48, 60, streams=2)
    assert ledger.overhead_uses.tolist() == [60, 60]
    assert ledger.resource_uses.tolist() == [300, 300]
    assert ledger.cbr[0].item() == pytest.approx(384 / 4608)
    assert ledger.total_cbr[0].item() == pytest.approx(300 / 4608)
    assert ledger.spectral_efficiency[0].item() == pytest.approx(768 / 300)
    assert ledger.total_bpp[0].item() == pytest.approx(768 / 1536 * 300 / 192)
    with pytest.raises(ValueError, match="equal streams"):
        ledger + Ledger.of(IMAGES, source_bits=1)


def test_two_streams_add_up():
    caption = Ledger.of(IMAGES, source_bits=616, channel_uses=154)
    latent = Ledger.of(IMAGES, source_bits=1024, coded_bits=2048, channel_uses=512, side_bits=8)
    both = caption + latent
    assert both.source_bits.tolist() == [1640, 1640]
    assert both.coded_bits.tolist() == [2664, 2664]
    assert both.channel_uses.tolist() == [666, 666]
    assert both.pixels.tolist() == [1536, 1536]
    with pytest.raises(ValueError, match="same images"):
        caption + Ledger.of(torch.zeros(2, 3, 8, 8), source_bits=1)


def test_analog_has_no_bits_but_uses():
    ledger = Ledger.of(IMAGES, source_bits=float("nan"), channel_uses=256)
    assert ledger.bpp.isnan().all()
    assert ledger.total_bpp.isnan().all()
    assert ledger.cbr.tolist() == [256 / 4608] * 2
