"""JSON and YAML from files that anyone may have written: data, never code, and no more of it than was written down."""

import json
from functools import cache
from itertools import accumulate
from typing import Any

MAX_YAML_CHARACTERS = 2**16
"""An experiment has thousands; the parser is in Python and takes seconds for as many."""

MAX_YAML_ITEMS = 20_000
"""Numbers, texts, lists and mappings, counted wherever an alias repeats them: few lines do not stand for billions."""

MAX_DEPTH = 50
MAX_BITS = 1024
"""Of a whole number; those far beyond cannot even be printed."""


def parse_json(text: str | bytes) -> Any:
    """Return what a JSON text holds.

    Raises:
        ValueError: when it is none, or nested too deeply.
    """
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def parse_yaml(text: str) -> Any:
    """Return what a YAML text holds: plain data alone, by PyYAML's safe loader.

    Raises:
        ValueError: when it is none, too long, nested too deeply, or grown by its aliases.
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


@cache
def _loader() -> type:
    import yaml

    class Loader(yaml.SafeLoader):
        """The safe loader, with a limit to what merge keys (`<<`) repeat: they are spelt out while it loads."""

        merged = 0

        def flatten_mapping(self, node: yaml.MappingNode) -> None:
            super().flatten_mapping(node)
            self.merged += len(node.value)
            if self.merged > MAX_YAML_ITEMS:
                raise yaml.YAMLError(f"it has more than {MAX_YAML_ITEMS:,} items, those counted that merge keys repeat")

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
