"""What einad remembers between calls, how much, and how to forget it.

======== ======= ================================================================================================
name     entries what is kept
======== ======= ================================================================================================
plans    512     plans by the structure, shapes and dtypes of a graph, those used last: a function traced anew plans
                 nothing
jit      256     plans of each function under ``ea.jit``, by the shapes and dtypes of its arguments, those made last
paths    4096    contraction paths by labels and extents, those used last
======== ======= ================================================================================================

Smaller tables with fixed limits hold what is quick to find again: result dtypes (2048), subtrees of contraction trees
(4096), arrangements of axes (4096), numbers of triangles (16). No cache keeps a user's arrays alive but for the
constants of jitted functions.
"""

from __future__ import annotations

from einad import pipeline
from einad.caching import CacheInfo
from einad.ir.expr import result_dtype_of
from einad.lower.view import arranged
from einad.ops.symmetric import packed_places, upper_triangle
from einad.plan.search import PATHS, exact_cached
from einad.transforms.compiling import JitCache

_TABLES = (result_dtype_of, arranged, exact_cached, packed_places, upper_triangle)


def cache_info() -> dict[str, CacheInfo]:
    """The caches by name, with their entries, limits, hits and misses.

    Under "jit" stand the plans of all jitted functions together, and the limit of each; their hits are not counted.

    >>> cache_info()["paths"].limit
    4096
    """
    functions = list(JitCache.every)
    entries = sum([len(each.entries) for each in functions])
    made = sum([each.made for each in functions])
    return {
        "plans": pipeline.PLANS.info(),
        "jit": CacheInfo(entries, JitCache.limit, 0, made),
        "paths": PATHS.info(),
    }


def set_cache_size(*, plans: int | None = None, jit: int | None = None, paths: int | None = None) -> None:
    """Set how many entries a cache may hold; what is over the limit is forgotten at once.

    Raises
    ------
    ValueError
        For a negative number; for ``jit`` also for 0.
    """
    if jit is not None:
        JitCache.resize(jit)
    for cache, limit in ((pipeline.PLANS, plans), (PATHS, paths)):
        if limit is not None:
            cache.resize(limit)


def clear_cache() -> None:
    """Forget everything: the next call of any function traces and plans anew."""
    for function in list(JitCache.every):
        function.clear()
    for cache in (pipeline.PLANS, PATHS):
        cache.clear()
    for table in _TABLES:
        table.cache_clear()
