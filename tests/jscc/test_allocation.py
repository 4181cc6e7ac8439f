"""Plans of layers: never above the budget, and the best that one constant for each image gives."""

import numpy as np
import pytest
import torch
from scipy.ndimage import sobel
from tiny_codecs import smooth_images

from semcomm.jscc.allocation import activity, allocate
from semcomm.jscc.lsci import LSCINetwork

USES = [2, 4, 8, 16, 32, 64, 128, 192, 256]


def cost(plan: torch.Tensor) -> torch.Tensor:
    return torch.tensor([0, *USES])[plan.long()].sum((1, 2))


def searched(target_log2_uses: np.ndarray, budget: float) -> np.ndarray:
    """The best plan for one image: every constant at which a block gets a layer more, tried one by one."""
    bounds = np.log2(USES)
    best = np.ones(target_log2_uses.shape, int)
    for constant in sorted((bounds[:, None, None] - target_log2_uses).flatten()):
        plan = np.ones(target_log2_uses.shape, int)
        for place, value in np.ndenumerate(target_log2_uses):
            plan[place] = max(1, sum(value + constant + 1e-9 >= bound for bound in bounds))
        if np.array([0, *USES])[plan].sum() <= budget * target_log2_uses.size:
            best = plan
    return best


@pytest.mark.parametrize("budget", [2.0, 2.4, 7.3, 33.0, 130.0, 255.0, 256.0, 400.0])
def test_it_is_what_a_search_through_all_constants_finds(budget):
    target_log2_uses = 1.5 * torch.randn(
        4, 3, 5, generator=torch.Generator().manual_seed(int(budget)), dtype=torch.float64
    )
    plan = allocate(target_log2_uses.float(), torch.full((4,), budget), USES)
    assert plan.dtype == torch.uint8
    for found, one in zip(plan, target_log2_uses):
        assert np.array_equal(found.numpy(), searched(one.numpy(), budget))


def test_never_above_the_budget_with_the_first_layer_everywhere_and_each_image_for_itself():
    generator = torch.Generator().manual_seed(1)
    target_log2_uses = 3 * torch.randn(64, 12, 17, generator=generator)
    budget = 2 + 260 * torch.rand(64, generator=generator, dtype=torch.float64) ** 3
    plan = allocate(target_log2_uses, budget, USES)
    assert (cost(plan) <= budget * 12 * 17).all()
    assert plan.min() == 1
    assert plan.max() == 9
    order = torch.randperm(64, generator=generator)
    assert torch.equal(allocate(target_log2_uses[order], budget[order], USES), plan[order])
    # more wish, more layers, within an image
    flat_wish, flat_plan = target_log2_uses.flatten(1), plan.flatten(1).int()
    sorted_plan = flat_plan.gather(1, flat_wish.argsort(1))
    assert (sorted_plan.diff(dim=1) >= 0).all()


def test_a_budget_in_channel_uses_of_a_large_image_is_kept_to_the_last_use():
    target_log2_uses = torch.randn(1, 180, 250, generator=torch.Generator().manual_seed(2))  # 11.5 megapixels
    for uses in (45_000 * 33 + 1, 7_654_321, 11_519_999):
        plan = allocate(target_log2_uses, torch.tensor([uses / 45_000], dtype=torch.float64), USES)
        assert uses - 256 < cost(plan).item() <= uses


@pytest.mark.parametrize("layers", range(1, 10))
def test_equal_wishes_give_the_largest_uniform_plan_that_fits(layers):
    for spare in (0.0, 0.9):
        budget = torch.tensor([USES[layers - 1] + spare, 1000.0])
        plan = allocate(torch.full((2, 4, 6), -3.7), budget, USES)
        assert (plan[0] == layers).all()
        assert (plan[1] == 9).all()


def test_the_uses_are_those_of_the_network():
    with torch.device("meta"):
        assert LSCINetwork().uses == USES


def test_activity_is_larger_where_there_is_more_to_see():
    images = smooth_images(3, 64, 96)
    found = activity(images, 16)
    assert found.shape == (3, 4, 6)
    assert (found[..., 3:].min() > found[..., :3].max()).all()
    # half as much contrast, one less in base 2
    assert torch.allclose(activity(0.5 + (images - 0.5) / 2, 16)[..., 3:], found[..., 3:] - 1, atol=0.02)
    # it orders blocks as another gradient of the field does
    grey = images.mean(1).numpy()
    energy = sobel(grey, 1) ** 2 + sobel(grey, 2) ** 2
    other = energy.reshape(3, 4, 16, 6, 16).mean((2, 4)).flatten()
    assert np.corrcoef(np.log2(other + 1e-5), found.flatten().numpy())[0, 1] > 0.95
    assert torch.equal(activity(torch.full((1, 3, 32, 32), 0.7), 16), torch.full((1, 2, 2), 0.5 * np.log2(1e-5)))
