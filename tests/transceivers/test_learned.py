"""Learned transceivers beside the classical one: what they send, what it costs, and how they behave with wrong CSI."""

from itertools import pairwise

import pytest
import torch
from tiny_codecs import USES, saved, smooth_images, tiny_deepjscc, tiny_lsci

from semcomm import AWGN, LSCI, PSNR, QAM, BinarySymmetric, DeepJSCC, Noiseless, Rayleigh, run, seeds_of
from semcomm.errors import ConfigurationError, ImageError, ModelError, RateError
from semcomm.images import ImageSet, quantise
from semcomm.jscc import plans
from semcomm.jscc.codec import estimates_of
from semcomm.jscc.loading import load_codec, slice_bits


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> dict[str, str]:
    """Tiny codecs by constellation, and a DeepJSCC of CBR 1/12."""
    folder = tmp_path_factory.mktemp("codecs")
    found = {name: saved(folder / f"{name}.safetensors", tiny_lsci(name)) for name in ("16qam", "64qam", "analog")}
    found["deepjscc"] = saved(folder / "deepjscc.safetensors", tiny_deepjscc(4))
    return {name: str(path) for name, path in found.items()}


@pytest.fixture(scope="module")
def images() -> torch.Tensor:
    return smooth_images(3, 60, 72)  # 4 x 5 blocks of 16x16, after padding


@pytest.fixture(scope="module")
def seeds(images):
    return seeds_of(images)


@pytest.mark.parametrize(("constellation", "bits"), [("16qam", 4), ("64qam", 6)])
def test_ledger_agrees_with_counting_by_hand(files, images, seeds, constellation, bits):
    link = LSCI(files[constellation], layers=3, constellation=constellation)
    ledger = link.transmit(images, AWGN(10), seeds).ledger
    uses = 20 * USES[2]
    assert ledger.channel_uses.tolist() == [uses] * 3
    assert ledger.source_bits.tolist() == ledger.coded_bits.tolist() == [bits * uses] * 3
    assert ledger.bpp.tolist() == pytest.approx([bits * uses / (60 * 72)] * 3)  # of the original's pixels
    assert ledger.cbr.tolist() == pytest.approx([uses / (3 * 60 * 72)] * 3)
    assert ledger.side_bits.tolist() == [32 + 8 + 3 * 16] * 3  # a plan without surprises is one byte; gains
    assert ledger.model_bits.tolist() == [0] * 3
    assert ledger.spectral_efficiency.tolist() == [bits] * 3


def test_analog_links_have_no_bits(files, images, seeds):
    for link in (
        LSCI(files["analog"], layers=2, constellation="analog"),
        DeepJSCC(files["deepjscc"]),
        DeepJSCC(files["deepjscc"], channel_uses_per_pixel=0.25),
    ):
        reception = link.transmit(images, AWGN(10), seeds)
        assert reception.ledger.source_bits.isnan().all()
        assert reception.ledger.bpp.isnan().all()
        assert reception.info["symbol_power"] == pytest.approx([1.0] * 3, abs=1e-5)
    assert reception.ledger.cbr.tolist() == [pytest.approx(1 / 12)] * 3
    assert reception.ledger.channel_uses.tolist() == [15 * 18 * 4] * 3


def test_an_adaptive_plan_is_counted_as_side_information(files, images, seeds):
    link = LSCI(files["16qam"], channel_uses_per_pixel=0.04)
    reception = link.transmit(images, AWGN(10), seeds)
    codec = load_codec(files["16qam"])
    plan = codec.plan(images, int(0.04 * 60 * 72), "adaptive", torch.full((3,), 10.0))
    assert (reception.ledger.channel_uses <= 0.04 * 60 * 72).all()
    gains = [16 * int(one.max()) for one in plan]
    assert reception.ledger.side_bits.tolist() == [32 + 8 * len(plans.encode(p)) + g for p, g in zip(plan, gains)]
    assert len({len(plans.encode(one)) for one in plan}) > 1
    assert reception.info["mean_layers"] == pytest.approx(plan.float().mean((1, 2)).tolist())
    even = LSCI(files["16qam"], channel_uses_per_pixel=0.04, allocation="uniform").transmit(images, AWGN(10), seeds)
    assert even.ledger.side_bits.tolist() == [40 + 2 * 16] * 3
    assert even.info["mean_layers"] == [2, 2, 2]  # 172 uses: 20 blocks at 4 fit, at 12 they do not


