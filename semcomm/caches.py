"""Caches of a process: models, tables, embeddings. Each is bounded and named, and `clear` empties them all.

What belongs to a run is not here but in its memo (`semcomm.memo`).
"""

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from functools import lru_cache
from typing import Any, TypeVar

F = TypeVar("F", bound=Callable)
T = TypeVar("T")
_all: dict[str, Any] = {}


class Cache:
    """The values most recently used, by key.

    Args:
        name: unique, for `sizes`.
        most: how many values are kept.
    """

    def __init__(self, name: str, most: int) -> None:
        self.most = most
        self._kept: OrderedDict[Hashable, Any] = OrderedDict()
        self._lock = threading.RLock()
        _all[name] = self

    def get(self, key: Hashable, make: Callable[[], T]) -> T:
        """Return the value kept under `key`, or make and keep it. What `make` raises passes through."""
        with self._lock:
            if key not in self._kept:
                self[key] = make()
            return self[key]

    def __getitem__(self, key: Hashable) -> Any:
        with self._lock:
            self._kept.move_to_end(key)
            return self._kept[key]

    def __setitem__(self, key: Hashable, value: Any) -> None:
        with self._lock:
            self._kept[key] = value
            self._kept.move_to_end(key)
            while len(self._kept) > self.most:
                self._kept.popitem(last=False)

    def __contains__(self, key: Hashable) -> bool:
        return key in self._kept

    def __len__(self) -> int:
        return len(self._kept)

    def cache_clear(self) -> None:
        """Forget every value."""
        with self._lock:
            self._kept.clear()


def cached(most: int = 128) -> Callable[[F], F]:
    """Keep the results of a function, the `most` recently used: `functools.lru_cache` under the function's name."""

    def decorate(function: F) -> F:
        kept = lru_cache(maxsize=most)(function)
        _all[f"{function.__module__}.{function.__qualname__}"] = kept
        return kept

    return decorate


def sizes() -> dict[str, int]:
    """Return how many values each cache of this process holds, by its name."""
    return {name: len(c) if isinstance(c, Cache) else c.cache_info().currsize for name, c in sorted(_all.items())}


def clear() -> None:
    """Empty every cache of this process; models are loaded again when they are needed."""
    for cache in _all.values():
        cache.cache_clear()
