"""How far a model is with the images at hand: told to whoever listens in this process."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

Listener = Callable[[int, int], None]
"""Takes the steps that are done and those that there are, over all images at hand."""

_listeners: list[Listener] = []


@contextmanager
def listening(listener: Listener) -> Iterator[None]:
    """Have `listener` told of every step."""
    _listeners.append(listener)
    try:
        yield
    finally:
        _listeners.remove(listener)


def tell(done: int, total: int) -> None:
    """Tell all who listen."""
    for listener in _listeners:
        listener(done, total)
