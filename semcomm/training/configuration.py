"""Training files: a task by its class, and beside it the settings of the loop."""

import os
import shlex
from collections.abc import Collection, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from semcomm import configuration
from semcomm.errors import ConfigurationError
from semcomm.training.settings import Settings
from semcomm.training.task import Task

_SPEC = ("class_path", "init_args")


def read(file: Path, assignments: Sequence[tuple[str, Any]] = ()) -> tuple[Task, Settings]:
    """Return the task and the settings that a training file describes.

    Args:
        file: in YAML (JSON is YAML too).
        assignments: key -> value, set before anything is checked; `task.crop` is the task's argument `crop`.

    Raises:
        ConfigurationError: when the file cannot be read, a key is unknown or missing, or a value has the wrong type.
    """
    data = configuration.read_yaml(file)
    for key, value in assignments:
        path = key.split(".")
        if path[0] == "task" and path[1:] and path[1] not in _SPEC:
            path.insert(1, "init_args")
        data = configuration.overridden(data, path, value)
    return build(data, str(file))


def build(data: Mapping[str, Any], where: str = "training") -> tuple[Task, Settings]:
    """Return the task and the settings that plain data describe.

    Raises:
        ConfigurationError: one line that begins with `where`.
    """
    import_module("semcomm.training.tasks")  # so that our own need no import path
    settings = dict(data)
    task = settings.pop("task", None)
    if task is None:
        raise ConfigurationError(f"{where}: has no task: name the class of one, with its arguments under init_args")
    if isinstance(task, Mapping) and (extra := set(task) - set(_SPEC)):
        raise ConfigurationError(f"{where}: task: no such key: {configuration.unknown_key(min(extra), list(_SPEC))}")
    return configuration.build(Task, task, f"{where}: task"), configuration.build(Settings, settings, where)


def portable_command(file: Path, assignments: Sequence[str], local: Collection[str]) -> str:
    """Return the command of a training for its card, with the number of processes.

    Args:
        file: the training file.
        assignments: `KEY=VALUE` as given. Of `start_from`, without which something else would be trained, the name
            is left.
        local: keys that say where things are on this machine, which are left out.
    """
    kept = []
    for text in assignments:
        key, _, value = text.partition("=")
        if key == "start_from":
            kept.append(f"start_from={Path(value).name}")
        elif key.rpartition(".")[2] not in local:
            kept.append(text)
    count = int(os.environ.get("WORLD_SIZE", "1"))
    launcher = ["torchrun", "--nproc_per_node", str(count), "-m"] if count > 1 else []
    return shlex.join(
        [*launcher, "semcomm", "train", file.name if file.is_absolute() else str(file), *kept, "--out", "DIR"]
    )
