import io

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from semcomm import Bilevel, DecodeError, RateError
from semcomm.transceivers.generative.text_and_sketch import edges

ANY = 10**9


def drawn(height, width, density, seed):
    """Random black and white [3, H, W]."""
    pixels = torch.rand(height, width, generator=torch.Generator().manual_seed(seed)) < density
    return pixels.float().expand(3, -1, -1)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 40), st.integers(1, 40), st.floats(0, 1), st.integers(0, 99))
def test_every_image_comes_back_exactly(height, width, density, seed):
    image = drawn(height, width, density, seed)
    assert torch.equal(Bilevel().decode(Bilevel().encode(image, ANY)), image)


def test_random_pixels_cost_their_entropy():
    """No code can do better than 0.469 bits a pixel at a density of 1/10; learning 1,024 contexts costs some."""
    bits = 8 * len(Bilevel().encode(drawn(256, 256, 0.1, 1), ANY))
    assert 0.469 < bits / 256**2 < 0.469 * 1.12


@pytest.mark.parametrize("white", [0.0, 1.0])
def test_a_blank_image_costs_next_to_nothing(white):
    assert len(Bilevel().encode(torch.full((3, 512, 512), white), 100)) < 60


def test_edges_take_less_than_fax_group_4(photograph):
    sketch = edges(photograph, 2.0)
    assert 0.01 < sketch.mean() < 0.2
    buffer = io.BytesIO()
    Image.fromarray(sketch[0].numpy() > 0.5).save(buffer, "TIFF", compression="group4")
    assert len(Bilevel().encode(sketch, ANY)) < 0.75 * (len(buffer.getvalue()) - 150)  # less its header


def test_grey_is_decided_at_a_half():
    image = torch.tensor([0.0, 0.49, 0.5, 1.0]).reshape(1, 1, 4).expand(3, -1, -1)
    assert Bilevel().decode(Bilevel().encode(image, ANY))[0].tolist() == [[0, 0, 1, 1]]


def test_a_budget_that_cannot_be_met():
    image = drawn(64, 64, 0.5, 0)
    needed = len(Bilevel().encode(image, ANY))
    assert Bilevel().encode(image, needed)
    with pytest.raises(RateError, match=f"takes {needed} bytes, and {needed - 1} are allowed"):
        Bilevel().encode(image, needed - 1)
    with pytest.raises(RateError, match="65,535"):
        Bilevel().encode(torch.zeros(3, 1, 70_000), ANY)


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=200))
def test_rubbish_decodes_or_is_refused(payload):
    try:
        image = Bilevel().decode(payload[:2] and b"\0\x20\0\x30" + payload)
    except DecodeError:
        assert len(payload) < 2
    else:
        assert image.shape == (3, 32, 48)
        assert set(image.unique().tolist()) <= {0.0, 1.0}


@pytest.mark.parametrize("payload", [b"", b"\0\1", b"\0\0\0\5xx", b"\xff\xff\xff\xff"])
def test_no_header_or_an_impossible_one(payload):
    with pytest.raises(DecodeError, match="header"):
        Bilevel().decode(payload)
