"""Requirements of an experiment on the machine that runs it, checked before anything is sent."""

from collections.abc import Iterator
from typing import Any

import torch

from semcomm.component import Component
from semcomm.errors import ConfigurationError
from semcomm.models import device_of


def check_devices(component: Component, where: str) -> None:
    """Refuse a `device` argument, of a component or of one within it, that this machine does not have.

    Raises:
        ConfigurationError: beginning with `where`.
    """
    for name in _devices(component):
        try:
            device = device_of(name)
            torch.empty(0, device=device)
        except ConfigurationError as error:
            raise ConfigurationError(f"{where}: {error}") from None
        except (RuntimeError, AssertionError, NotImplementedError):
            raise ConfigurationError(
                f"{where}: device is {name!r}, and PyTorch finds no such device on this machine; say auto or cpu"
            ) from None
        if device.type == "meta":
            raise ConfigurationError(f"{where}: device is {name!r}, which computes nothing; say auto or cpu")


def _devices(value: Any) -> Iterator[str]:
    if isinstance(value, Component):
        arguments = value.resolved()
        if isinstance(device := arguments.get("device"), str):
            yield device
        for inner in arguments.values():
            yield from _devices(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _devices(inner)
