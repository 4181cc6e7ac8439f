"""Training files: what is wrong with one is said by its key."""

import json
import math
from copy import deepcopy
from pathlib import Path

import pytest
import torch
from torch import nn

from semcomm.cli import main
from semcomm.errors import ConfigurationError
from semcomm.training import Settings, Task
from semcomm.training.configuration import build, read
from semcomm.training.schedule import average, learning_rate

ENCODER = Path(__file__).resolve().parents[2] / "experiments" / "train" / "encoder.yaml"
PATH = "classifier.ImageClassification"


def described(init_args=None, **settings) -> dict:
    return {"task": {"class_path": PATH, "init_args": {"class_folder": "x", **(init_args or {})}}, **settings}


@pytest.mark.parametrize("file", sorted(ENCODER.parent.glob("*.yaml")), ids=lambda file: file.stem)
def test_the_shipped_files_are_valid(file):
    task, settings = read(file)
    assert type(task).__module__.startswith("semcomm.training.tasks")
    assert settings.steps > 1000


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (described(learning_rat=1), "training: no such key: 'learning_rat'; did you mean 'learning_rate'?"),
        (described({"width": [1]}), r"task: .*ImageClassification has no argument 'width'; did you mean 'widths'\?"),
        (described(steps="many"), "training.steps: expected int, got 'many'"),
        (described(steps=True), "steps: expected int, got 'True'"),
        (described(precision="bf61"), "precision: expected 'bf16', 'fp32', got 'bf61'"),
        (described({"widths": [8, "x"]}), r"task\.widths: expected int, got 'x'"),
        (described(steps=0), "steps is 0; it must be at least 1"),
        (described(clip=10**400), "training: .*too large"),
        (described({"widths": [8], "depths": [1, 2]}), "1 widths for 2 depths"),
        (described({"early_size": 100}), "multiple of 16"),
        ({"task": {"class_path": PATH}}, r"task: .*ImageClassification needs class_folder"),
        ({"steps": 3}, "training: has no task"),
        ({"task": {"class_path": "nowhere.Task"}}, "there is no such class: 'nowhere'"),
        ({"task": "Distillatio"}, "did you mean 'Distillation'"),
        ({"task": {"class_path": "semcomm.training.Settings"}}, "training: task: "),
        ({"task": "Separate"}, "training: task: "),
        ({"task": {"class_path": PATH, "init_arg": {}}}, r"task: no such key: 'init_arg'; did you mean 'init_args'"),
    ],
)
def test_what_is_wrong_is_named(data, message):
    with pytest.raises(ConfigurationError, match=message):
        build(data)


def test_numbers_that_yaml_reads_as_text():
    assert build(described(learning_rate="1e-3"))[1].learning_rate == 1e-3
    assert build(described(start_from=None, threads=2))[1] == Settings(threads=2)
    assert isinstance(
        build({"task": {"class_path": "Distillation", "init_args": {"class_folder": "x", "photo_list": "y"}}})[0], Task
    )


def test_keys_set_on_the_command_line(tmp_path):
    file = tmp_path / "training.yaml"
    file.write_text(json.dumps(described()))
    values = {"steps": 7, "task.class_folder": "/a b", "task.init_args.widths": [4, 8], "task.photo_list": None}
    task, settings = read(file, [*values.items(), ("task.depths", [1, 1])])
    assert settings.steps == 7
    assert (task.class_folder, list(task.widths), task.photo_list) == ("/a b", [4, 8], None)
    with pytest.raises(ConfigurationError, match=r"training\.yaml\.steps: expected int"):
        read(file, [("steps.more", 3)])


def test_the_command(arguments, tmp_path, capsys, monkeypatch):
    file = tmp_path / "shapes.json"
    settings = {"steps": 2, "batch": 4, "device": "cpu"}
    file.write_text(json.dumps({**settings, "task": {"class_path": PATH, "init_args": arguments}}))
    out = tmp_path / "out"
    assert (
        main(["train", str(file), "steps=1", f"task.class_folder={arguments['class_folder']}", "--out", str(out)]) == 0
    )
    assert "step 1 of 1" in capsys.readouterr().err
    card = (out / "encoder.md").read_text()
    assert "shapes.json steps=1 --out DIR`" in card
    assert arguments["class_folder"] not in card
    assert main(["train", str(file), "batch=3", "steps=1", "--out", str(out)]) == 1
    assert "begun with batch=4, and now batch=3" in capsys.readouterr().err
    assert main(["train", str(file), "--out", str(out)]) == 0  # goes on, to more steps
    assert "| earlier_steps | 1 until step 1 |" in (out / "encoder.md").read_text()
    monkeypatch.chdir(out)
    for start in (f"{out}/encoder.safetensors", "encoder.safetensors"):
        assert main(["train", str(file), "steps=1", f"start_from={start}", "--out", str(tmp_path / "longer")]) == 0
        card = (tmp_path / "longer" / "encoder.md").read_text()
        assert "shapes.json steps=1 start_from=encoder.safetensors --out DIR`" in card
    assert main(["train", str(file), "stepps=1", "--out", str(out)]) == 1
    assert "did you mean 'steps'?" in capsys.readouterr().err


def test_the_learning_rate_rises_and_falls():
    rates = [learning_rate(step, 100, 2.0, 10) for step in range(100)]
    assert rates[0] == pytest.approx(0.2)
    assert max(rates) == rates[9] == rates[10] == 2.0
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert rates[-1] < 0.001


def test_the_moving_average_forgets_the_first_weights_as_its_warm_up_says():
    """After n steps of decays (1 + k) / (10 + k), the share of the first weights is n! 9! / (n + 9)!."""
    first, module = nn.Linear(1, 1), nn.Linear(1, 1)
    averaged = deepcopy(first)
    with torch.no_grad():
        averaged.weight.fill_(1.0), module.weight.fill_(0.0)
    for step in range(30):
        average(averaged, module, step, 0.999)
        assert averaged.weight.item() == pytest.approx(1 / math.comb(step + 10, 9), rel=1e-4)
    before = averaged.weight.item()
    average(averaged, module, 10**6, 0.999)  # past the warm-up, the decay is the given one
    assert averaged.weight.item() == pytest.approx(0.999 * before, rel=1e-5)