def test_the_slices_sent_are_charged_image_by_image(files, seeds):
    """Those that an image needs, at 16 bits a weight, whatever else is in the batch."""
    images = smooth_images(2, 64, 64)
    images[1] = 0.5  # all blocks alike: two layers of 4 channel uses each
    network = load_codec(files["16qam"]).network
    link = LSCI(files["16qam"], channel_uses_per_pixel=5 / 256, model_shared_by=100)
    together = link.transmit(images, AWGN(10), seeds_of(images))
    alone = [link.transmit(image[None], AWGN(10), seeds_of(image[None])) for image in images]
    expected = [slice_bits(network, layers) / 100 for layers in (3, 2)]
    assert together.ledger.model_bits.tolist() == expected
    assert [one.ledger.model_bits.item() for one in alone] == expected
    assert together.ledger.total_bpp[1].item() == pytest.approx((16 * 4 * 4 + 40 + 2 * 16 + expected[1]) / 4096)
    few = LSCI(files["16qam"], layers=4, model_shared_by=1, receiver_slices=1).transmit(images, AWGN(10), seeds[:2])
    assert few.ledger.model_bits.tolist() == [slice_bits(network, 1)] * 2  # what a receiver does not hold was not sent


def test_error_free_symbols_make_it_a_source_codec(files, images, seeds):
    link = LSCI(files["16qam"], layers=4)
    reception = link.transmit(images, Noiseless(), seeds)
    codec = load_codec(files["16qam"])
    plan = codec.plan(images, 10**6)
    sent, gains = codec.send(images, torch.full((3,), torch.inf), plan)
    estimates, snr_db = estimates_of(Noiseless()(sent, seeds), "16qam")
    expected = codec.receive(estimates, gains, snr_db, plan, 60, 72)
    assert torch.equal(reception.images, quantise(expected))
    assert reception.ledger.bpp.tolist() == pytest.approx([4 * 20 * USES[3] / (60 * 72)] * 3)
    assert reception.info["snr_outside_training"] == [False] * 3
    # and its symbols carry the bits that are counted: through a modem and back they are the same
    points = QAM("16qam")
    for symbols in sent:
        bits = points.decide(symbols)
        assert len(bits) == 4 * len(symbols)
        assert torch.equal(points.modulate(bits), symbols)


def test_a_poorer_channel_shows_more_noise(files, images, seeds):
    for link in (LSCI(files["16qam"], layers=4), DeepJSCC(files["deepjscc"])):
        clean = link.transmit(images, Noiseless(), seeds).images
        # at 20 dB, symbols on 16QAM are read as they were sent
        distances = [
            (link.transmit(images, AWGN(snr_db), seeds).images - clean).square().mean().item() for snr_db in (14, 7, 0)
        ]
        assert 0 < distances[0] < distances[1] < distances[2]


def test_symbols_on_a_constellation_have_power_at_most_1(files, images, seeds):
    for constellation in ("16qam", "64qam"):
        for layers in (1, 4):
            link = LSCI(files[constellation], layers=layers, constellation=constellation)
            power = link.transmit(images, AWGN(10), seeds).info["symbol_power"]
            assert max(power) <= 1 + 2e-6
            assert min(power) > 0.5


