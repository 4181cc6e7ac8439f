"""What several tests share."""

import os
from pathlib import Path

import pytest
import torch

from semcomm.images import ImageSet, quantise

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def photograph() -> torch.Tensor:
    """A built-in photograph, 192 pixels on the short side, [3, H, W]."""
    return next(iter(ImageSet(limit=1, size=192)))[1]


@pytest.fixture(scope="session")
def kodak() -> Path:
    """The folder of Kodak images, where there is one."""
    folder = Path(os.environ.get("SEMCOMM_KODAK", ROOT.parent / "shared" / "data" / "kodak"))
    if not folder.is_dir():
        pytest.skip("no Kodak images: name their folder in SEMCOMM_KODAK")
    return folder


@pytest.fixture
def noise_images() -> torch.Tensor:
    """Three different random images [3, 3, 24, 32]."""
    return quantise(torch.rand(3, 3, 24, 32, generator=torch.Generator().manual_seed(1)))
