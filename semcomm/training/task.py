"""The interface of a training task: the one class that a researcher writes to train something of their own."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from semcomm.component import Component


class Task(Component, ABC):
    """A module to train, its data, its loss, and the weights to ship. The loop does the rest.

    The constructor's arguments are the task's keys in a training file. All randomness comes from the generators that
    are handed in, which depend on (seed, step) alone: so a run that was killed continues as if nothing had happened.
    """

    @abstractmethod
    def prepare(self, report: Callable[[str], None] | None = None) -> None:
        """Find and read the data; called once, before anything else. `report` takes a line of text to show.

        Raises:
            ImageError: when a folder has no images or an image cannot be used.
        """

    @abstractmethod
    def fingerprint(self) -> str:
        """Return a hash of the data's identity (names, labels): a run continues only on the same data."""

    @abstractmethod
    def build(self) -> nn.Module:
        """Return the module to train, its weights drawn from torch's global generator, which the loop has seeded."""

    def begin(self, module: nn.Module) -> None:
        """Set those weights of what `build` made that come from the data; not called with `start_from`."""

    @abstractmethod
    def batch(self, size: int, progress: float, generator: torch.Generator) -> dict[str, Tensor]:
        """Return a batch of `size` on the CPU. Called from other threads, so it changes nothing in the task.

        Args:
            size: images in the batch.
            progress: share of the training that is done, in [0, 1).
            generator: a CPU generator for this step.
        """

    @abstractmethod
    def losses(self, module: nn.Module, batch: dict[str, Tensor], generator: torch.Generator) -> dict[str, Tensor]:
        """Return scalars to log; the one called `loss` is minimised. Runs under autocast where that is chosen.

        Args:
            module: what `build` made, in training mode.
            batch: what `batch` made, on the device.
            generator: a generator on the device, for this step.
        """

    @abstractmethod
    def validate(self, module: nn.Module) -> dict[str, float]:
        """Return scores on held-back data; `module` has the averaged weights and is in evaluation mode."""

    @abstractmethod
    def exported(self, module: nn.Module) -> dict[str, Tensor]:
        """Return the tensors to ship, by the names under which `load` finds them again."""

    @abstractmethod
    def load(self, module: nn.Module, tensors: dict[str, Tensor]) -> None:
        """Put exported tensors into a module that `build` made: the start of a longer training.

        Raises:
            ModelError: when they belong to another network.
        """

    @abstractmethod
    def describe(self, module: nn.Module) -> dict[str, Any]:
        """Return what the exported file and its card say, as JSON data.

        Needed are `name` (of the file), `title`, `purpose`, `data` (lines of text, with licences and attribution) and
        `checks` (figures found again without the data). The card shows `licence` (of the weights), `parameters`,
        `images` (counts by name) and `unseen_classes` too where they are given; anything else, as the constructor
        arguments under `network`, is kept in the header of the file.
        """
