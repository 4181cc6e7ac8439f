"""Components: classes that an experiment file can name. The constructor is their schema."""

import collections.abc
import inspect
import types
from collections.abc import Iterable
from typing import Any, ClassVar, Literal, Self, Union, get_args, get_origin, get_type_hints

from semcomm.caches import cached
from semcomm.errors import ConfigurationError
from semcomm.recipes import as_path, by_content, class_path, plain, source_hash


class Component:
    """Base of channels, codecs, transceivers, metrics and all that an experiment file can name.

    The constructor's arguments are remembered, and those whose type is a `Literal` are checked. A constructor keeps
    what it makes of an argument under the argument's name (`self.code = code or Uncoded()`): `recipe` describes that,
    so that two objects built alike have the same recipe however they were spelt.
    """

    version: ClassVar[int] = 1
    """Raise it in a class whose results change although its arguments do not, after a mended bug for instance.

    A class of your own that sets it answers for it: its source is then no longer part of its recipe."""

    excluded_from_recipe: ClassVar[frozenset[str]] = frozenset({"device"})
    """Arguments that say where or how fast to compute and leave the results alone."""

    def __new__(cls, *args: Any, **kwargs: Any):
        """Remember the arguments, with the defaults of those left out."""
        self = super().__new__(cls)
        if args or kwargs or not _required(cls):  # unpickling calls __new__ without arguments
            try:
                bound = inspect.Signature(_parameters(cls)).bind(*args, **kwargs)
            except TypeError as error:
                names = ", ".join(p.name for p in _parameters(cls)) or "no arguments"
                raise ConfigurationError(f"{cls.__name__}: {error}; it takes {names}") from None
            bound.apply_defaults()
            for name, choices in _choices(cls).items():
                check_choice(cls.__name__, name, bound.arguments[name], choices)
            object.__setattr__(self, "_arguments", dict(bound.arguments))
        return self

    def replaced(self, **changes: Any) -> Self:
        """Return a new object of this class with some of the constructor's arguments changed."""
        return type(self)(**{**self._arguments, **changes})

    def resolved(self) -> dict[str, Any]:
        """Return what became of each argument of the constructor: the attribute of its name, else what was given."""
        return {name: vars(self).get(name, given) for name, given in self._arguments.items()}

    def recipe(self) -> dict:
        """Return all that results depend on, as plain JSON data, nested.

        Class path, version and what became of the arguments; of files and folders that arguments name, the hash of
        their content; of a class from outside this package, the hash of its source, unless it sets `version`.

        Raises:
            ConfigurationError: for an argument that cannot be described.
            ModelError: when weights are not on this machine.
        """
        arguments = {k: v for k, v in self.resolved().items() if k not in self.excluded_from_recipe}
        said = {
            "class_path": class_path(type(self)),
            "version": self.version,
            "init_args": {k: plain(_paths(v), k, by_content) for k, v in arguments.items()},
        }
        source = None if "version" in vars(type(self)) else source_hash(type(self))
        return {**said, "source": source} if source else said

    def spec(self) -> dict:
        """Return what builds this object again, as an experiment file would say it."""
        arguments = {k: plain(v, k, _spelt) for k, v in self._arguments.items()}
        return {"class_path": class_path(type(self)), "init_args": arguments}

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{k}={v!r}' for k, v in self._arguments.items())})"


def check_choice(owner: str, name: str, value: Any, choices: tuple) -> None:
    """Refuse a value, or one in a list of them, that is not among the choices of a `Literal`.

    Raises:
        ConfigurationError: naming the choices.
    """
    for one in value if isinstance(value, list | tuple) else [value]:
        if isinstance(one, str) and one not in choices:
            known = ", ".join(map(str, choices))
            raise ConfigurationError(f"{owner}: {name} is {one!r}; choose from {known}")


def _paths(value: Any) -> Any:
    """Return `value` with texts that name existing files as paths, also in lists and mappings."""
    if isinstance(value, dict):
        return {key: _paths(inner) for key, inner in value.items()}
    return [_paths(inner) for inner in value] if isinstance(value, list | tuple) else as_path(value)


def _spelt(value: Any) -> Any:
    return value.spec() if isinstance(value, Component) else str(value)


def _parameters(cls: type) -> list[inspect.Parameter]:
    if cls.__init__ is object.__init__:
        return []
    return list(inspect.signature(cls.__init__).parameters.values())[1:]


def _required(cls: type) -> bool:
    variable = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return any(p.default is p.empty and p.kind not in variable for p in _parameters(cls))


@cached(most=1024)
def _choices(cls: type) -> dict[str, tuple]:
    """Return the arguments that are texts from a `Literal`, alone or in a list, and their choices."""
    try:
        hints = get_type_hints(cls.__init__)
    except (NameError, TypeError):  # a hint that is imported for type checkers alone
        return {}
    names = {parameter.name for parameter in _parameters(cls)}
    found = {name: _literals(hint) for name, hint in hints.items() if name in names}
    return {name: choices for name, choices in found.items() if choices}


def _literals(hint: Any) -> tuple:
    """Return the choices of a hint; none where other text is allowed too."""
    if get_origin(hint) is Literal:
        return get_args(hint)
    if get_origin(hint) in (Union, types.UnionType, list, tuple, collections.abc.Sequence):
        inner: Iterable = [a for a in get_args(hint) if a is not Ellipsis]
        return () if str in inner else tuple(c for a in inner for c in _literals(a))
    return ()
