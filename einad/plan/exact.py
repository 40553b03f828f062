"""The best contraction tree of a few operands, by dynamic programming over their subsets.

Operands and labels are bits of whole numbers, so that a subset of operands, and the labels it keeps, is one number.
"""

from __future__ import annotations

from collections.abc import Sequence

from einad.ir.spec import Labels

Path = tuple[tuple[int, int], ...]

FLOP, ELEMENT = 1 << 72, 1 << 8  # trees of equal FLOPs are told apart by the elements they move
NEVER = 1 << 4096


def exact_path(
    inputs: Sequence[Labels],
    output: frozenset[int],
    extents: Sequence[int],
    below: int = NEVER,
    late: frozenset[int] = frozenset(),
) -> Path | None:
    """The path with the fewest FLOPs, and among those the fewest elements read and written; None if all cost too much.

    All trees are compared, outer products included, unless they cost ``below`` (FLOPs times `FLOP` plus elements times
    `ELEMENT`) or more. What is left of ties is decided by how few steps the operands ``late`` take part in. Takes time
    3^n for n operands.

    >>> exact_path([(0, 1), (1, 2), (2,)], frozenset([0]), [5, 6, 7])
    ((1, 2), (0, 3))
    """
    everything = (1 << len(inputs)) - 1
    kept = _kept_labels([_bits(labels) for labels in inputs], _bits(output))
    last = _bits(late)
    size = _Sizes(extents)
    cost = [NEVER] * (everything + 1)
    moved = [0] * (everything + 1)
    chosen = [0] * (everything + 1)
    for n in range(len(inputs)):
        cost[1 << n], moved[1 << n] = 0, size[kept[1 << n]]
    for whole in range(3, everything + 1):
        rest = whole & (whole - 1)  # all but the first operand, which stays on the left
        best, mine = below, kept[whole]
        part = rest
        while part:
            left = whole ^ part
            total = cost[left] + cost[part]
            if total < best:
                both = kept[left] | kept[part]
                flops = size[both] if both == mine else 2 * size[both]
                total += flops * FLOP + (moved[left] + moved[part] + size[mine]) * ELEMENT + (whole & last).bit_count()
                if total < best:
                    best, chosen[whole] = total, part
            part = (part - 1) & rest
        if chosen[whole]:
            cost[whole], moved[whole] = best, size[mine]
    return _path(chosen, len(inputs)) if chosen[everything] else None


class _Sizes(dict[int, int]):
    """The number of elements over a set of labels, computed once."""

    def __init__(self, extents: Sequence[int]) -> None:
        super().__init__()
        self.extents = extents

    def __missing__(self, labels: int) -> int:
        total = 1
        if labels:
            lowest = labels & -labels
            total = self[labels ^ lowest] * self.extents[lowest.bit_length() - 1]
        self[labels] = total
        return total


def _bits(labels: Labels | frozenset[int]) -> int:
    found = 0
    for label in labels:
        found |= 1 << label
    return found


def _kept_labels(operands: list[int], output: int) -> list[int]:
    """For each subset the labels of its product: those that the output or the other operands need."""
    union = [0]
    for labels in operands:
        union += [other | labels for other in union]
    full = len(union) - 1
    kept = [labels & (output | union[full ^ subset]) for subset, labels in enumerate(union)]
    for n, labels in enumerate(operands):
        kept[1 << n] = labels
    return kept


def _path(chosen: list[int], count: int) -> Path:
    """The chosen splits as pairs of numbers; the result of step ``s`` of ``n`` operands gets the number ``n + s``."""
    numbers = {1 << n: n for n in range(count)}
    found: list[tuple[int, int]] = []
    stack = [(1 << count) - 1]
    while stack:
        whole = stack[-1]
        parts = whole ^ chosen[whole], chosen[whole]
        waiting = [part for part in parts if part not in numbers]
        if waiting:
            stack.extend(waiting[::-1])
            continue
        stack.pop()
        found.append((numbers[parts[0]], numbers[parts[1]]))
        numbers[whole] = count + len(found) - 1
    return tuple(found)
