"""Checkpoints by name, file and folder; what is wrong with one is said in one sentence."""

import json
import os
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_codecs import saved, smooth_images, tiny_deepjscc, tiny_lsci

from semcomm.errors import ConfigurationError, ModelError
from semcomm.jscc import checks, loading
from semcomm.jscc.codec import Codec
from semcomm.jscc.loading import hash_of, load_codec, path_of, shipped, slice_bits
from semcomm.models.files import read_weights
from semcomm.models.generator import files as generator_files

SNR = torch.tensor([10.0])


@pytest.fixture
def file(tmp_path):
    return saved(tmp_path / "codec.safetensors", tiny_lsci())


def altered(path, change):
    """Change a codec's tensors and card, in place."""
    tensors, card = load_file(path), read_weights(path, "codec").card
    change(tensors, card)
    save_file(tensors, path, {"card": json.dumps(card)})
    return path


def test_what_is_read_is_what_was_written(file):
    codec = load_codec(file)
    network = tiny_lsci().half().float()
    images = smooth_images(2, 48, 64)
    plan = codec.plan(images, 10**6, "adaptive")
    snr_db = torch.tensor([1.0, 12.0])
    (symbols, gains), (others, their_gains) = (c.send(images, snr_db, plan) for c in (codec, Codec(network)))
    assert all(torch.equal(one, other) for one, other in zip(symbols, others, strict=True))
    assert torch.equal(gains, their_gains)
    assert codec.card["snr_db"] == [-2, 20]
    assert codec.hash == hash_of(file)
    assert len(codec.hash) == 64


def test_a_name_a_file_and_a_trainings_folder(file, tmp_path, monkeypatch):
    monkeypatch.setattr(loading, "WEIGHTS", tmp_path)
    assert shipped() == ["codec"]
    assert path_of("codec") == file
    assert path_of(str(file)) == file
    (tmp_path / "run").mkdir()
    exported = saved(tmp_path / "run" / "mine.safetensors", tiny_deepjscc())
    for step in (10, 20):  # of a training
        shutil.copy(file, tmp_path / "run" / f"checkpoint-{step:08d}.safetensors")
    assert path_of(tmp_path / "run") == exported
    assert load_codec(tmp_path / "run").network.uses == [4]
    exported.unlink()
    with pytest.raises(ModelError, match=r"run: holds 0 codecs; .*--export writes one"):
        path_of(tmp_path / "run")
    with pytest.raises(ModelError, match=r"nowhere: there is no such file, and no such codec comes .*\(codec\)"):
        load_codec("nowhere")


def test_only_the_slices_that_are_held_are_read(file):
    images = smooth_images(1, 32, 48)
    every = load_codec(file)
    plan = every.plan(images, 10**6)
    sent = every.send(images, SNR, plan)
    for held in (1, 2, 3):
        codec = load_codec(file, held=held)
        assert codec.network.held == held
        assert not [name for name in codec.network.state_dict() if f".slices.{held}." in name]
        few = torch.full_like(plan, held)
        expected = every.receive(*every.send(images, SNR, few), SNR, few, 32, 48)
        assert torch.equal(codec.receive(*sent, SNR, plan, 32, 48), expected)
    # what the others hold may be missing or broken
    altered(file, lambda tensors, card: [tensors.pop(name) for name in list(tensors) if ".slices.2" in name])
    altered(file, lambda tensors, card: tensors["decoder.slices.3.join.bias"].fill_(torch.nan))
    assert load_codec(file, held=2).network.held == 2
    with pytest.raises(ModelError, match=r"do not fit the network it names.*encoder\.slices\.2"):
        load_codec(file, held=3)


def test_more_slices_than_there_are(file, tmp_path):
    for held in (0, 5):
        with pytest.raises(ConfigurationError, match=f"4 layers cannot hold {held} slices"):
            load_codec(file, held=held)
    other = saved(tmp_path / "deepjscc.safetensors", tiny_deepjscc())
    assert load_codec(other, held=1).network.held == 1
    with pytest.raises(ConfigurationError, match="DeepJSCCNetwork has 1 slices that load together, not 2"):
        load_codec(other, held=2)


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data[: len(data) // 2],
        lambda data: b"\xff" * 40 + data[40:],
        lambda data: b"",
        lambda data: data.replace(b'\\"class_path\\"', b'\\"glass_path\\"'),
        lambda data: data.replace(b"LSCINetwork", b"LSCINetwerk"),
        lambda data: data.replace(b'"card"', b'"bard"'),
    ],
)
def test_a_damaged_file(file, damage):
    data = file.read_bytes()
    assert damage(data) != data
    file.write_bytes(damage(data))
    with pytest.raises(ModelError, match=r"codec\.safetensors: is damaged or holds no learned codec"):
        load_codec(file)


