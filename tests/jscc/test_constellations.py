"""What learned codecs send is on the points of the QAM that the classical link uses, and of no more power."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from semcomm import QAM
from semcomm.errors import ConfigurationError
from semcomm.jscc.constellation import (
    LOAD,
    checked,
    conditional_mean,
    dft_spread,
    nearest,
    quantisation_error,
    quantise_to_constellation,
    snr_of_estimates,
    straight_through,
    wiener_gain,
)
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
    symbols, gain, known = quantise_to_constellation(drawn(kind, shape, seed), present, name)
    assert (gain > 0).all() and gain.isfinite().all()
    points = QAM(name).points
    for image in range(3):
        sent = pairs(symbols, present, image)
        assert torch.isin(torch.view_as_real(sent), torch.view_as_real(points)).all()  # to the last bit
        assert not len(sent) or (sent.abs() ** 2).mean() <= 1 + 2e-6
    assert (symbols * (1 - present) == 0).all()
    assert (known * (1 - present) == 0).all() and known.isfinite().all()


LEAST_DISTORTION = {"qpsk": 0.3634, "16qam": 0.1175, "64qam": 0.03454}
"""Of any quantiser of a Gaussian to 2, 4 and 8 levels, as a share of its variance: Max, IRE Trans. Inform. Theory 6(1),
1960, table I."""


WORTH_ROUNDED = {"qpsk": 2.44, "16qam": 8.11, "64qam": 13.65}
"""SNR in dB that rounding to the points leaves: 10·log10(s / (1 - s)), where s is the variance of the conditional means
of the intervals between the levels' borders, from the normal distribution."""


@pytest.mark.parametrize("name", QAMS)
@pytest.mark.parametrize("kind", ["gaussian", "sparse", "one image louder"])
def test_rounding_costs_little_more_than_it_must_for_a_gaussian_whatever_the_values_are(name, kind):
    """What a receiver without noise lacks is D / (1 - D) of the values' power, and not correlated with them."""
    values, present = drawn(kind, (3, 16, 40, 40), 1), torch.ones(3, 1, 40, 40)
    symbols, _, known = quantise_to_constellation(values, present, name)
    error = values - known
    share = (error**2).sum((1, 2, 3)) / (values**2).sum((1, 2, 3))
    least = LEAST_DISTORTION[name]
    assert (share > 0.97 * least / (1 - least)).all() and (share < 1.25 * least / (1 - least)).all()
    correlation = torch.cosine_similarity(error.flatten(1), values.flatten(1))
    assert correlation.abs().max() < 0.025
    # and it is spread over the image: as much of it where there is nothing
    quiet = values[0].abs() <= values[0].abs().median()
    assert (error[0][quiet] ** 2).mean() == pytest.approx((error[0] ** 2).mean().item(), rel=0.1)
    # most of the power that is allowed is used
    assert ((symbols**2).sum((1, 2, 3)) / 1600 / 8).min() > {"qpsk": 0.999, "16qam": 0.95, "64qam": 0.75}[name]


@pytest.mark.parametrize("name", ["analog", *QAMS])
@pytest.mark.parametrize("snr_db", [-5.0, 3.0, 10.0, 17.0, 45.0])
def test_estimates_are_conditional_means_worth_the_snr_that_is_said(name, snr_db):
    """Over its share, an estimate is the value, and noise without correlation, of just the power that the share says.

    That it is the conditional mean shows in that no function of what arrived tells anything of what it lacks.
    """
    generator = torch.Generator().manual_seed(7)
    values = torch.randn(1, 2, 600, 600, generator=generator) * 0.5**0.5
    symbols = values if name == "analog" else nearest(values * LOAD[name], name)
    n0 = torch.tensor(10 ** (-snr_db / 10)).view(1, 1, 1, 1)
    noisy = symbols + torch.randn(values.shape, generator=generator) * (n0 / 2).sqrt()
    means, share = conditional_mean(noisy, n0, name), wiener_gain(n0, name)
    error = values - means
    assert (error**2).mean().item() * 2 == pytest.approx(1 - share.item(), rel=0.01, abs=2e-6)
    for function in (means, noisy, noisy**3, noisy.sign(), (3 * noisy).sin(), (9 * noisy).sin()):
        assert (error * function).mean().abs() < 4 * (error * function).std() / values.numel() ** 0.5 + 1e-6
    worth = snr_of_estimates(torch.tensor([snr_db]), name).item()
    if snr_db == 45 and name != "analog":
        assert worth == pytest.approx(WORTH_ROUNDED[name], abs=0.05)
    assert worth == pytest.approx(10 * torch.log10(share / (1 - share)).item(), abs=1e-3)
    assert worth <= snr_db + 0.02
    if name != "analog":  # never worse than the best linear receiver of the same points
        linear = (noisy * values).mean() ** 2 / (noisy**2).mean() / (values**2).mean()
        assert share.item() >= linear.item() - 0.002


