"""Swept values: what an axis may say, and what follows from it."""

import itertools
import json
from collections.abc import Iterator, Mapping
from decimal import Decimal
from math import prod
from typing import Any

from semcomm.classes import as_spec, unknown_key
from semcomm.configuration import SPEC, as_data, build, with_argument
from semcomm.errors import ConfigurationError
from semcomm.recipes import plain
from semcomm.transceivers.checks import COLUMNS

CHANNEL_AXIS = "channel."
RATES = frozenset({"snr_db", "bpp", "cbr", "pixels"})
"""Columns that an axis may share: what is measured stands in them, but of `pixels`, which a distortion has too."""
MAX_POINTS = 100_000
"""Of a transceiver or a channel: each is built before anything is sent."""


def variants(
    kind: type, section: str, entries: Mapping[str, Any], shared: Mapping[str, list]
) -> Iterator[tuple[str, Any, dict]]:
    """Give (name, object, swept values) of each entry with each combination of its axes.

    Args:
        kind: of what the entries describe.
        section: of the file, `transceivers` or `channels`.
        entries: name -> description, with axes of its own under `sweep`.
        shared: axis -> values of every entry, unless it has others.

    Raises:
        ConfigurationError: when one cannot be built, or there are too many.
    """
    for name, entry in entries.items():
        where = f"{section}.{name}"
        own = entry.get("sweep") or {} if isinstance(entry, Mapping) else {}
        if not isinstance(own, Mapping):
            raise ConfigurationError(f"{where}.sweep: expected axes with their values, got {own!r}")
        if isinstance(entry, Mapping) and "class_path" not in entry:
            found = ", ".join(map(str, entry)) or "nothing"
            raise ConfigurationError(f"{where}: names no class: class_path is missing, there is only {found}")
        if isinstance(entry, Mapping) and (extra := sorted(set(map(str, entry)) - set(SPEC))):
            hint = unknown_key(extra[0], SPEC)
            raise ConfigurationError(f"{where}: no such key: {hint} (arguments of the class stand under init_args)")
        axes = {**shared, **_own_axes(section, f"{where}.sweep", own)}
        if (count := prod(map(len, axes.values()))) > MAX_POINTS:
            raise ConfigurationError(f"{where}: {count:,} combinations of swept values; the limit is {MAX_POINTS:,}")
        for values in itertools.product(*axes.values()):
            try:
                spec = {k: v for k, v in as_spec(entry).items() if k != "sweep"}
                for axis, value in zip(axes, values):
                    spec = with_argument(spec, axis, value)
            except ConfigurationError as error:
                raise ConfigurationError(f"{where}: {error}") from None
            yield name, _built(kind, spec, where, section, shared), dict(zip(axes, values))


def _built(kind: type, spec: Mapping[str, Any], where: str, section: str, shared: Mapping[str, list]) -> Any:
    try:
        return build(kind, spec, where)
    except ConfigurationError as error:
        for axis in shared:
            if f"has no argument {axis!r}" in str(error):
                other, name = ("transceivers", axis) if section == "channels" else ("channels", CHANNEL_AXIS + axis)
                raise ConfigurationError(f"{error}; an argument of the {other} is swept as {name}") from None
        raise


def _own_axes(section: str, where: str, own: Mapping[str, Any]) -> dict[str, list]:
    """Return the axes of one entry; a channel may write its own as `channel.snr_db` too."""
    of_channel = [axis for axis in own if axis.startswith(CHANNEL_AXIS)]
    if of_channel and section != "channels":
        raise ConfigurationError(
            f"{where}.{of_channel[0]}: is of the channels, not of a transceiver: write it under `sweep` of the "
            "experiment, or of a channel"
        )
    return axes_of(where, {axis.removeprefix(CHANNEL_AXIS): values for axis, values in own.items()})


def axes_of(where: str, swept: Mapping[str, Any]) -> dict[str, list]:
    """Return the values of each axis.

    Raises:
        ConfigurationError: for what is no list or range, values that stand twice, and the name of another column.
    """
    axes = {axis: axis_values(f"{where}.{axis}", values) for axis, values in swept.items()}
    for axis in axes:
        if axis.removeprefix(CHANNEL_AXIS) in COLUMNS - RATES:
            raise ConfigurationError(
                f"{where}.{axis}: a column of the results has this name; call the argument otherwise"
            )
    return axes


def axis_values(where: str, values: Any) -> list:
    """Return the values of an axis: a list as it is, `{start, stop, step}` spelt out with both ends.

    Raises:
        ConfigurationError: for anything else, and for a value that stands twice.
    """
    values = as_data(values)
    if isinstance(values, Mapping) and set(values) == {"start", "stop", "step"}:
        values = _range(*(values[name] for name in ("start", "stop", "step"))) or values
    if not isinstance(values, list) or not values:
        raise ConfigurationError(f"{where}: expected a list of values, or start, stop and step, got {values!r}")
    seen: dict[str, Any] = {}
    for value in values:
        key = json.dumps(plain(value), sort_keys=True)
        if key in seen:
            raise ConfigurationError(f"{where}: the value {value!r} stands twice")
        seen[key] = value
    return values


def _range(start: Any, stop: Any, step: Any) -> list | None:
    """Return the numbers from start to stop, as decimal arithmetic has them: 0.1 + 0.2 is 0.3; None for no range."""
    if not all(isinstance(v, int | float) and not isinstance(v, bool) and abs(v) < 1e15 for v in (start, stop, step)):
        return None
    if not step > 0 or not 0 <= stop - start < MAX_POINTS * step:
        return None
    first, last, by = (Decimal(str(v)) for v in (start, stop, step))
    found = [first + n * by for n in range(int((last - first) / by + Decimal("1e-6")) + 1)]
    whole = all(isinstance(v, int) for v in (start, step))
    return [int(v) if whole else float(v) for v in found]


def label(value: Any) -> Any:
    """Return a swept value by itself: numbers and texts as they are, classes by name and arguments."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    value = plain(value)
    if isinstance(value, dict) and "class_path" in value:
        arguments = ", ".join(f"{k}={label(v)}" for k, v in (value.get("init_args") or {}).items())
        return f"{value['class_path'].rsplit('.', 1)[-1]}({arguments})"
    return json.dumps(value)


def kind_of(value: Any) -> str | None:
    """Return whether a label is a number, a truth value or text; None for none."""
    if value is None or isinstance(value, bool | str):
        return value if value is None else type(value).__name__
    return "number"
