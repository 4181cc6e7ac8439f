"""Checks on the input of links and metrics, and on what a user's own return."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

import semcomm as sc
from semcomm.errors import ConfigurationError, ImageError, MetricError
from semcomm.transceivers.checks import excess_power

IMAGES = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(0)).mul(255).round() / 255
SEEDS = sc.seeds_of(IMAGES)


class Mine(sc.Transceiver):
    """One symbol for a pixel; `changed` spoils the signal, `returned` what arrives."""

    changed = staticmethod(lambda signal: signal)
    returned = staticmethod(lambda images: (images, {}))

    def send(self, images, snr_db, rng):
        self.images = images
        symbols = [torch.ones(256, dtype=torch.complex64) for _ in images]
        return self.changed(sc.Signal(sc.Ledger.of(images, source_bits=math.nan, channel_uses=256), symbols))

    def receive(self, output, control, rng):
        return self.returned(self.images)


def sent(changed=lambda signal: signal, returned=lambda images: (images, {})):
    link = Mine()
    link.changed, link.returned = changed, returned
    return link.transmit(IMAGES, sc.AWGN(10), SEEDS)


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ((IMAGES * 255).to(torch.uint8), r"images\.float\(\) / 255"),
        (IMAGES * 255, "images / 255"),
        (IMAGES * 2 - 1, r"\(images \+ 1\) / 2"),
        (IMAGES[0], r"images\[None\]"),
        (IMAGES.numpy(), "numpy array"),
        (IMAGES * math.nan, "no finite numbers"),
    ],
)
def test_only_images_go_in_anywhere(given, reason):
    links = (Mine(), sc.AtCapacity(sc.JPEG2000(), 1.0), sc.Reflection(), sc.RandomBits())
    for link in links:
        with pytest.raises(ImageError, match=rf"{type(link).__name__}\.transmit: got .*{reason}"):
            link.transmit(given, sc.AWGN(10), SEEDS)
    for metric in (sc.PSNR(), sc.SSIM(), sc.MSSSIM(window=3), sc.SeSS(), sc.MSE()):
        for pair in ((given, IMAGES), (IMAGES, given)):
            with pytest.raises(ImageError, match=reason):
                metric(*pair)
    with pytest.raises(ImageError, match=reason):
        sc.EmbeddedFID(minimum=2)([given], [IMAGES])
    with pytest.raises(ImageError, match=reason):
        sc.seeds_of(given)


def test_seeds_of_a_list_and_seeds_that_do_not_fit():
    assert sc.seeds_of(list(IMAGES)) == SEEDS
    with pytest.raises(ImageError, match="seeds_of: got uint8"):
        sc.seeds_of([IMAGES[0], (IMAGES[1] * 255).to(torch.uint8)])
    for seeds, reason in ((SEEDS[:1], "1 seeds for 2 images"), ([0, 1], r"\[0, 1\] for 2 images"), (0, "got 0 for")):
        with pytest.raises(ConfigurationError, match=rf"{reason}.*semcomm\.seeds_of"):
            Mine().transmit(IMAGES, sc.AWGN(10), seeds)


def test_batches_that_do_not_fit():
    for metric in (sc.PSNR(), sc.SeSS()):
        with pytest.raises(MetricError, match="2 references do not fit 1 reconstructions"):
            metric(IMAGES, IMAGES[:1])


@pytest.mark.parametrize(
    ("returned", "reason"),
    [
        (lambda images: (images * math.nan, {}), "no finite numbers"),
        (lambda images: (images * 255, {}), r"from 0 to 255, not in \[0, 1\]"),
        (lambda images: (images * 2 - 1, {}), "from -1 to 1"),
        (lambda images: ((images * 255).to(torch.uint8), {}), "uint8"),
        (lambda images: (images[0], {}), r"images\[None\]"),
        (lambda images: (images[:1], {}), r"shape \[1, 3, 16, 16\], not \[2, 3, 16, 16\]"),
        (lambda images: (images[..., :8], {}), r"shape \[2, 3, 16, 8\]"),
    ],
)
def test_what_a_receiver_returns_are_images(returned, reason):
    with pytest.raises(ConfigurationError, match=rf"Mine\.receive returned .*{reason}"):
        sent(returned=returned)


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        (lambda s: replace(s, symbols=[x * math.nan for x in s.symbols]), "no finite numbers"),
        (lambda s: replace(s, symbols=s.symbols[:1]), "1 tensors for 2 images"),
        (lambda s: replace(s, symbols=[x.real for x in s.symbols]), "symbols are complex64"),
        (lambda s: replace(s, symbols=[x[None] for x in s.symbols]), r"complex64 \[k\]"),
        (lambda s: replace(s, symbols=[x[:200] for x in s.symbols]), "200 symbols .* counts 256 channel_uses"),
        (lambda s: replace(s, symbols=None, bits=[torch.full((9,), 2, dtype=torch.uint8)] * 2), "bits are 0 or 1"),
        (lambda s: replace(s, ledger=sc.Ledger.of(IMAGES[:1], source_bits=1, channel_uses=256)), "Ledger of 2 images"),
        (lambda s: replace(s, ledger=sc.Ledger.of(IMAGES, source_bits=-1, channel_uses=256)), "source_bits .* 0 or"),
        (lambda s: replace(s, control=[None]), "control of 1 images"),
        (lambda s: s.symbols, "returned a list, not a Signal"),
    ],
)
def test_what_a_transmitter_sends_is_a_signal(changed, reason):
    with pytest.raises(ConfigurationError, match=rf"Mine\.send: .*{reason}"):
        sent(changed=changed)


def test_what_there_is_to_say_needs_a_name_of_its_own_and_a_value_for_each_image():
    info = {"a": np.array([1.5, 2]), "b": [np.int64(3), torch.tensor(4)], "c": ("x", "y"), "d": torch.tensor([1, 2])}
    said = sent(returned=lambda images: (images, info)).info
    assert said == {
        "symbol_power": [1, 1],
        "papr_db": [0, 0],
        "a": [1.5, 2.0],
        "b": [3, 4],
        "c": ["x", "y"],
        "d": [1, 2],
    }
    assert {type(v) for values in said.values() for v in values} == {float, int, str}
    for info, reason in (({"channel_uses": [1, 2]}, "column of its own"), ({"a": [1]}, "each of the 2 images")):
        with pytest.raises(ConfigurationError, match=rf"Mine: .*{reason}"):
            sent(returned=lambda images, info=info: (images, info))


def test_a_link_of_the_users_own_is_checked_alike():
    class Whole(sc.Link):
        def transmit(self, images, channel, seeds):
            return sc.Reception(images + self.shift, sc.Ledger.of(images, source_bits=1), {})

    link = Whole()
    link.shift = 0.001
    received = link.transmit(IMAGES, sc.AWGN(10), SEEDS).images
    assert torch.equal(received, (received * 255).round() / 255)  # the metrics see what is stored
    link.shift = 1
    with pytest.raises(ConfigurationError, match=r"Whole\.transmit returned values from"):
        link.transmit(IMAGES, sc.AWGN(10), SEEDS)


def test_power_above_the_nominal_one_is_told_from_chance():
    assert excess_power([100.0, 100.0], [256, 256]) == 100
    assert excess_power([1.0, 1.0], [256, 256]) is None
    assert excess_power([math.nan], [math.nan]) is None
    generator = torch.Generator().manual_seed(0)
    symbols = sc.QAM("64qam").modulate(torch.randint(0, 2, (6 * 500,), generator=generator, dtype=torch.uint8))
    assert excess_power([float((symbols.abs() ** 2).mean())], [500]) is None
    assert excess_power([1.06], [1_000_000]) == 1.06


def test_a_metric_of_the_users_own_returns_a_score_for_each_image():
    class Bad(sc.Metric):
        name = "bad"
        made = staticmethod(lambda images: None)

        def score(self, prepared, reconstruction):
            return self.made(reconstruction)

    for made, found in (
        (lambda x: 0.5, "float"),
        (lambda x: x.mean(), r"\[\]"),
        (lambda x: x.mean((2, 3)), r"\[2, 3\]"),
    ):
        metric = Bad()
        metric.made = made
        with pytest.raises(MetricError, match=rf"Bad\.score returned {found}; a tensor \[2\]"):
            metric(IMAGES, IMAGES)


def test_features_of_a_metric_of_sets_are_kept_as_they_are_read_back():
    class Means(sc.SetMetric):
        name, minimum = "means", 1

        def features(self, images):
            return images.double().mean((2, 3))

        def distance(self, reference, reconstruction):
            return float((reference.mean(0) - reconstruction.mean(0)).abs().sum())

    assert Means().features(IMAGES).dtype == torch.float32  # a run reads its memo as such
    assert Means()([IMAGES], [IMAGES]) == 0
    with pytest.raises(MetricError, match="a set has no images"):
        Means()([], [IMAGES])
