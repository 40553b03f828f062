"""Iteration spaces of elementwise calls: which axes must be kept apart, and how a space is walked in blocks.

A space of N elements is walked in row-major order. A *cut* is a number of elements after which some operand changes
its stride: where a broadcast begins or ends, or where the axes of a transposed operand do not merge. Calls of one N
whose cuts divide one another can be walked together, over the axes between the cuts.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise, product
from typing import NamedTuple

from einad.ir.expr import Shape
from einad.lower.program import Operand, Program, Strides, contiguous, count

Cuts = frozenset[int]
Pattern = tuple[bool, ...]
Index = tuple[int | slice, ...]

LINE, LONG = 64, 1024


class Seen(NamedTuple):
    """An operand after its views: its shape, and the strides assumed, in elements."""

    shape: Shape
    strides: Strides


def seen(operand: Operand, program: Program) -> Seen:
    """What an operand's views make of its register."""
    register = program.registers[operand.register]
    found = Seen(register.shape, register.strides)
    for step, value in operand.views:
        if step == "transpose":
            shape, strides = [tuple([each[axis] for axis in value]) for each in found]
            found = Seen(shape, strides)
        elif step == "reshape":
            found = Seen(value, _reshaped(found, value) or contiguous(value))
        else:
            found = Seen(found.shape, contiguous(found.shape))
    return found


def _reshaped(old: Seen, shape: Shape) -> Strides | None:
    """The strides of a view of another shape; None where there is none, and a copy is made.

    >>> _reshaped(Seen((2, 3, 4), (4, 8, 1)), (2, 3, 2, 2)), _reshaped(Seen((2, 3), (1, 2)), (6,))
    ((4, 8, 2, 1), None)
    """
    axes = [(n, s) for n, s in zip(*old, strict=True) if n != 1]
    strides = [0] * len(shape)
    room, stride = 1, 1
    for k in reversed(range(len(shape))):
        if shape[k] == 1:
            continue
        if room == 1:
            if not axes:
                return None
            room, stride = axes.pop()
        while room % shape[k]:
            if not axes or axes[-1][1] != stride * room:
                return None
            room *= axes.pop()[0]
        strides[k] = stride
        room, stride = room // shape[k], stride * shape[k]
    return tuple(strides)


def present(operand: Seen, shape: Shape) -> Pattern:
    """On which axes of ``shape`` an operand has a place for every element; on the others it is broadcast."""
    missing = len(shape) - len(operand.shape)
    return tuple([n == 1 or (axis >= missing and operand.shape[axis - missing] == n) for axis, n in enumerate(shape)])


def cuts(operand: Seen, shape: Shape) -> Cuts:
    """After how many elements of the space an operand changes its stride.

    >>> sorted(cuts(Seen((2, 3, 1), (3, 1, 1)), (2, 3, 4))), sorted(cuts(Seen((3, 4), (1, 3)), (3, 4)))
    ([4], [4])
    """
    here, after = present(operand, shape), contiguous(shape)
    missing = len(shape) - len(operand.shape)
    strides = (0,) * missing + operand.strides
    axes = [axis for axis, n in enumerate(shape) if n != 1]
    return frozenset(
        after[i] for i, j in pairwise(axes) if here[i] != here[j] or (here[i] and strides[i] != strides[j] * shape[j])
    )


def nested(found: Iterable[int], size: int) -> bool:
    """Whether the cuts of several calls divide one another, and the whole.

    >>> nested({4, 12}, 24), nested({4, 6}, 24)
    (True, False)
    """
    return all(m % n == 0 for n, m in pairwise([*sorted(found), size]))


def merged(found: Iterable[int], size: int) -> Shape:
    """The axes between the cuts.

    >>> merged({4, 12}, 24)
    (2, 3, 4)
    """
    ends = [1, *sorted(found), size]
    return tuple(reversed([m // n for n, m in pairwise(ends)]))


def pattern(here: Pattern, shape: Shape, axes: Shape) -> Pattern:
    """On which of the merged ``axes`` an operand stands that stands on the axes ``here`` of ``shape``."""
    ends = [(n, m * n, k) for n, m, k in zip(contiguous(shape), shape, here, strict=True) if m != 1]
    return tuple([any(low <= start < high and there for low, high, there in ends) for start in contiguous(axes)])


def masked(axes: Shape, here: Pattern) -> Shape:
    """The shape of an operand over the merged axes."""
    return tuple([n if there else 1 for n, there in zip(axes, here, strict=True)])


class Walk(NamedTuple):
    """How a space is cut into blocks: an index on each axis before ``axis``, a slice of ``step`` there, then all."""

    axes: Shape
    axis: int
    step: int

    @property
    def block(self) -> Shape:
        """The shape of the largest block."""
        return (self.step, *self.axes[self.axis + 1 :])

    @property
    def parts(self) -> int:
        """How many blocks lie along the axis."""
        return -(-self.axes[self.axis] // self.step)

    @property
    def blocks(self) -> int:
        """How many blocks there are."""
        return count(self.axes[: self.axis]) * self.parts

    def moves(self, here: Pattern) -> bool:
        """Whether an operand has different parts for different blocks."""
        return any(here[: self.axis + 1])

    def indices(self, here: Pattern) -> list[Index]:
        """The part of an operand that each block reads."""
        outer = [range(n) if there else (0,) * n for n, there in zip(self.axes[: self.axis], here, strict=False)]
        return [(*index, each) for index in product(*outer) for each in self._slices(here[self.axis])]

    def _slices(self, there: bool) -> Sequence[slice]:
        starts = range(0, self.axes[self.axis], self.step)
        return [slice(k, k + self.step) if there else slice(None) for k in starts]


def walk(axes: Shape, most: int) -> Walk:
    """Blocks of about ``most`` elements, all of nearly one size; long ones begin at whole cache lines.

    >>> walk((100, 10), 300), walk((4, 5, 100), 300)
    (Walk(axes=(100, 10), axis=0, step=25), Walk(axes=(4, 5, 100), axis=1, step=3))
    """
    axis = next(k for k in range(len(axes)) if count(axes[k + 1 :]) <= most or k == len(axes) - 1)
    n, inner = axes[axis], count(axes[axis + 1 :])
    parts = -(-n // max(1, most // inner))
    step = -(-n // parts)
    return Walk(axes, axis, step if inner > 1 or step < LONG else -(-step // LINE) * LINE)
