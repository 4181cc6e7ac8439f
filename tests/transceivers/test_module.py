"""Your own pair of modules as a transceiver: symbols of power 1, and the decoder's input as in its training."""

import re
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from semcomm import AWGN, Noiseless, Rayleigh, TorchJSCC, run, seeds_of
from semcomm.errors import ConfigurationError, ModelError
from semcomm.transceivers.module import symbols_of, values_of

sys.path.insert(0, str(Path(__file__).parent))
from tiny_pair import state


@pytest.fixture
def checkpoint(tmp_path) -> str:
    save_file(state(), tmp_path / "pair.safetensors")
    return str(tmp_path / "pair.safetensors")


@pytest.fixture
def images(noise_images):
    return noise_images  # [3, 3, 24, 32]


def pair(checkpoint: str, **options) -> TorchJSCC:
    return TorchJSCC("tiny_pair.Encoder", "tiny_pair.Decoder", checkpoint, device="cpu", **options)


@pytest.mark.parametrize(
    "options",
    [
        {"signal_power": None},
        {"signal_power": None, "layout": "interleaved"},
        {"signal_power": None, "value_range": (-1.0, 1.0)},
        *(
            {"signal_power": None, "layout": layout}
            | {f"{side}_args": {"layout": layout} for side in ("encoder",)}
            | {"decoder_args": {"layout": layout, "sides": [12, 16]}}
            for layout in ("last_axis", "complex")
        ),
    ],
)
def test_without_noise_an_orthogonal_pair_gives_the_images_back(checkpoint, images, options):
    """Whatever the layout, the decoder sees the encoder's own values."""
    link = pair(checkpoint, **options)
    reception = link.transmit(images, Noiseless(), seeds_of(images))
    assert torch.equal(reception.images, images)
    assert reception.info["symbol_power"] == pytest.approx([1.0] * 3, abs=1e-5)
    assert reception.ledger.channel_uses.tolist() == [12 * 16 * 6] * 3
    assert reception.ledger.cbr.tolist() == pytest.approx([12 * 16 * 6 / (3 * 24 * 32)] * 3)
    assert reception.ledger.side_bits.tolist() == [64] * 3  # the size, and the power of each image
    assert reception.ledger.source_bits.isnan().all()


def test_an_encoder_of_power_1_in_each_real_value_has_twice_that_in_a_symbol(checkpoint, images):
    """The decoder's input is what it was trained on, and the channel's SNR is Es/N0 all the same."""
    link = pair(checkpoint, encoder_args={"gain": 0.0}, signal_power=2.0)
    reception = link.transmit(images, AWGN(10), seeds_of(images))
    assert reception.ledger.side_bits.tolist() == [32] * 3
    assert reception.info["symbol_power"] == pytest.approx([1.0] * 3, abs=1e-5)
    seen = link.module("decoder").seen
    sent = link.module("encoder")(images)
    noise = (seen - sent).square().mean().item()
    assert sent.square().mean().item() == pytest.approx(1, rel=1e-4)
    assert noise == pytest.approx(10 ** (-10 / 10), rel=0.05)  # of 1 in each real value: 10 dB


def test_noise_has_the_power_of_the_snr_in_the_encoders_scale(checkpoint, images):
    link = pair(checkpoint, signal_power=None)
    link.transmit(images, AWGN(5), seeds_of(images))
    sent, seen = link.module("encoder")(images), link.module("decoder").seen
    for one, arrived in zip(sent, seen):
        assert (arrived - one).square().mean() / one.square().mean() == pytest.approx(10 ** (-5 / 10), rel=0.12)


@pytest.mark.parametrize(("snr", "value"), [("db", 7.0), ("linear", 10**0.7)])
@pytest.mark.parametrize(("shape", "seen"), [("vector", [3]), ("column", [3, 1])])
def test_the_snr_goes_in_as_asked(checkpoint, images, snr, value, shape, seen):
    link = pair(checkpoint, snr=snr, snr_to="decoder", snr_shape=shape, signal_power=None)
    link.transmit(images, AWGN(7), seeds_of(images))
    given = link.module("decoder").snr
    assert list(given.shape) == seen
    assert given.flatten().tolist() == pytest.approx([value] * 3, rel=1e-4)
    link = pair(checkpoint, snr=snr, snr_to="encoder", signal_power=None)
    link.transmit(images, AWGN(7), seeds_of(images))
    assert link.module("decoder").snr is None
    scalar = pair(checkpoint, snr=snr, snr_shape="scalar", signal_power=None)
    scalar.transmit(images, AWGN(7), seeds_of(images))
    assert scalar.module("decoder").snr == pytest.approx(value, rel=1e-4)
    unknown = pair(checkpoint, snr="db", assumed_snr_db=4, signal_power=None)
    ratio = [unknown.send(images, torch.full((3,), x), []).control[0].power for x in (float("nan"), 2.0)]
    assert ratio[0] / ratio[1] == pytest.approx((4 / 2) ** 2, rel=1e-4)


def test_sides_that_are_no_multiple_are_padded_sent_and_cut(checkpoint, images):
    odd = images[:, :, :21, :30]
    link = pair(checkpoint, multiple=8, signal_power=None)
    reception = link.transmit(odd, Noiseless(), seeds_of(odd))
    assert torch.equal(reception.images, odd)
    assert reception.ledger.channel_uses.tolist() == [12 * 16 * 6] * 3  # of 24 x 32 pixels
    assert reception.ledger.pixels.tolist() == [21 * 30] * 3


def test_over_fading_it_takes_mmse_estimates(checkpoint, images):
    link = pair(checkpoint, signal_power=None)
    reception = link.transmit(images, Rayleigh(30.0), seeds_of(images))
    assert (reception.images - images).abs().mean() < 0.1


