"""Recipes: plain data that says what was built, so that equal recipes mean equal results."""

import ast
import hashlib
import inspect
import json
import sys
import sysconfig
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from pathlib import Path
from typing import Any

from semcomm.caches import cached
from semcomm.errors import ConfigurationError


def key_of(description: Mapping[str, Any]) -> str:
    """Return the hash (hex, 64 characters) of plain JSON data, independent of the order of its keys."""
    return hashlib.sha256(json.dumps(description, sort_keys=True, allow_nan=True).encode()).hexdigest()


def plain(value: Any, where: str = "value", described: Callable[[Any], Any] | None = None) -> Any:
    """Return `value` as JSON data.

    Args:
        value: numbers, strings, paths, enumerations, lists, mappings, dataclasses, components.
        where: its name, for the error.
        described: what to write for a component, or for a path; their recipe and their text by default.

    Raises:
        ConfigurationError: for an object that has no recipe.
    """
    if hasattr(value, "recipe") or isinstance(value, Path):
        return described(value) if described else str(value) if isinstance(value, Path) else value.recipe()
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, float) and value.is_integer():
        return int(value)  # 3 and 3.0 are the same argument
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Mapping):
        return {str(k): plain(v, f"{where}.{k}", described) for k, v in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        ordered = sorted(value) if isinstance(value, set | frozenset) else value
        return [plain(v, where, described) for v in ordered]
    if is_dataclass(value):
        return {f.name: plain(getattr(value, f.name), f.name, described) for f in fields(value)}
    if isinstance(value, range) or hasattr(value, "tolist"):  # of NumPy or PyTorch
        return plain(list(value) if isinstance(value, range) else value.tolist(), where, described)
    raise ConfigurationError(
        f"the argument {where} is a {type(value).__name__}, which has no recipe, so no result could be kept under it. "
        "Take numbers, strings, lists or components in the constructor and load the rest from them."
    )


def by_content(value: Any) -> Any:
    """Return a component's recipe, or a path's content: the hash of the file, or of all files in the folder.

    A path where nothing is stands for itself.
    """
    if not isinstance(value, Path):
        return value.recipe()
    path = value.expanduser()
    if path.is_file():
        return {"sha256": file_hash(path)}
    if path.is_dir():
        hidden = {p for p in path.rglob(".*") if p.is_dir()}
        files = sorted(p for p in path.rglob("*") if p.is_file() and hidden.isdisjoint(p.parents))
        return {"sha256": key_of({p.relative_to(path).as_posix(): file_hash(p) for p in files})}
    return str(value)


def file_hash(path: Path) -> str:
    """Return the SHA-256 (hex) of a file, which is read again only when its size or time of change differ."""
    path = path.resolve()
    stat = path.stat()
    return _file_hash(path, stat.st_size, stat.st_mtime_ns)


@cached(most=4096)
def _file_hash(path: Path, *stamp: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def as_path(value: Any) -> Any:
    """Return text that names a file or folder which exists as a path; anything else as it is.

    Text counts as a name only with a suffix or a separator in it, so that no file in the working directory can be
    meant by `"adaptive"`.
    """
    if isinstance(value, str) and len(value) < 4096 and (("/" in value) or ("\\" in value) or Path(value).suffix):
        try:
            path = Path(value).expanduser()
            return path if path.exists() else value
        except (OSError, RuntimeError, ValueError):
            return value
    return value


def class_path(cls: type) -> str:
    """Return the import path of a class: that of the outermost sub-package which offers it, so files can move."""
    parts = cls.__module__.split(".")
    for end in range(2, len(parts)):
        package = ".".join(parts[:end])
        if getattr(sys.modules.get(package), cls.__qualname__, None) is cls:
            return f"{package}.{cls.__qualname__}"
    return f"{cls.__module__}.{cls.__qualname__}"


@cached(most=1024)
def source_hash(cls: type) -> str | None:
    """Return the hash of the source of a class from outside this package; None for one of our own.

    It covers the files of the class and its bases and whatever these import from beside them: other modules of the
    same package, or of the folder that a script is in. Comments, docstrings and layout do not count. Of a class typed
    into an interpreter, it is the byte code of its methods.
    """
    modules = [sys.modules[base.__module__] for base in cls.__mro__ if _is_foreign(base.__module__)]
    if not modules:
        return None
    trees: dict[Path, ast.Module] = {}
    waiting = [Path(m.__file__).resolve() for m in modules if getattr(m, "__file__", None)]
    while waiting:
        path = waiting.pop()
        if path not in trees:
            trees[path] = _tree(path)
            waiting += _imported(trees[path], path)
    sources = sorted(ast.dump(tree) for tree in trees.values() if tree.body)
    if not sources:  # typed into an interpreter
        methods = {name: inspect.unwrap(value) for name, value in vars(cls).items() if inspect.isfunction(value)}
        sources = sorted(f"{k} {v.__code__.co_code.hex()} {v.__code__.co_consts}" for k, v in methods.items())
    return hashlib.sha256("\n".join(sources).encode()).hexdigest()


def _is_foreign(module: str) -> bool:
    top = module.partition(".")[0]
    return module in sys.modules and top not in {"semcomm", "torch", "numpy"} | sys.stdlib_module_names - {"__main__"}


def _imported(tree: ast.Module, path: Path) -> list[Path]:
    """Return the files beside `path`, in its package or in the folder of a script, that it imports, now or later."""
    installed = {Path(sysconfig.get_path(name)).resolve() for name in ("purelib", "platlib")}
    root = path.parent
    while (root / "__init__.py").is_file():
        root = root.parent
    package = path.parent.relative_to(root).parts
    names: set[tuple[str, ...]] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {tuple(alias.name.split(".")) for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else ()
            base = (*above, *(node.module.split(".") if node.module else ()))
            names |= {base, *((*base, alias.name) for alias in node.names)}
    if root in installed:  # there, other packages lie beside it
        names = {name for name in names if name[:1] == package[:1]}
    found = (root.joinpath(*name).with_suffix(".py") for name in names if name)
    packages = (root.joinpath(*name, "__init__.py") for name in names if name)
    return [file for file in (*found, *packages) if file.is_file()]


def _tree(path: Path) -> ast.Module:
    """Return the syntax tree of a file without docstrings; an empty one where it cannot be read."""
    try:
        tree = ast.parse(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, SyntaxError):
        return ast.Module([], [])
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list) and body and isinstance(body[0], ast.Expr):
            first = body[0].value
            if isinstance(first, ast.Constant) and isinstance(first.value, str):
                body[0] = ast.Pass()
    return tree