def test_estimates_at_the_ends_of_what_noise_there_is():
    symbols = nearest(torch.randn(1000, generator=torch.Generator().manual_seed(1)), "16qam")
    for n0 in (0.0, 1e-30, 1e30, torch.inf):
        for name in ("analog", *QAMS):
            means, share = conditional_mean(symbols, torch.tensor([n0]), name), wiener_gain(torch.tensor([n0]), name)
            assert means.isfinite().all() and 0 < share.item() < 1
    assert conditional_mean(symbols, torch.tensor([torch.inf]), "16qam").abs().max() < 1e-5


def test_mixing_is_unitary_and_within_an_image():
    values, present = drawn("heavy", (3, 6, 9, 11), 5), torch.ones(3, 1, 9, 11)
    present[0, :, 4:], present[1] = 0, 0
    values = values * present
    spread = dft_spread(values, present)
    assert (spread * (1 - present) == 0).all() and (spread[1] == 0).all()
    assert torch.allclose((spread**2).sum((1, 2, 3)), (values**2).sum((1, 2, 3)), rtol=1e-4)
    assert torch.allclose(dft_spread(spread, present, inverse=True), values, atol=1e-4 * values.abs().max())
    assert torch.allclose(dft_spread(values[2:], present[2:]), spread[2:], atol=1e-5 * values.abs().max())
    # one value alone is in every symbol with the same power; a smooth pattern has no peak
    one = torch.zeros(1, 2, 16, 16)
    one[0, 0, 3, 5] = 16
    power = (dft_spread(one, torch.ones(1, 1, 16, 16)) ** 2).sum(1)
    assert torch.allclose(power, torch.ones(1, 16, 16), atol=1e-4)
    power = (dft_spread(torch.ones(1, 2, 32, 32), torch.ones(1, 1, 32, 32)) ** 2).sum(1) / 2
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
    values = drawn(kind, (3, 6, 9, 11), 3)
    symbols, _, known = quantise_to_constellation(values, present, "analog")
    for image in range(3):
        assert (pairs(symbols, present, image).abs() ** 2).mean().item() == pytest.approx(1, abs=1e-5)
    assert (symbols * (1 - present) == 0).all()
    assert torch.equal(known, values * present)


def test_an_image_with_nothing_in_a_layer_sends_nothing_and_is_no_nan():
    values = drawn("gaussian", (3, 6, 5, 5), 4)
    present = torch.ones(3, 1, 5, 5)
    present[1] = 0
    for name in ("analog", *QAMS):
        symbols, gain, known = quantise_to_constellation(values, present, name)
        assert symbols.isfinite().all() and gain.isfinite().all() and known.isfinite().all()
        assert (symbols[1] == 0).all() and (known[1] == 0).all()


@pytest.mark.parametrize("name", ["analog", *QAMS])
@pytest.mark.parametrize("kind", ["gaussian", "tiny", "large", "sparse"])
def test_the_known_values_are_those_of_a_receiver_without_noise(name, kind):
    values, present = drawn(kind, (3, 6, 8, 8), 8), torch.ones(3, 1, 8, 8)
    present[1, :, 3:] = 0
    symbols, gain, known = quantise_to_constellation(values, present, name)
    none = torch.zeros(3, 1, 1, 1)
    found = (
        dft_spread(conditional_mean(symbols, none, name) / wiener_gain(none, name) * present, present, inverse=True)
        / gain
    )
    assert torch.allclose(found, known, atol=1e-4 * values.abs().max())


@pytest.mark.parametrize("name", QAMS)
def test_backwards_rounding_and_estimating_are_as_good_as_not_there(name):
    weights = torch.randn(3, 6, 8, 8, generator=torch.Generator().manual_seed(6))
    present = torch.ones(3, 1, 8, 8)
    present[0, :, :3] = 0
    gradients = []
    for kind in ("analog", name):
        values = drawn("gaussian", (3, 6, 8, 8), 5).requires_grad_()
        symbols, _, _ = quantise_to_constellation(values, present, kind)
        noise = torch.full((3, 1, 1, 1), 1e-3)
        said = symbols if kind == "analog" else straight_through(symbols, noise, kind) / wiener_gain(noise, kind)
        gradients.append(torch.autograd.grad((said * weights).sum(), values)[0])
    assert torch.allclose(gradients[1], gradients[0], atol=1e-5)
    assert (gradients[1][0, :, :3] == 0).all()
    _, _, known = quantise_to_constellation(values, present, name)
    assert torch.equal(torch.autograd.grad((known * weights).sum(), values)[0], weights * present)


def test_what_rounding_leaves_out_by_the_least_distortion_of_a_quantiser():
    """Values of unit power, rounded after a load that was chosen for the power: a little more than the least."""
    assert quantisation_error("analog") == pytest.approx(0, abs=0.002)
    for name, least in LEAST_DISTORTION.items():
        assert least - 1e-3 <= quantisation_error(name) ** 2 < 1.25 * least


def test_a_constellation_that_is_not_there():
    assert checked("64qam") == "64qam"
    with pytest.raises(
        ConfigurationError, match="no constellation '8psk' here; choose from analog, qpsk, 16qam, 64qam"
    ):
        LSCINetwork(constellation="8psk")
