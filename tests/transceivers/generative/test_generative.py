"""What the generative transceivers send, what it costs and what they make of what arrives; with a model of means."""

import pytest
import torch
from stub_model import Means

from semcomm import (
    AWGN,
    LDPC5G,
    PSNR,
    AdaptiveGenerative,
    BinarySymmetric,
    BitFlips16QAM,
    CompressedText,
    ConfigurationError,
    FloatLatent,
    Noiseless,
    QuantisedLatent,
    Rayleigh,
    TextAndLatent,
    TextToImage,
    memo,
    seeds_of,
)
from semcomm.images import quantise

BYTES = 8


@pytest.fixture(autouse=True)
def fresh():
    Means.calls.clear()
    with memo.using(memo.Memo()):
        yield


@pytest.fixture(scope="module")
def images(photograph):
    image = photograph[:, :96, :128]
    return torch.stack([image, image.flip(2), image.flip(1)])


@pytest.fixture(scope="module")
def seeds(images):
    return seeds_of(images)


@pytest.fixture(scope="module")
def large():
    """An image of the paper's size."""
    return quantise(torch.rand(1, 3, 512, 512, generator=torch.Generator().manual_seed(0)))


def test_the_papers_payload_table(large):
    """Table 1 of Img2Img-SC in bytes; its 616 for 77 characters is their number of bits."""
    seeds, model = seeds_of(large), Means("x" * 77, 512)
    text = TextToImage(model).transmit(large, Noiseless(), seeds).ledger
    both = TextAndLatent(model).transmit(large, Noiseless(), seeds).ledger
    assert large[0].numel() * BYTES == 6_291_456
    assert text.source_bits.tolist() == [616]
    assert text.source_bits.item() / 8 == 77
    assert (both.source_bits - text.source_bits).item() / 8 == 131_072
    assert both.source_bits.item() / 8 == 131_149
    assert both.bpp.item() == 4 + 616 / 512**2
    assert both.channel_uses.item() == both.source_bits.item() / 4
    assert both.cbr.item() == pytest.approx(both.bpp.item() / 3 / 4)


def test_rates_are_per_pixel_of_the_original(images, seeds):
    ledger = TextAndLatent(Means()).transmit(images, Noiseless(), seeds).ledger
    assert ledger.pixels.tolist() == [96 * 128] * 3
    assert ledger.bpp.tolist() == pytest.approx([(8 * 5 + 64 * 4 * 8 * 8) / (96 * 128)] * 3)
    assert ledger.side_bits.tolist() == [32 + 16] * 3


@pytest.mark.parametrize(
    ("codec", "per_value", "side"),
    [
        (FloatLatent("float32"), 32, 0),
        (FloatLatent("float16"), 16, 0),
        (FloatLatent("bfloat16"), 16, 0),
        (QuantisedLatent(8), 8, 64),
        (QuantisedLatent(5), 5, 64),
    ],
    ids=lambda v: str(v),
)
def test_what_a_smaller_latent_costs_and_loses(images, seeds, codec, per_value, side):
    link = TextAndLatent(Means(), latent=codec, strength=0)
    reception = link.transmit(images, Noiseless(), seeds)
    assert reception.ledger.source_bits.tolist() == [40 + per_value * 256] * 3
    assert reception.ledger.side_bits.tolist() == [48 + side] * 3
    exact = TextAndLatent(Means(), latent=FloatLatent("float64", "clip"), strength=0)
    assert (PSNR()(exact.transmit(images, Noiseless(), seeds).images, reception.images) > 25).all()


def test_two_streams_one_ledger(images, seeds):
    """A protected caption and a raw latent: 40 bits at rate 1/3 are 120, in one transmission."""
    link = TextAndLatent(Means(), text_code=LDPC5G(1 / 3), latent=QuantisedLatent(8))
    reception = link.transmit(images, AWGN(7), seeds)
    ledger = reception.ledger
    assert ledger.source_bits.tolist() == [40 + 2048] * 3
    assert ledger.coded_bits.tolist() == [120 + 2048] * 3
    assert ledger.channel_uses.tolist() == [542] * 3
    assert reception.info["blocks"] == [1] * 3
    assert reception.info["block_errors"] == [0] * 3
    assert reception.info["received_caption"] == ["a cat"] * 3
    assert reception.info["caption_errors"] == [0] * 3
    clean = link.transmit(images, Noiseless(), seeds)
    assert (PSNR()(clean.images, reception.images) < 40).all()  # the latent was hit


