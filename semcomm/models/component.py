"""What a component that uses weights adds to its recipe."""

from abc import abstractmethod

from semcomm.component import Component


class UsesWeights(Component):
    """A component whose results depend on weights: their hash is part of its recipe."""

    @abstractmethod
    def weights(self) -> str:
        """Return the hash of the weights, without loading them.

        Raises:
            ModelError: when they are not on this machine.
        """

    def recipe(self) -> dict:
        """Return the recipe with `weights`, their hash: other weights of one name give other results."""
        return {**super().recipe(), "weights": self.weights()}
