"""Gradient steps at the transmitter: better on noise they have not seen, never worse by their own measure."""

import pytest
import torch
from tiny_codecs import saved, smooth_images, tiny_lsci

from semcomm import AWGN, LSCI, QAM, seeds_of
from semcomm.errors import ConfigurationError
from semcomm.jscc import linear
from semcomm.jscc.codec import Codec
from semcomm.jscc.lsci import LSCINetwork
from semcomm.jscc.refinement import refined
from semcomm.jscc.training_channel import simulate


def fitted(constellation: str) -> LSCINetwork:
    """A network whose linear part is fitted, and the rest random."""
    torch.manual_seed(1)
    options = {"widths": [6, 8], "encoder_blocks": [1, 1], "decoder_blocks": [1, 1]}
    network = LSCINetwork([[8, 2], [8, 2], [4, 1]], constellation=constellation, **options).eval()
    linear.fit(network.requires_grad_(False), smooth_images(12, 32, 32, seed=7), torch.Generator().manual_seed(2))
    return network


@pytest.fixture(scope="module")
def images() -> torch.Tensor:
    return smooth_images(2, 30, 32)


def error(network, image, sent, gains, snr_db, plan, seed: int) -> float:
    unfaded = torch.zeros(1, dtype=torch.bool)
    found = simulate(network, sent, gains, snr_db, unfaded, plan, torch.Generator().manual_seed(seed))
    return (found - image).square().mean().item()


@pytest.mark.parametrize("constellation", ["analog", "16qam"])
def test_the_error_falls_on_noise_that_was_not_seen(constellation):
    network, image = fitted(constellation), smooth_images(1, 32, 32)
    snr_db, plan = torch.tensor([12.0]), torch.full((1, 4, 4), 3, dtype=torch.uint8)
    before = network.encode(image, snr_db, plan)
    after = refined(network, image, (32, 32), snr_db, plan, 10)
    errors = [
        sum(error(network, image, *one, snr_db, plan, seed) for seed in range(100, 104)) for one in (before, after)
    ]
    assert errors[1] < errors[0]
    for symbols in after[0]:
        power = 2 * symbols.square().mean().item()
        assert power == pytest.approx(1, abs=1e-4) if constellation == "analog" else power <= 1 + 2e-6
        if constellation != "analog":
            axis = QAM(constellation).points.real.unique()
            assert (symbols.flatten()[:, None] - axis).abs().amin(1).max() < 1e-6


def test_steps_that_make_it_worse_are_not_sent(monkeypatch):
    monkeypatch.setattr("semcomm.jscc.refinement.RATE", 50.0)
    network, image = fitted("analog"), smooth_images(1, 32, 32)
    snr_db, plan = torch.tensor([12.0]), torch.full((1, 4, 4), 2, dtype=torch.uint8)
    before, after = network.encode(image, snr_db, plan), refined(network, image, (32, 32), snr_db, plan, 5)
    for one, other in zip(before[0], after[0]):
        assert torch.allclose(one, other, atol=1e-4)
    assert torch.allclose(before[1], after[1], rtol=1e-4)


def test_an_image_is_refined_alike_in_every_batch_and_realisation(images):
    codec = Codec(tiny_lsci("16qam"))
    snr_db = torch.tensor([5.0, 15.0])
    plan = codec.plan(images, 200)
    plan[1] = 2  # fewer layers than the first
    assert plan[0].max() > 2
    symbols, gains = codec.send(images, snr_db, plan, 3)
    plain, _ = codec.send(images, snr_db, plan)
    for index in range(2):
        part = slice(index, index + 1)
        alone, its_gains = codec.send(images[part], snr_db[part], plan[part], 3)
        assert torch.equal(alone[0], symbols[index])
        assert torch.equal(its_gains[0], gains[index][: its_gains.shape[1]])
        assert not torch.equal(plain[index], symbols[index])
    with torch.inference_mode():  # as a sweep may run
        again, _ = codec.send(images, snr_db, plan, 3)
    assert all(map(torch.equal, again, symbols))


def test_the_transceiver(images, tmp_path):
    file = str(saved(tmp_path / "codec.safetensors", fitted("16qam")))
    plain, better = (LSCI(file, layers=3, refine=steps, device="cpu") for steps in (0, 10))
    assert plain.recipe() != better.recipe()
    errors = []
    for link in (plain, better):
        receptions = [link.transmit(images, AWGN(12), seeds_of(images, realisation=n)) for n in range(2)]
        errors.append(sum((one.images - images).square().mean().item() for one in receptions))
        assert receptions[0].ledger.channel_uses.tolist() == [4 * 4 * 8] * 2
    assert errors[1] < errors[0]
    with pytest.raises(ConfigurationError, match="refine is -1"):
        LSCI(file, layers=3, refine=-1)
