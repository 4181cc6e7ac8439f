"""Classes and choices by the names that people give them: in any case, short, or by their column."""

import collections.abc
import difflib
import inspect
import re
import traceback
import types
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from semcomm.caches import cached
from semcomm.component import Component
from semcomm.errors import ConfigurationError
from semcomm.recipes import class_path

NOUNS = {
    "Link": "transceiver",
    "Channel": "channel",
    "Metric": "metric",
    "SetMetric": "metric of sets",
    "SourceCodec": "source codec",
    "ChannelCode": "channel code",
}
SETS = (
    "judges sets of images, not image by image: name it in the metrics of an experiment, over at least as many images "
    "as its `minimum`, or call it in Python with two sets, semcomm.{0}()([references], [reconstructions])"
)


def spelt_out(kinds: tuple[type, ...], data: Any, where: str) -> dict[str, Any]:
    """Return a description of a class with import paths for the names of classes, and choices as they are spelt.

    Args:
        kinds: bases, of which the class has one.
        data: its name, or a mapping with `class_path` and `init_args`.
        where: for the error.

    Raises:
        ConfigurationError: when there is no such class, with a suggestion of the same kind.
    """
    try:
        spec = as_spec(data)
    except ConfigurationError as error:
        raise ConfigurationError(f"{where}: {error}") from None
    cls = find(kinds, spec["class_path"], where)
    hints = _hints(cls)
    arguments = {name: _spelt(hints.get(name), v, f"{where}.{name}") for name, v in spec["init_args"].items()}
    return {**spec, "class_path": class_path(cls), "init_args": arguments}


def with_defaults(kind: type, data: Any) -> dict[str, Any]:
    """Return a description of a class in full: import paths, and the defaults of all arguments that it leaves out.

    Raises:
        ConfigurationError: when there is no such class.
    """
    spec = spelt_out((kind,), data, "class")
    return {**spec, "init_args": _in_full(find((kind,), spec["class_path"], "class"), spec["init_args"])}


def _in_full(cls: type, given: Mapping[str, Any]) -> dict[str, Any]:
    hints = _hints(cls)
    arguments = {}
    for parameter in inspect.signature(cls).parameters.values():
        value = given.get(parameter.name, parameter.default)
        if value is parameter.empty:
            continue  # a swept one
        kinds = tuple(o for o in _options(hints.get(parameter.name)) if inspect.isclass(o) and issubclass(o, Component))
        if isinstance(value, Component):
            value = value.spec()
        elif kinds and isinstance(value, str) and "." in value:
            value = {"class_path": value, "init_args": {}}
        if kinds and isinstance(value, Mapping) and "class_path" in value:
            inner = as_spec(value)
            value = {**inner, "init_args": _in_full(find(kinds, inner["class_path"], "class"), inner["init_args"])}
        arguments[parameter.name] = value
    return arguments


def as_spec(data: Any) -> dict[str, Any]:
    """Return a class described by its name alone as the mapping it stands for."""
    if isinstance(data, str):
        return {"class_path": data, "init_args": {}}
    if isinstance(data, Mapping) and isinstance(data.get("class_path"), str):
        arguments = data.get("init_args") or {}
        if isinstance(arguments, Mapping):
            return {**data, "init_args": dict(arguments)}
    raise ConfigurationError(f"expected a class, as a name or as class_path and init_args, not {data!r}")


def find(kinds: tuple[type, ...], name: str, where: str) -> type[Component]:
    """Return the class of one of these kinds that has a name or an import path.

    Raises:
        ConfigurationError: when there is none, or it cannot be imported, with the reason.
    """
    cls = _imported(name, where) if "." in name else _named(kinds, name)
    if cls is None:
        other = _named((Component,), name)
        if other is None:
            known = sorted({cls.__name__ for cls in _concrete(kinds) if cls.__module__.startswith("semcomm.")})
            raise ConfigurationError(
                f"{where}: there is no such class: {unknown_key(name, known)} (a class of your own has an import path)"
            )
        cls = other
    if inspect.isclass(cls) and issubclass(cls, kinds):
        if inspect.isabstract(cls):
            raise ConfigurationError(f"{where}: {name} is only the base of its kind; name one that can be used")
        return cls
    bases = {base.__name__ for base in getattr(cls, "__mro__", ())}
    if "SetMetric" in bases:
        raise ConfigurationError(f"{where}: {cls.__name__} {SETS.format(cls.__name__)}")
    noun = next((NOUNS[base] for base in NOUNS if base in bases), None)
    wanted = " or ".join(NOUNS.get(kind.__name__, kind.__name__) for kind in kinds)
    if noun is None:
        raise ConfigurationError(f"{where}: there is no such class: {name!r} is no {wanted}")
    raise ConfigurationError(f"{where}: {name} is a {noun}, and a {wanted} is needed here")


