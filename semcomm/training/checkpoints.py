"""Checkpoints: written whole or not at all, checked by their hash, the last two kept.

A checkpoint is a safetensors file (weights, their average, the optimiser's moments) and a JSON file (the step, the
task, the configuration, the hash of the safetensors file). The JSON file is written last: without it there is no
checkpoint.
"""

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn

from semcomm.errors import ModelError, RunError
from semcomm.files import write_whole
from semcomm.parsing import parse_json

KEPT = 2
PIECE_BYTES = 16 * 10**6
"""A larger file is written in pieces of so many bytes, `.safetensors.000` and so on, as repositories take them."""
EARLIER = "earlier_steps"
"""In the recipe of a training whose `steps` were changed on the way: what they were, and until when."""
_PATTERN = "checkpoint-*.json"
_KINDS = {"step": int, "seconds": int | float, "task": str, "configuration": dict, "scores": dict, "sha256": str}


@dataclass(frozen=True)
class Checkpoint:
    """Facts of a checkpoint besides its tensors.

    Attributes:
        step: steps done.
        seconds: spent training so far.
        task: class path of the task.
        configuration: the recipe of the training, flat; a run continues only with the same, but for `steps`.
        fingerprint: of the data.
        scores: of the last validation.
        sha256: of the safetensors file.
    """

    step: int
    seconds: float
    task: str
    configuration: dict[str, Any]
    fingerprint: str
    scores: dict[str, float]
    sha256: str = ""


@dataclass(frozen=True)
class State:
    """The state of a training between two steps."""

    module: nn.Module
    averaged: nn.Module
    optimiser: torch.optim.Optimizer

    def tensors(self) -> dict[str, Tensor]:
        """Return everything by name, on the CPU."""
        found = {f"weights.{k}": v for k, v in self.module.state_dict().items()}
        found |= {f"average.{k}": v for k, v in self.averaged.state_dict().items()}
        for name, parameter in self.module.named_parameters():
            for key, value in self.optimiser.state.get(parameter, {}).items():
                found[f"optimiser.{name}:{key}"] = value
        return {k: v.detach().cpu().contiguous() for k, v in found.items()}

    def restore(self, tensors: dict[str, Tensor]) -> None:
        """Put back what `tensors` gave.

        Raises:
            ModelError: when they are those of another network.
        """
        try:
            self.module.load_state_dict(_under(tensors, "weights."))
            self.averaged.load_state_dict(_under(tensors, "average."))
        except RuntimeError as error:
            raise ModelError(f"the checkpoint is one of another network: {error}") from None
        parameters = dict(self.module.named_parameters())
        for key, value in _under(tensors, "optimiser.").items():
            name, _, moment = key.rpartition(":")
            parameter = parameters.get(name)
            if parameter is None or value.shape not in (parameter.shape, torch.Size()):
                raise ModelError(f"the checkpoint is one of another network: {key} is no state of its parameters")
            if value.shape == parameter.shape:  # in the parameter's own memory layout, as the fused AdamW wants it
                value = torch.empty_like(parameter, dtype=value.dtype, requires_grad=False).copy_(value)
            self.optimiser.state[parameter][moment] = value.to(parameter.device)


def _under(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}


def write(folder: Path, checkpoint: Checkpoint, tensors: dict[str, Tensor]) -> None:
    """Write a checkpoint and delete all but the last two."""
    data = save(tensors)
    facts = asdict(checkpoint) | {"sha256": hashlib.sha256(data).hexdigest()}
    path = folder / f"checkpoint-{checkpoint.step:08d}.safetensors"
    starts = range(0, len(data), PIECE_BYTES)
    for n, start in enumerate(starts):
        piece = path.with_name(f"{path.name}.{n:03d}") if len(starts) > 1 else path
        write_whole(piece, data[start : start + PIECE_BYTES])
    write_whole(path.with_suffix(".json"), json.dumps(facts, indent=1).encode())
    kept = sorted(folder.glob(_PATTERN))[-KEPT:]
    for file in folder.glob(".part-*"):  # of a write that was killed
        file.unlink(missing_ok=True)
    for file in folder.glob("checkpoint-*"):
        if file.with_name(file.name.split(".")[0] + ".json") not in kept:
            file.unlink(missing_ok=True)


def last(folder: Path) -> Path | None:
    """Return the JSON file of the last checkpoint in a folder, if there is one."""
    return max(folder.glob(_PATTERN), default=None)


def read(path: Path) -> tuple[Checkpoint, dict[str, Tensor]]:
    """Read the checkpoint of a JSON file.

    Raises:
        ModelError: when it is damaged.
    """
    weights = path.with_suffix(".safetensors")
    try:
        checkpoint = Checkpoint(**parse_json(path.read_text()))
        if not all(isinstance(getattr(checkpoint, name), kind) for name, kind in _KINDS.items()):
            raise ValueError("its facts are not of the kinds that they should be")
        pieces = [weights] if weights.exists() else sorted(path.parent.glob(f"{weights.name}.*"))
        data = b"".join(piece.read_bytes() for piece in pieces)
    except (OSError, ValueError, TypeError) as error:
        raise ModelError(f"{path}: the checkpoint cannot be read ({error}){_remedy(path)}") from None
    if hashlib.sha256(data).hexdigest() != checkpoint.sha256:
        raise ModelError(
            f"{weights}: the checkpoint is damaged: its hash is another than when it was written{_remedy(path)}"
        )
    try:
        return checkpoint, load(data)
    except SafetensorError as error:
        raise ModelError(f"{weights}: the checkpoint cannot be read ({error}){_remedy(path)}") from None


def _remedy(path: Path) -> str:
    others = [p for p in sorted(path.parent.glob(_PATTERN)) if p != path]
    if others:
        return f"; delete {path.name} to continue from {others[-1].stem}"
    return f"; it is the only one, so delete {path.name} to start anew"


def check_same(folder: Path, checkpoint: Checkpoint, task: str, configuration: dict, fingerprint: str) -> None:
    """Raise unless a training with this configuration may continue from `checkpoint`.

    It may have become longer or shorter: the rest of it follows the new schedule.

    Raises:
        ModelError: when the checkpoint is of another task.
        RunError: when a key was changed, which the message names, or the images are others.
    """
    if checkpoint.task != task:
        raise ModelError(
            f"{folder}: its checkpoint is of the task {checkpoint.task}, not of {task}; use another folder"
        )
    missing = "(not set)"
    for key in sorted({*checkpoint.configuration, *configuration} - {"steps", EARLIER}):
        was, now = checkpoint.configuration.get(key, missing), configuration.get(key, missing)
        if was != now:
            raise RunError(
                f"{folder}: was begun with {key}={was}, and now {key}={now}; put it back, or use another folder "
                "(start_from takes the weights along)"
            )
    if configuration["steps"] < checkpoint.step:
        raise RunError(
            f"{folder}: {checkpoint.step} steps are done, and steps is {configuration['steps']}: set it to "
            f"{checkpoint.step} or more"
        )
    if checkpoint.fingerprint != fingerprint:
        raise RunError(
            f"{folder}: was begun on other images (names or labels changed); put them back, or use another folder"
        )


def earlier_steps(checkpoint: Checkpoint, steps: int) -> dict[str, str]:
    """Return what the recipe says of the `steps` that were planned before those of now; nothing where none were."""
    before = checkpoint.configuration.get(EARLIER)
    was = checkpoint.configuration["steps"]
    known = [] if before is None else [before]
    if was != steps:
        known.append(f"{was} until step {checkpoint.step}")
    return {EARLIER: ", ".join(known)} if known else {}
