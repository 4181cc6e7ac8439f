"""The networks: layers that add up, slices that stand alone, the published DeepJSCC."""

from itertools import pairwise

import pytest
import torch
from tiny_codecs import TINY, USES, smooth_images, tiny_deepjscc, tiny_lsci
from torch import nn
from torch.nn import functional as F

from semcomm import QAM
from semcomm.errors import ConfigurationError
from semcomm.jscc import constellation as grids
from semcomm.jscc.deepjscc import DeepJSCCNetwork
from semcomm.jscc.lsci import LSCINetwork

SNR = torch.tensor([3.0, 12.0])


def whole(layers: int, height: int = 3, width: int = 2, count: int = 2) -> torch.Tensor:
    return torch.full((count, height, width), layers, dtype=torch.uint8)


@pytest.fixture(scope="module")
def images() -> torch.Tensor:
    return smooth_images(2, 48, 32)


def test_rates_are_those_of_the_issue():
    with torch.device("meta"):
        network = LSCINetwork()
    cbr = [uses / (3 * network.stride**2) for uses in network.uses]
    assert cbr == pytest.approx([1 / 384, 1 / 192, 1 / 96, 1 / 48, 1 / 24, 1 / 12, 1 / 6, 1 / 4, 1 / 3])
    assert [4 * uses / network.stride**2 for uses in network.uses][::8] == [4 * 3 / 384, 4.0]  # bpp on 16QAM
    assert tiny_lsci().uses == USES


@pytest.mark.parametrize("constellation", ["16qam", "analog"])
def test_a_layers_symbols_do_not_depend_on_those_after_it(images, constellation):
    network = tiny_lsci(constellation)
    every, gains = network.encode(images, SNR, whole(4))
    shapes = [(4, 3, 2), (4, 3, 2), (4, 6, 4), (2, 12, 8)]
    assert [tuple(symbols.shape[1:]) for symbols in every] == shapes
    for layers in (1, 2, 3):
        fewer, their_gains = network.encode(images, SNR, whole(layers))
        assert len(fewer) == layers
        assert torch.equal(their_gains, gains[:, :layers])
        assert all(torch.equal(a, b) for a, b in zip(fewer, every))


@pytest.mark.parametrize("held", [1, 2, 3, 4])
def test_the_first_slices_alone_decode_as_the_whole_does(images, held):
    whole_network = tiny_lsci()
    tensors = whole_network.state_dict()
    network = LSCINetwork(**TINY, held=held).eval()
    wanted = {name: tensors[name] for name in network.state_dict()}
    missing = {name for name in tensors if name not in wanted}
    assert missing == {n for n in tensors if ".slices." in n and int(n.split(".")[2]) >= held}
    network.load_state_dict(wanted)
    plan = whole(4)
    plan[0, 0, 0], plan[1, 1, 1] = 1, held
    symbols, gains = whole_network.encode(images, SNR, plan)
    symbols = symbols[:held]
    with torch.no_grad():
        found = network.decode(symbols, gains, SNR, plan)
        assert torch.equal(found, whole_network.decode(symbols, gains, SNR, plan))
        assert torch.equal(found, network.decode(symbols, gains[:, :held], SNR, plan.clamp_max(held)))
        again, _ = network.encode(images, SNR, plan.clamp_max(held))
        assert all(torch.equal(a, b) for a, b in zip(again, symbols))


