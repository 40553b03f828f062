"""The search for a contraction path: the only import of opt_einsum.

A path is a list of pairs of operand numbers; the result of step ``s`` of ``n`` operands gets the number ``n + s``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache

from opt_einsum import paths

from einad.ir.spec import Labels
from einad.plan.cost import pair_flops
from einad.plan.refine import refine

EXHAUSTIVE, DYNAMIC = 6, 9
CACHED_PATHS = 4096

Path = tuple[tuple[int, int], ...]


def best_path(inputs: Sequence[Labels], output: frozenset[int], sizes: Mapping[int, int]) -> Path:
    """A good path: dynamic programming up to 9 operands, above that greedy with subtrees improved afterwards.

    >>> best_path([(0, 1), (1, 2), (2,)], frozenset([0]), {0: 5, 1: 6, 2: 7})
    ((1, 2), (0, 3))
    """
    if len(inputs) < 3:
        return ((0, 1),) if len(inputs) == 2 else ()
    numbers: dict[int, int] = {}
    for labels in inputs:
        for label in labels:
            numbers.setdefault(label, len(numbers))
    renamed = tuple([tuple([numbers[label] for label in labels]) for labels in inputs])
    kept = frozenset([numbers[label] for label in output if label in numbers])
    extents = tuple([max(1, sizes[label]) for label in numbers])
    return _search(renamed, kept, extents)


@lru_cache(CACHED_PATHS)
def _search(inputs: tuple[Labels, ...], output: frozenset[int], extents: tuple[int, ...]) -> Path:
    greedy = _run(paths.greedy, inputs, output, extents)
    if len(inputs) <= DYNAMIC:
        return min(exact_path(inputs, output, extents), greedy, key=lambda path: _flops(path, inputs, output, extents))
    return refine(greedy, [frozenset(labels) for labels in inputs], output, extents, exact_path)


def exact_path(inputs: Sequence[Labels], output: frozenset[int], extents: Sequence[int]) -> Path:
    """The path with the fewest FLOPs that exhaustive search (up to 6 operands) and dynamic programming find.

    Neither is always the best: opt_einsum's exhaustive search leaves some outer products out, and its dynamic
    programming some sums.
    """
    found = _run(paths.dynamic_programming, inputs, output, extents)
    if len(inputs) > EXHAUSTIVE:
        return found
    other = _run(paths.optimal, inputs, output, extents)
    return min(found, other, key=lambda path: _flops(path, inputs, output, extents))


def _run(
    search: Callable[..., Sequence[Sequence[int]]],
    inputs: Sequence[Labels],
    output: frozenset[int],
    extents: Sequence[int],
) -> Path:
    sets = [frozenset(labels) for labels in inputs]
    return _numbered(search(sets, output, dict(enumerate(extents))), len(inputs))


def _flops(path: Path, inputs: Sequence[Labels], output: frozenset[int], extents: Sequence[int]) -> int:
    return path_flops(path, inputs, output, dict(enumerate(extents)))


def _numbered(path: Sequence[Sequence[int]], count: int) -> Path:
    """A path by positions in a shrinking list as a path by numbers; steps of several operands go left to right."""
    alive = list(range(count))
    found: list[tuple[int, int]] = []
    for step in path:
        group = [alive[position] for position in sorted(step)]
        alive = [number for number in alive if number not in group]
        left = group[0]
        for right in group[1:]:
            found.append((left, right))
            left = count + len(found) - 1
        alive.append(left)
    return tuple(found)


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
