"""Peers' checkpoints: equal to vectors of the authors' code, and honest about what their evaluations do not count."""

import json
import os
import zlib
from pathlib import Path
from statistics import mean

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from semcomm import AWGN, PSNR, WITT, DeepJSCC, ImageSet, Noiseless, Rayleigh, SwinJSCC, seeds_of
from semcomm.channels import ChannelOutput, noise_variance
from semcomm.errors import ConfigurationError, ModelError
from semcomm.images import quantise
from semcomm.jscc.deepjscc_pytorch import converted
from semcomm.jscc.swin import SwinNetwork, legacy_order
from semcomm.jscc.swin_loading import load_swin, options_of

HERE = Path(__file__).parent / "golden"
ROOT = Path(__file__).resolve().parents[2]
MORE = Path(os.environ.get("SEMCOMM_GOLDEN", ROOT.parent / "shared" / "reference" / "golden"))
VARIANTS = {"wo": "w/o", "sa": "SA", "ra": "RA", "sara": "SA&RA", "witt": "SA", "witt_wo": "w/o"}


def golden(name: str) -> tuple[dict[str, Tensor], dict]:
    """Return a file's tensors and its facts; skip where it is not there."""
    path = next((folder / name for folder in (HERE, MORE) if (folder / name).is_file()), None)
    if path is None:
        pytest.skip(f"no {name}: name the folder of golden vectors in SEMCOMM_GOLDEN")
    with safe_open(path, "pt") as file:
        facts = file.metadata().get("json")
        return {key: file.get_tensor(key) for key in file.keys()}, json.loads(facts) if facts else {}  # noqa: SIM118


def state_of(tensors: dict[str, Tensor], absent: list[str] = ()) -> dict[str, Tensor]:
    """Return the state dict as the authors' code would have saved it."""
    state = {key.removeprefix("state/"): value.float() for key, value in tensors.items() if key.startswith("state/")}
    return {key: value for key, value in state.items() if not key.startswith(tuple(absent))} if absent else state


@pytest.fixture
def cifar(tmp_path) -> tuple[str, dict, dict]:
    """A checkpoint file of SwinJSCC w/ SA&RA for small images, its vectors and facts."""
    tensors, facts = golden("swinjscc_tiny_cifar.safetensors")
    torch.save(state_of(tensors), tmp_path / "sara.model")
    return str(tmp_path / "sara.model"), tensors, facts["models"]["sara"]


@pytest.mark.parametrize("file", ["swinjscc_tiny_cifar", "swinjscc_tiny", "witt_tiny"])
def test_the_networks_are_those_of_the_authors(file, tmp_path):
    tensors, facts = golden(f"{file}.safetensors")
    for name, model in facts["models"].items():
        torch.save(state_of(tensors, model["state_keys_absent"]), tmp_path / f"{name}.model")
        network = load_swin(tmp_path / f"{name}.model", VARIANTS[name], trust_pickle=True)
        for case, said in model["cases"].items():
            of = {key.split("/")[2]: value for key, value in tensors.items() if key.startswith(f"{name}/{case}/")}
            images = of["image_u8"].float() / 255
            snr_db = torch.full((len(images),), float(said["snr_db"]))
            features, mask = network.encode(images, snr_db, said["rate"] if network.rate_adaptive else None)
            assert (features.flatten(1, 2) - of["features"]).abs().max() < 1e-5, (name, case)
            assert mask is None or torch.equal(mask, of["mask"])
            found = network.decode(of["decoder_input"].view_as(features), snr_db)
            expected = of.get("decoder_output", of.get("decoder_output_rows0::2_cols1::2"))
            found = found if "decoder_output" in of else found[:, :, 0::2, 1::2]
            assert (found - expected).abs().max() < 1e-3, (name, case)


