"""From plain data to components: jsonargparse checks it against constructors, and errors become one line."""

import inspect
import re
import types
import warnings
from collections.abc import Mapping
from copy import deepcopy
from importlib import import_module
from pathlib import Path
from typing import Any, TypeVar, Union, get_args, get_origin

from semcomm.caches import cached
from semcomm.classes import as_spec, known_components, spelt_out, unknown_key
from semcomm.component import Component
from semcomm.errors import ConfigurationError
from semcomm.parsing import parse_yaml
from semcomm.recipes import class_path

T = TypeVar("T")
SPEC = ("class_path", "init_args", "sweep")
"""Keys of a class's description; any other in an assignment means one of its arguments."""


def build(kind: type[T], data: Any, where: str) -> T:
    """Return the `kind` that `data` describes: `{class_path: ..., init_args: {...}}`, a class name, or a mapping.

    Args:
        kind: a class, or a union of components.
        data: plain.
        where: for the error.

    Raises:
        ConfigurationError: one line that begins with `where`.
    """
    import jsonargparse

    kinds = get_args(kind) if get_origin(kind) in (Union, types.UnionType) else (kind,)
    if all(issubclass(one, Component) for one in kinds):
        data = spelt_out(kinds, as_data(data), where)
    parser = _parser(kind)
    try:
        return parser.instantiate(parser.parse_object({"it": deepcopy(data)})).it  # it writes into what it reads
    except ConfigurationError as error:
        raise ConfigurationError(f"{where}: {error}") from None
    except (jsonargparse.ArgumentError, TypeError, ValueError, OverflowError) as error:
        raise ConfigurationError(_one_line(str(error), kinds[0], data, where)) from None


