"""What learned codecs send is on the points of the QAM that the classical link uses, and of no more power."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from semcomm import QAM
from semcomm.errors import ConfigurationError
from semcomm.jscc.constellation import checked, dither, emitted, levels, nearest
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
    symbols, left = emitted(drawn(kind, shape, seed), present, name)
    points = QAM(name).points
    for image in range(3):
        sent = pairs(symbols, present, image)
        assert torch.isin(torch.view_as_real(sent), torch.view_as_real(points)).all()  # to the last bit
        assert not len(sent) or (sent.abs() ** 2).mean() <= 1 + 2e-6
    assert (symbols * (1 - present) == 0).all()
    assert (left * (1 - present) == 0).all()


@pytest.mark.parametrize("name", QAMS)
def test_gaussian_values_come_close_to_power_1_image_by_image(name):
    values = drawn("one image louder", (3, 8, 24, 24), 1)
    present = torch.ones(3, 1, 24, 24)
    present[1, :, 5:] = 0  # less of it, with as much power each
    symbols, _ = emitted(values, present, name)
    powers = [(pairs(symbols, present, image).abs() ** 2).mean().item() for image in range(3)]
    assert 0.96 < min(powers) <= max(powers) <= 1 + 2e-6


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
    symbols, left = emitted(drawn(kind, (3, 6, 9, 11), 3), present, "analog")
    for image in range(3):
        assert (pairs(symbols, present, image).abs() ** 2).mean().item() == pytest.approx(1, abs=1e-5)
    assert (symbols * (1 - present) == 0).all()
    assert (left == 0).all()


def test_an_image_with_nothing_in_a_layer_sends_nothing_and_is_no_nan():
    values = drawn("gaussian", (3, 6, 5, 5), 4)
    present = torch.ones(3, 1, 5, 5)
    present[1] = 0
    for name in ("analog", *QAMS):
        symbols, left = emitted(values, present, name)
        assert symbols.isfinite().all() and left.isfinite().all()
        assert (symbols[1] == 0).all()


@pytest.mark.parametrize("name", ["16qam", "64qam"])
def test_what_is_sent_is_the_value_and_noise_that_knows_nothing_of_it(name):
    """Subtractive dither (Schuchman 1964): where no point is missing, the error is uniform, whatever the values."""
    flat = {"soft": 0.02, "wide": 0.6}
    shift = dither((64, 96, 96), name)
    step = 2 / levels(name)[0]
    assert shift.abs().max() <= step / 2
    for scale in flat.values():
        values = scale * (2 * torch.rand(64, 96, 96, generator=torch.Generator().manual_seed(7)) - 1)
        error = nearest(values + shift, name) - shift - values
        assert error.abs().max() <= step / 2 + 1e-6
        assert error.mean().abs() < 1e-3 * step
        assert error.var().item() == pytest.approx(step**2 / 12, rel=0.01)
        assert torch.corrcoef(torch.stack([error.flatten(), values.flatten()]))[0, 1].abs() < 5e-3
        assert torch.corrcoef(torch.stack([error[:, 1:].flatten(), error[:, :-1].flatten()]))[0, 1].abs() < 0.5


@pytest.mark.parametrize("name", QAMS)
def test_dither_is_spread_evenly_and_a_part_of_a_larger_one(name):
    shift = dither((8, 32, 48), name)
    assert torch.equal(shift[:4, :7, :11], dither((4, 7, 11), name))
    counts = torch.histc(shift, 16) / shift.numel()
    assert (counts - 1 / 16).abs().max() < 0.002
    half = shift.max()
    assert all((a - b).abs().min() > 0.3 * half for a, b in [(shift[:, 1:], shift[:, :-1]), (shift[1:], shift[:-1])])


@pytest.mark.parametrize("name", QAMS)
def test_what_is_left_and_the_points_are_the_values(name):
    """Two digits say what one cannot: points + left/divisor - dither gives the values back, up to their scale."""
    values = drawn("gaussian", (3, 6, 8, 8), 8)
    symbols, left = emitted(values, torch.ones(3, 1, 8, 8), name)
    divisor, _ = levels(name)
    found = (symbols + left / divisor - dither((6, 8, 8), name)).flatten(1)
    assert torch.cosine_similarity(found, values.flatten(1)).min() > 0.999999
    assert (left.abs() <= 1).float().mean() > 0.6 and not left.requires_grad


@pytest.mark.parametrize("name", QAMS)
def test_the_gradient_passes_the_rounding_over_but_not_beyond_the_last_points(name):
    weights = torch.randn(3, 6, 8, 8, generator=torch.Generator().manual_seed(6))
    present = torch.ones(3, 1, 8, 8)
    present[0, :, :3] = 0
    values = drawn("gaussian", (3, 6, 8, 8), 5).requires_grad_()
    symbols, _ = emitted(values, present, name)
    (symbols * weights).sum().backward()
    # normalising by the mean power takes the part along the values away; with few values cut off it is known by hand
    small = (0.2 * drawn("gaussian", (3, 6, 8, 8), 5)).requires_grad_()
    norm = ((small**2 * present).sum((1, 2, 3), keepdim=True) / (present.sum((1, 2, 3), keepdim=True) * 3)).sqrt()
    (small / norm * present * weights).sum().backward()
    cosine = torch.cosine_similarity(values.grad.flatten(1), small.grad.flatten(1))
    assert cosine.min() > 0.8
    assert (values.grad[0, :, :3] == 0).all()
    far = torch.zeros(1, 2, 1, 400)
    far[..., 0] = 1000.0  # one value far beyond, the others nothing
    far.requires_grad_()
    symbols, _ = emitted(far, torch.ones(1, 1, 1, 400), name)
    (slope,) = torch.autograd.grad(symbols[0, 0, 0, 1], far, retain_graph=True)
    (beyond,) = torch.autograd.grad(symbols[0, 0, 0, 0], far)
    assert beyond[0, 0, 0, 0].abs() < 0.1 * slope[0, 0, 0, 1].abs()


def test_a_constellation_that_is_not_there():
    assert checked("64qam") == "64qam"
    with pytest.raises(
        ConfigurationError, match="no constellation '8psk' here; choose from analog, qpsk, 16qam, 64qam"
    ):
        LSCINetwork(constellation="8psk")