def test_an_snr_outside_training_is_said(files, images, seeds):
    link = LSCI(files["16qam"], layers=1)
    for snr_db, outside in ((-2.0, False), (20.0, False), (-2.1, True), (20.1, True), (10.0, False)):
        assert link.transmit(images, AWGN(snr_db), seeds).info["snr_outside_training"] == [outside] * 3
    # with fading, what counts is what the receiver sees
    channel = Rayleigh(0.0)
    effective = channel.csi(seeds) + 10 * torch.log10(channel._power(seeds))
    assert link.transmit(images, channel, seeds).info["snr_outside_training"] == (effective < -2.01).tolist()
    faded = [link.transmit(images[:1], channel, seeds_of(images[:1], seed)) for seed in range(20)]
    assert 3 < sum(one.info["snr_outside_training"][0] for one in faded) < 17  # P(|h|² < 10^-0.2) = 0.47


def test_an_snr_that_is_csi_mismatch_or_not_at_all(files, images, seeds):
    link = LSCI(files["analog"], layers=3, constellation="analog")
    right = link.transmit(images, AWGN(10), seeds).images
    wrong = link.transmit(images, AWGN(10, csi_error_db=8), seeds).images
    assert not torch.equal(right, wrong)
    assert torch.equal(link.transmit(images, AWGN(10, csi="none"), seeds).images, right)  # 10 dB are assumed
    other = LSCI(files["analog"], layers=3, constellation="analog", assumed_snr_db=18)
    assert torch.equal(other.transmit(images, AWGN(10, csi="none"), seeds).images, wrong)
    same = DeepJSCC(files["deepjscc"])  # takes none
    assert torch.equal(*(same.transmit(images, AWGN(10, csi_error_db=e), seeds).images for e in (0, 8)))


@pytest.mark.parametrize("coherence", ["image", 50, "symbol"])
def test_over_fading(files, images, seeds, coherence):
    """What is shown is what the codec makes of MMSE estimates of the size of what was sent, at the SNR they have."""
    channel = Rayleigh(12.0, coherence=coherence)
    link = LSCI(files["analog"], layers=3, constellation="analog")
    found = link.transmit(images, channel, seeds)
    codec = load_codec(files["analog"])
    plan = codec.plan(images, 20 * USES[2])
    sent, gains = codec.send(images, torch.full((3,), 12.0), plan)
    output = channel(sent, seeds)
    n0 = 10**-1.2
    kept = [h.abs() ** 2 / (h.abs() ** 2 + n0) for h in output.gain]
    equalised = [y / h * k / k.mean() for y, h, k in zip(output.received, output.gain, kept)]
    snr_db = torch.stack([10 * torch.log10(k.mean() / (1 - k.mean())) for k in kept])
    expected = codec.receive(equalised, gains, snr_db, plan, 60, 72)
    assert (found.images - expected).abs().max() < 0.5 / 255 + 1e-3
    assert found.ledger.channel_uses.tolist() == [20 * USES[2]] * 3


def test_pilots_are_counted_and_their_error_is_part_of_the_noise(files, images, seeds):
    link = LSCI(files["16qam"], layers=3)
    known = link.transmit(images, Rayleigh(5.0, coherence=40), seeds)
    guessed = link.transmit(images, Rayleigh(5.0, coherence=40, pilots=1), seeds)
    assert guessed.ledger.pilot_uses.tolist() == [20 * USES[2] / 40] * 3
    clean = link.transmit(images, Noiseless(), seeds).images
    assert (guessed.images - clean).square().mean() > (known.images - clean).square().mean()


def test_a_receiver_with_fewer_slices(files, images, seeds):
    sent = LSCI(files["16qam"], layers=4, receiver_slices=2).transmit(images, AWGN(10), seeds)
    assert sent.ledger.channel_uses.tolist() == [20 * USES[3]] * 3  # sent they were
    short = LSCI(files["16qam"], layers=2).transmit(images, Noiseless(), seeds)
    cut = LSCI(files["16qam"], layers=4, receiver_slices=2).transmit(images, Noiseless(), seeds)
    whole = LSCI(files["16qam"], layers=4).transmit(images, Noiseless(), seeds)
    assert torch.equal(cut.images, short.images)
    assert not torch.equal(cut.images, whole.images)


