"""Scatter: a tensor written into strided boxes of a buffer of zeros, at places that an affine form gives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product as combinations
from math import prod
from typing import NamedTuple

from einad.ir.spec import Labels
from einad.lower.placed import Piece, Placed, Value
from einad.lower.view import View

MOST_PIECES = 4096


class Solved(NamedTuple):
    """``pivot = sum of steps[l] * l + start``; ``inside`` says that it stays in range for all values of the others."""

    pivot: int
    steps: Mapping[int, int]
    start: int
    inside: bool


def clip(start: int, step: int, size: int, limit: int) -> tuple[int, int]:
    """The interval of v in [0, size) with ``0 <= start + step*v < limit``.

    >>> clip(-2, 1, 5, 10), clip(4, -2, 5, 10)
    ((2, 5), (0, 3))
    """
    if step < 0:
        start, step = limit - 1 - start, -step
    low = max(0, -(start // step))
    return low, max(low, min(size, (limit - 1 - start) // step + 1))


def scatter(
    x: View,
    solved: Solved,
    output: Labels,
    sizes: Mapping[int, int],
    low: Mapping[int, int] | None = None,
    extents: Mapping[int, int] | None = None,
) -> Value | None:
    """``out[rest, pivot = others] += x[rest, others]``, by one strided box or one for each value of a few labels."""
    extents = {**sizes, **(extents or {})}
    low = dict(low or {})
    clipped = bool(low)
    looped = [] if clipped else _looped(solved, output, sizes)
    vector = [label for label in solved.steps if label not in looped]
    if prod([sizes[label] for label in looped]) > MOST_PIECES:
        return None
    rest = [label for label in output if label != solved.pivot and label not in looped and label not in vector]
    box = [*rest, *vector]
    loops_stored = [label for label in looped if label in x.stored]
    pieces = []
    for values in combinations(*[range(sizes[label]) for label in looped]):
        at = dict(zip(looped, values, strict=True))
        start = solved.start + sum(solved.steps[label] * value for label, value in at.items())
        begin, end = dict(low), {label: low.get(label, 0) + extents[label] for label in vector}
        if not solved.inside and not clipped:
            if not vector:
                if not 0 <= start < sizes[solved.pivot]:
                    continue
            else:
                (v,) = vector
                begin[v], end[v] = clip(start, solved.steps[v], sizes[v], sizes[solved.pivot])
                if begin[v] >= end[v]:
                    continue
        pieces.append(_piece(x, solved, output, sizes, box, loops_stored, at, start, begin, end, clipped))
    if not pieces:
        return View(None, (), output, sizes, 0, x.dtype)
    shape = tuple([sizes[label] for label in output])
    return Placed(x, (*loops_stored, *box), tuple(pieces), shape, len(pieces) == 1)


def _looped(solved: Solved, output: Labels, sizes: Mapping[int, int]) -> list[int]:
    """The labels to loop over so that the rest is one strided box without overlap, the small ones first."""
    by_size = sorted(solved.steps, key=lambda label: sizes[label])
    if not solved.inside:
        return by_size[:-1]
    looped: list[int] = []
    dropped = [label for label in by_size if label not in output]
    while not _injective([label for label in dropped if label not in looped], solved.steps, sizes):
        looped.append(dropped[len(looped)])
    return looped


def _injective(labels: Sequence[int], steps: Mapping[int, int], sizes: Mapping[int, int]) -> bool:
    """Whether different values of ``labels`` give different sums: each step exceeds all that smaller ones can reach."""
    reach = 0
    for label in sorted(labels, key=lambda each: abs(steps[each])):
        if abs(steps[label]) <= reach:
            return False
        reach += abs(steps[label]) * (sizes[label] - 1)
    return True


def _piece(
    x: View,
    solved: Solved,
    output: Labels,
    sizes: Mapping[int, int],
    box: Sequence[int],
    loops: Sequence[int],
    at: Mapping[int, int],
    start: int,
    begin: Mapping[int, int],
    end: Mapping[int, int],
    clipped: bool,
) -> Piece:
    start += sum(solved.steps[label] * value for label, value in begin.items())
    corner = [start if label == solved.pivot else at.get(label, begin.get(label, 0)) for label in output]
    steps = tuple(
        [
            tuple([solved.steps.get(label, 0) if axis == solved.pivot else int(axis == label) for axis in output])
            for label in box
        ]
    )
    shape = tuple([end[label] - begin.get(label, 0) if label in end else sizes[label] for label in box])
    source: list[int | slice] = [at[label] for label in loops]
    for label in box:
        cut = label in begin and label in x.stored and not clipped
        source.append(slice(begin[label], end[label]) if cut else slice(None))
    whole = all(index == slice(None) for index in source)
    return Piece(shape, tuple(corner), steps, None if whole else tuple(source))


def place(
    x: View, output: Labels, low: Mapping[int, int], sizes: Mapping[int, int], extents: Mapping[int, int]
) -> Placed:
    """X written into one box of the output that begins at ``low``."""
    steps = tuple([tuple([int(axis == label) for axis in output]) for label in output])
    start = tuple([low.get(label, 0) for label in output])
    piece = Piece(tuple([extents[label] for label in output]), start, steps)
    return Placed(x, output, (piece,), tuple([sizes[label] for label in output]))