@pytest.mark.parametrize(
    ("name", "case"), [("wo", "wide"), ("sa", "awgn"), ("ra", "awgn_rate4"), ("sara", "awgn_rate8")]
)
def test_the_transceiver_sends_and_receives_as_the_authors_for_one_image(tmp_path, name, case):
    tensors, facts = golden("swinjscc_tiny.safetensors")
    model = facts["models"][name]
    said = model["cases"][case]
    torch.save(state_of(tensors, model["state_keys_absent"]), tmp_path / "it.model")
    rate = said["rate"] if "RA" in VARIANTS[name] else None
    link = SwinJSCC(str(tmp_path / "it.model"), VARIANTS[name], rate, trust_pickle=True, device="cpu")
    of = {key.split("/")[2]: value for key, value in tensors.items() if key.startswith(f"{name}/{case}/")}
    images = of["image_u8"].float() / 255
    snr_db = torch.tensor([float(said["snr_db"])])
    signal = link.send(images, snr_db, [])
    theirs, received = (torch.complex(of[f"{kind}_re"], of[f"{kind}_im"]) for kind in ("symbols", "received"))
    if rate:  # they send zeros in the places of the other features
        mask = of["mask"][0] > 0
        theirs, received = (x.view(-1, len(mask))[:, mask].flatten() for x in (theirs, received))
    assert (signal.symbols[0] - theirs).abs().max() < 1e-5
    assert signal.ledger.cbr.item() == pytest.approx(said["cbr"])
    assert signal.ledger.side_bits.item() == 64 + (16 if rate else 0)
    found, info = link.receive(ChannelOutput([received], None, noise_variance(snr_db)), signal.control, [])
    found, expected = found[:, :, 0::2, 1::2], of.get("decoder_output_rows0::2_cols1::2")
    expected = of["decoder_output"][:, :, 0::2, 1::2] if expected is None else expected
    assert (found - expected.clamp(0, 1)).abs().max() < 1e-3
    assert info["receiver_snr_db"].tolist() == pytest.approx([said["snr_db"]], abs=1e-3)


def recipe_weights(name: str, shape: list[int]) -> Tensor:
    """Return the test weights of the golden vectors, which are not stored in the published sizes."""
    z = np.random.RandomState(zlib.crc32(name.encode())).standard_normal(shape)
    if name.endswith("relative_position_bias_table"):
        z *= 0.5
    elif name.endswith(".bias"):
        z *= 0.1
    elif len(shape) == 1:
        z = 1 + 0.1 * z
    elif ".fc.0." in name:
        z *= 0.1
    elif len(shape) == 2:
        z *= (2 if ".sm_list" in name else 1) / shape[1] ** 0.5
    else:
        z /= (shape[1] * shape[2] * shape[3]) ** 0.5
    return torch.from_numpy(z.astype(np.float16)).float()


@pytest.mark.parametrize("name", ["swinjscc_base_sara"])
def test_the_published_sizes(name):
    """The other variants of these sizes were compared once, with the same code."""
    published(name)


def published(name: str) -> None:
    tensors, facts = golden("swinjscc_base.safetensors")
    said = facts["models"][name]
    kwargs, sara = said["encoder_kwargs"], said["model"].endswith("RA")
    stages = range(len(kwargs["embed_dims"]))
    with torch.device("meta"):
        network = SwinNetwork(
            kwargs["embed_dims"],
            kwargs["depths"],
            kwargs["num_heads"],
            [kwargs["window_size"]] * len(stages),
            [True] * len(stages),
            snr_adaptive="SA" in said["model"].replace("w/o_SAandRA", ""),
            rate_adaptive="RA" in said["model"].replace("w/o_SAandRA", ""),
            channels=kwargs["C"],
        )
    shapes = {key: list(value.shape) for key, value in network.state_dict().items()}
    network.load_state_dict({key: recipe_weights(key, shape) for key, shape in shapes.items()}, assign=True)
    network = network.eval().requires_grad_(False)
    images = tensors["image_u8"][:, :, : said["height"], : said["width"]].float() / 255
    snr_db = torch.tensor([float(said["snr_db"])])
    features, mask = network.encode(images, snr_db, said["rate"] if sara else None)
    sent = features.flatten(1, 2) if mask is None else features.flatten(1, 2)[..., mask[0] > 0]
    assert mask is None or torch.equal(mask, tensors[f"{name}/mask"])
    assert (sent - tensors[f"{name}/features"]).abs().max() < 1e-5
    power = sent.square().mean()
    half = features.numel() // 2
    random = np.random.RandomState(77)
    noise = [torch.from_numpy(random.standard_normal(half).astype(np.float32)) for _ in range(2)]
    received = torch.cat(noise).view_as(features) * said["sigma"] + features / (2 * power).sqrt()
    received = received * (2 * power).sqrt() * (1 if mask is None else mask)
    found = network.decode(received, snr_db)[:, :, ::4, ::4]
    assert (found - tensors[f"{name}/decoder_output_every4"]).abs().max() < 1e-3