def test_weights_of_another_kind(file, tmp_path):
    with pytest.raises(ModelError, match=r"generator_autoencoder\.safetensors: is damaged or holds no learned codec"):
        load_codec(generator_files.WEIGHTS / "generator_autoencoder.safetensors")
    altered(file, lambda tensors, card: card["network"].update(widths=[6, 8, 10]))
    with pytest.raises(ModelError, match="its weights do not fit the network it names"):
        load_codec(file)
    altered(file, lambda tensors, card: card["network"].update(colours=3))
    with pytest.raises(ModelError, match="its weights do not fit the network it names"):
        load_codec(file)
    save_file(
        {"weight": torch.zeros(3)},
        file,
        {"card": json.dumps({"class_path": "semcomm.jscc.lsci.LSCINetwork", "network": {}})},
    )
    for held in (None, 1):
        with pytest.raises(ModelError, match=r"do not fit|holds no learned codec"):
            load_codec(file, held=held)
    (tmp_path / "folder.safetensors").mkdir()
    (tmp_path / "folder.safetensors" / "inner.safetensors").mkdir()
    with pytest.raises(ModelError, match=r"inner\.safetensors: .*cannot be read \(Is a directory\)"):
        load_codec(tmp_path / "folder.safetensors")


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_weights_that_are_not_finite(file, value):
    altered(file, lambda tensors, card: tensors["encoder.base.steps.4.1.weight"][0].fill_(value))
    with pytest.raises(ModelError, match="holds weights that are not finite numbers"):
        load_codec(file)


def test_a_codec_is_read_once_and_again_when_its_file_changes(file):
    first, before = load_codec(file), hash_of(file)
    assert load_codec(file) is first
    assert load_codec(file, held=1) is not first
    saved(file, tiny_lsci(seed=1))
    os.utime(file, ns=(1, 1))
    second = load_codec(file)
    assert second is not first
    assert hash_of(file) == second.hash != before


def test_bits_of_slices_are_those_of_the_decoders_weights_in_the_file(file, tmp_path):
    network = load_codec(file).network
    sizes = {name: 16 * tensor.numel() for name, tensor in load_file(file).items()}
    for layers in (1, 2, 4):
        parts = ("decoder.base", *(f"decoder.slices.{index}." for index in range(layers)))
        expected = sum(bits for name, bits in sizes.items() if name.startswith(parts))
        assert slice_bits(network, layers) == expected
        assert slice_bits(network, layers, bits_per_weight=32) == 2 * expected
    other = saved(tmp_path / "deepjscc.safetensors", tiny_deepjscc())
    decoder = sum(t.numel() for name, t in load_file(other).items() if name.startswith("decoder"))
    assert slice_bits(load_codec(other).network, 1) == 16 * decoder


def test_settings_of_checks_fit_the_codec():
    found = checks.settings_of(Codec(tiny_lsci()))
    assert found["PSNR at 10 dB, CBR 1/384"] == (1, 10, "uniform")
    assert found["PSNR at 0 dB, CBR 1/64"] == (3, 0, "uniform")
    assert not [setting for setting in found.values() if setting[0] > 4]
    assert list(checks.settings_of(Codec(tiny_deepjscc(8)))) == [
        f"PSNR at {snr_db} dB, CBR 1/6" for snr_db in (0, 10, 20)
    ]


def test_a_figure_is_the_mean_psnr_of_what_a_link_shows(file):
    """By way of the transceiver, which shares no line with it after the codec."""
    from semcomm import AWGN, LSCI, PSNR, seeds_of

    images = [smooth_images(1, 48, 64, seed) for seed in (1, 2)]
    link = LSCI(str(file), layers=3, allocation="adaptive")
    found = [PSNR()(image, link.transmit(image, AWGN(4), seeds_of(image)).images).item() for image in images]
    assert checks.figure(load_codec(file), images, 3, 4.0, "adaptive") == pytest.approx(sum(found) / 2, abs=1e-3)


def _some_checks() -> list:
    """Two figures of each card that comes with semcomm; one that says so while there is none."""
    found = []
    for name in shipped():
        card = load_codec(name).card
        found += [pytest.param(name, figure, id=f"{name}: {figure}") for figure in spread(list(card["checks"]))]
    reason = "no learned codec comes with semcomm yet: there is no file in semcomm/jscc/weights"
    return found or [pytest.param("", "", marks=pytest.mark.skip(reason=reason))]


def spread(names: list[str]) -> list[str]:
    """Return two of them, a low rate and a high one."""
    return names[:1] + names[-1:] if len(names) > 1 else names


@pytest.mark.parametrize(("name", "figure"), _some_checks())
def test_the_cards_figures_are_found_again(name, figure):
    from semcomm.images import ImageSet

    codec = load_codec(name)
    setting = checks.settings_of(codec)[figure]
    photographs = [image[None] for _, image in ImageSet("builtin")]
    assert checks.figure(codec, photographs, *setting) == pytest.approx(codec.card["checks"][figure], abs=0.05)


def test_the_codecs_that_come_with_semcomm_are_8_mb_together():
    assert sum(path.stat().st_size for path in loading.WEIGHTS.glob("*.safetensors")) <= 8_000_000
