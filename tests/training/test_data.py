"""Images for training: found, split, kept in memory; and the measure of an embedding."""

import csv

import pytest
import torch
from classifier import ImageClassification

from semcomm.errors import ConfigurationError, ImageError
from semcomm.images import read_image
from semcomm.training.data import ImageCollection, class_folders, listed, share_of
from semcomm.training.log import Log
from semcomm.training.settings import Settings
from semcomm.training.tasks.distillation import pair_auc


def test_images_are_the_files(shapes):
    paths = [path for path, _ in class_folders(str(shapes))]
    images = ImageCollection(paths)
    images.read()
    assert len(images) == 60
    assert torch.equal(images[7].float() / 255, read_image(paths[7]))
    squashed = ImageCollection(paths[:1], 32)
    assert squashed[0].shape == (3, 32, 32)
    with pytest.raises(ImageError, match="no images to train on"):
        ImageCollection([]).read()


def test_what_does_not_fit_in_memory_is_decoded_again(shapes):
    paths = [path for path, _ in class_folders(str(shapes))][:4]
    images = ImageCollection(paths, memory_bytes=2 * 48 * 40 * 3)
    lines = []
    images.read(lines.append)
    assert lines == ["4 images read, 2 of them kept in memory (0 MiB)"]
    assert torch.equal(images[3].float() / 255, read_image(paths[3]))


def test_the_split_depends_on_names_alone(arguments, shapes, tmp_path):
    task = ImageClassification(**arguments)
    task.prepare()
    parts = [{p.relative_to(shapes).as_posix() for p in part.images.paths} for part in task._parts()]
    assert sum(map(len, parts)) == len(set().union(*parts)) == 60
    assert {name.split("/")[0] for name in parts[2]} == set(task.unseen)
    assert task.unseen == sorted(sorted(("disc", "bar", "triangle", "ring", "cross"), key=share_of)[:2])
    assert all((share_of(name) < 0.25) == (name in parts[1]) for name in parts[0] | parts[1])
    few = ImageClassification(**{**arguments, "most_per_class": 5})
    few.prepare()
    assert {p.relative_to(shapes).as_posix() for p in few.train.images.paths} < parts[0]
    with pytest.raises(ConfigurationError, match="fewer than two are left"):
        ImageClassification(**{**arguments, "unseen_classes": 4}).prepare()


def test_a_list_of_photographs(arguments, shapes, tmp_path):
    file = tmp_path / "list.csv"
    (tmp_path / "a.png").write_bytes((shapes / "ring" / "00.png").read_bytes())
    with file.open("w", newline="") as text:
        csv.writer(text).writerows([["file", "kind", "author"], ["a.png", "7", r"Ann Fr\303\251d"]])
    task = ImageClassification(**{**arguments, "photo_list": str(file), "label_column": "kind"})
    task.prepare()
    assert "kind 7" in task.classes
    assert task.authors == ["Ann Fréd"]
    assert task.describe(task.build())["authors"] == ["Ann Fréd"]
    with pytest.raises(ConfigurationError, match="no images with a column 'label'"):
        listed(str(file), "label")
    with pytest.raises(ConfigurationError, match="cannot be read as a list"):
        listed(str(tmp_path / "none.csv"), "kind")


def test_a_batch_depends_on_the_generator_alone(arguments):
    task = ImageClassification(**{**arguments, "early_share": 0.5})
    task.prepare()
    first, again = (task.batch(6, 0.1, torch.Generator().manual_seed(4)) for _ in range(2))
    assert torch.equal(first["images"], again["images"])
    assert torch.equal(first["labels"], again["labels"])
    assert first["images"].shape == (6, 3, 32, 32)
    assert task.batch(6, 0.5, torch.Generator())["images"].shape == (6, 3, 128, 128)


def test_auc_of_pairs_counts_ties_as_half():
    generator = torch.Generator().manual_seed(2)
    embeddings = torch.randn(30, 4, generator=generator).round()
    embeddings[:, 0] += 0.5  # none of length 0
    labels = torch.randint(3, (30,), generator=generator)
    units = torch.nn.functional.normalize(embeddings, dim=1)
    cosines = units @ units.T
    pairs = [(i, j) for i in range(30) for j in range(i + 1, 30)]
    same = [cosines[i, j].item() for i, j in pairs if labels[i] == labels[j]]
    other = [cosines[i, j].item() for i, j in pairs if labels[i] != labels[j]]
    expected = sum((a > b) + 0.5 * (a == b) for a in same for b in other) / (len(same) * len(other))
    assert pair_auc(embeddings, labels) == pytest.approx(expected, abs=1e-9)


def test_what_was_logged_after_the_last_checkpoint_is_dropped(tmp_path):
    log = Log(tmp_path, Settings(), 0, lambda _: None)
    for step in (2, 4, 6):
        log.scores(step, {"x": step})
    log.close()
    log = Log(tmp_path, Settings(), 4, lambda _: None)
    log.scores(6, {"x": 0})
    log.close()
    assert (tmp_path / "scores.jsonl").read_text().splitlines()[1:] == ['{"step": 4, "x": 4}', '{"step": 6, "x": 0}']