def unknown_key(key: str, known: Sequence[str]) -> str:
    """Return the end of a sentence about a misspelt key."""
    folded = {_folded(name): name for name in known}
    close = [folded[_folded(key)]] if _folded(key) in folded else difflib.get_close_matches(key, known, n=1)
    close = close or [folded[f] for f in difflib.get_close_matches(_folded(key), list(folded), n=1)]
    return f"{key!r}; did you mean {close[0]!r}?" if close else f"{key!r}; known are {', '.join(sorted(known))}"


def is_called(cls: type, column: Any, name: str) -> bool:
    """Say whether a metric, by its class and its column, is what a name means."""
    return _folded(name) in (_folded(cls.__name__), _folded(column))


def known_components() -> None:
    """Import the project's components: a bare name is looked up among the classes that are loaded."""
    for package in ("channels", "codecs", "metrics", "transceivers"):
        import_module(f"semcomm.{package}")


def _named(kinds: tuple[type, ...], name: str) -> type[Component] | None:
    known_components()
    classes = sorted(_concrete(kinds), key=lambda cls: (not cls.__module__.startswith("semcomm."), class_path(cls)))
    exact = [cls for cls in classes if cls.__name__ == name]
    meant = exact or [cls for cls in classes if is_called(cls, getattr(cls, "name", ""), name)]
    return meant[0] if meant else None


def _imported(path: str, where: str) -> Any:
    known_components()
    module, _, name = path.rpartition(".")
    try:
        loaded = import_module(module)
    except Exception as error:
        missing = getattr(error, "name", None)
        if isinstance(error, ModuleNotFoundError) and missing and f"{module}.".startswith(f"{missing}."):
            raise ConfigurationError(
                f"{where}: there is no such class: {missing!r} is no module beside the file, in the current folder or "
                f"installed ({path})"
            ) from None
        if isinstance(error, ValueError | TypeError) and not getattr(error, "__traceback__", None).tb_next:
            raise ConfigurationError(f"{where}: there is no such class: {path!r} is no import path") from None
        at = traceback.extract_tb(error.__traceback__)[-1]
        said = " ".join(f"{type(error).__name__}: {error}".split())
        raise ConfigurationError(
            f"{where}: {path} cannot be imported: {said} ({at.filename}, line {at.lineno})"
        ) from None
    if not hasattr(loaded, name):
        names = [k for k, v in vars(loaded).items() if inspect.isclass(v) and issubclass(v, Component)]
        hint = unknown_key(name, names) if names else repr(name)
        raise ConfigurationError(f"{where}: there is no such class: {hint} in {module}")
    return getattr(loaded, name)


def _spelt(hint: Any, value: Any, where: str) -> Any:
    """Return an argument's value with the classes and choices in it as they are spelt."""
    options = _options(hint)
    kinds = tuple(o for o in options if inspect.isclass(o) and issubclass(o, Component))
    if isinstance(value, str):
        choices = [o for o in options if isinstance(o, str)]
        if value in choices or not (kinds or choices):
            return value
        meant = [choice for choice in choices if _folded(choice) == _folded(value)]
        if len(meant) == 1:
            return meant[0]
        if kinds and ("." in value or _named(kinds, value) or not (choices or str in options)):
            if str in options and "." in value:
                return value  # a file, say
            return class_path(find(kinds, value, where))
    elif kinds and isinstance(value, Mapping) and "class_path" in value:
        return spelt_out(kinds, value, where)
    elif isinstance(value, list):
        inner = [get_args(o)[0] for o in options if get_origin(o) in (list, tuple, collections.abc.Sequence)]
        return [_spelt(inner[0], v, f"{where}[{n}]") for n, v in enumerate(value)] if inner else value
    return value


def _options(hint: Any) -> list[Any]:
    """Return what a type hint allows: types, and the choices of a `Literal`."""
    if get_origin(hint) in (Union, types.UnionType):
        return [option for part in get_args(hint) for option in _options(part)]
    return list(get_args(hint)) if get_origin(hint) is Literal else [hint]


@cached(most=1024)
def _hints(cls: type) -> dict[str, Any]:
    try:
        return get_type_hints(cls.__init__)
    except (NameError, TypeError):  # a hint that is imported for type checkers alone
        return {}


def _concrete(bases: tuple[type, ...]) -> set[type]:
    found = set()
    for base in bases:
        if not (inspect.isabstract(base) or base.__name__.startswith("_")):
            found.add(base)
        found |= _concrete(tuple(base.__subclasses__()))
    return found


def _folded(name: Any) -> str:
    """Return what counts of a name: letters and digits, whatever their case."""
    return re.sub(r"[\W_]", "", name.casefold()) if isinstance(name, str) else ""