def test_a_budget_beyond_all_layers_sends_all_layers(files, images, seeds):
    for allocation in ("uniform", "adaptive"):
        link = LSCI(files["16qam"], channel_uses_per_pixel=3.0, allocation=allocation)
        reception = link.transmit(images, AWGN(10), seeds)
        assert reception.info["mean_layers"] == [4, 4, 4]
        assert reception.ledger.channel_uses.tolist() == [20 * USES[3]] * 3
        assert reception.ledger.side_bits.tolist() == [40 + 4 * 16] * 3


def test_a_batch_gives_what_single_images_give(files, images, seeds):
    """Up to one step of 8 bits, by rounding; nearly all pixels are the same."""
    for link in (LSCI(files["16qam"], channel_uses_per_pixel=0.05), DeepJSCC(files["deepjscc"])):
        together = link.transmit(images, AWGN(5), seeds)
        for index in range(3):
            part = slice(index, index + 1)
            alone = link.transmit(images[part], AWGN(5), seeds[part])
            difference = (alone.images[0] - together.images[index]).abs()
            assert difference.max() <= 1 / 255 + 1e-6
            assert (difference > 0).float().mean() < 0.01
            assert alone.ledger.side_bits == together.ledger.side_bits[part]
            assert alone.ledger.channel_uses == together.ledger.channel_uses[part]


def test_the_recipe_has_the_weights_and_not_where_they_are(files, tmp_path):
    copy = saved(tmp_path / "elsewhere.safetensors", tiny_lsci("16qam"))
    here, there = LSCI(files["16qam"], layers=2), LSCI(str(copy), layers=2)
    assert here.recipe() == there.recipe()
    assert here.recipe()["weights"] == load_codec(copy).hash
    assert "checkpoint" not in here.recipe()["init_args"]
    assert "device" not in here.recipe()["init_args"]
    assert here.spec()["init_args"]["checkpoint"] == files["16qam"]
    saved(copy, tiny_lsci("16qam", seed=4))
    assert here.recipe() != there.recipe()
    assert LSCI(files["16qam"], layers=3).recipe() != here.recipe()
    assert LSCI(files["16qam"], layers=2, precision="bf16").recipe() != here.recipe()


def test_one_checkpoint_for_several_constellations(images, seeds, tmp_path):
    names = ["16qam", "qpsk", "64qam", "analog"]
    file = str(saved(tmp_path / "all.safetensors", tiny_lsci(), constellations=names))
    recipes, found = set(), []
    for name in names:
        link = LSCI(file, layers=3, constellation=name)
        signal = link.send(images, torch.full((3,), 10.0), [])
        if name != "analog":
            axis = QAM(name).points.real.unique()
            parts = torch.view_as_real(signal.symbols[0]).flatten()
            assert (parts[:, None] - axis).abs().amin(1).max() < 1e-6
        found.append(link.transmit(images, AWGN(10), seeds).images)
        recipes.add(str(link.recipe()))
    assert len(recipes) == 4
    assert all((a != b).any() for a, b in pairwise(found))


