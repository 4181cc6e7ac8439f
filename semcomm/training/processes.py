"""Processes that train one model together, one for each GPU, as `accelerate launch` or `torchrun` starts them."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from semcomm.errors import ConfigurationError


class Processes:
    """This process among those that train together; alone, unless a launcher has started several.

    Each takes its own share of a batch; gradients are averaged, so that all keep the same weights. The first one
    validates, writes and reports.

    Args:
        device: as in `Settings`; with several processes, `auto` gives each its GPU.

    Raises:
        ConfigurationError: when the device cannot be used, or accelerate is missing.
    """

    def __init__(self, device: str) -> None:
        self.count = int(os.environ.get("WORLD_SIZE", "1"))
        self.rank, self._accelerator = 0, None
        if self.count == 1:
            self.device = _device(device)
            return
        try:
            from accelerate import Accelerator
        except ModuleNotFoundError:
            raise ConfigurationError(
                "several processes were started; training together needs accelerate: pip install accelerate"
            ) from None
        # without a GPU it must be told, or each process would take itself for the only one
        self._accelerator = Accelerator(cpu=device == "cpu" or not torch.cuda.is_available())
        self.rank, self.device = self._accelerator.process_index, self._accelerator.device

    @property
    def is_first(self) -> bool:
        """True in the process that validates, writes and reports."""
        return self.rank == 0

    def share(self, batch: int) -> int:
        """Return how many images of a batch this process takes.

        Raises:
            ConfigurationError: when they cannot be shared out evenly.
        """
        if batch % self.count:
            raise ConfigurationError(f"batch is {batch}; it must be a multiple of the {self.count} processes")
        return batch // self.count

    @contextmanager
    def first_alone(self) -> Iterator[None]:
        """Let the first process through before the others."""
        if self._accelerator is None:
            yield
        else:
            with self._accelerator.main_process_first():
                yield

    def average_gradients(self, module: nn.Module) -> None:
        """Replace each gradient by its mean over the processes, where a part that one of them left out counts as 0."""
        if self._accelerator is None:
            return
        parameters = [p for p in module.parameters() if p.requires_grad]
        gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters]
        for parameter, gradient in zip(parameters, gradients):
            parameter.grad = gradient
        mean = self._accelerator.reduce(torch.cat([g.flatten() for g in gradients]), "mean")
        for gradient, part in zip(gradients, mean.split([g.numel() for g in gradients])):
            gradient.copy_(part.view_as(gradient))

    def wait(self) -> None:
        """Wait for the other processes."""
        if self._accelerator is not None:
            self._accelerator.wait_for_everyone()


def _device(name: str) -> torch.device:
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ConfigurationError(f"device {name!r} cannot be used: {str(error).splitlines()[0]}") from None
    return device
