"""Training files: what is wrong with one is said by its key."""

import json
import sys
from pathlib import Path

import pytest

from semcomm.cli import main
from semcomm.errors import ConfigurationError
from semcomm.training import Settings
from semcomm.training.configuration import assign, build, read_file
from semcomm.training.schedule import learning_rate
from semcomm.training.tasks import ImageClassification

ENCODER = Path(__file__).resolve().parents[2] / "experiments" / "train" / "encoder.yaml"
PATH = "semcomm.training.tasks.ImageClassification"


def described(init_args=None, **settings) -> dict:
    return {"task": {"class_path": PATH, "init_args": {"class_folder": "x", **(init_args or {})}}, **settings}


def test_the_encoders_file_is_valid():
    task, settings = build(read_file(ENCODER))
    assert isinstance(task, ImageClassification)
    assert settings.steps > 1000
    assert not Path(task.class_folder).is_absolute()


def test_yaml_and_json_say_the_same(tmp_path):
    file = tmp_path / "a.json"
    file.write_text(json.dumps(read_file(ENCODER)))
    assert build(read_file(file))[1] == build(read_file(ENCODER))[1]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (described(learning_rat=1), "learning_rat: there is no such key; did you mean learning_rate?"),
        (described({"width": [1]}), r"task\.width: there is no such key; did you mean widths\?"),
        (described(steps="many"), "steps: expected int, not 'many'"),
        (described(steps=True), "steps: expected int, not True"),
        (described(precision="bf61"), "precision: expected 'bf16' or 'fp32', not 'bf61'"),
        (described({"widths": [8, "x"]}), r"task\.widths\[1\]: expected int, not .x."),
        (described(steps=0), "steps is 0; it must be at least 1"),
        (described({"widths": [8], "depths": [1, 2]}), "1 widths for 2 depths"),
        (described({"early_size": 100}), "multiple of 16"),
        ({"task": {"class_path": PATH}}, r"task\.class_folder: is missing; ImageClassification needs it"),
        ({"steps": 3}, "task: expected class_path"),
        ({"task": {"class_path": "nowhere.Task"}}, "'nowhere.Task' cannot be imported"),
        ({"task": {"class_path": "ImageClassification"}}, "is no import path, as in semcomm.training.Im"),
        ({"task": {"class_path": "semcomm.training.Settings"}}, "is no semcomm.training.Task"),
        ({"task": {"class_path": PATH, "init_arg": {}}}, r"task\.init_arg: .* did you mean init_args"),
    ],
)
def test_what_is_wrong_is_named(data, message):
    with pytest.raises(ConfigurationError, match=message):
        build(data)


def test_numbers_that_yaml_reads_as_text():
    assert build(described(learning_rate="1e-3"))[1].learning_rate == 1e-3
    assert build(described(start_from=None, threads=2))[1] == Settings(threads=2)


def test_assignments():
    data = described()
    for text in ("steps=7", "task.class_folder=/a b", "task.init_args.widths=[4, 8]", "task.photo_list=null", "seed=3"):
        assign(data, text)
    assert (data["steps"], data["seed"]) == (7, 3)
    assert data["task"]["init_args"] == {"class_folder": "/a b", "widths": [4, 8], "photo_list": None}
    for wrong in ("steps", "=3", "steps.more=3"):
        with pytest.raises(ConfigurationError, match=r"expected KEY=VALUE|has no keys"):
            assign(data, wrong)


def test_files_that_cannot_be_read(tmp_path, monkeypatch):
    with pytest.raises(ConfigurationError, match="cannot be read"):
        read_file(tmp_path / "none.yaml")
    for name, text, message in (
        ("a.json", "{", "no valid JSON"),
        ("a.yaml", "a: [", "no valid YAML"),
        ("b.yaml", "3", "expected keys and values"),
    ):
        (tmp_path / name).write_text(text)
        with pytest.raises(ConfigurationError, match=message):
            read_file(tmp_path / name)
    monkeypatch.setitem(sys.modules, "yaml", None)
    with pytest.raises(ConfigurationError, match=r"needs PyYAML.*\.json file"):
        read_file(ENCODER)


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
    assert "did you mean steps?" in capsys.readouterr().err


def test_the_learning_rate_rises_and_falls():
    rates = [learning_rate(step, 100, 2.0, 10) for step in range(100)]
    assert rates[0] == pytest.approx(0.2)
    assert max(rates) == rates[9] == rates[10] == 2.0
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert rates[-1] < 0.001
