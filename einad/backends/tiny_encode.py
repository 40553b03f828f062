"""Elementwise calls, contractions and sums over arrays with any strides as instructions of the interpreter."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product as combinations
from typing import NamedTuple

import numpy as np

from einad.backends.tiny_code import CALL, EXPENSIVE, LONG, OPCODES, UnsupportedError
from einad.backends.tiny_memory import Memory, Seen, merged
from einad.ir.expr import Array
from einad.lower.program import count

MOST_INSTRUCTIONS = 8192
LEAST_ROW = 4
Axis = tuple[int, int, int, int, int]  # the size, and the strides of the result and of up to three operands
NO_AXIS: Axis = (1, 0, 0, 0, 0)


class Instruction(NamedTuple):
    """One instruction; ``starts`` are the places of result and operands in the memory of ``owners``."""

    opcode: int
    owners: Sequence[Seen]
    starts: Sequence[int]
    rest: tuple[int, ...]


class Encoder:
    """The instructions of a program, in order, and about how many nanoseconds they take."""

    def __init__(self, memory: Memory) -> None:
        self.memory = memory
        self.instructions: list[Instruction] = []
        self.cost = 0.0

    def code(self) -> tuple[Array, dict[object, int], int]:
        """The code, where each owner's memory is placed, and how many elements there are."""
        places, size = self.memory.places()
        code: list[int] = []
        for opcode, owners, starts, rest in self.instructions:
            at = [places[seen.owner] + start for seen, start in zip(owners, starts, strict=True)]
            o, a, b, c = (*at, 0, 0, 0)[:4]
            code += [opcode, o, a, b, *rest[:4], c + rest[4], *rest[5:]]
        return np.array(code, np.int64), dict(places), size

    def elementwise(self, name: str, out: Seen, *args: Seen) -> None:
        """``out = name(*args)``, with broadcasting."""
        shape, operands = out.array.shape, (out, *args)
        if not count(shape):
            return
        _refuse_overlaps(out, args, elementwise=True)
        sizes, walks = merged(shape, [self.memory.strides(seen, shape) for seen in operands])
        axes = _axes(sizes, walks)
        n, so, sa, sb, sc = axes.pop(_row(sizes)) if axes else NO_AXIS
        starts = [self.memory.start(seen) for seen in operands]
        times = count([axis[0] for axis in axes])
        self.cost += CALL + times * (4 + n * EXPENSIVE.get(name, 0.2))
        for steps in combinations(*[range(axis[0]) for axis in axes[:-3]]):
            moved = [
                start + sum([step * axis[1 + k] for step, axis in zip(steps, axes, strict=False)])
                for k, start in enumerate(starts)
            ]
            self._add(name, operands, moved, (n, so, sa, sb, 0, sc), axes[-3:])

    def contract(self, out: Seen, a: Seen, b: Seen) -> None:
        """``out[..., i, j] = sum of a[..., i, k] * b[..., k, j]``."""
        if not out.array.size:
            return
        _refuse_overlaps(out, (a, b), elementwise=False)
        shape = out.array.shape[:-2]
        walks = [self.memory.strides(seen, (*shape, 0, 0)) for seen in (out, a, b)]
        loops = _axes(*merged(shape, [walk[:-2] for walk in walks]))
        o, x, y = (walk[-2:] for walk in walks)
        (m, n), depth = out.array.shape[-2:], a.array.shape[-1]
        swapped = [(size, so, sb, sa, 0) for size, so, sa, sb, _ in loops]
        ways = [
            *_contractions((m, n, depth), o, x, y, loops, (out, a, b)),
            *_contractions((n, m, depth), o[::-1], y[::-1], x[::-1], swapped, (out, b, a)),
        ]
        best = min(ways, key=lambda way: way.cost)
        axes = [axis for axis in best.axes if axis[0] != 1]
        if len(axes) > 3:
            raise UnsupportedError("a contraction with more than three axes around it")
        self.cost += CALL + best.cost
        self._add(best.name, best.operands, [self.memory.start(seen) for seen in best.operands], best.row, axes)

    def reduce(self, name: str, out: Seen, a: Seen, axes: Sequence[int], now: int) -> None:
        """``out = sum of a over the axes``, or the like; one axis at a time, unless they lie together."""
        shape, walk = a.array.shape, self.memory.strides(a, a.array.shape)
        summed, (steps,) = merged([shape[n] for n in axes], [[walk[n] for n in axes]])
        if len(summed) > 1:
            partial = tuple([n for axis, n in enumerate(shape) if axis != axes[-1]])
            between = self.memory.new(("sum", len(self.memory.bases)), partial, now)
            self.reduce(name, between, a, axes[-1:], now)
            self.reduce(name, out, between, axes[:-1], now)
            return
        if not out.array.size:
            return
        _refuse_overlaps(out, (a,), elementwise=False)
        kept = [walk[axis] for axis in range(len(shape)) if axis not in axes]
        loops = _axes(*merged(out.array.shape, [self.memory.strides(out, out.array.shape), kept]))
        (depth, step) = (summed[0], steps[0]) if summed else (1, 1)
        self._reduce(name, out, a, loops, depth, step)

    def _reduce(self, name: str, out: Seen, a: Seen, loops: list[Axis], depth: int, step: int) -> None:
        self.cost += CALL + depth * count([axis[0] for axis in loops]) * (0.3 if name == "sum" else 1)
        starts = [self.memory.start(seen) for seen in (out, a)]
        if name == "sum" and step != 1 and loops and loops[-1][1:3] == (1, 1):
            one = self.memory.constant("one", np.ones(()))
            n, *_ = loops.pop()
            outer = [(size, so, 0, sa, 0) for size, so, sa, _, _ in loops]
            self._add("axpy", (out, one, a), [starts[0], 0, starts[1]], (n, 1, 0, step, depth, 0), outer)
            return
        self._add(name, (out, a), starts, (depth, 0, step, 0, 0, 0), loops)

    def _add(
        self, name: str, operands: Sequence[Seen], starts: Sequence[int], row: tuple[int, ...], axes: Sequence[Axis]
    ) -> None:
        if len(axes) > 3:
            raise UnsupportedError(f"{name} with more than three axes around it")
        if len(self.instructions) >= MOST_INSTRUCTIONS:
            raise UnsupportedError(f"more than {MOST_INSTRUCTIONS} instructions")
        opcode = OPCODES[name]
        if axes:
            around = [number for axis in [*[NO_AXIS] * (3 - len(axes)), *axes] for number in axis]
            opcode, row = opcode + LONG, (*row, *around)
        self.instructions.append(Instruction(opcode, operands, starts, row))