@pytest.mark.parametrize("part", ["analysis", "look"])
def test_a_layer_sees_what_a_receiver_of_those_before_it_will_lack(images, part):
    """A later slice's weights on that change its symbols; the prediction is what the earlier symbols carry."""
    network = tiny_lsci(layers=[[16, 2], [16, 2]], widths=[6, 8, 8])
    second = network.encoder["slices"][1]
    weight = {"analysis": second.analysis.weight[:, 3:], "look": second.look.weight}[part]
    with torch.no_grad():
        second.analysis.weight[:, 3:] = second.look.weight[:] = 0
        blind, _ = network.encode(images, SNR, whole(2))
        weight.normal_(0, 1, generator=torch.Generator().manual_seed(1))
        seeing, _ = network.encode(images, SNR, whole(2))
        assert torch.equal(seeing[0], blind[0])
        assert not torch.equal(seeing[1], blind[1])
        # a receiver to which the first layer says nothing lacks all
        network.decoder["slices"][0].synthesis.weight.zero_()
        base, cells = network.encoder["base"], F.pixel_unshuffle(images - 0.5, 16)
        condition = base.condition(SNR, grids.quantisation_error("16qam"))
        alone = second(cells, base(images, condition)[16], torch.zeros_like(cells), condition)
        expected = grids.quantise_to_constellation(alone, network.presence(whole(2), 1), "16qam")[0]
        assert torch.allclose(network.encode(images, SNR, whole(2))[0][1], expected)


def test_a_receiver_gets_the_values_whatever_their_scale(images):
    """A transmitter whose values are three times as large tells another gain, and the image is the same."""
    network = tiny_lsci("16qam")
    sent = network.encode(images, SNR, whole(1))
    for part in (network.encoder["slices"][0].analysis, network.encoder["slices"][0].head):
        part.weight.mul_(3), part.bias.mul_(3)
    scaled = network.encode(images, SNR, whole(1))
    assert torch.allclose(3 * scaled[1], sent[1], rtol=1e-5)
    again = [scaled[0], 3 * scaled[1]]
    assert torch.allclose(network.decode(*again, SNR, whole(1)), network.decode(*sent, SNR, whole(1)), atol=1e-4)


def test_predicted_values_have_no_innovation(images):
    """Values that are as the image so far lets expect change nothing; others as the noise allows."""
    piece = tiny_lsci().decoder["slices"][1]
    present, cells = torch.ones(2, 1, 3, 2), F.pixel_unshuffle(images, 16)
    for high, expected in zip((0.0, 1.0), piece.expected(cells).chunk(2, 1)):
        high = torch.full((2, 1, 1, 1), high)
        innovation, after = piece(expected, torch.ones(2, 1, 1, 1), high, present, cells)
        assert innovation.abs().max() < 1e-5 and torch.allclose(after, cells, atol=1e-5)
        changes = []
        for noise in (0.01, 1.0, 100.0):
            innovation, after = piece(expected + 1, torch.full((2, 1, 1, 1), noise), high, present, cells)
            assert torch.allclose(after - cells, piece.synthesis(innovation), atol=1e-5)
            changes.append(innovation.abs().mean().item())
        assert changes[0] > 1.5 * changes[1] > 3 * changes[2] > 0
        assert torch.equal(piece.innovation(expected + 1, high + 1, high, 0 * present, cells), 0 * innovation)


@torch.no_grad()
@pytest.mark.parametrize("constellation", ["16qam", "analog"])
def test_the_transmitter_predicts_the_image_of_a_receiver_without_noise(images, constellation):
    """What the last layer is shown is what `decode` makes of those before it, but for its finest stage."""
    network = tiny_lsci(constellation)
    plan = torch.tensor([[[1, 4], [2, 3], [4, 1]], [[4, 4], [1, 1], [2, 2]]], dtype=torch.uint8)
    shown = []
    network.encoder["slices"][3].register_forward_hook(lambda module, given, _: shown.append(given[2]))
    sent, gains = network.encode(images, SNR, plan)
    none = torch.zeros(2, 1, 1, 1)
    estimates = [
        grids.conditional_mean(x, none, constellation) / grids.wiener_gain(none, constellation) for x in sent[:3]
    ]
    for weights in network.decoder["base"].to_rgb["4"].parameters():
        weights.zero_()
    made = network.decode(estimates, gains, grids.snr_of_estimates(SNR, constellation), plan)
    assert torch.allclose(F.pixel_unshuffle(made - 0.5, 4), shown[0], atol=1e-4)