def test_what_is_sent_is_counted_and_comes_back_without_noise(cifar):
    path, _, facts = cifar
    images = torch.stack([image for _, image in ImageSet(limit=2, size=40, crop=36)])[..., :34]
    link = SwinJSCC(path, rate=5, trust_pickle=True, device="cpu")
    reception = link.transmit(images, Noiseless(), seeds_of(images))
    assert reception.ledger.channel_uses.tolist() == [10 * 10 * 5 / 2] * 2  # 36x34 pixels are sent as 40x40
    assert reception.ledger.side_bits.tolist() == [64 + facts["encoder_kwargs"]["embed_dims"][-1]] * 2
    assert reception.ledger.source_bits.isnan().all()
    assert reception.info["symbol_power"] == pytest.approx([1.0] * 2, abs=1e-5)
    network = link.network()
    padded = torch.nn.functional.pad(images, (0, 6, 0, 4), mode="replicate")
    high = torch.full((2,), 60.0)
    features, _ = network.encode(padded, high, 5)
    seen = torch.tensor(reception.info["receiver_snr_db"])
    expected = quantise(network.decode(features, seen)[..., :36, :34].clamp(0, 1))
    assert (reception.images - expected).abs().max() <= 1.01 / 255
    alone = link.transmit(images[1:], Noiseless(), seeds_of(images[1:]))
    assert torch.equal(alone.images, reception.images[1:])  # power is that of an image, not of a batch
    noisy = [link.transmit(images, AWGN(snr_db), seeds_of(images)).images for snr_db in (0, 40)]
    errors = [(x - reception.images).square().mean() for x in noisy]
    assert errors[0] > errors[1] > 0
    assert link.transmit(images, Rayleigh(10.0), seeds_of(images)).images.isfinite().all()


def test_arguments_are_inferred_from_names_and_shapes(cifar):
    _, tensors, facts = cifar
    said = facts["encoder_kwargs"]
    options = options_of(state_of(tensors))
    assert (options["widths"], options["depths"]) == (said["embed_dims"], said["depths"])
    assert (options["heads"], options["windows"], options["shifts"]) == (said["num_heads"], [2, 2], [True, True])
    assert options["snr_adaptive"] and options["rate_adaptive"]


