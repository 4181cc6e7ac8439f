"""Text+Sketch and unCLIP from end to end on tiny random models."""

import pytest
import torch
from tiny_diffusion import SIDE

from semcomm import (
    AWGN,
    JPEG,
    LDPC5G,
    PSNR,
    BitFlips16QAM,
    ConfigurationError,
    Diffusers,
    EmbeddedScore,
    FloatLatent,
    Noiseless,
    QuantisedLatent,
    RateError,
    StableUnCLIP,
    TextAndSketch,
    UnCLIP,
    seeds_of,
)
from semcomm.transceivers.generative.base import resized
from semcomm.transceivers.generative.text_and_sketch import edges


@pytest.fixture(scope="module")
def images(photograph):
    return torch.stack([photograph[:, 20:100, :96], photograph[:, 60:140, 60:156]])


@pytest.fixture(scope="module")
def seeds(images):
    return seeds_of(images)


@pytest.fixture
def backend(tiny):
    return Diffusers(tiny["sd"], tiny["blip"], tiny["controlnet"], precision="fp32", device="cpu")


@pytest.fixture
def unclip(tiny):
    return StableUnCLIP(tiny["unclip"], precision="fp32", device="cpu")


class TestTextAndSketch:
    def test_what_is_sent(self, backend, images, seeds):
        link = TextAndSketch(backend, candidates=3, steps=2)
        reception = link.transmit(images, Noiseless(), seeds)
        messages = link.messages(images, [])
        for n, (row, caption) in enumerate(zip(messages, backend.caption_once(images))):
            assert len(row["caption"].bits) == 8 * len(caption)
            expected = link.sketch.encode(edges(resized(images[n : n + 1], (SIDE, SIDE))[0], 2.0), 10**6)
            assert len(row["sketch"].bits) == 8 * len(expected)
            assert row["sketch"].side in (0, 1, 2)
            sent = reception.ledger.source_bits[n].item()
            assert sent == len(row["caption"].bits) + len(row["sketch"].bits)
        assert reception.ledger.side_bits.tolist() == [32 + 16 + 16 + 2] * 2
        assert reception.info["sketch_failed"] == [False] * 2
        assert reception.images.shape == images.shape

    def test_the_best_candidate_is_chosen_and_made_again(self, backend, images, seeds):
        """The receiver makes, from caption, sketch and index, the very image that the sender liked best."""
        link = TextAndSketch(backend, candidates=4, steps=2, likeness=PSNR())
        rows = link.messages(images, [])
        prompts = backend.caption_once(images)
        sketches = torch.stack([edges(resized(image[None], (SIDE, SIDE))[0], 2.0)[:1] for image in images])
        scores = []
        for index in range(4):
            candidates = resized(link._generated(prompts, sketches, [index] * 2), images.shape[2:])
            scores.append(PSNR()(images, candidates))
        assert [row["sketch"].side for row in rows] == torch.stack(scores).argmax(0).tolist()
        best = torch.stack(scores).amax(0)
        found = PSNR()(images, link.transmit(images, Noiseless(), seeds).images)
        assert found.tolist() == pytest.approx(best.tolist(), abs=0.02)  # which were not rounded to 8 bits

    def test_the_sketch_steers(self, backend, images, seeds):
        plain = TextAndSketch(backend, steps=2).transmit(images, Noiseless(), seeds)
        weaker = TextAndSketch(backend, steps=2, control=0.0).transmit(images, Noiseless(), seeds)
        again = TextAndSketch(backend, steps=2).transmit(images, Noiseless(), seeds_of(images, realisation=1))
        assert not torch.equal(plain.images, weaker.images)
        assert torch.equal(plain.images, again.images)  # the noise is the seed's

    def test_protected_streams(self, backend, images, seeds):
        link = TextAndSketch(backend, steps=2, text_code=LDPC5G(1 / 3), sketch_code=LDPC5G(0.5), constellation="qpsk")
        reception = link.transmit(images, AWGN(6), seeds)
        assert reception.info["block_errors"] == [0, 0]
        assert reception.info["blocks"] == [2, 2]
        assert torch.equal(reception.images, link.transmit(images, Noiseless(), seeds).images)
        lost = link.transmit(images, AWGN(-5), seeds)
        assert lost.info["block_errors"] == [2, 2]
        assert lost.images.shape == images.shape

    def test_a_sketch_that_cannot_be_decoded_is_blank(self, backend, images):
        link = TextAndSketch(backend, steps=2)
        assert link._decoded_sketch(b"", (SIDE, SIDE)) is None
        other = link.sketch.encode(torch.zeros(3, 8, 8), 99)
        assert link._decoded_sketch(other, (SIDE, SIDE)) is None
        # unprotected, and so noisy that the header never arrives
        noisy = TextAndSketch(backend, steps=2, constellation=None)
        reception = noisy.transmit(images, BitFlips16QAM(eb_n0_db=-10), seeds_of(images))
        assert reception.info["sketch_failed"] == [True, True]
        assert reception.images.isfinite().all()

    def test_any_source_codec_will_do_for_the_sketch(self, backend, images, seeds):
        link = TextAndSketch(backend, sketch=JPEG(), sketch_bpp=1.0, steps=2)
        reception = link.transmit(images, Noiseless(), seeds)
        assert reception.info["sketch_failed"] == [False] * 2
        captions = torch.tensor([8 * len(caption) for caption in backend.caption_once(images)])
        assert (reception.ledger.source_bits - captions <= 80 * 96).all()
        with pytest.raises(RateError, match="are allowed"):
            TextAndSketch(backend, sketch_bpp=0.001).transmit(images, Noiseless(), seeds)

    def test_the_metric_that_chooses_is_part_of_the_recipe(self, backend):
        default, other = (TextAndSketch(backend, candidates=2, likeness=metric) for metric in (None, PSNR()))
        assert default.recipe() == TextAndSketch(backend, candidates=2, likeness=EmbeddedScore()).recipe()
        assert default.recipe() != other.recipe()
        assert default.replaced(candidates=1).recipe() == other.replaced(candidates=1).recipe()

    def test_impossible(self, tiny, backend):
        with pytest.raises(ConfigurationError, match="needs a ControlNet"):
            TextAndSketch(Diffusers(tiny["sd"], tiny["blip"]))
        with pytest.raises(ConfigurationError, match="at least 1 candidate"):
            TextAndSketch(backend, candidates=0)
        with pytest.raises(ConfigurationError, match="sketch_bpp is 0"):
            TextAndSketch(backend, sketch_bpp=0)


