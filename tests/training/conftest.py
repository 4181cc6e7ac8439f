"""A small set of images to train on: coloured shapes."""

from pathlib import Path

import pytest
import torch
from PIL import Image, ImageDraw

SHAPES = {"disc": "crimson", "bar": "royalblue", "triangle": "gold", "ring": "seagreen", "cross": "black"}


@pytest.fixture(autouse=True)
def _one_thread():
    """Equal bits need an equal number of threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def shapes(tmp_path_factory) -> Path:
    """A folder with a folder of 12 images for each of five shapes."""
    folder = tmp_path_factory.mktemp("shapes")
    _draw_shapes(folder, 12)
    return folder


@pytest.fixture
def draw_shapes():
    """A function of (folder, count) that draws so many images of each shape."""
    return _draw_shapes


def _draw_shapes(folder: Path, count: int) -> None:
    draws = torch.randint(0, 1000, (len(SHAPES), count, 3), generator=torch.Generator().manual_seed(3)).tolist()
    for (shape, colour), numbers in zip(SHAPES.items(), draws):
        (folder / shape).mkdir()
        for number, (x, y, side) in enumerate(numbers):
            image = Image.new("RGB", (48, 40), "lightgrey")
            side = 14 + side % 10
            left, top = x % (48 - side), y % (40 - side)
            box = (left, top, left + side, top + side)
            pen = ImageDraw.Draw(image)
            if shape == "disc":
                pen.ellipse(box, fill=colour)
            elif shape == "bar":
                pen.rectangle((left, top + side // 3, left + side, top + side // 2), fill=colour)
            elif shape == "triangle":
                pen.polygon([(left, top + side), (left + side, top + side), (left + side // 2, top)], fill=colour)
            elif shape == "ring":
                pen.ellipse(box, outline=colour, width=4)
            else:
                pen.line(box, fill=colour, width=3)
                pen.line((left, top + side, left + side, top), fill=colour, width=3)
            image.save(folder / shape / f"{number:02d}.png")


@pytest.fixture
def arguments(shapes) -> dict:
    """Arguments of a small classification task."""
    return {
        "class_folder": str(shapes),
        "unseen_classes": 2,
        "val_fraction": 0.25,
        "widths": [8, 16],
        "depths": [1, 1],
        "dimensions": 16,
        "early_size": 32,
        "early_share": 1.0,
    }
