"""The memory that a call takes at its peak, as Python's allocator and NumPy report it."""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Callable
from typing import Any

from einad.backends import memory


def peak_bytes(f: Callable[..., Any], *args: Any) -> int:
    """The most bytes held at once that a call ``f(*args)`` allocated, its result included.

    The call is made twice, so that what is made only once does not count; memory that einad keeps between calls is
    freed before the second, so that it does. NumPy reports every array to ``tracemalloc``; Python's own small objects
    are counted too, libraries written in C that allocate for themselves (BLAS) are not.

    >>> import numpy as np
    >>> 8_000_000 <= peak_bytes(lambda n: (np.ones(n), np.ones(n)), 500_000) < 8_100_000
    True
    """
    f(*args)
    memory.clear()
    gc.collect()
    running = tracemalloc.is_tracing()
    if not running:
        tracemalloc.start()
    try:
        tracemalloc.reset_peak()
        before, _ = tracemalloc.get_traced_memory()
        f(*args)
        _, after = tracemalloc.get_traced_memory()
    finally:
        if not running:
            tracemalloc.stop()
    return after - before
