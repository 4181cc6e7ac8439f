"""What learned codecs send is on the points of the QAM that the classical link uses, and of no more power."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from semcomm import QAM
from semcomm.errors import ConfigurationError
from semcomm.jscc.constellation import checked, emitted, nearest, noise_with_rounding, spread
from semcomm.jscc.lsci import LSCINetwork

QAMS = ["qpsk", "16qam", "64qam"]


def drawn(kind: str, shape: tuple[int, ...], seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    values = torch.randn(shape, generator=generator)
    return {
        "gaussian": values,
        "large": 1e4 * values,
        "tiny": 1e-4 * values,
        "heavy": values / torch.randn(shape, generator=generator),
        "sparse": values * (torch.rand(shape, generator=generator) < 0.01),
        "equal": torch.full(shape, 0.3),
        "nothing": torch.zeros(shape),
        "one image louder": values * torch.tensor([1.0, 100.0, 0.01]).view(3, 1, 1, 1),
    }[kind]


KINDS = ["gaussian", "large", "tiny", "heavy", "sparse", "equal", "nothing", "one image louder"]


def pairs(symbols: torch.Tensor, present: torch.Tensor, image: int) -> torch.Tensor:
    """The complex symbols of an image where it has any."""
    in_phase, quadrature = symbols[image].chunk(2)
    return torch.complex(in_phase, quadrature)[:, present[image, 0] > 0].flatten()


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    name=st.sampled_from(QAMS),
    kind=st.sampled_from(KINDS),
    shape=st.tuples(st.just(3), st.sampled_from([2, 4, 12]), st.integers(1, 7), st.integers(1, 7)),
    share=st.sampled_from([0.1, 0.5, 1.0]),
    seed=st.integers(0, 99),
)
def test_symbols_are_points_of_the_qam_of_power_at_most_1_and_nothing_elsewhere(name, kind, shape, share, seed):
    generator = torch.Generator().manual_seed(seed)
    present = (torch.rand(3, 1, *shape[2:], generator=generator) < share).float()
    snr_db = torch.tensor([-2.0, 10.0, torch.inf])
    symbols, gain, lacking = emitted(drawn(kind, shape, seed), present, snr_db, name)
    assert (gain > 0).all() and gain.isfinite().all()
    points = QAM(name).points
    for image in range(3):
        sent = pairs(symbols, present, image)
        assert torch.isin(torch.view_as_real(sent), torch.view_as_real(points)).all()  # to the last bit
        assert not len(sent) or (sent.abs() ** 2).mean() <= 1 + 2e-6
    assert (symbols * (1 - present) == 0).all()
    assert (lacking * (1 - present) == 0).all()


LEAST_DISTORTION = {"qpsk": 0.3634, "16qam": 0.1188, "64qam": 0.03744}
"""Of the best uniform quantiser of a Gaussian to 2, 4 and 8 levels, as a share of its variance: Max, IRE Trans. Inform.
Theory 6(1), 1960, table II."""


@pytest.mark.parametrize("name", QAMS)
@pytest.mark.parametrize("kind", ["gaussian", "sparse", "one image louder"])
def test_rounding_costs_what_it_does_for_a_gaussian_whatever_the_values_are(name, kind):
    """What a receiver without noise lacks is D / (1 - D) of the values' power, and not correlated with them."""
    values = drawn(kind, (3, 16, 40, 40), 1)
    _, _, lacking = emitted(values, torch.ones(3, 1, 40, 40), torch.full((3,), torch.inf), name)
    share = (lacking**2).sum((1, 2, 3)) / (values**2).sum((1, 2, 3))
    least = LEAST_DISTORTION[name]
    assert share.tolist() == pytest.approx([least / (1 - least)] * 3, rel=0.06)
    correlation = torch.cosine_similarity(lacking.flatten(1), values.flatten(1))
    assert correlation.abs().max() < 1e-4
    # and it is spread over the image: as much of it where there is nothing
    quiet = values[0].abs() <= values[0].abs().median()
    assert (lacking[0][quiet] ** 2).mean() == pytest.approx((lacking[0] ** 2).mean().item(), rel=0.1)


@pytest.mark.parametrize("name", ["16qam", "64qam"])
def test_the_scale_trades_power_for_rounding_as_the_snr_asks(name):
    values, present = drawn("gaussian", (3, 16, 40, 40), 2), torch.ones(3, 1, 40, 40)
    snr_db = torch.tensor([-2.0, 10.0, 30.0])
    symbols, gain, lacking = emitted(values, present, snr_db, name)
    powers = (symbols**2).sum((1, 2, 3)) / 1600 / 8
    assert powers[0] > powers[1] >= powers[2] > 0.4
    # noise beside the values: never more than with the power or the rounding that suits another SNR
    for own, n0 in enumerate(10 ** (-snr_db / 10)):
        noise = [(n0 / gain[other] ** 2).item() + (lacking[other] ** 2).sum() / 1600 / 8 for other in range(3)]
        assert noise[own] <= 1.01 * min(noise)