def test_what_a_file_cannot_tell_is_asked_for(cifar, tmp_path):
    path, tensors, _ = cifar
    state = state_of(tensors)

    def load(state: dict, **options) -> SwinNetwork:
        save_file({key: value.contiguous() for key, value in state.items()}, tmp_path / "it.safetensors")
        return load_swin(tmp_path / "it.safetensors", **options)

    masks = {key: value for key, value in state.items() if not key.endswith("attn_mask")}
    with pytest.raises(ConfigurationError, match=r"it\.safetensors: holds no attention masks.*constructed_at=256"):
        load(masks)
    assert [stage.blocks[1].shift for stage in load(masks, constructed_at=32).encoder.layers] == [1, 1]
    assert [stage.blocks[1].shift for stage in load(masks, constructed_at=8).encoder.layers] == [1, 0]
    assert load(state).rate_adaptive
    with pytest.raises(ConfigurationError, match="is a checkpoint of the variant SA&RA, not SA"):
        load(state, variant="SA")
    either = {key: value for key, value in state.items() if "list1" not in key}
    with pytest.raises(ConfigurationError, match=r"say variant='SA' .also for WITT. or variant='w/o'"):
        load(either)
    assert load(either, variant="SA").snr_adaptive and not load(either, variant="w/o").snr_adaptive
    assert WITT(str(tmp_path / "it.safetensors"), device="cpu").network().snr_adaptive
    only_rate = {key: value for key, value in either.items() if not key.startswith("decoder.bm_list")}
    assert load(only_rate).rate_adaptive and not load(only_rate).snr_adaptive
    images = torch.rand(1, 3, 32, 32)
    for link, said in (
        (SwinJSCC(path, trust_pickle=True), "is rate-adaptive: set rate"),
        (SwinJSCC(path, rate=13, trust_pickle=True), "rate is 13; .* has 12 features"),
        (WITT(str(tmp_path / "it.safetensors"), trust_pickle=True, variant="RA"), "is rate-adaptive"),
    ):
        with pytest.raises(ConfigurationError, match=said):
            link.transmit(images, AWGN(10), seeds_of(images))


def test_damaged_and_other_files(cifar, tmp_path):
    path, tensors, _ = cifar
    state = state_of(tensors)
    with pytest.raises(ModelError, match="a pickle can run code"):
        SwinJSCC(path, rate=4).network()
    with pytest.raises(ModelError, match="no such checkpoint"):
        SwinJSCC(str(tmp_path / "none.model"), rate=4).network()
    for change, said in (
        (lambda state: state.pop("decoder.layers.0.upsample.increment.weight"), "1 missing .decoder.layers.0.upsample"),
        (lambda state: state.update({"encoder.norm.weight": torch.ones(5)}), "1 of another shape .encoder.norm.weight"),
        (lambda state: state.update({"encoder.colour.weight": torch.ones(5)}), "1 unknown .encoder.colour.weight"),
        (lambda state: state.clear() or state.update({"weight": torch.ones(5)}), "is no SwinJSCC or WITT"),
    ):
        changed = dict(state)
        change(changed)
        torch.save(changed, tmp_path / "changed.model")
        os.utime(tmp_path / "changed.model", ns=(len(said), len(said)))
        with pytest.raises(ModelError, match=said):
            load_swin(tmp_path / "changed.model", trust_pickle=True)


def test_the_order_of_equal_sums():
    tensors, _ = golden("legacy_sort.safetensors")
    names = {key.split("/")[0] for key in tensors}
    assert len(names) >= 8
    for name in names:
        assert torch.equal(legacy_order(tensors[f"{name}/sums"]), tensors[f"{name}/legacy_order"].long())
        stable = tensors[f"{name}/sums"].argsort(descending=True, stable=True)
        assert torch.equal(stable, tensors[f"{name}/stable_order"].long())


def test_saturated_gates_are_sent_in_the_order_that_was_asked_for(cifar):
    path, _, _ = cifar
    network = load_swin(Path(path), trust_pickle=True)
    saturated = SwinNetwork(**options_of(torch.load(path, weights_only=True))).eval().requires_grad_(False)
    saturated.load_state_dict(network.state_dict())
    saturated.encoder.sm_list[-1].bias.fill_(1e4)  # all gates are 1
    images, snr_db = torch.rand(1, 3, 32, 32), torch.tensor([10.0])
    masks = [saturated.encode(images, snr_db, 4, legacy)[1] for legacy in (False, True)]
    assert masks[0][0].nonzero().flatten().tolist() == [0, 1, 2, 3]
    assert sorted(legacy_order(torch.ones(12))[:4].tolist()) == masks[1][0].nonzero().flatten().tolist()
    assert not torch.equal(*masks)