class TestUnCLIP:
    def test_the_embedding_is_clips(self, unclip, tiny, images):
        from PIL import Image
        from transformers import CLIPImageProcessorPil, CLIPVisionModelWithProjection

        from semcomm.images import to_bytes

        network = CLIPVisionModelWithProjection.from_pretrained(tiny["unclip"], subfolder="image_encoder").eval()
        processor = CLIPImageProcessorPil.from_pretrained(tiny["unclip"], subfolder="feature_extractor")
        pixels = processor([Image.fromarray(to_bytes(image)) for image in images], return_tensors="pt")
        with torch.no_grad():
            expected = network(**pixels).image_embeds
        assert unclip.width == 24
        assert torch.allclose(unclip.embed_once(images), expected, atol=1e-5)

    def test_without_noise_it_is_the_pipelines_image(self, unclip, tiny, images, seeds):
        import diffusers

        from semcomm.images import quantise
        from semcomm.models.diffusion import quiet_diffusers

        link = UnCLIP(unclip, FloatLatent("float32", "clip", limit=100.0), steps=3)
        found = link.transmit(images[:1], Noiseless(), seeds[:1])
        with quiet_diffusers():
            pipeline = diffusers.StableUnCLIPImg2ImgPipeline.from_pretrained(tiny["unclip"])
            settings = {"clip_sample": False, "set_alpha_to_one": False}
            pipeline.scheduler = diffusers.DDIMScheduler.from_config(pipeline.scheduler.config, **settings)
            pipeline.set_progress_bar_config(disable=True)
            expected = pipeline(
                prompt=[""],
                image_embeds=unclip.embed_once(images[:1]),
                num_inference_steps=3,
                guidance_scale=10.0,
                generator=[seeds[0].generator("receive")],
                output_type="pt",
            ).images
        assert torch.equal(found.images, quantise(resized(expected, images.shape[2:])))

    def test_ledger(self, unclip, images, seeds):
        reception = UnCLIP(unclip, steps=2).transmit(images, AWGN(14), seeds)
        assert reception.ledger.source_bits.tolist() == [24 * 16] * 2
        assert reception.ledger.channel_uses.tolist() == [96] * 2
        assert reception.ledger.side_bits.tolist() == [32] * 2
        assert reception.ledger.bpp.tolist() == [24 * 16 / (80 * 96)] * 2
        assert reception.info["size"] == ["96x80"] * 2
        coded = UnCLIP(unclip, QuantisedLatent(8), LDPC5G(0.5), steps=2).transmit(images, AWGN(14), seeds)
        assert coded.ledger.side_bits.tolist() == [32 + 64] * 2
        assert coded.ledger.coded_bits.tolist() == [2 * 24 * 8] * 2

    def test_noise_level_is_the_knob(self, unclip, images, seeds):
        found = [
            UnCLIP(unclip, noise_level=level, steps=2).transmit(images, Noiseless(), seeds) for level in (0, 500, 999)
        ]
        again = UnCLIP(unclip, noise_level=999, steps=2).transmit(images, Noiseless(), seeds)
        assert not torch.equal(found[0].images, found[1].images)
        assert not torch.equal(found[1].images, found[2].images)
        assert torch.equal(found[2].images, again.images)

    def test_impossible(self, unclip):
        with pytest.raises(ConfigurationError, match="0 to 999"):
            UnCLIP(unclip, noise_level=1000)
        with pytest.raises(ConfigurationError, match="multiple of 8"):
            UnCLIP(unclip.replaced(size=65))

    def test_the_default_backend_is_part_of_the_recipe(self, unclip, monkeypatch):
        monkeypatch.setattr(StableUnCLIP, "weights", lambda self: "some hash")
        assert UnCLIP().recipe() == UnCLIP(StableUnCLIP()).recipe()
        assert UnCLIP().recipe()["init_args"]["backend"]["weights"] == "some hash"
