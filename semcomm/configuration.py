"""From plain data to components: jsonargparse checks it against constructors, and errors become one line."""

import difflib
import inspect
import re
import warnings
from collections.abc import Mapping, Sequence
from copy import deepcopy
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from typing import Any, TypeVar

from semcomm.component import Component
from semcomm.errors import ConfigurationError
from semcomm.parsing import parse_yaml

T = TypeVar("T")


def build(kind: type[T], data: Any, where: str) -> T:
    """Return the `kind` that `data` describes: `{class_path: ..., init_args: {...}}`, a class name, or a mapping.

    Raises:
        ConfigurationError: one line that begins with `where`.
    """
    import jsonargparse

    parser = _parser(kind)
    try:
        return parser.instantiate(parser.parse_object({"it": deepcopy(data)})).it  # it writes into what it reads
    except ConfigurationError as error:
        raise ConfigurationError(f"{where}: {error}") from None
    except (jsonargparse.ArgumentError, TypeError, ValueError, OverflowError) as error:
        raise ConfigurationError(_one_line(str(error), kind, data, where)) from None


def command_line(parser: Any, argv: Sequence[str]) -> tuple[Any, Any]:
    """Return what a jsonargparse parser makes of `argv`: the values as given, and with every class instantiated.

    Raises:
        ConfigurationError: one line.
    """
    import jsonargparse

    _know_components()
    parser.exit_on_error = False
    try:
        values = parser.parse_args(list(argv))
        return values, parser.instantiate(values)
    except (jsonargparse.ArgumentError, TypeError, ValueError) as error:
        raise ConfigurationError(_one_line(str(error), Component, list(argv), "command line")) from None


def as_spec(data: Any) -> dict:
    """Return a class described by its name alone as the mapping it stands for."""
    if isinstance(data, str):
        return {"class_path": data, "init_args": {}}
    if isinstance(data, Mapping) and "class_path" in data:
        arguments = data.get("init_args") or {}
        if isinstance(arguments, Mapping):
            return {**data, "init_args": dict(arguments)}
    raise ConfigurationError(f"expected a class, as a name or as class_path and init_args, not {data!r}")


def as_data(value: Any) -> Any:
    """Return `value` with jsonargparse's namespaces, which it makes of classes described within it, as mappings."""
    if hasattr(value, "as_dict"):
        return as_data(value.as_dict())
    if isinstance(value, Mapping):
        return {key: as_data(inner) for key, inner in value.items()}
    return [as_data(inner) for inner in value] if isinstance(value, list) else value


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
        data = parse_yaml(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigurationError(f"{path}: there is no such file") from None
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"{path}: cannot be read as YAML ({error})") from None
    if not isinstance(data, dict):
        raise ConfigurationError(f"{path}: expected keys with values, not {type(data).__name__}")
    return data


def overridden(data: Any, path: list[str], value: Any) -> dict:
    """Return `data` with the value at `path` set. A key that holds dots itself (`channel.snr_db`) is met whole."""
    if not isinstance(data, Mapping):
        data = {}
    for length in range(len(path), 0, -1):
        key = ".".join(path[:length])
        if key in data:
            rest = path[length:]
            return {**data, key: overridden(data[key], rest, value) if rest else value}
    key, *rest = path
    return {**data, key: overridden({}, rest, value) if rest else value}


def unknown_key(key: str, known: list[str]) -> str:
    """Return the end of a sentence about a misspelt key."""
    close = difflib.get_close_matches(key, known, n=1)
    return f"{key!r}; did you mean {close[0]!r}?" if close else f"{key!r}; known are {', '.join(sorted(known))}"


def _know_components() -> None:
    """Import the project's components: jsonargparse takes a bare class name only for classes that are loaded."""
    for package in ("channels", "codecs", "metrics", "transceivers"):
        import_module(f"semcomm.{package}")


@lru_cache
def _parser(kind: type) -> Any:
    import jsonargparse

    _know_components()
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
    found = re.search(r"(?:Expected a dot import path string|Import path|No module named|has no attribute).*", message)
    if found and "Expected a typing.Literal" not in message:
        wanted = found[0].rsplit(maxsplit=1)[-1].strip("'\"")
        names = sorted({cls.__name__ for cls in _concrete(Component)})
        return f"{place}: there is no such class: {unknown_key(wanted, names)} (a class of your own has an import path)"
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


def _concrete(base: type) -> set[type]:
    found = set() if inspect.isabstract(base) or base.__name__.startswith("_") else {base}
    for cls in base.__subclasses__():
        found |= _concrete(cls)
    return found


warnings.filterwarnings("ignore", module="jsonargparse")
