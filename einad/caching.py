"""Caches: bounded mappings that forget the entry used least recently, and tell what they did."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from threading import Lock
from typing import Generic, NamedTuple, TypeVar

Value = TypeVar("Value")


class CacheInfo(NamedTuple):
    """What a cache holds, the most it may hold, and how often it knew the answer."""

    entries: int
    limit: int
    hits: int
    misses: int


class Cache(Generic[Value]):
    """A mapping of at most ``limit`` entries, for several threads at once.

    >>> cache = Cache(2)
    >>> for n in range(3):
    ...     cache.put(n, str(n))
    >>> cache.get(0), cache.get(2), cache.info()
    (None, '2', CacheInfo(entries=2, limit=2, hits=1, misses=1))
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._entries: OrderedDict[Hashable, Value] = OrderedDict()
        self._lock = Lock()
        self._hits = self._misses = 0

    def get(self, key: Hashable) -> Value | None:
        """The entry, which now counts as used last; None where there is none."""
        with self._lock:
            found = self._entries.get(key)
            if found is None:
                self._misses += 1
                return None
            self._hits += 1
            self._entries.move_to_end(key)
            return found

    def put(self, key: Hashable, value: Value) -> None:
        """Enter a value, and forget what is over the limit."""
        with self._lock:
            self._entries[key] = value
            self._trim()

    def resize(self, limit: int) -> None:
        """Set the most entries kept; 0 keeps none."""
        if limit < 0:
            raise ValueError(f"a cache holds 0 or more entries, got {limit}")
        with self._lock:
            self.limit = limit
            self._trim()

    def clear(self) -> None:
        """Forget all entries and counts."""
        with self._lock:
            self._entries.clear()
            self._hits = self._misses = 0

    def info(self) -> CacheInfo:
        """The number of entries, the limit, and the counts."""
        with self._lock:
            return CacheInfo(len(self._entries), self.limit, self._hits, self._misses)

    def _trim(self) -> None:
        while len(self._entries) > self.limit:
            self._entries.popitem(last=False)