def as_data(value: Any) -> Any:
    """Return `value` as plain data: NumPy's and PyTorch's numbers, ranges and tuples as Python's numbers and lists.

    Components become what builds them again, and jsonargparse's namespaces, which it makes of classes described within
    what will be kept as data, mappings.
    """
    if isinstance(value, Component):
        return value.spec()
    if inspect.isclass(value) and issubclass(value, Component):
        return class_path(value)
    if isinstance(value, Path):
        return str(value)
    if hasattr(value, "as_dict"):
        return as_data(value.as_dict())
    if isinstance(value, Mapping):
        return {key: as_data(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple | range):
        return [as_data(inner) for inner in value]
    return value.tolist() if hasattr(value, "tolist") else value


def with_argument(spec: Any, path: str, value: Any) -> dict:
    """Return a class description with one constructor argument set, `code.rate` meaning that of the class within."""
    spec = as_spec(spec)
    name, _, rest = path.partition(".")
    if rest:
        if spec["init_args"].get(name) is None:
            raise ConfigurationError(f"{path!r} cannot be set: {spec['class_path']} has no {name!r} of its own here")
        value = with_argument(spec["init_args"][name], rest, value)
    return {**spec, "init_args": {**spec["init_args"], name: value}}


def read_yaml(path: Path) -> dict:
    """Read a YAML file that holds a mapping."""
    try:
        data = parse_yaml(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise ConfigurationError(f"{path}: there is no such file") from None
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"{path}: cannot be read as YAML ({error})") from None
    if not isinstance(data, dict):
        raise ConfigurationError(f"{path}: expected keys with values, not {type(data).__name__}")
    return data


def assignment(text: str) -> tuple[str, Any]:
    """Return key and value of `KEY=VALUE`, the value read as YAML.

    Raises:
        ConfigurationError: when it is none.
    """
    key, equals, value = text.partition("=")
    if not key or not equals:
        raise ConfigurationError(
            f"{text!r}: expected KEY=VALUE, as in images.limit=2 or 'sweep.channel.snr_db=[0,5,10]'"
        )
    try:
        return key, parse_yaml(value)
    except ValueError as error:
        raise ConfigurationError(f"{text!r}: the value cannot be read as YAML ({error})") from None


def all_overridden(data: Mapping[str, Any], changes: Mapping[str, Any]) -> dict:
    """Return `data` with every change made, whatever their order: a class before its arguments."""
    ordered = sorted(changes, key=lambda key: (not key.endswith(".class_path"), key.count(".")))
    for key in ordered:
        try:
            data = overridden(data, key.split("."), as_data(changes[key]))
        except ConfigurationError as error:
            raise ConfigurationError(f"{key}: {error}") from None
    return dict(data)


def overridden(data: Any, path: list[str], value: Any) -> Any:
    """Return `data` with the value at `path` set.

    A key that holds dots itself (`channel.snr_db`) is met whole, and all that follows `sweep` is one. A class written
    short gets its arguments; another class starts without those of the one before. Numbers count the items of a list.

    Raises:
        ConfigurationError: for an item that a list has not.
    """
    key, *rest = path
    if isinstance(data, list) and key.isdigit():
        if int(key) >= len(data):
            raise ConfigurationError(f"there is no item {key}: the list has {len(data)}, counted from 0")
        return [overridden(v, rest, value) if rest else value if n == int(key) else v for n, v in enumerate(data)]
    if isinstance(data, str):
        data = as_spec(data)
    if not isinstance(data, Mapping):
        data = {}
    if path == ["class_path"] and data.get("class_path") != value:
        return {"class_path": value, **{k: v for k, v in data.items() if k == "sweep"}}
    if "class_path" in data and key not in SPEC:
        return overridden(data, ["init_args", *path], value)
    for length in range(len(path), 0, -1):
        key, rest = ".".join(path[:length]), path[length:]
        if key in data:
            break
    if not rest:
        return {**data, key: value}
    if key == "sweep":
        return {**data, key: _axis_set(data.get(key) or {}, rest, value)}
    return {**data, key: overridden(data.get(key, {}), rest, value)}


def _axis_set(axes: Mapping[str, Any], path: list[str], value: Any) -> dict:
    """Return swept axes with the values of one set, or with one end of a range."""
    axis, end = ".".join(path[:-1]), path[-1]
    if axis in axes or (axis and end in ("start", "stop", "step")):
        known = axes.get(axis)
        return {**axes, axis: {**(known if isinstance(known, Mapping) else {}), end: value}}
    return {**axes, ".".join(path): value}


@cached()
def _parser(kind: Any) -> Any:
    import jsonargparse

    known_components()
    # where any value will do, such as in a figure's `where`, a class path is a value too and not a class to be made
    jsonargparse.set_parsing_settings(validate_subclass_spec_in_any=False, instantiate_subclass_spec_in_any=False)
    parser = jsonargparse.ArgumentParser(exit_on_error=False)
    parser.add_argument("--it", type=kind)
    return parser


def _one_line(message: str, kind: type, data: Any, where: str) -> str:
    """Condense jsonargparse's tree of errors: the path to the culprit, and what is wrong with it."""
    keys = [k.removeprefix("it").strip(".") for k in re.findall(r'Parser key "([^"]+)"', message)]
    place = ".".join([where, *(k for k in keys if k)])
    classes = re.findall(r"class_path '([^']+)'", message)
    if found := re.search(r"Option '([^']+)' is not accepted", message):
        known = _arguments_of(classes[-1]) if classes else []
        return f"{place}: {classes[-1] if classes else kind.__name__} has no argument {unknown_key(found[1], known)}"
    if found := re.search(r"does not accept option '([^']+)'", message):
        return f"{where}: no such key: {unknown_key(found[1].removeprefix('it.'), _fields_of(kind))}"
    if found := re.search(r"arguments are required: (.+)", message):
        return f"{place}: {classes[-1] if classes else kind.__name__} needs {found[1].replace('it.', '')}"
    if "Expected a dot import path string" in message or "Import path" in message or "No module named" in message:
        named = re.search(r"(?:class_path|Got value|Given value|Import path|module named)[: ]+'?([\w.]+)", message)
        if named and "Expected a typing.Literal" not in message:
            return f"{place}: there is no such class: {named[1]!r} (a class of your own has an import path)"
    expected = [
        e.removeprefix("a ").replace("typing.", "").replace("<class '", "").replace("'>", "")
        for e in re.findall(r"Expected (?:a |an )?(.+?)(?:\. Got value.*)?$", message, re.M)
    ]
    expected = [e for e in expected if e != "NoneType" and not e.startswith("dot import path")]
    value = re.search(r"(?:Got value|Given value): (.+)", message)
    if expected:
        kinds = re.sub(r"Literal\[(.+?)\]", r"\1", " or ".join(dict.fromkeys(expected)))
        return f"{place}: expected {kinds}, got {value[1] if value else data!r}"
    return f"{place}: {' '.join(message.split())}"


def _arguments_of(class_path: str) -> list[str]:
    module, _, name = class_path.rpartition(".")
    cls = getattr(import_module(module), name)
    return list(inspect.signature(cls).parameters)


def _fields_of(kind: type) -> list[str]:
    names = []
    for parameter in inspect.signature(kind).parameters.values():
        names.append(parameter.name)
        if hasattr(parameter.annotation, "__dataclass_fields__"):
            names += [f"{parameter.name}.{inner}" for inner in parameter.annotation.__dataclass_fields__]
    return names


warnings.filterwarnings("ignore", module="jsonargparse")
