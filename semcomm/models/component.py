"""Components that use weights, and their part of a recipe."""

from abc import abstractmethod
from typing import ClassVar

from semcomm.component import Component


class UsesWeights(Component):
    """A component whose results depend on weights.

    The weights' hash is part of its recipe. Which folder or name they were found under is not, so the arguments that
    say it are `model`, `weights` or `captioner`, and `trust_pickle`.
    """

    excluded_from_recipe: ClassVar[frozenset[str]] = Component.excluded_from_recipe | {
        "model",
        "weights",
        "captioner",
        "trust_pickle",
    }

    @abstractmethod
    def weights(self) -> str:
        """Return the hash of the weights, without loading them.

        Raises:
            ModelError: when they are not on this machine.
        """

    def recipe(self) -> dict:
        """Return the recipe with `weights`, their hash: other weights of one name give other results."""
        return {**super().recipe(), "weights": self.weights()}