@torch.no_grad()
@pytest.mark.parametrize(("stride", "same"), [("16", [True, True, False, False]), ("8", [True, True, True, False])])
def test_what_a_receivers_network_makes_of_coarser_layers_changes_what_finer_ones_send(images, stride, same):
    network = tiny_lsci()
    before, _ = network.encode(images, SNR, whole(4))
    network.decoder["base"].to_rgb[stride].weight.normal_(0, 0.1, generator=torch.Generator().manual_seed(1))
    after, _ = network.encode(images, SNR, whole(4))
    assert [torch.equal(a, b) for a, b in zip(after, before)] == same


def test_every_weight_has_a_part_in_the_loss(images):
    network = tiny_lsci().requires_grad_()
    sent, gains = network.encode(images, SNR, whole(4))
    (network.decode(sent, gains, SNR, whole(4)) - images).square().mean().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad.isfinite().all() and parameter.grad.abs().sum() > 0, name


@pytest.mark.parametrize("constellation", ["analog", "16qam"])
def test_the_steps_for_a_low_and_a_high_snr_are_blended_between_them(constellation):
    network = tiny_lsci(constellation)
    estimates_db = grids.snr_of_estimates(torch.tensor([-2.0, 2.0, 6.0, 12.0, 20.0]), constellation)
    high = network.high(estimates_db).flatten().tolist()
    assert high[:2] == pytest.approx([0, 0], abs=1e-6) and high[3:] == pytest.approx([1, 1], abs=1e-6)
    assert 0.3 < high[2] < 0.8


def test_every_layer_and_the_snr_change_what_is_decoded(images):
    network = tiny_lsci("analog")
    symbols, gains = network.encode(images, SNR, whole(4))
    found = [network.decode(symbols[:n], gains, SNR, whole(n)) for n in (1, 2, 3, 4)]
    assert all(image.shape == images.shape for image in found)
    assert all((a - b).abs().mean() > 1e-3 for a, b in pairwise(found))
    assert (network.decode(symbols, gains, SNR + 5, whole(4)) - found[3]).abs().max() > 1e-4
    assert not torch.equal(network.encode(images, SNR + 5, whole(1))[0][0], symbols[0])


def test_an_snr_beyond_the_range_is_taken_for_its_end(images):
    network = tiny_lsci("analog")
    for beyond, end in ((torch.inf, 20.0), (35.0, 20.0), (-9.0, -2.0)):
        beyond, end = torch.full((2,), beyond), torch.full((2,), end)
        symbols, gains = network.encode(images, beyond, whole(2))
        assert torch.equal(symbols[1], network.encode(images, end, whole(2))[0][1])
        found = network.decode(symbols, gains, beyond, whole(2))
        assert found.isfinite().all()
        condition, rounding = network.decoder["base"].condition, grids.quantisation_error("analog")
        assert torch.equal(condition(beyond.clamp(-2, 20), rounding), condition(end, rounding))


