"""Images for training from CIFAR-10 as it is distributed, and from any torch dataset."""

import pickle
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import Dataset

from semcomm.errors import ConfigurationError, ImageError
from semcomm.training.configuration import build
from semcomm.training.data import ImageCollection
from semcomm.training.sources import images_of

sys.path.insert(0, str(Path(__file__).parent))
PIXELS = np.random.default_rng(0).integers(0, 256, (5, 32, 32, 3), dtype=np.uint8)


class Photos(Dataset):
    def __init__(self, kind: str = "pil", count: int = 5) -> None:
        self.kind, self.count = kind, count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int):
        image = torch.from_numpy(PIXELS[index]).permute(2, 0, 1)
        return {
            "pil": (Image.fromarray(PIXELS[index]), 3),
            "bytes": image,
            "floats": (image / 255, torch.tensor(1)),
            "grey": image[:1],
            "text": "no image",
        }[self.kind]


def decoded(source) -> np.ndarray:
    found, authors = images_of(source)
    assert authors == set() and len({image.name for image in found}) == len(found)
    images = ImageCollection(found)
    images.read()
    return np.stack([images[i].permute(1, 2, 0).numpy() for i in range(len(images))])


def test_cifar_10_as_pickles_and_as_binary_files(tmp_path):
    rows = PIXELS.transpose(0, 3, 1, 2).reshape(5, -1)
    for kind in ("python", "binary"):
        (tmp_path / kind).mkdir()
    for number, part in ((1, rows[:3]), (2, rows[3:])):
        batch = {b"data": part, b"labels": [1] * len(part), b"batch_label": b"training batch"}
        (tmp_path / "python" / f"data_batch_{number}").write_bytes(pickle.dumps(batch, protocol=2))
        labelled = np.concatenate([np.full((len(part), 1), 7, np.uint8), part], 1)
        (tmp_path / "binary" / f"data_batch_{number}.bin").write_bytes(labelled.tobytes())
    for kind in ("python", "binary"):
        assert (decoded(str(tmp_path / kind)) == PIXELS).all()


class Evil:
    def __reduce__(self):
        return print, ("pwned",)


def test_batches_that_are_none(tmp_path, capsys):
    file = tmp_path / "data_batch_1"
    for data, said in (
        (pickle.dumps({b"data": Evil()}), "it holds builtins.print"),
        (pickle.dumps({b"data": np.zeros((2, 5), np.uint8)}), "its data is uint8"),
        (pickle.dumps({b"images": 3}), "is no batch of CIFAR-10"),
        (b"", "is no batch of CIFAR-10"),
    ):
        file.write_bytes(data)
        with pytest.raises(ImageError, match=said):
            images_of(str(tmp_path))
    assert "pwned" not in capsys.readouterr().out
    file.unlink()
    (tmp_path / "data_batch_1.bin").write_bytes(b"x" * 3072)
    with pytest.raises(ImageError, match="3072 bytes are no multiple of 3073"):
        images_of(str(tmp_path))


@pytest.mark.parametrize("kind", ["pil", "bytes", "floats"])
def test_any_dataset_by_its_import_path(kind):
    assert (decoded({"class_path": "test_sources.Photos", "init_args": {"kind": kind}}) == PIXELS).all()


def test_datasets_that_are_none():
    for kind, said in (("grey", r"Photos\[0\]: is \[1, 32, 32\], not an image"), ("text", "is a str, not an image")):
        with pytest.raises(ImageError, match=said):
            decoded({"class_path": "test_sources.Photos", "init_args": {"kind": kind}})
    for source, said in (
        ({"class_path": "test_sources.None"}, "cannot be made a dataset"),
        ({"class_path": "test_sources.Photos", "init_args": {"colour": 1}}, "cannot be made a dataset"),
        ({"class_path": "test_sources.PIXELS"}, "cannot be made a dataset"),
        ({"kind": "pil"}, "a dataset is class_path and init_args"),
    ):
        with pytest.raises(ConfigurationError, match=said):
            images_of(source)


def test_a_training_file_names_one(tmp_path):
    source = {"class_path": "test_sources.Photos", "init_args": {"count": 4}}
    arguments = {"folders": [source], "crop": 32, "val_fraction": 0.0}
    task, _ = build({"task": {"class_path": "DeepJSCCTraining", "init_args": arguments}})
    task.prepare()
    assert len(task.train[0]) == 4
    assert task.batch(3, 0.0, torch.Generator().manual_seed(0))["images"].shape == (3, 3, 32, 32)
