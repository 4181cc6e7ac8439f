"""From images to a list of symbols and back: nothing is lost, moved or mixed up between."""

import pytest
import torch
from tiny_codecs import USES, smooth_images, tiny_deepjscc, tiny_lsci

from semcomm.errors import ConfigurationError, ImageError, RateError
from semcomm.jscc.codec import Codec, gain_bytes, gains_from

SNR = torch.tensor([10.0])


def sent_and_received(codec: Codec, images: torch.Tensor, plan: torch.Tensor, snr_db: torch.Tensor) -> torch.Tensor:
    return codec.receive(*codec.send(images, snr_db, plan), snr_db, plan, *images.shape[2:])


def test_a_plan_follows_activity_as_far_as_the_snr_allows():
    codec = Codec(tiny_lsci())
    images = smooth_images(2, 64, 96)
    uses = codec.uses_of(images, 3) - 1  # a little too few for the same layers everywhere
    known = [torch.full((2,), snr_db) for snr_db in (-9.0, 4.0, 10.0, 30.0)]
    plans = [codec.plan(images, uses, "adaptive", snr_db) for snr_db in known]
    assert codec.plan(images, uses).unique().tolist() == [2]
    assert plans[0].sort().values.flatten().tolist().count(3) == 2 * 23  # of 24 blocks; one does without
    spreads = [plan.float().std().item() for plan in plans]
    assert spreads[0] < spreads[1] < spreads[2]
    assert torch.equal(plans[2], plans[3])
    assert torch.equal(plans[3], codec.plan(images, uses, "adaptive"))
    both = codec.plan(images, uses, "adaptive", torch.tensor([-9.0, 10.0]))  # each image its own
    assert torch.equal(both, torch.stack([plans[0][0], plans[2][1]]))


@pytest.mark.parametrize("constellation", ["16qam", "analog"])
@pytest.mark.parametrize("allocation", ["uniform", "adaptive"])
def test_without_noise_it_is_the_network_itself(constellation, allocation):
    network = tiny_lsci(constellation)
    codec = Codec(network)
    images, snr_db = smooth_images(3, 64, 96), torch.tensor([0.0, 10.0, 20.0])
    plan = codec.plan(images, codec.uses_of(images, 3), allocation)
    assert len(plan.unique()) == (1 if allocation == "uniform" else 4)
    with torch.no_grad():
        expected = network.decode(*network.encode(images, snr_db, plan), snr_db, plan).clamp(0, 1)
    found = sent_and_received(codec, images, plan, snr_db)
    assert torch.allclose(found, expected, atol=1e-3)  # gains are signalled with 11 bits of precision