@pytest.mark.parametrize("case", ["awgn_batch2", "single"])
def test_deep_jscc_pytorch(tmp_path, case):
    """Their symbols have twice our power, and their SNR is 3.01 dB less than Es/N0."""
    tensors, facts = golden("deepjscc_pytorch_tiny.safetensors")
    said = facts["models"]["tiny"]["cases"][case]
    torch.save(state_of(tensors), tmp_path / "epoch_999.pkl")
    link = DeepJSCC(str(tmp_path / "epoch_999.pkl"), trust_pickle=True, device="cpu")
    of = {key.split("/")[2]: value for key, value in tensors.items() if key.startswith(f"tiny/{case}/")}
    images = of["image_u8"].float() / 255
    true_db = torch.full((len(images),), said["snr_db"] + 10 * np.log10(2), dtype=torch.float32)
    signal = link.send(images, true_db, [])
    for symbols, theirs in zip(signal.symbols, of["symbols"].view(len(images), 4, *of["symbols"].shape[-2:])):
        pairs = torch.complex(*theirs.chunk(2)).permute(1, 2, 0).flatten()
        assert (symbols * 2**0.5 - pairs).abs().max() < 2e-5
    arrived = [torch.complex(*x.chunk(2)).permute(1, 2, 0).flatten() / 2**0.5 for x in of["decoder_input"]]
    found, info = link.receive(ChannelOutput(arrived, None, noise_variance(true_db)), signal.control, [])
    assert (found - of["decoder_output"]).abs().max() < 1e-5
    assert info["snr_label_db"].tolist() == pytest.approx([said["snr_db"]] * len(images), abs=1e-3)
    # their noise, of the variance that they take, is ours at 3.01 dB more
    noise = of["decoder_input"] - of["symbols"].view_as(of["decoder_input"])
    assert noise.square().mean() / 2 == pytest.approx(noise_variance(true_db)[0].item() / 2, rel=0.15)
    assert signal.ledger.cbr.tolist() == pytest.approx([2 / 48] * len(images))
    assert signal.ledger.side_bits.tolist() == [32] * len(images)


def test_other_files_of_deep_jscc_pytorch(tmp_path):
    tensors, _ = golden("deepjscc_pytorch_tiny.safetensors")
    state = state_of(tensors)
    older = {**state, "decoder.tconv4.transconv.weight": torch.ones(32, 16, 6, 6)}
    with pytest.raises(ModelError, match="older network of Deep-JSCC-PyTorch"):
        converted(older)
    torch.save({"weight": torch.ones(3)}, tmp_path / "it.pkl")
    with pytest.raises(ModelError, match="is no checkpoint of Deep-JSCC-PyTorch"):
        DeepJSCC(str(tmp_path / "it.pkl"), trust_pickle=True).codec()
    with pytest.raises(ModelError, match="a pickle can run code"):
        DeepJSCC(str(tmp_path / "it.pkl")).codec()
    save_file(state, tmp_path / "theirs.safetensors")
    assert DeepJSCC(str(tmp_path / "theirs.safetensors"), device="cpu").codec().network.uses == [2]


KODAK_AT_10_DB = {32: 29.044, 64: 31.548, 96: 33.173, 128: 34.410, 192: 36.054}
"""Mean PSNR in dB that the authors' base SA&RA checkpoint gives on Kodak over AWGN with torch up to 1.12, by rate
(semcomm/SwinJSCC, issues 13 and 14)."""


@pytest.mark.parametrize("rate", KODAK_AT_10_DB)
def test_the_published_checkpoint_on_kodak(rate, kodak):
    """For whoever has the authors' base SA&RA checkpoint: its place goes into SEMCOMM_SWINJSCC."""
    if "SEMCOMM_SWINJSCC" not in os.environ:
        pytest.skip("no checkpoint of SwinJSCC: name the file in SEMCOMM_SWINJSCC")
    link = SwinJSCC(os.environ["SEMCOMM_SWINJSCC"], rate=rate, legacy_sort=True, trust_pickle=True)
    values = []
    for _, image in ImageSet(str(kodak)):
        reception = link.transmit(image[None], AWGN(10), seeds_of(image[None]))
        values.append(PSNR()(image[None], reception.images).item())
    assert mean(values) == pytest.approx(KODAK_AT_10_DB[rate], abs=0.05)
