"""Tensors that are zero but for some boxes, and tensors written out in full."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

from einad.ir.expr import DType, Scalar, Shape
from einad.ir.spec import Labels, symbol
from einad.lower.emit import argument, settle
from einad.lower.program import Constant, Operand, Program, count
from einad.lower.text import reading, say
from einad.lower.view import View, arrange, by_axes, plain


class Piece(NamedTuple):
    """A box of a buffer, and what is written there.

    Axis ``n`` of the box has ``shape[n]`` places; one step along it moves by ``steps[n][axis]`` on each axis of the
    buffer, beginning at ``start``. ``source`` indexes the array that is written (None: all of it).
    """

    shape: Shape
    start: tuple[int, ...]
    steps: tuple[tuple[int, ...], ...]
    source: tuple[int | slice, ...] | None = None


class Placed(NamedTuple):
    """A tensor of ``shape`` that is zero but for some boxes; nothing is written until somebody needs it.

    Every piece is written from ``source`` arranged in ``order``, one label an axis, the labels of the box last.
    ``disjoint`` says that no two pieces, nor two places of one piece, meet.
    """

    source: View
    order: Labels
    pieces: tuple[Piece, ...]
    shape: Shape
    disjoint: bool = True

    @property
    def coefficient(self) -> Scalar:
        """The pending coefficient."""
        return self.source.coefficient

    @property
    def dtype(self) -> DType:
        """The dtype of the tensor."""
        return self.source.dtype


Value = View | Placed


def spread(view: View) -> Placed:
    """A tensor with repeated labels as one piece: a strided diagonal of a buffer."""
    order = tuple(dict.fromkeys(view.labels))
    shape = tuple([view.sizes[label] for label in view.labels])
    steps = tuple([tuple([int(label == each) for each in view.labels]) for label in order])
    piece = Piece(tuple([view.sizes[label] for label in order]), (0,) * len(shape), steps)
    return Placed(view, order, (piece,), shape)


def moved(value: Placed, axes: Sequence[int]) -> Placed:
    """The same values in a buffer whose axes are those of ``value`` in another order."""
    pieces = [
        piece._replace(
            start=tuple([piece.start[axis] for axis in axes]),
            steps=tuple([tuple([step[axis] for axis in axes]) for step in piece.steps]),
        )
        for piece in value.pieces
    ]
    return value._replace(pieces=tuple(pieces), shape=tuple([value.shape[axis] for axis in axes]))


def write(buffer: int, value: Placed, program: Program, mode: str) -> None:
    """Write the pieces into an owned buffer: ``mode`` is '=', '+=' or '-='."""
    source = settle(value.source, program)
    order = [(label,) for label in value.order]
    program.write(
        "write",
        [Operand(buffer), argument(source, order, program)],
        "write",
        flops=0 if mode == "=" else written(value),
        options=(mode, value.pieces),
    )
    program.describe(_written(program.registers[buffer].name, value, mode, reading(source, program)))


def _written(name: str, value: Placed, mode: str, right: str) -> str:
    """``t3[a,a,2*b+1] += x[a,b]``: the boxes in words, of the first piece where there are several."""
    piece = value.pieces[0]
    indices = []
    for axis, start in enumerate(piece.start):
        parts = []
        for label, step in zip(value.order[len(value.order) - len(piece.steps) :], piece.steps, strict=True):
            if step[axis]:
                parts.append(symbol(label) if step[axis] == 1 else f"{step[axis]}*{symbol(label)}")
        if start or not parts:
            parts.append(str(start))
        indices.append("+".join(parts).replace("+-", "-"))
    more = f"  ({len(value.pieces)} pieces)" if len(value.pieces) > 1 else ""
    return f"{name}[{','.join(indices)}] {mode} {right}{more}"


def written(value: Placed) -> int:
    """The number of places that are written."""
    return sum(count(piece.shape) for piece in value.pieces)


def do_not_meet(terms: Sequence[Placed]) -> bool:
    """Whether no two terms write the same place, seen along one axis: a sufficient condition."""
    if not all(term.disjoint for term in terms):
        return False
    return any(_apart([_range(term.pieces[0], axis) for term in terms]) for axis in range(len(terms[0].shape)))


def _range(piece: Piece, axis: int) -> tuple[int, int]:
    """The least and the largest index on one axis of the buffer."""
    ends = [step[axis] * (n - 1) for step, n in zip(piece.steps, piece.shape, strict=True)]
    return piece.start[axis] + sum(min(e, 0) for e in ends), piece.start[axis] + sum(max(e, 0) for e in ends)


def _apart(ranges: Sequence[tuple[int, int]]) -> bool:
    return all(last < first for (_, last), (first, _) in pairwise(sorted(ranges)))


def filled(value: Placed, program: Program) -> View:
    """Write a placed tensor out over zeros."""
    buffer = zeros(value.shape, value.dtype, program)
    write(buffer, value, program, "=" if value.disjoint else "+=")
    return plain(buffer, program)


def zeros(shape: Shape, dtype: DType, program: Program) -> int:
    """A new buffer of zeros."""
    target = program.emit("zeros", [], shape, dtype, "fill")
    say(program, target, range(len(shape)), "0")
    return target


def unspread(value: Value, program: Program) -> View:
    """The tensor as a view whose labels are its axis numbers, with coefficient 1; broadcasts stay pending."""
    if isinstance(value, Placed):
        return filled(value, program)
    if value.is_spread:
        return filled(spread(value), program)
    return by_axes(settle(value, program))


def whole(value: Value, program: Program) -> Operand:
    """The tensor as an array of its full shape, axes in order, for calls that see the array itself."""
    view = unspread(value, program)
    shape = tuple([view.sizes[label] for label in view.labels])
    groups = [(label,) for label in view.labels]
    if view.register is None:
        return Operand(_full(view, shape, program))
    operand = arrange(view, groups, program)
    missing = [label for label in view.labels if view.sizes[label] != 1 and label not in view.stored]
    if not missing:
        return operand
    target = program.emit(
        "broadcast",
        [operand],
        shape,
        view.dtype,
        "view",
        strides=(0,) * len(shape),
        sources=[view.register],
    )
    say(program, target, view.labels, reading(view, program))
    return Operand(target)


def _full(view: View, shape: Shape, program: Program) -> int:
    target = program.emit("full", [Constant(view.coefficient, view.dtype)], shape, view.dtype, "fill")
    say(program, target, range(len(shape)), reading(view, program))
    return target
