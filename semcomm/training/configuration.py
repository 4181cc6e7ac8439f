"""Training files: read with what the standard library has, checked against the constructors' type hints.

A bare GPU machine has neither PyYAML nor jsonargparse; so a file may be JSON too, and the checks are our own.
"""

import inspect
import types
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from importlib import import_module
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from semcomm.errors import ConfigurationError
from semcomm.parsing import parse_json, parse_yaml
from semcomm.training.settings import Settings
from semcomm.training.task import Task


def read_file(path: Path) -> dict[str, Any]:
    """Read a training file: JSON if its name ends in `.json`, else YAML, which needs PyYAML.

    Raises:
        ConfigurationError: when it cannot be read.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path}: cannot be read ({error})") from None
    data = _parsed(text, path)
    if not isinstance(data, dict):
        raise ConfigurationError(f"{path}: expected keys and values, found {type(data).__name__}")
    return data


def _parsed(text: str, path: Path) -> Any:
    if path.suffix == ".json":
        try:
            return parse_json(text)
        except ValueError as error:
            raise ConfigurationError(f"{path}: is no valid JSON ({error})") from None
    try:
        return parse_yaml(text)
    except ModuleNotFoundError:
        raise ConfigurationError(
            f"{path}: reading YAML needs PyYAML, which is not installed here; give the same keys as a .json file"
        ) from None
    except ValueError as error:
        raise ConfigurationError(f"{path}: is no valid YAML ({error})") from None


def assign(data: dict[str, Any], text: str) -> None:
    """Set a key of the file from `KEY=VALUE`, as in `task.class_folder=data/caltech101`; the value is JSON or text.

    A key that begins with `task.` means an argument of the task, with or without `init_args` in it.

    Raises:
        ConfigurationError: when there is no `=`, or a key leads through something that has no keys.
    """
    key, equals, value = text.partition("=")
    if not key or not equals:
        raise ConfigurationError(f"{text!r}: expected KEY=VALUE, as in steps=2000")
    try:
        parsed = parse_json(value)
    except ValueError:
        parsed = value
    names = key.split(".")
    if names[0] == "task" and len(names) > 1 and names[1] not in ("class_path", "init_args"):
        names.insert(1, "init_args")
    for name in names[:-1]:
        data = data.setdefault(name, {})
        if not isinstance(data, dict):
            raise ConfigurationError(f"{text!r}: {name} has no keys of its own")
    data[names[-1]] = parsed


def build(data: Mapping[str, Any]) -> tuple[Task, Settings]:
    """Return the task and the settings that a training file describes.

    Raises:
        ConfigurationError: when a key is unknown or missing, or a value has the wrong type.
    """
    data = dict(data)
    described = data.pop("task", None)
    if not isinstance(described, Mapping) or "class_path" not in described:
        raise ConfigurationError("task: expected class_path (the import path of a Task) and init_args")
    _known("task", described, ("class_path", "init_args"))
    cls = _imported(described["class_path"])
    settings = Settings(**checked(Settings, data, "", also=("task",)))
    return cls(**checked(cls, described.get("init_args") or {}, "task.")), settings


def _imported(path: Any) -> type[Task]:
    module, _, name = str(path).rpartition(".")
    if not module:
        raise ConfigurationError(f"task.class_path: {path!r} is no import path, as in semcomm.training.{path}")
    try:
        cls = getattr(import_module(module), name)
    except (ImportError, AttributeError, TypeError, ValueError) as error:
        raise ConfigurationError(f"task.class_path: {path!r} cannot be imported ({error})") from None
    if not (inspect.isclass(cls) and issubclass(cls, Task)):
        raise ConfigurationError(f"task.class_path: {path!r} is no semcomm.training.Task")
    return cls


def checked(cls: type, data: Any, where: str, also: Sequence[str] = ()) -> dict[str, Any]:
    """Return `data` as arguments of `cls`, checked against its constructor.

    Raises:
        ConfigurationError: when a key is unknown or missing, or a value has the wrong type.
    """
    if not isinstance(data, Mapping):
        raise ConfigurationError(f"{where or 'the file'}: expected keys and values, not {data!r}")
    parameters = inspect.signature(cls).parameters
    _known(where.rstrip("."), data, (*parameters, *also))
    for name, parameter in parameters.items():
        if parameter.default is parameter.empty and name not in data:
            raise ConfigurationError(f"{where}{name}: is missing; {cls.__name__} needs it")
    hints = get_type_hints(cls.__init__)
    return {name: _converted(value, hints.get(name, Any), f"{where}{name}") for name, value in data.items()}


def _known(where: str, data: Mapping[str, Any], names: Sequence[str]) -> None:
    for key in data:
        if key not in names:
            close = get_close_matches(str(key), names, 1)
            hint = f"did you mean {close[0]}?" if close else f"there are {', '.join(names)}"
            raise ConfigurationError(f"{where + '.' if where else ''}{key}: there is no such key; {hint}")


def _converted(value: Any, hint: Any, where: str) -> Any:
    if hint is Any:
        return value
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return _first_that_fits(value, arguments, hint, where)
    if origin is Literal:
        if value in arguments:
            return value
    elif origin in (list, tuple):
        if isinstance(value, list | tuple):
            return origin(_converted(v, arguments[0], f"{where}[{i}]") for i, v in enumerate(value))
    elif origin is dict:
        if isinstance(value, Mapping):
            return {str(k): _converted(v, arguments[1], f"{where}.{k}") for k, v in value.items()}
    elif hint is float and not isinstance(value, bool):
        try:
            return float(value)  # YAML reads 1e-3 as text
        except (TypeError, ValueError, OverflowError):
            pass
    elif hint is type(None):
        if value is None:
            return None
    elif isinstance(value, hint) and not (hint is int and isinstance(value, bool)):
        return value
    raise ConfigurationError(f"{where}: expected {_shown(hint)}, not {value!r}")


def _first_that_fits(value: Any, hints: Sequence[Any], hint: Any, where: str) -> Any:
    for one in hints:
        try:
            return _converted(value, one, where)
        except ConfigurationError:
            continue
    raise ConfigurationError(f"{where}: expected {_shown(hint)}, not {value!r}")


def _shown(hint: Any) -> str:
    if get_origin(hint) is Literal:
        return " or ".join(map(repr, get_args(hint)))
    return hint.__name__ if isinstance(hint, type) and not get_args(hint) else str(hint)