def test_requests_that_make_no_sense(files, images, seeds, tmp_path):
    for arguments, message in (
        ({}, "either layers or channel_uses_per_pixel"),
        ({"layers": 1, "channel_uses_per_pixel": 0.1}, "either layers or channel_uses_per_pixel"),
        ({"channel_uses_per_pixel": 0.0}, "must be above 0"),
        ({"channel_uses_per_pixel": float("nan")}, "must be above 0"),
        ({"layers": 1, "model_shared_by": 0}, "must be at least 1 image"),
        ({"layers": 1, "constellation": "8psk"}, "constellation is '8psk'; choose from analog, qpsk"),
    ):
        with pytest.raises(ConfigurationError, match=message):
            LSCI(files["16qam"], **arguments)
    for link, error, message in (
        (LSCI(files["16qam"], layers=5), ConfigurationError, "layers is 5; this codec has 1 to 4"),
        (LSCI(files["16qam"], layers=0), ConfigurationError, "layers is 0; this codec has 1 to 4"),
        (LSCI(files["64qam"], layers=1), ConfigurationError, r"trained for 64qam, not for 16qam: set constellation"),
        (LSCI(files["deepjscc"], layers=1), ConfigurationError, r"trained for analog, not for 16qam"),
        (LSCI(files["16qam"], layers=1, receiver_slices=9), ConfigurationError, "4 layers cannot hold 9 slices"),
        (LSCI(files["16qam"], channel_uses_per_pixel=0.005), RateError, r"21 channel uses .* fewer than the 40 "),
        (LSCI(str(tmp_path / "none"), layers=1), ModelError, "no such file"),
        (DeepJSCC(files["analog"]), ConfigurationError, "has 4 layers, and DeepJSCC sends one: use LSCI"),
        (DeepJSCC(files["deepjscc"], 0.5), ConfigurationError, r"has 0\.25 channel uses per pixel, not 0\.5"),
    ):
        with pytest.raises(error, match=message):
            link.transmit(images, AWGN(10), seeds)
    with pytest.raises(ConfigurationError, match=r"channel_uses_per_pixel is 0\.3; DeepJSCC comes with weights for"):
        DeepJSCC(channel_uses_per_pixel=0.3)
    with pytest.raises(ImageError, match="smaller than a block"):
        LSCI(files["16qam"], layers=1).transmit(images[:, :, :9], AWGN(10), seeds)
    with pytest.raises(ConfigurationError, match="carries bits, and was given symbols"):
        LSCI(files["16qam"], layers=1).transmit(images, BinarySymmetric(), seeds)


def test_a_run_from_yaml_to_results(files, tmp_path):
    """Classical and learned in one sweep; a budget below the base layer is a row that says so."""
    (tmp_path / "experiment.yaml").write_text(f"""
title: Learned codecs
transceivers:
  lsci: {{class_path: LSCI, init_args: {{checkpoint: {files["16qam"]}}}, sweep: {{layers: [1, 4]}}}}
  budgeted:
    class_path: LSCI
    init_args: {{checkpoint: {files["16qam"]}}}
    sweep: {{channel_uses_per_pixel: [0.005, 0.1]}}
  deepjscc: {{class_path: DeepJSCC, init_args: {{checkpoint: {files["deepjscc"]}}}}}
  jpeg2000:
    class_path: Separate
    init_args: {{source: JPEG2000, code: LDPC5G, constellation: 16qam, channel_uses_per_pixel: 0.5}}
channels: {{awgn: {{class_path: AWGN}}, fading: {{class_path: Rayleigh}}}}
sweep: {{channel.snr_db: [-8, 15]}}
metrics: [PSNR]
images: {{limit: 2, size: 48}}
""")
    results = run(tmp_path / "experiment.yaml", tmp_path / "run")
    table = results.table
    assert len(table) == (2 + 2 + 1 + 1) * 2 * 2 * 2
    lsci = table[table["transceiver"] == "lsci"]
    assert (lsci["source_bits"] == 4 * lsci["channel_uses"]).all()
    assert (lsci["symbol_power"] <= 1 + 2e-6).all()
    assert (lsci["mean_layers"] == lsci["layers"]).all()
    outside = lsci[lsci["channel"] == "awgn"].set_index("snr_db")["snr_outside_training"]
    assert outside[-8].all() and not outside[15].any()
    budgeted = table[table["transceiver"] == "budgeted"]
    below = budgeted["channel_uses_per_pixel"] == 0.005
    assert (budgeted["infeasible"] == 1).eq(below).all()
    assert budgeted["PSNR"].notna().all()
    assert (budgeted[~below]["cbr"] <= 0.1 / 3).all()
    assert table[table["transceiver"] == "deepjscc"]["bpp"].isna().all()
    # a row is what the same names do in Python
    row = lsci[(lsci["layers"] == 4) & (lsci["channel"] == "awgn") & (lsci["snr_db"] == 15)].iloc[0]
    image = dict(ImageSet(limit=2, size=48))[row["image"]][None]
    reception = LSCI(files["16qam"], layers=4).transmit(image, AWGN(15), seeds_of(image))
    assert PSNR()(image, reception.images).item() == pytest.approx(row["PSNR"], abs=0.01)