def test_the_order_of_symbols_is_layer_by_layer_row_by_row():
    network = tiny_lsci("analog")
    codec = Codec(network)
    images, snr_db = smooth_images(2, 32, 48), torch.tensor([4.0, 9.0])
    plan = torch.tensor([[[1, 3, 4], [2, 1, 1]], [[1, 1, 1], [2, 2, 1]]], dtype=torch.uint8)
    grids, _ = network.encode(images, snr_db, plan)
    for image, found in enumerate(codec.send(images, snr_db, plan)[0]):
        expected = []
        for index, grid in enumerate(grids):
            cell, count = network.layers[index].stride, network.layers[index].symbols
            for y in range(32 // cell):
                for x in range(48 // cell):
                    if plan[image, y * cell // 16, x * cell // 16] > index:
                        values = grid[image, :, y, x]
                        expected += [complex(values[n], values[count + n]) for n in range(count)]
        assert found.dtype == torch.complex64
        assert torch.allclose(found, torch.tensor(expected, dtype=torch.complex64), atol=1e-5)
        assert len(found) == sum(USES[layers - 1] for layers in plan[image].flatten().tolist())


@pytest.mark.parametrize("network", [tiny_lsci(), tiny_deepjscc()], ids=["lsci", "deepjscc"])
@pytest.mark.parametrize(("height", "width"), [(97, 131), (16, 16), (31, 17)])
def test_any_size(network, height, width):
    codec = Codec(network)
    images = smooth_images(1, height, width)
    layers, stride = network.held, network.stride
    plan = codec.plan(images, codec.uses_of(images, layers))
    blocks = -(-height // stride) * -(-width // stride)
    assert plan.numel() == blocks
    (symbols,), gains = codec.send(images, SNR, plan)
    assert len(symbols) == codec.uses_of(images, layers) == network.uses[layers - 1] * blocks
    found = codec.receive([symbols], gains, SNR, plan, height, width)
    assert found.shape == images.shape
    assert ((found >= 0) & (found <= 1)).all()
    # the border repeated: what is shown does not depend on who repeats it
    bottom, right = -height % stride, -width % stride
    rows, columns = torch.arange(height + bottom).clamp_max(height - 1), torch.arange(width + right)
    larger = images[:, :, rows][..., columns.clamp_max(width - 1)]
    assert torch.equal(sent_and_received(codec, larger, plan, SNR)[..., :height, :width], found)


@pytest.mark.parametrize("network", [tiny_lsci("analog"), tiny_lsci("16qam"), tiny_deepjscc()])
def test_a_batch_gives_what_single_images_give(network):
    """To 1e-4 in [0, 1]; and of the symbols on a grid, no more than 1 in 500 may round to another point."""
    codec = Codec(network)
    images, snr_db = smooth_images(5, 80, 112, seed=3), torch.tensor([-2.0, 0.0, 5.0, 11.0, 20.0])
    plan = codec.plan(images, codec.uses_of(images, network.held) * 0.7 + 900, "adaptive")
    together, gains = codec.send(images, snr_db, plan)
    found = codec.receive(together, gains, snr_db, plan, 80, 112)
    for i in range(5):
        part = slice(i, i + 1)
        assert torch.equal(codec.plan(images[part], plan_uses(codec, images, network), "adaptive"), plan[part])
        (alone,), its_gains = codec.send(images[part], snr_db[part], plan[part])
        assert torch.allclose(its_gains, gains[part, : its_gains.shape[1]], rtol=2e-3)
        differing = (together[i] - alone).abs() > 1e-4
        assert differing.float().mean() <= 0.002
        single = codec.receive(together[part], gains[part], snr_db[part], plan[part], 80, 112)
        assert (single[0] - found[i]).abs().max() < 1e-4


def test_what_was_sent_last_is_kept(monkeypatch):
    network = tiny_lsci()
    codec, encodings = Codec(network), []
    encode = network.encode
    monkeypatch.setattr(network, "encode", lambda *given: encodings.append(1) or encode(*given))
    images, snr_db = smooth_images(2, 32, 48), torch.tensor([4.0, 9.0])
    plan = codec.plan(images, codec.uses_of(images, 2))

    def send(*given):
        (symbols, gains), (others, theirs) = codec.send(*given), Codec(tiny_lsci()).send(*given)
        assert all(map(torch.equal, symbols, others))
        assert torch.equal(gains, theirs)
        symbols.clear()  # the caller's own
        return len(encodings)

    assert [send(images, snr_db, plan), send(images.clone(), snr_db.clone(), plan.clone())] == [1, 1]
    assert [send(images, snr_db, plan - 1), send(images, snr_db + 1, plan), send(1 - images, snr_db, plan)] == [2, 3, 4]
    images[0] = images[1]
    assert send(images, snr_db, plan) == 5


def plan_uses(codec, images, network):
    return codec.uses_of(images, network.held) * 0.7 + 900


@pytest.mark.parametrize("share", [0.0, 0.1, 0.33, 0.7, 0.99, 1.0, 3.0])
def test_no_plan_costs_more_than_its_budget(share):
    codec = Codec(tiny_lsci())
    images = smooth_images(4, 97, 131)
    least, most = codec.uses_of(images, 1), codec.uses_of(images, 4)
    uses = int(least + share * (most - least))
    for allocation in ("uniform", "adaptive"):
        plan = codec.plan(images, uses, allocation)
        sent, _ = codec.send(images, SNR.expand(4), plan)
        assert max(map(len, sent)) <= uses
        assert plan.min() >= 1
    if 0 < share < 1:
        assert min(map(len, sent)) > 0.9 * uses  # an adaptive one makes use of it
        assert plan[..., 4:].float().mean() > plan[..., :4].float().mean()  # where there is more to see
    if share >= 1:
        assert (plan == 4).all()
    if share == 0:
        assert (plan == 1).all()


def test_a_uniform_plan_is_the_most_layers_that_fit():
    codec = Codec(tiny_lsci())
    images = smooth_images(1, 40, 40)  # 9 blocks
    for uses, layers in ((18, 1), (35, 1), (36, 2), (107.9, 2), (108, 3), (251, 3), (252, 4), (9999, 4)):
        assert codec.plan(images, uses).unique().tolist() == [layers]


def test_a_receiver_of_fewer_slices_shows_the_first_layers():
    network, images = tiny_lsci("analog"), smooth_images(2, 48, 64)
    held = tiny_lsci("analog", held=2)
    held.load_state_dict({name: network.state_dict()[name] for name in held.state_dict()})
    codec, receiver = Codec(network), Codec(held)
    snr_db = torch.tensor([5.0, 15.0])
    plan = codec.plan(images, codec.uses_of(images, 3), "adaptive")
    sent, gains = codec.send(images, snr_db, plan)
    found = receiver.receive(sent, gains, snr_db, plan, 48, 64)
    first, their_gains = codec.send(images, snr_db, plan.clamp_max(2))
    assert torch.equal(found, codec.receive(first, their_gains, snr_db, plan.clamp_max(2), 48, 64))
    assert not torch.equal(found, codec.receive(sent, gains, snr_db, plan, 48, 64))
    # they come first in each image's symbols
    assert all(torch.equal(few, many[: len(few)]) for few, many in zip(first, sent))


def test_gains_are_signalled_in_two_bytes_a_layer_to_a_part_in_a_thousand():
    gains = torch.tensor([1.0, 0.37, 2.9e-4, 8.1e5])
    data = gain_bytes(gains)
    assert len(data) == 8
    assert gains_from(data).tolist() == pytest.approx(gains.tolist(), rel=6e-3)
    assert torch.equal(gains_from(gain_bytes(gains_from(data))), gains_from(data))
    assert gain_bytes(gains[:0]) == b"" and gains_from(b"").shape == (0,)


def test_bfloat16_is_another_computation_and_nearly_the_same():
    images = smooth_images(1, 64, 64)
    network = tiny_lsci("analog")
    exact, fast = Codec(network), Codec(network, precision="bf16")
    plan = exact.plan(images, 10**6)
    one, other = (sent_and_received(codec, images, plan, SNR) for codec in (exact, fast))
    assert other.dtype == torch.float32
    assert 1e-5 < (one - other).abs().mean() < 0.02


def test_budgets_and_images_that_do_not_do():
    codec = Codec(tiny_lsci())
    images = smooth_images(1, 40, 50)
    for allocation in ("uniform", "adaptive"):
        with pytest.raises(RateError, match=r"23 channel uses for an image of 50x40 pixels are fewer than the 24 "):
            codec.plan(images, 23, allocation)
    assert codec.plan(images, 24).shape == (1, 3, 4)
    for layers in (0, 5):
        with pytest.raises(ConfigurationError, match=f"layers is {layers}; this codec has 1 to 4"):
            codec.uses_of(images, layers)
    with pytest.raises(ImageError, match=r"50x15 pixels is smaller than a block of this codec, 16x16 pixels"):
        codec.plan(images[:, :, :15], 1000)
    with pytest.raises(ImageError, match=r"3x40 pixels is smaller than a block"):
        Codec(tiny_deepjscc()).plan(images[..., :3], 1000)
