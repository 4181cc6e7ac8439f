"""Export of a training: weights as safetensors, and a card with their origin and their scores."""

import hashlib
import json
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from safetensors.torch import save
from torch import nn

import semcomm
from semcomm.files import write_whole
from semcomm.training.checkpoints import Checkpoint
from semcomm.training.settings import Settings
from semcomm.training.task import Task


def export(task: Task, settings: Settings, module: nn.Module, at: Checkpoint, out: Path, command: str) -> Path:
    """Write `NAME.safetensors` and its card `NAME.md` into `out`, from the averaged weights; return the first.

    The card's facts are in the safetensors file too, as JSON under `card` in its header, but for a list of `authors`.
    """
    facts = task.describe(module) | {
        "task": at.task,
        "step": at.step,
        "steps": settings.steps,
        "hours": round(at.seconds / 3600, 2),
        "seed": settings.seed,
        "scores": {k: round(v, 5) for k, v in at.scores.items()},
        "configuration": at.configuration,
        "data_sha256": at.fingerprint,
        "versions": _versions(),
        "command": command,
    }
    tensors = {k: v.detach().cpu().contiguous() for k, v in task.exported(module).items()}
    data = save(tensors, {"card": json.dumps({k: v for k, v in facts.items() if k != "authors"})})
    path = out / f"{facts['name']}.safetensors"
    write_whole(path, data)
    write_whole(path.with_suffix(".md"), _card(facts, path.name, data).encode())
    return path


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version(), "semcomm": semcomm.__version__}
    for name in ("torch", "numpy", "pillow", "safetensors"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:  # torch built from its sources has no such record
            found[name] = "unknown"
    return found


def _card(facts: dict[str, Any], file: str, data: bytes) -> str:
    done = f"{facts['step']} of {facts['steps']} steps"
    if facts["step"] < facts["steps"]:
        done += "; **the training was not finished**: the learning rate had not come down to 0"
    lines = [
        f"# {facts['title']}",
        "",
        facts["purpose"],
        "",
        f"- File: `{file}`, {len(data) / 1e6:.2f} MB, SHA-256 `{hashlib.sha256(data).hexdigest()}`",
        *_items("Licence of the weights", facts.get("licence")),
        *_items("Parameters", facts.get("parameters")),
        f"- Training: {done}, {facts['hours']} hours, seed {facts['seed']}",
        *([f"- Command: `{facts['command']}`"] if facts["command"] else []),
        f"- Versions: {', '.join(f'{k} {v}' for k, v in facts['versions'].items())}",
        *_items("Images", facts.get("images")),
        "",
        *_section("Scores", "\n".join(_table(facts["scores"])), "Of the averaged weights, at the last validation."),
        *_section("Classes held out of training", ", ".join(facts.get("unseen_classes", []))),
        *_section("Checks", "\n".join(_table(facts["checks"])), "To be found again without the training data."),
        *_section("Data", "\n".join(f"- {line}" for line in _data(facts))),
        "## Configuration",
        *_table(facts["configuration"]),
        "",
    ]
    return "\n".join(lines)


def _data(facts: dict[str, Any]) -> list[str]:
    authors = facts.get("authors")
    return [*facts["data"], *([f"Authors of the listed photographs: {'; '.join(authors)}."] if authors else [])]


def _items(name: str, value: Any) -> list[str]:
    if value is None:
        return []
    if isinstance(value, dict):
        value = ", ".join(f"{count:,} {what}" for what, count in value.items())
    return [f"- {name}: {f'{value:,}' if isinstance(value, int) else value}"]


def _section(title: str, text: str, first: str = "") -> list[str]:
    return [f"## {title}", *([first, ""] if first else []), text, ""] if text else []


def _table(values: dict[str, Any]) -> list[str]:
    return ["| | |", "|---|---|", *(f"| {k} | {v} |" for k, v in values.items())] if values else []
