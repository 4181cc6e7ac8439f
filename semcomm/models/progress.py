"""Progress of a model with the images at hand, for listeners in this process."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

Listener = Callable[[int, int], None]
"""Takes the steps that are done and those that there are, over all images at hand."""

_listeners: list[Listener] = []


@contextmanager
def listening(listener: Listener) -> Iterator[None]:
    """Call `listener` at every step."""
    _listeners.append(listener)
    try:
        yield
    finally:
        _listeners.remove(listener)


def report(done: int, total: int) -> None:
    """Call all listeners."""
    for listener in _listeners:
        listener(done, total)
