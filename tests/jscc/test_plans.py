"""A plan's bytes give the plan again, and are about as few as its conditional entropy allows."""

from math import log2

import pytest
import torch

from semcomm.errors import DecodeError
from semcomm.jscc import plans


@pytest.mark.parametrize("seed", range(40))
def test_what_is_encoded_is_decoded(seed):
    generator = torch.Generator().manual_seed(seed)
    height, width = torch.randint(1, 14, (2,), generator=generator).tolist()
    plan = torch.randint(1, (3, 10, 16)[seed % 3], (height, width), generator=generator).to(torch.uint8)
    assert torch.equal(plans.decode(plans.encode(plan), height, width), plan)


def test_a_plain_plan_costs_next_to_nothing():
    assert len(plans.encode(torch.full((32, 48), 6, dtype=torch.uint8))) <= 4


def test_its_size_is_near_the_entropy_of_a_known_source():
    """Blocks that keep their left neighbour's layers with probability 0.9, else take one of two others."""
    generator = torch.Generator().manual_seed(0)
    stays = (torch.rand(1, 6000, generator=generator) < 0.9).tolist()[0]
    moves = torch.randint(1, 3, (6000,), generator=generator).tolist()
    layers, row = 4, []
    for stay, move in zip(stays, moves):
        layers = layers if stay else (layers - 4 + move) % 3 + 4
        row.append(layers)
    plan = torch.tensor([row], dtype=torch.uint8)
    bits = 8 * len(plans.encode(plan)) / plan.numel()
    entropy = 0.9 * log2(1 / 0.9) + 0.1 * log2(2 / 0.1)
    assert entropy - 0.02 < bits < 1.35 * entropy


def test_any_bytes_give_a_plan_of_the_right_size():
    generator = torch.Generator().manual_seed(1)
    for length in range(12):
        data = bytes(torch.randint(0, 256, (length,), generator=generator).tolist())
        plan = plans.decode(data, 5, 7)
        assert plan.shape == (5, 7) and plan.min() >= 1 and plan.max() <= plans.HIGHEST
    with pytest.raises(DecodeError, match="0x7"):
        plans.decode(b"", 0, 7)
