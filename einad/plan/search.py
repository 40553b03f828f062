"""The search for a contraction path: the only import of opt_einsum.

A path is a list of pairs of operand numbers; the result of step ``s`` of ``n`` operands gets the number ``n + s``.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from importlib import import_module
from typing import Any

from opt_einsum import paths

from einad.caching import Cache
from einad.ir.spec import Labels
from einad.plan.cost import pair_flops
from einad.plan.exact import Path, exact_path
from einad.plan.refine import refine

EXACT = 9
DIRECTORY = "EINAD_CACHE_DIR"
PATHS: Cache[Path] = Cache(4096)


def best_path(
    inputs: Sequence[Labels], output: frozenset[int], sizes: Mapping[int, int], late: frozenset[int] = frozenset()
) -> Path:
    """A good path: the best there is up to 9 operands, above that greedy with subtrees improved afterwards.

    Among equally good ones the operands ``late`` are contracted late: what is given is shared more often than products
    of it, so that derivatives find more in common.

    >>> best_path([(0, 1), (1, 2), (2,)], frozenset([0]), {0: 5, 1: 6, 2: 7})
    ((1, 2), (0, 3))
    """
    if len(inputs) < 3:
        return ((0, 1),) if len(inputs) == 2 else ()
    problem = _renumbered(inputs, output, sizes)
    key = problem, late
    found = PATHS.get(key)
    if found is None:
        found = _search(*problem, late)
        PATHS.put(key, found)
    return found


Problem = tuple[tuple[Labels, ...], frozenset[int], tuple[int, ...]]


def _renumbered(
    inputs: Sequence[Iterable[int]], output: frozenset[int], sizes: Mapping[int, int] | Sequence[int]
) -> Problem:
    """Labels by first appearance, and their extents, so that equal networks have equal paths."""
    numbers: dict[int, int] = {}
    for labels in inputs:
        for label in labels:
            numbers.setdefault(label, len(numbers))
    renamed = tuple([tuple([numbers[label] for label in labels]) for labels in inputs])
    kept = frozenset([numbers[label] for label in output if label in numbers])
    return renamed, kept, tuple([max(1, sizes[label]) for label in numbers])


def _search(inputs: tuple[Labels, ...], output: frozenset[int], extents: tuple[int, ...], late: frozenset[int]) -> Path:
    if len(inputs) <= EXACT:
        found = exact_path(inputs, output, extents, late=late)
        assert found is not None
        return found
    return _through_files(inputs, output, extents) if os.environ.get(DIRECTORY) else _improved(inputs, output, extents)


def _improved(inputs: tuple[Labels, ...], output: frozenset[int], extents: tuple[int, ...]) -> Path:
    sets = [frozenset(labels) for labels in inputs]
    greedy: Any = paths.ssa_greedy_optimize(sets, output, dict(enumerate(extents)))
    return refine(tuple(greedy), sets, output, extents, search_again)


def _through_files(inputs: tuple[Labels, ...], output: frozenset[int], extents: tuple[int, ...]) -> Path:
    """The path another process has found, if any. Hashes and files are imported only here: most never need them."""
    files: Any = import_module("einad.plan.stored_paths").open_store(os.environ[DIRECTORY])
    found: Path | None = files.load((inputs, output, extents), len(inputs))
    if found is None:
        found = _improved(inputs, output, extents)
        files.save((inputs, output, extents), found)
    return found


def search_again(
    inputs: Sequence[frozenset[int]], output: frozenset[int], extents: Sequence[int], below: int
) -> Path | None:
    """The exact search, with what it found for equal subtrees kept: regular networks consist of few different ones."""
    problem = _renumbered([sorted(labels) for labels in inputs], output, extents)
    return exact_cached(*problem, below)


@lru_cache(4096)
def exact_cached(
    inputs: tuple[Labels, ...], output: frozenset[int], extents: tuple[int, ...], below: int
) -> Path | None:
    """`exact_path`, with its last results kept."""
    return exact_path(inputs, output, extents, below)


def path_flops(path: Path, inputs: Sequence[Labels], output: frozenset[int], sizes: Mapping[int, int]) -> int:
    """FLOPs of contracting along a path.

    >>> path_flops(((1, 2), (0, 3)), [(0, 1), (1, 2), (2,)], frozenset([0]), {0: 5, 1: 6, 2: 7})
    144
    """
    uses: dict[int, int] = {}
    for labels in inputs:
        for label in set(labels):
            uses[label] = uses.get(label, 0) + 1
    operands = [frozenset(labels) for labels in inputs]
    total = 0
    for i, j in path:
        a, b = operands[i], operands[j]
        both = a | b
        kept = frozenset([label for label in both if label in output or uses[label] > (label in a) + (label in b)])
        total += pair_flops(tuple(a), tuple(b), tuple(kept), sizes)
        for label in a & b:
            uses[label] -= 1
        for label in both - kept:
            uses[label] = 0
        operands.append(kept)
    return total
