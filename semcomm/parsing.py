"""JSON and YAML from files that anyone may have written: data, never code, and no more of it than was written down."""

import json
import re
from collections.abc import Sequence
from itertools import accumulate
from typing import Any, ClassVar

from semcomm.caches import cached

MAX_YAML_CHARACTERS = 2**16
"""An experiment has thousands; the parser is in Python and takes seconds for as many."""

MAX_YAML_ITEMS = 20_000
"""Numbers, texts, lists and mappings, counted wherever an alias repeats them: few lines do not stand for billions."""

MAX_DEPTH = 50
MAX_BITS = 1024
"""Of a whole number; those far beyond cannot even be printed."""

TEXT, MERGE = "tag:yaml.org,2002:str", "tag:yaml.org,2002:merge"
CORE_SCHEMA = (
    ("tag:yaml.org,2002:null", "~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("tag:yaml.org,2002:bool", "true|True|TRUE|false|False|FALSE", "tTfF"),
    ("tag:yaml.org,2002:int", r"[-+]?[0-9](?:_?[0-9])*|0o[0-7]+|0x[0-9a-fA-F]+", "-+0123456789"),
    (
        "tag:yaml.org,2002:float",
        r"[-+]?(?:\.[0-9]+|[0-9](?:_?[0-9])*(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)",
        "-+.0123456789",
    ),
    (MERGE, "<<", "<"),
)
"""Tag, form and first characters of scalars that are no text: those of YAML 1.2, and digits grouped as in 10_000."""


def parse_json(text: str | bytes) -> Any:
    """Return what a JSON text holds.

    Raises:
        ValueError: when it is none, nested too deeply, or has a key twice in one object.
    """
    try:
        return json.loads(text, object_pairs_hook=_once)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def _once(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"the key {next(key for key in keys if keys.count(key) > 1)!r} stands twice")
    return found


def parse_yaml(text: str) -> Any:
    """Return what a YAML text holds: plain data alone, by PyYAML's safe loader and the core schema of YAML 1.2.

    So `1e-5` is a number, `on`, `no`, a date and `12:30` are text, and a key is text as it is written, `802.11` too.

    Raises:
        ValueError: when it is none, too long, nested too deeply, grown by its aliases, or has a key twice.
        ModuleNotFoundError: when PyYAML is not installed.
    """
    import yaml

    if len(text) > MAX_YAML_CHARACTERS:
        raise ValueError(f"it has {len(text):,} characters; the limit is {MAX_YAML_CHARACTERS:,}")
    depth = accumulate((c in "[{") - (c in "]}") for c in text)  # PyYAML takes time with the square of it
    if max(depth, default=0) > MAX_DEPTH:
        raise ValueError(f"it is nested more than {MAX_DEPTH} deep")
    try:
        data = yaml.load(text, _loader())
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    except (yaml.YAMLError, ValueError, OverflowError, TypeError, LookupError, AttributeError) as error:
        raise ValueError(" ".join(str(error).split())) from None  # PyYAML checks the form of a date, not the date
    _count(data, 0, 0)
    return data


def dump_yaml(data: Any) -> str:
    """Return plain data as YAML that `parse_yaml` reads back: a text that looks like a number is quoted."""
    import yaml

    return yaml.dump(data, Dumper=_dumper(), sort_keys=False, allow_unicode=True)


@cached()
def _dumper() -> type:
    import yaml

    class Dumper(yaml.SafeDumper):
        """The safe dumper, which quotes what either version of YAML would read as no text."""

        yaml_implicit_resolvers: ClassVar = dict(yaml.SafeDumper.yaml_implicit_resolvers)

    for tag, form, first in CORE_SCHEMA:
        Dumper.add_implicit_resolver(tag, re.compile(rf"^(?:{form})$"), list(first))
    return Dumper


def _whole(text: str) -> int:
    sign, digits = (text[0], text[1:]) if text[0] in "+-" else ("", text)
    base = {"0x": 16, "0o": 8}.get(digits[:2].lower(), 10)
    return int(sign + (digits if base == 10 else digits[2:]), base)


def _real(text: str) -> float:
    return float(text.lower().replace(".inf", "inf").replace(".nan", "nan"))


@cached()
def _loader() -> type:
    import yaml

    class Loader(yaml.SafeLoader):
        """The safe loader, with a limit to what merge keys (`<<`) repeat: they are spelt out while it loads."""

        merged = 0
        yaml_implicit_resolvers: ClassVar = {}

        def flatten_mapping(self, node: yaml.MappingNode) -> None:
            super().flatten_mapping(node)
            self.merged += len(node.value)
            if self.merged > MAX_YAML_ITEMS:
                raise yaml.YAMLError(f"it has more than {MAX_YAML_ITEMS:,} items, those counted that merge keys repeat")

        def compose_mapping_node(self, anchor: str | None) -> yaml.MappingNode:
            node = super().compose_mapping_node(anchor)
            lines: dict[str, int] = {}
            for key, _ in node.value:
                if not isinstance(key, yaml.ScalarNode):
                    raise yaml.YAMLError(f"line {key.start_mark.line + 1}: a key must be text")
                line = key.start_mark.line + 1
                if key.value in lines:
                    raise yaml.YAMLError(f"the key {key.value!r} stands twice, in lines {lines[key.value]} and {line}")
                lines[key.value] = line
                if key.tag != MERGE:
                    key.tag = TEXT
            return node

    for tag, form, first in CORE_SCHEMA:
        Loader.add_implicit_resolver(tag, re.compile(rf"^(?:{form})$"), list(first))
    Loader.add_constructor("tag:yaml.org,2002:int", lambda loader, node: _whole(node.value))
    Loader.add_constructor("tag:yaml.org,2002:float", lambda loader, node: _real(node.value))
    return Loader


def _count(data: Any, before: int, depth: int) -> int:
    """Return how many items there are, those `before` included."""
    count = before + 1
    if depth > MAX_DEPTH:
        raise ValueError(f"it is nested more than {MAX_DEPTH} deep")
    if isinstance(data, int) and data.bit_length() > MAX_BITS:
        raise ValueError(f"it has a number of {data.bit_length():,} bits; the limit is {MAX_BITS:,}")
    if isinstance(data, dict | list | tuple | set):
        for item in data:
            count = _count(item, count, depth + 1)
            if isinstance(data, dict):
                count = _count(data[item], count, depth + 1)
    if count > MAX_YAML_ITEMS:
        raise ValueError(f"it has more than {MAX_YAML_ITEMS:,} items, those counted that its aliases repeat")
    return count