def test_what_arrives_where_a_layer_is_absent_is_not_looked_at(images):
    network = tiny_lsci()
    plan = torch.tensor([[[1, 4], [2, 3], [4, 1]], [[4, 4], [1, 1], [2, 2]]], dtype=torch.uint8)
    symbols, gains = network.encode(images, SNR, plan)
    rubbish = []
    for index, layer in enumerate(symbols):
        present = network.presence(plan, index)
        by_hand = (plan > index).float().repeat_interleave(layer.shape[2] // 3, 1)
        assert torch.equal(present[:, 0], by_hand.repeat_interleave(layer.shape[3] // 2, 2))
        assert (layer * (1 - present) == 0).all()
        assert (layer.abs().sum(1, keepdim=True) > 0).eq(present > 0).all()
        rubbish.append(layer + 9 * (1 - present))
    assert torch.equal(network.decode(rubbish, gains, SNR, plan), network.decode(symbols, gains, SNR, plan))


def test_an_image_with_fewer_layers_is_not_changed_by_others_in_its_batch(images):
    network = tiny_lsci("analog")
    plan = whole(4)
    plan[1] = 2
    symbols, gains = network.encode(images, SNR, plan)
    together = network.decode(symbols, gains, SNR, plan)
    alone = network.decode([grid[1:] for grid in symbols[:2]], gains[1:], SNR[1:], plan[1:])
    assert torch.allclose(together[1:], alone, atol=1e-5)


def test_deepjscc_is_the_published_network():
    network = DeepJSCCNetwork(8)
    encoder = [layer for layer in network.encoder if isinstance(layer, nn.Conv2d)]
    decoder = [layer for layer in network.decoder if isinstance(layer, nn.ConvTranspose2d)]
    assert [layer.out_channels for layer in encoder] == [16, 32, 32, 32, 16]
    assert [layer.out_channels for layer in decoder] == [32, 32, 32, 16, 3]
    assert [layer.stride[0] for layer in encoder] == [2, 2, 1, 1, 1]
    assert [layer.stride[0] for layer in decoder] == [1, 1, 1, 2, 2]
    assert {layer.kernel_size for layer in (*encoder, *decoder)} == {(5, 5)}
    assert isinstance(network.decoder[-1], nn.Sigmoid)
    # 25 weights for each pair of channels, a bias and a slope of the PReLU for each channel that comes out
    widths = [3, 16, 32, 32, 32, 16]
    one_way = sum(25 * a * b + 2 * b for a, b in pairwise(widths))
    back = [16, 32, 32, 32, 16, 3]
    other_way = sum(25 * a * b + 2 * b for a, b in pairwise(back)) - 3  # the sigmoid has no slopes
    assert sum(p.numel() for p in network.parameters()) == one_way + other_way


def test_deepjscc_sends_analog_symbols_of_power_1_whatever_the_snr():
    images = smooth_images(2, 48, 32)
    network = tiny_deepjscc(4)
    (symbols,), gains = network.encode(images, SNR, whole(1, 12, 8))
    assert gains.shape == (2, 0)
    assert symbols.shape == (2, 8, 12, 8)
    assert (2 * (symbols**2).mean((1, 2, 3))).tolist() == pytest.approx([1, 1], abs=1e-5)
    assert torch.equal(network.encode(images, SNR + 9, whole(1, 12, 8))[0][0], symbols)
    found = network.decode([symbols], gains, SNR, whole(1, 12, 8))
    assert found.shape == images.shape
    assert network.uses == [4]
    with pytest.raises(ConfigurationError, match="symbols is 0"):
        DeepJSCCNetwork(0)


@pytest.mark.parametrize("constellation", ["qpsk", "16qam", "64qam"])
def test_a_single_layer_on_a_constellation_is_deepjscc_q(images, constellation):
    network = tiny_lsci(
        constellation, layers=[[4, 8]], widths=[8], encoder_blocks=[1], decoder_blocks=[1]
    ).requires_grad_()
    assert (network.stride, network.uses, network.held) == (4, [8], 1)  # CBR 1/6
    symbols, gains = network.encode(images, SNR, whole(1, 12, 8))
    axis = QAM(constellation).points.real.unique()
    assert torch.isin(symbols[0], axis).all()
    loss = (network.decode(symbols, gains, SNR, whole(1, 12, 8)) - images).square().mean()
    loss.backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.abs().sum() > 0, name


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"layers": [[8, 2], [16, 2]]}, r"never grow; these are \[8, 16\]"),
        ({"layers": [[32, 2]]}, r"16, 8 or 4 .* \[32\]"),
        ({"layers": []}, "strides of layers"),
        ({"layers": [[16, 0]]}, "at least 1"),
        ({"layers": [[16, 2, 1]]}, "a layer is a stride and a number"),
        ({"widths": [8, 8]}, r"need 3 numbers each, for strides \[4, 8, 16\]"),
        ({"held": 0}, "4 layers cannot hold 0 slices"),
        ({"held": 5}, "4 layers cannot hold 5 slices"),
    ],
)
def test_networks_that_make_no_sense(changes, message):
    with pytest.raises(ConfigurationError, match=message):
        tiny_lsci(**changes)
