"""What an experiment file can name: classes whose constructor is their schema, and their arguments their identity."""

import inspect
import sys
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from pathlib import Path
from typing import Any, ClassVar, Self

from semcomm.errors import ConfigurationError


class Component:
    """Base of channels, codecs, transceivers and metrics.

    The constructor's arguments are remembered, so that two objects built alike, from YAML or in Python, have
    the same `recipe()`, under which their results are kept.
    """

    version: ClassVar[int] = 1
    """Raise it in a class whose results change although its arguments do not, after a mended bug for instance."""

    excluded_from_recipe: ClassVar[frozenset[str]] = frozenset({"device"})
    """Arguments that say where or how fast to compute and leave the results alone: not part of the recipe."""

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
            object.__setattr__(self, "_arguments", dict(bound.arguments))
        return self

    def replaced(self, **changes: Any) -> Self:
        """Return a new object of this class with some of the constructor's arguments changed."""
        return type(self)(**{**self._arguments, **changes})

    def recipe(self) -> dict:
        """Return all that results depend on, as plain JSON data: class path, version and arguments, nested."""
        arguments = {k: plain(v, k) for k, v in self._arguments.items() if k not in self.excluded_from_recipe}
        return {"class_path": class_path(type(self)), "version": self.version, "init_args": arguments}

    def spec(self) -> dict:
        """Return what builds this object again, as an experiment file would say it."""
        arguments = {k: plain(v, k, Component.spec) for k, v in self._arguments.items()}
        return {"class_path": class_path(type(self)), "init_args": arguments}

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{k}={v!r}' for k, v in self._arguments.items())})"


def plain(value: Any, where: str = "value", described: Callable[[Component], dict] | None = None) -> Any:
    """Return `value` as JSON data; components become what `described` says of them, their recipes by default.

    Raises:
        ConfigurationError: for an object that has no recipe.
    """
    if isinstance(value, Component):
        return described(value) if described else value.recipe()
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, float) and value.is_integer():
        return int(value)  # 3 and 3.0 are the same argument
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, Mapping):
        return {str(k): plain(v, f"{where}.{k}", described) for k, v in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        ordered = sorted(value) if isinstance(value, set | frozenset) else value
        return [plain(v, where, described) for v in ordered]
    if is_dataclass(value):
        return {f.name: plain(getattr(value, f.name), f.name, described) for f in fields(value)}
    raise ConfigurationError(
        f"the argument {where} is a {type(value).__name__}, which has no recipe, so no result could be kept under it. "
        "Take numbers, strings, lists or components in the constructor and load the rest from them."
    )


def class_path(cls: type) -> str:
    """Return the import path of a class: that of the outermost sub-package which offers it, so files can move."""
    parts = cls.__module__.split(".")
    for end in range(2, len(parts)):
        package = ".".join(parts[:end])
        if getattr(sys.modules.get(package), cls.__qualname__, None) is cls:
            return f"{package}.{cls.__qualname__}"
    return f"{cls.__module__}.{cls.__qualname__}"


def _parameters(cls: type) -> list[inspect.Parameter]:
    if cls.__init__ is object.__init__:
        return []
    return list(inspect.signature(cls.__init__).parameters.values())[1:]


def _required(cls: type) -> bool:
    variable = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return any(p.default is p.empty and p.kind not in variable for p in _parameters(cls))