def test_a_protected_latent_arrives_whole(images, seeds):
    link = TextAndLatent(Means(), text_code=LDPC5G(0.5), latent_code=LDPC5G(0.5), constellation="qpsk", strength=0)
    reception = link.transmit(images, AWGN(6), seeds)
    assert reception.info["block_errors"] == [0] * 3
    assert torch.equal(reception.images, link.transmit(images, Noiseless(), seeds).images)
    raw = TextAndLatent(Means(), constellation="qpsk", strength=0).transmit(images, AWGN(6), seeds)
    assert (PSNR()(images, reception.images) > PSNR()(images, raw.images) + 2).all()


@pytest.mark.parametrize("channel", [BitFlips16QAM(eb_n0_db=5), BinarySymmetric(0.04), Noiseless()], ids=str)
def test_bits_over_channels_that_carry_bits(images, seeds, channel):
    link = TextAndLatent(Means(), CompressedText(), text_code=LDPC5G(0.3), constellation=None)
    reception = link.transmit(images, channel, seeds)
    assert reception.ledger.channel_uses.isnan().all()
    assert reception.info["received_caption"] == ["a cat"] * 3
    with pytest.raises(ConfigurationError, match="give the transceiver a constellation"):
        link.transmit(images, AWGN(10), seeds)


def test_rubbish_is_the_prompt(images, seeds):
    model = Means("a long enough caption for errors")
    reception = TextToImage(model).transmit(images, AWGN(5), seeds)
    assert all(errors > 0 for errors in reception.info["caption_errors"])
    for prompt, shown in zip(Means.prompts, reception.info["received_caption"]):
        assert len(prompt) == 32 and prompt != model.text
        assert shown.isprintable()
    assert any(not prompt.isascii() or not prompt.isprintable() for prompt in Means.prompts)


@pytest.mark.parametrize(
    "text", ["", "w" * 10_000, "\x00\x01\x1b[31m", "ein Kätzchen – süß", "\U0001f431"], ids=["none", "long", *"cua"]
)
@pytest.mark.parametrize("codec", [None, CompressedText()], ids=["ascii", "compressed"])
def test_captions_of_every_kind(images, seeds, text, codec):
    reception = TextAndLatent(Means(text), codec).transmit(images, Noiseless(), seeds)
    info = reception.info
    assert all(caption.isprintable() for caption in info["caption"] + info["received_caption"])
    if codec or text.isascii():
        assert Means.prompts == [text] * 3
    assert info["altered_characters"] == [0 if codec else sum(not c.isascii() for c in text)] * 3
    noisy = TextToImage(Means(text), codec, LDPC5G(0.5)).transmit(images, AWGN(0), seeds)
    assert noisy.images.shape == images.shape


def test_bits_per_character_are_reported(images, seeds):
    for codec, expected in ((None, 8.0), (CompressedText(), 3.2)):
        info = TextToImage(Means("a cat is on top of a table"), codec).transmit(images, Noiseless(), seeds).info
        assert info["bits_per_character"] == pytest.approx([expected] * 3, abs=1)


def test_strength_0_decodes_what_arrived(images, seeds):
    link = TextAndLatent(Means(), latent=FloatLatent("float64", "clip"), strength=0)
    reception = link.transmit(images, Noiseless(), seeds)
    assert "generate" not in Means.calls
    assert reception.info["denoising_steps"] == [0] * 3
    small = TextAndLatent(Means(), strength=0.01).transmit(images, Noiseless(), seeds)
    assert small.info["denoising_steps"] == [0] * 3
    assert TextAndLatent(Means()).transmit(images, Noiseless(), seeds).info["denoising_steps"] == [30] * 3
    # 50 · 0.58 is 28.999… in floating point
    assert TextAndLatent(Means(), strength=0.58).transmit(images, Noiseless(), seeds).info["denoising_steps"][0] == 29
    assert (PSNR()(images, reception.images) > 14).all()


def test_a_latent_that_is_all_nan(images, seeds, monkeypatch):
    monkeypatch.setattr(Means, "broken", True)
    for codec in (FloatLatent(), FloatLatent("float16", "clip"), QuantisedLatent(8)):
        reception = TextAndLatent(Means(), latent=codec).transmit(images, AWGN(12), seeds)
        assert reception.images.isfinite().all()
    assert TextAndLatent(Means()).transmit(images, Noiseless(), seeds).info["repaired_values"] == [256] * 3


def test_sizes_are_stated(images, seeds):
    info = TextToImage(Means()).transmit(images, Noiseless(), seeds).info
    assert info["size"] == ["128x96"] * 3
    assert info["working_size"] == ["64x64"] * 3
    assert info["generated_by"] == ["means"] * 3


def test_captions_and_latents_are_computed_once(images, seeds):
    for snr_db in (0, 5, 10):
        for strength in (0, 0.6):
            TextAndLatent(Means(), strength=strength).transmit(images, AWGN(snr_db), seeds)
        TextToImage(Means()).transmit(images, AWGN(snr_db), seeds)
    assert Means.calls["caption"] == Means.calls["encode"] == 3
    assert Means.calls["decode"] == 9