@pytest.mark.parametrize("name", ["analog", *QAMS])
def test_the_noise_that_a_receiver_reckons_with_is_about_what_there_is(name):
    values, present = drawn("gaussian", (3, 16, 40, 40), 2), torch.ones(3, 1, 40, 40)
    snr_db = torch.tensor([-2.0, 10.0, 20.0])
    _, gain, lacking = emitted(values, present, snr_db, name)
    found = 10 ** (-snr_db / 10) + gain.flatten() ** 2 * (lacking**2).sum((1, 2, 3)) / 1600 / 8
    assert noise_with_rounding(snr_db, name).tolist() == pytest.approx(found.tolist(), rel=0.35)


def test_mixing_is_unitary_and_within_an_image():
    values, present = drawn("heavy", (3, 6, 9, 11), 5), torch.ones(3, 1, 9, 11)
    present[0, :, 4:], present[1] = 0, 0
    values = values * present
    mixed = spread(values, present)
    assert (mixed * (1 - present) == 0).all() and (mixed[1] == 0).all()
    assert torch.allclose((mixed**2).sum((1, 2, 3)), (values**2).sum((1, 2, 3)), rtol=1e-4)
    assert torch.allclose(spread(mixed, present, back=True), values, atol=1e-4 * values.abs().max())
    assert torch.allclose(spread(values[2:], present[2:]), mixed[2:], atol=1e-5 * values.abs().max())
    # one value alone is in every symbol with the same power; a smooth pattern has no peak
    one = torch.zeros(1, 2, 16, 16)
    one[0, 0, 3, 5] = 16
    power = (spread(one, torch.ones(1, 1, 16, 16)) ** 2).sum(1)
    assert torch.allclose(power, torch.ones(1, 16, 16), atol=1e-4)
    power = (spread(torch.ones(1, 2, 32, 32), torch.ones(1, 1, 32, 32)) ** 2).sum(1) / 2
    assert power.mean().item() == pytest.approx(1, abs=1e-4) and power.max() < 12


@pytest.mark.parametrize("name", QAMS)
def test_nearest_is_the_nearest_point(name):
    values = 2 * torch.randn(4000, generator=torch.Generator().manual_seed(2))
    values[:3] = torch.tensor([0.0, 50.0, -50.0])
    axis = QAM(name).points.real.unique()
    expected = axis[(values[:, None] - axis).abs().argmin(1)]
    found = nearest(values, name)
    assert torch.equal(found[1:], expected[1:])
    assert found[0].abs() == axis.abs().min()


@pytest.mark.parametrize("kind", ["gaussian", "large", "heavy", "sparse", "one image louder"])
def test_analog_symbols_have_power_1_over_what_is_there_of_each_image(kind):
    present = torch.ones(3, 1, 9, 11)
    present[0, :, 4:] = 0
    present[2, :, :, ::2] = 0
    symbols, _, lacking = emitted(drawn(kind, (3, 6, 9, 11), 3), present, torch.zeros(3), "analog")
    for image in range(3):
        assert (pairs(symbols, present, image).abs() ** 2).mean().item() == pytest.approx(1, abs=1e-5)
    assert (symbols * (1 - present) == 0).all()
    assert (lacking == 0).all()


def test_an_image_with_nothing_in_a_layer_sends_nothing_and_is_no_nan():
    values = drawn("gaussian", (3, 6, 5, 5), 4)
    present = torch.ones(3, 1, 5, 5)
    present[1] = 0
    for name in ("analog", *QAMS):
        symbols, gain, lacking = emitted(values, present, torch.zeros(3), name)
        assert symbols.isfinite().all() and gain.isfinite().all() and lacking.isfinite().all()
        assert (symbols[1] == 0).all()


@pytest.mark.parametrize("name", ["analog", *QAMS])
@pytest.mark.parametrize("kind", ["gaussian", "tiny", "large", "sparse"])
def test_symbols_over_their_gain_and_what_is_lacking_are_the_values(name, kind):
    values, present = drawn(kind, (3, 6, 8, 8), 8), torch.ones(3, 1, 8, 8)
    present[1, :, 3:] = 0
    symbols, gain, lacking = emitted(values, present, torch.tensor([0.0, 9.0, 20.0]), name)
    found = spread(symbols, present, back=True) / gain + lacking
    assert torch.allclose(found, values * present, atol=1e-4 * values.abs().max())
    assert not lacking.requires_grad


@pytest.mark.parametrize("name", QAMS)
def test_the_gradient_is_that_of_analog_symbols_times_the_share_that_rounding_keeps(name):
    weights = torch.randn(3, 6, 8, 8, generator=torch.Generator().manual_seed(6))
    present = torch.ones(3, 1, 8, 8)
    present[0, :, :3] = 0
    gradients, gains = [], []
    for kind in ("analog", name):
        values = drawn("gaussian", (3, 6, 8, 8), 5).requires_grad_()
        symbols, gain, _ = emitted(values, present, torch.full((3,), 10.0), kind)
        gradients.append(torch.autograd.grad((symbols * weights).sum(), values)[0])
        gains.append(gain)
    kept = (gains[1] / gains[0]).detach()
    assert (kept > 0.5).all() and (kept < 1.1).all()
    assert torch.allclose(gradients[1], kept * gradients[0], atol=1e-5)
    assert (gradients[1][0, :, :3] == 0).all()


def test_a_constellation_that_is_not_there():
    assert checked("64qam") == "64qam"
    with pytest.raises(
        ConfigurationError, match="no constellation '8psk' here; choose from analog, qpsk, 16qam, 64qam"
    ):
        LSCINetwork(constellation="8psk")
