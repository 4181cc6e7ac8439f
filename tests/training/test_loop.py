"""Training learns, and goes on after whatever stopped it with the same result as if nothing had."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from classifier import EncoderNetwork, ImageClassification
from safetensors.torch import load_file
from torch import nn

from semcomm.errors import ConfigurationError, ImageError, ModelError, RunError
from semcomm.models.files import read_weights
from semcomm.training import Settings, Task, checkpoints, loop, train
from semcomm.training.checkpoints import last
from semcomm.training.schedule import learning_rate

ROOT = Path(__file__).resolve().parents[2]
SMALL = {"batch": 8, "learning_rate": 0.003, "warmup_steps": 5, "ema": 0.9, "precision": "fp32", "device": "cpu"}


def small(**changes) -> Settings:
    return Settings(**{**SMALL, **changes})


class Line(Task):
    """Fits a line; stops or breaks at a step if told to."""

    def __init__(self, slope: float = 2.0, stop_at: int | None = None, nan_at: int | None = None) -> None:
        self.slope, self.stop_at, self.nan_at, self.calls = slope, stop_at, nan_at, 0

    excluded_from_recipe = frozenset({"stop_at", "nan_at"})

    def prepare(self, report=None):
        pass

    def fingerprint(self):
        return "line"

    def build(self):
        return nn.Sequential(nn.Linear(1, 8), nn.Dropout(0.1), nn.ReLU(), nn.Linear(8, 1))

    def batch(self, size, progress, generator):
        x = torch.rand(size, 1, generator=generator)
        return {"x": x, "y": self.slope * x, "progress": torch.full((size,), progress)}

    def losses(self, module, batch, generator):
        step = round(batch["progress"][0].item() * 20)
        if step == self.stop_at:
            raise KeyboardInterrupt
        noise = torch.randn(batch["y"].shape, generator=generator, device=generator.device)
        loss = (module(batch["x"]) - batch["y"] - 0.01 * noise).square().mean()
        return {"loss": loss * torch.nan if step == self.nan_at else loss}

    def validate(self, module):
        return {"error": (module(torch.ones(1, 1)) - self.slope).abs().item()}

    def exported(self, module):
        return module.state_dict()

    def load(self, module, tensors):
        module.load_state_dict(tensors)

    def describe(self, module):
        return {"name": "line", "title": "Line", "purpose": "Fits.", "network": {}, "data": [], "checks": {}}


class Authored(Line):
    """Of data that has authors."""

    def describe(self, module):
        return super().describe(module) | {"authors": ["A. Person", "B & Co"]}


class Other(Line):
    """The same, of another class."""


def tensors_of(folder: Path) -> dict:
    return load_file(last(folder).with_suffix(".safetensors"))


def assert_same(first: dict, second: dict) -> None:
    assert first.keys() == second.keys()
    for name, value in first.items():
        assert torch.equal(value, second[name]), name


def test_it_learns_and_ships_what_it_learned(arguments, tmp_path):
    settings = small(steps=80, batch=16, validate_steps=40, precision="bf16")
    task = ImageClassification(**{**arguments, "early_size": 96, "smallest_crop": 0.6})
    path = train(task, settings, tmp_path, command="semcomm train x.yaml")
    rows = [json.loads(line) for line in (tmp_path / "scores.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == [40, 80]
    assert rows[-1]["accuracy"] > 0.6  # chance is a third
    assert rows[-1]["auc_unseen"] > 0.6
    encoder = read_weights(path, "image encoder")
    assert encoder.network(EncoderNetwork).dimensions == 16
    assert encoder.card["scores"]["accuracy"] == round(rows[-1]["accuracy"], 5)
    card = path.with_suffix(".md").read_text()
    assert "80 of 80 steps" in card
    assert str(arguments["class_folder"]) not in card
    assert all(name in card for name in encoder.card["unseen_classes"])


def test_stopped_and_continued_is_bit_identical(tmp_path):
    settings = small(steps=20, checkpoint_steps=3, validate_steps=5)
    state = torch.get_rng_state()
    train(Line(), settings, tmp_path / "whole")
    assert torch.equal(torch.get_rng_state(), state)
    with pytest.raises(KeyboardInterrupt):
        train(Line(stop_at=11), settings, tmp_path / "stopped")
    assert last(tmp_path / "stopped").stem == "checkpoint-00000009"
    assert len(list((tmp_path / "stopped").glob("checkpoint-*"))) == 4  # two checkpoints of two files
    torch.rand(3)  # the state of the global generator does not matter
    lines = []
    train(Line(), settings, tmp_path / "stopped", lines.append)
    assert "continuing after step 9 of 20" in lines
    assert_same(tensors_of(tmp_path / "whole"), tensors_of(tmp_path / "stopped"))
    whole, stopped = ((tmp_path / name / "scores.jsonl").read_text() for name in ("whole", "stopped"))
    assert whole == stopped


def test_a_large_checkpoint_comes_in_pieces_and_goes_on_bit_by_bit(tmp_path, monkeypatch):
    settings = small(steps=20, checkpoint_steps=3)
    train(Line(), settings, tmp_path / "whole")
    monkeypatch.setattr("semcomm.training.checkpoints.PIECE_BYTES", 1000)
    with pytest.raises(KeyboardInterrupt):
        train(Line(stop_at=11), settings, tmp_path / "stopped")
    files = sorted(path.name for path in (tmp_path / "stopped").glob("checkpoint-00000009*"))
    assert files[:3] == [f"checkpoint-00000009.{name}" for name in ("json", "safetensors.000", "safetensors.001")]
    assert max(path.stat().st_size for path in (tmp_path / "stopped").glob("*.safetensors.*")) == 1000
    assert {path.name[:19] for path in (tmp_path / "stopped").glob("checkpoint-*")} == {
        "checkpoint-00000006",
        "checkpoint-00000009",
    }
    train(Line(), settings, tmp_path / "stopped")
    monkeypatch.undo()
    whole, pieces = (checkpoints.read(last(tmp_path / name))[1] for name in ("whole", "stopped"))
    assert_same(whole, pieces)
    (tmp_path / "stopped" / "checkpoint-00000020.safetensors.001").unlink()
    with pytest.raises(ModelError, match="its hash is another"):
        checkpoints.read(last(tmp_path / "stopped"))


def test_authors_stand_in_the_card_and_not_in_the_weights_file(tmp_path):
    path = train(Authored(), small(steps=2), tmp_path)
    assert "Authors of the listed photographs: A. Person; B & Co." in path.with_suffix(".md").read_text()
    assert b"Person" not in path.read_bytes() and b'"title' in path.read_bytes().replace(b"\\", b"")


def test_a_run_may_become_shorter_or_longer_and_its_card_says_so(tmp_path, monkeypatch):
    with pytest.raises(KeyboardInterrupt):
        train(Line(stop_at=11), small(steps=20, checkpoint_steps=3), tmp_path)
    with pytest.raises(RunError, match="9 steps are done, and steps is 8: set it to 9 or more"):
        train(Line(), small(steps=8), tmp_path)
    seen = []
    monkeypatch.setattr(loop, "learning_rate", lambda *given: seen.append(given) or learning_rate(*given))
    card = train(Line(), small(steps=12, checkpoint_steps=3), tmp_path).with_suffix(".md").read_text()
    assert "12 of 12 steps" in card and "| earlier_steps | 20 until step 9 |" in card
    assert [given[:2] for given in seen] == [(9, 12), (10, 12), (11, 12)]  # the rest follows the new schedule
    card = train(Line(), small(steps=15), tmp_path).with_suffix(".md").read_text()
    assert "15 of 15 steps" in card and "| earlier_steps | 20 until step 9, 12 until step 12 |" in card


def test_threads_and_workers_do_not_change_the_batches(tmp_path):
    train(Line(), small(steps=10), tmp_path / "one")
    train(Line(), small(steps=10, workers=3), tmp_path / "three")
    assert_same(tensors_of(tmp_path / "one"), tensors_of(tmp_path / "three"))


def test_killed_and_continued_is_bit_identical(arguments, tmp_path):
    """Kill -9 in the middle."""
    settings = {**SMALL, "steps": 40, "checkpoint_steps": 2, "threads": 1}
    task = {"class_path": "classifier.ImageClassification", "init_args": arguments}
    file = tmp_path / "training.json"
    file.write_text(json.dumps({**settings, "task": task}))
    out = tmp_path / "killed"
    command = [sys.executable, "-m", "semcomm", "train", str(file), "--out", str(out)]
    path = os.pathsep.join([str(ROOT / "tests"), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": path}
    process = subprocess.Popen(command, cwd=ROOT, env=environment)
    deadline = time.monotonic() + 60
    while last(out) is None and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert json.loads(last(out).read_text())["step"] < 40
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "continuing after step" in done.stderr
    train(ImageClassification(**arguments), Settings(**settings), tmp_path / "whole")
    assert_same(tensors_of(tmp_path / "whole"), tensors_of(out))


def test_a_loss_that_is_not_a_number_stops_and_keeps_the_last_checkpoint(tmp_path):
    settings = small(steps=20, checkpoint_steps=4)
    with pytest.raises(
        RunError, match=r"at step 11 the loss is nan.*last good checkpoint is kept: checkpoint-00000008"
    ):
        train(Line(nan_at=10), settings, tmp_path)
    assert all(v.isfinite().all() for v in tensors_of(tmp_path).values())
    assert train(Line(), settings, tmp_path).name == "line.safetensors"


def test_a_changed_key_is_refused_by_name(tmp_path):
    train(Line(), small(steps=4), tmp_path)
    with pytest.raises(RunError, match=r"was begun with batch=\d+, and now batch=3"):
        train(Line(), small(steps=4, batch=3), tmp_path)
    with pytest.raises(RunError, match=r"task\.slope=2, and now task\.slope=3"):
        train(Line(slope=3.0), small(steps=4), tmp_path)
    train(Line(), small(steps=4, validate_steps=2, workers=2), tmp_path)


def test_a_checkpoint_of_another_task_is_refused(tmp_path):
    train(Line(), small(steps=4), tmp_path)
    with pytest.raises(ModelError, match=r"of the task .*Line, not of .*Other"):
        train(Other(), small(steps=4), tmp_path)
    with pytest.raises(ModelError, match=r"start_from: .* is of the task .*Line"):
        train(Other(), small(steps=4, start_from=str(tmp_path)), tmp_path / "next")


def test_other_images_are_refused(arguments, draw_shapes, tmp_path):
    train(ImageClassification(**arguments), small(steps=1), tmp_path)
    (tmp_path / "more").mkdir()
    draw_shapes(tmp_path / "more", 11)
    with pytest.raises(RunError, match="was begun on other images"):
        train(ImageClassification(**{**arguments, "class_folder": str(tmp_path / "more")}), small(steps=1), tmp_path)


@pytest.mark.parametrize("damage", [lambda data: data[:-100], lambda data: data[:-1] + bytes([data[-1] ^ 1])])
def test_a_damaged_checkpoint_is_named_with_a_remedy(tmp_path, damage):
    settings = small(steps=6, checkpoint_steps=3)
    train(Line(), settings, tmp_path)
    path = last(tmp_path)
    weights = path.with_suffix(".safetensors")
    weights.write_bytes(damage(weights.read_bytes()))
    with pytest.raises(
        ModelError, match=r"damaged.*delete checkpoint-00000006.json to continue from checkpoint-00000003"
    ):
        train(Line(), settings, tmp_path)
    path.unlink()
    train(Line(), settings, tmp_path)
    path.write_text("{")
    with pytest.raises(ModelError, match="cannot be read"):
        train(Line(), settings, tmp_path)


def test_start_from_a_folder_or_a_shipped_file(arguments, tmp_path):
    shipped = train(Line(), small(steps=4), tmp_path / "first")
    for source in (shipped, tmp_path / "first"):
        out = tmp_path / f"from-{source.name}"
        train(Line(), small(steps=1, learning_rate=1e-12, start_from=str(source)), out)
        old, new = load_file(shipped), load_file(out / "line.safetensors")
        assert all(torch.allclose(old[k], new[k], atol=1e-6) for k in old)
    first = train(ImageClassification(**arguments), small(steps=2), tmp_path / "encoder")
    train(ImageClassification(**arguments), small(steps=1, start_from=str(first)), tmp_path / "longer")
    with pytest.raises(ModelError, match="another network"):
        wider = ImageClassification(**{**arguments, "widths": [8, 24]})
        train(wider, small(steps=1, start_from=str(first)), tmp_path / "wider")
    with pytest.raises(ModelError, match="cannot be read as safetensors"):
        train(Line(), small(steps=1, start_from=str(tmp_path / "nothing")), tmp_path / "x")


def test_export_of_an_unfinished_training_says_so(tmp_path):
    settings = small(steps=20, checkpoint_steps=3)
    with pytest.raises(RunError, match="no checkpoint to export"):
        train(Line(), settings, tmp_path, export_only=True)
    with pytest.raises(KeyboardInterrupt):
        train(Line(stop_at=8), settings, tmp_path)
    path = train(Line(), settings, tmp_path, export_only=True)
    card = path.with_suffix(".md").read_text()
    assert "6 of 20 steps; **the training was not finished**" in card
    assert torch.equal(load_file(path)["0.weight"], tensors_of(tmp_path)["average.0.weight"])


def test_an_empty_folder_and_an_unreadable_image(arguments, draw_shapes, tmp_path):
    with pytest.raises(ImageError, match="no images in this folder"):
        train(ImageClassification(**{**arguments, "class_folder": str(tmp_path)}), small(steps=1), tmp_path / "out")
    draw_shapes(tmp_path, 3)
    broken = tmp_path / "ring" / "01.png"
    broken.write_bytes(broken.read_bytes()[:60])
    with pytest.raises(ImageError, match=r"ring/01\.png: cannot be read"):
        train(ImageClassification(**{**arguments, "class_folder": str(tmp_path)}), small(steps=1), tmp_path / "out")
    broken.unlink()
    (tmp_path / "loose.png").write_bytes((tmp_path / "ring" / "00.png").read_bytes())
    with pytest.raises(ImageError, match="lies in no class's folder"):
        train(ImageClassification(**{**arguments, "class_folder": str(tmp_path)}), small(steps=1), tmp_path / "out")


def test_a_training_ends_in_time_with_everything_written(tmp_path, monkeypatch):
    clock = iter(range(10**6))
    monkeypatch.setattr(loop, "monotonic", lambda: next(clock))  # a second each time that it is looked at
    rates = []
    monkeypatch.setattr(loop, "learning_rate", lambda *given: rates.append(learning_rate(*given)) or rates[-1])
    settings = small(steps=1000, minutes=1.0, warmup_steps=1)
    path = train(Line(), settings, tmp_path)
    step = json.loads(last(tmp_path).read_text())["step"]
    assert 5 < step < 60
    card = path.with_suffix(".md").read_text()
    assert f"{step} of 1000 steps; **the training was not finished**" in card and "| minutes | 1 |" in card
    assert json.loads((tmp_path / "scores.jsonl").read_text())["step"] == step
    assert len(rates) == step and rates[-1] < 0.05 * settings.learning_rate < rates[1]  # with the time, not the steps
    again = train(Line(), settings, tmp_path)  # its time is over: it trains no further
    assert json.loads(last(tmp_path).read_text())["step"] == step and again == path
    with pytest.raises(ConfigurationError, match="minutes is 0"):
        small(minutes=0)


def test_a_device_that_is_not_there(tmp_path):
    with pytest.raises(ConfigurationError, match="device 'tpu9' cannot be used"):
        train(Line(), small(steps=1, device="tpu9"), tmp_path)