def test_a_batch_gives_what_single_images_give(images, seeds):
    for link in (TextToImage(Means()), TextAndLatent(Means(), text_code=LDPC5G(0.5))):
        together = link.transmit(images, Rayleigh(12, coherence=16, pilots=1), seeds)
        for n in range(3):
            alone = link.transmit(images[n : n + 1], Rayleigh(12, coherence=16, pilots=1), seeds[n : n + 1])
            assert torch.equal(alone.images[0], together.images[n])
            assert alone.ledger.total_bpp[0] == together.ledger.total_bpp[n]


def test_same_seed_same_result_other_realisation_another(images):
    link = TextAndLatent(Means())
    first, again, other = (link.transmit(images, AWGN(11), seeds_of(images, 5, r)) for r in (0, 0, 1))
    assert torch.equal(first.images, again.images)
    assert first.info == again.info
    assert not torch.equal(first.images, other.images)


def test_more_noise_more_repair_less_likeness(images, seeds):
    found = [TextAndLatent(Means(), strength=0).transmit(images, AWGN(snr), seeds) for snr in (8, 11, 16)]
    repaired = [sum(reception.info["repaired_values"]) for reception in found]
    assert repaired == sorted(repaired, reverse=True)
    likeness = [PSNR()(images, reception.images).mean().item() for reception in found]
    assert likeness == sorted(likeness)


class TestAdaptive:
    @pytest.fixture
    def parts(self):
        return TextToImage(Means()), TextAndLatent(Means(), latent=QuantisedLatent(8))

    def test_by_snr(self, images, seeds, parts):
        link = AdaptiveGenerative(*parts, min_snr_db=11)
        low, high = (link.transmit(images, AWGN(snr), seeds) for snr in (10.9, 11))
        assert low.info["sent"] == ["text"] * 3
        assert high.info["sent"] == ["text and latent"] * 3
        assert low.ledger.source_bits.tolist() == [40] * 3
        assert high.ledger.source_bits.tolist() == [40 + 2048] * 3
        assert low.ledger.side_bits.tolist() == [48 + 1] * 3
        assert torch.equal(low.images, parts[0].transmit(images, AWGN(10.9), seeds).images)
        assert torch.equal(high.images, parts[1].transmit(images, AWGN(11), seeds).images)

    def test_by_budget(self, images, seeds, parts):
        needed = (40 + 2048) / (96 * 128)
        for budget, sent in ((needed, "text and latent"), (needed - 1e-6, "text")):
            reception = AdaptiveGenerative(*parts, max_bpp=budget).transmit(images, Noiseless(), seeds)
            assert reception.info["sent"] == [sent] * 3
            assert (reception.ledger.bpp <= budget).all()

    def test_image_by_image(self, images, parts):
        channel = Rayleigh(11, csi="instantaneous")
        seeds = seeds_of(images, 1)
        reception = AdaptiveGenerative(*parts, min_snr_db=11).transmit(images, channel, seeds)
        expected = ["text and latent" if snr >= 11 else "text" for snr in channel.csi(seeds).tolist()]
        assert reception.info["sent"] == expected
        assert len(set(expected)) == 2, "choose another seed: all images have the same"
        for n, sent in enumerate(expected):
            alone = parts[sent != "text"].transmit(images[n : n + 1], channel, seeds[n : n + 1])
            assert torch.equal(reception.images[n], alone.images[0])
            assert reception.info["received_caption"][n] == alone.info["received_caption"][0]
            assert (reception.info["repaired_values"][n] is None) == (sent == "text")

    def test_impossible(self, images, seeds, parts):
        with pytest.raises(ConfigurationError, match="give one"):
            AdaptiveGenerative(*parts)
        with pytest.raises(ConfigurationError, match="constellation in both"):
            AdaptiveGenerative(parts[0], parts[1].replaced(constellation=None), 5)
        with pytest.raises(ConfigurationError, match="transmitter knows nothing of this channel"):
            AdaptiveGenerative(*parts, min_snr_db=5).transmit(images, AWGN(10, csi="none"), seeds)


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({"steps": 0}, "steps is 0"),
        ({"steps": 1001}, "1 to 1000"),
        ({"guidance": -1.0}, "guidance is -1"),
        ({"strength": 1.2}, "0 to 1"),
        ({"constellation": "8qam"}, "8qam"),
    ],
)
def test_impossible_settings(arguments, reason):
    with pytest.raises(ConfigurationError, match=reason):
        TextAndLatent(Means(), **arguments)


def test_the_model_is_part_of_the_recipe():
    assert TextToImage(Means("a")).recipe() != TextToImage(Means("b")).recipe()
    assert TextToImage(Means("a")).recipe()["init_args"]["backend"]["weights"] == "none"