class Way(NamedTuple):
    """A way to form a contraction, and about how many nanoseconds it takes."""

    cost: float
    name: str
    operands: tuple[Seen, ...]
    row: tuple[int, ...]
    axes: list[Axis]


def _contractions(
    sizes: tuple[int, int, int],
    o: Sequence[int],
    a: Sequence[int],
    b: Sequence[int],
    loops: list[Axis],
    operands: tuple[Seen, ...],
) -> list[Way]:
    """The ways to form ``o[i,j] = sum of a[i,k] * b[k,j]`` with ``i`` outside or as rows of dots."""
    (m, n, depth), (oi, oj), (ai, ak), (bk, bj) = sizes, o, a, b
    times = count([axis[0] for axis in loops])
    ak, bk = (1, 1) if depth == 1 else (ak, bk)
    one_dot = 0.5 + depth / 14 if ak == bk == 1 else 1 + depth
    cost = times * n * (5 + m * one_dot)
    ways = [Way(cost, "dot", operands, (m, oi, ai, bk, depth, ak), [*loops, (n, oj, 0, bj, 0)])]
    if n > 1 and oj == 1 and bj == 1:
        fours = m // 4
        cost = times * (fours * (10 + depth * (4.5 + 0.23 * n)) + (m - 4 * fours) * (8 + depth * (1 + n / 18)))
        ways.append(Way(cost, "axpy", operands, (n, 1, 0, bk, depth, ak), [*loops, (m, oi, ai, 0, 0)]))
    return ways


def _axes(sizes: Sequence[int], walks: Sequence[Sequence[int]]) -> list[Axis]:
    """Sizes and strides by axis."""
    filled = [*walks, *[(0,) * len(sizes)] * (4 - len(walks))]
    return list(zip(sizes, *filled, strict=True))


def _row(sizes: Sequence[int]) -> int:
    """The axis that is walked along innermost: the last one, unless it is short and another one is not."""
    if not sizes or sizes[-1] >= LEAST_ROW:
        return len(sizes) - 1
    return max(range(len(sizes)), key=lambda n: (sizes[n], n))


def _refuse_overlaps(out: Seen, args: Sequence[Seen], elementwise: bool) -> None:
    """A result may lie on an operand only where each element is read before it is written."""
    for arg in args:
        if arg.owner != out.owner or not np.may_share_memory(arg.array, out.array):
            continue
        x, y = arg.array, out.array
        same = x.shape == y.shape and x.strides == y.strides and x.ctypes.data == y.ctypes.data
        if not (elementwise and same) and np.shares_memory(x, y):
            raise UnsupportedError("a call that reads what it writes")