@pytest.mark.parametrize(
    "wrap",
    [
        lambda weights: weights,
        lambda weights: {"state_dict": weights, "epoch": 3},
        lambda weights: {"model_state_dict": weights, "optimizer": {"lr": 0.1}},
        lambda weights: {"module." + k: v for k, v in weights.items()},
        lambda weights: {  # as Lightning has it
            "state_dict": {**{"model." + k: v for k, v in weights.items()}, "loss.window": torch.ones(3)},
            "pytorch-lightning_version": "2.0",
            "hyper_parameters": {"lr": 0.1},
        },
        lambda weights: {"model": {"module." + k: v for k, v in weights.items()}},
    ],
)
def test_checkpoints_as_people_have_them(tmp_path, images, wrap):
    torch.save(wrap(state()), tmp_path / "best.ckpt")
    link = pair(str(tmp_path / "best.ckpt"), signal_power=None, trust_pickle=True)
    assert torch.equal(link.transmit(images, Noiseless(), seeds_of(images)).images, images)
    with pytest.raises(ModelError, match="a pickle can run code"):
        pair(str(tmp_path / "best.ckpt")).transmit(images, Noiseless(), seeds_of(images))


def test_errors_say_what_did_not_fit(tmp_path, checkpoint, images):
    def message(weights=None, **options) -> str:
        if weights is not None:
            save_file(weights, tmp_path / "other.safetensors")
        link = pair(str(tmp_path / "other.safetensors") if weights else checkpoint, **options)
        with pytest.raises((ModelError, ConfigurationError)) as caught:
            link.transmit(images, Noiseless(), seeds_of(images))
        return str(caught.value)

    weights = state()
    assert "no tensor's name begins with 'enc.'; they begin with decoder, encoder" in message(encoder_prefix="enc.")
    extra = {**weights, "encoder.bias": torch.ones(1)}
    assert "1 not used: bias" in message(extra)
    renamed = {"encoder.cnov.weight": weights["encoder.conv.weight"], "decoder.conv.weight": torch.ones(12, 3, 2, 2)}
    assert "1 missing: conv.weight; 1 not used: cnov.weight" in message(renamed)
    assert "[12, 3, 4, 4], not [12, 3, 2, 2]" in message({**weights, "encoder.conv.weight": torch.ones(12, 3, 4, 4)})
    assert "layout is complex" in message(layout="complex")
    assert "layout is last_axis" in message(layout="last_axis")
    assert "cannot be built" in message(encoder_args={"colour": 1})
    for name, said in (
        ("tiny_pair.None", "cannot be imported"),
        ("Encoder", "cannot be imported"),
        ("tiny_pair.NotAModule", "is no torch.nn.Module"),
    ):
        with pytest.raises(ConfigurationError, match=said):
            TorchJSCC(name, "tiny_pair.Decoder", checkpoint).transmit(images, Noiseless(), seeds_of(images))
    with pytest.raises(ModelError, match="no such checkpoint"):
        pair("nowhere.ckpt").recipe()
    for options, said in (
        ({"multiple": 0}, "multiple"),
        ({"signal_power": 0.0}, "signal_power"),
        ({"value_range": (1, 0)}, "value_range"),
        ({"layout": "half"}, "layout"),
    ):
        with pytest.raises(ConfigurationError, match=said):
            pair(checkpoint, **options)


def test_the_recipe_has_the_weights_and_the_source(tmp_path, checkpoint, monkeypatch):
    first = pair(checkpoint).recipe()
    save_file(state(seed=1), tmp_path / "other.safetensors")
    assert pair(str(tmp_path / "other.safetensors")).recipe()["weights"] != first["weights"]
    assert pair(checkpoint, encoder_args={"gain": 2.0}).recipe() != first
    (tmp_path / "copied_pair.py").write_text(Path(__file__).with_name("tiny_pair.py").read_text() + "\nCHANGED = 1\n")
    monkeypatch.syspath_prepend(tmp_path)
    changed = TorchJSCC("copied_pair.Encoder", "tiny_pair.Decoder", checkpoint, device="cpu")
    assert changed.recipe()["weights"] != first["weights"]


@pytest.mark.parametrize("layout", ["halves", "interleaved", "last_axis", "complex"])
def test_layouts_are_inverse(layout):
    x = torch.randn(4, 3, 2, generator=torch.Generator().manual_seed(0))
    x = torch.complex(x, x.flip(0)) if layout == "complex" else x
    symbols = symbols_of(x, layout)
    assert torch.equal(values_of(symbols, x.shape, layout), x)
    if layout == "halves":
        assert torch.equal(symbols.real, x.flatten()[:12])
    if layout in ("interleaved", "last_axis"):
        assert torch.equal(symbols.imag, x.flatten()[1::2])


def test_from_yaml(tmp_path, checkpoint):
    (tmp_path / "experiment.yaml").write_text(f"""
transceivers:
  mine:
    class_path: TorchJSCC
    init_args:
      encoder: tiny_pair.Encoder
      decoder: tiny_pair.Decoder
      checkpoint: {checkpoint}
      decoder_args: {{layout: map}}
      signal_power: null
channels: {{awgn: AWGN}}
sweep: {{channel.snr_db: [15, 25]}}
metrics: [PSNR]
images: {{limit: 1, size: 32}}
""")
    table = run(tmp_path / "experiment.yaml", tmp_path / "run").table.set_index("snr_db")
    assert table["PSNR"][25] - table["PSNR"][15] == pytest.approx(10, abs=1)  # the noise of the pixels
    assert re.fullmatch(r"1\.0\d*", f"{table['symbol_power'][15]:.4f}")
