"""Calls that write their results straight into rows of a buffer (`einad.lower.stacks`)."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

import numpy as np

from einad.ir.expr import Node, Shape
from einad.ir.walk import topological
from einad.lower.emit import settle
from einad.lower.placed import Piece, Placed, Value, write
from einad.lower.program import Op, Operand, Program, contiguous
from einad.lower.stacks import Buffer, Place, Stacks
from einad.lower.text import indexed, say
from einad.lower.view import View, plain
from einad.rewrite.stacks import row_of

ELEMENTWISE = frozenset({"add", "divide", "multiply", "negative", "row", "subtract"})
CONTIGUOUS = frozenset({"dot", "matmul", "sum", "vecdot"})


class Rows:
    """The buffers of a program, made when their first row is."""

    def __init__(self, roots: Sequence[Node], program: Program) -> None:
        self.stacks, self.program = Stacks(roots), program
        self.registers: dict[int, int] = {}
        self.bases = {found.base for node in topological(roots) if (found := row_of(node)) is not None}
        self.housed: set[tuple[Node, int, int]] = set()

    @property
    def terms(self) -> set[Node]:
        """Padded parts that nobody needs but their stack."""
        return {term for stack in self.stacks.stacks.values() for term, _ in stack.parts}

    def house(self, node: Node, value: Value, taken: Collection[int | None]) -> Value:
        """Let the call that has just made a node's value write it where it belongs, if it can.

        ``taken`` are the registers in which the node's children are known to be.
        """
        place = self.stacks.places.get(node)
        if node in self.bases and isinstance(value, View) and value.coefficient != 1:
            value = settle(value, self.program)  # once, not for each row
        if place is None or not isinstance(value, View) or not _in_order(value):
            return value
        buffer = self.stacks.buffers[place.buffer]
        value = settle(value, self.program)
        if value.register is None or value.register in taken:
            return value
        register, op = self.program.registers[value.register], self.program.ops[-1]
        if op.target != value.register or not register.owned or register.dtype != buffer.node.dtype:
            return value
        leading = buffer.axis == 0
        if not _takes_memory(op, leading):
            return value
        shape = _row_shape(buffer, place)
        if not leading and shape != register.shape:
            return value
        self.housed.add((node, place.buffer, place.start))
        return value._replace(register=self._into(place, buffer, shape))

    def _into(self, place: Place, buffer: Buffer, shape: Shape) -> int:
        """Let the last call write into a row; the register it makes, which gets a number behind the row's."""
        program = self.program
        op, register, last = program.ops.pop(), program.registers.pop(), next(reversed(program.made), None)
        row = self._row(place, buffer, shape)
        strides = contiguous(register.shape) if buffer.axis == 0 else program.registers[row].strides
        target = len(program.registers)
        name = f"t{target - program.input_count}"
        statement = name + op.statement.removeprefix(register.name)
        program.registers.append(register._replace(name=name, owned=False, strides=strides, sources=(row,)))
        program.ops.append(op._replace(target=target, statement=statement, reuse=(), into=row))
        if last is not None and program.made[last] == op.target:
            program.made[last] = target
        return target

    def stack(self, node: Node, value_of: Callable[[Node], Value]) -> View | None:
        """The buffer, or the slice of it, that a stack is; parts that are not in their places are copied there."""
        found = self.stacks.stacks[node]
        buffer = self.stacks.buffers[found.buffer]
        missing: list[Placed] = []
        for term, part in found.parts:
            if (part.child, found.buffer, found.start + part.start) not in self.housed:
                value = value_of(term)
                if not isinstance(value, Placed):
                    return None
                missing.append(value)
        register = self._buffer(found.buffer)
        start = found.start - buffer.first
        for value in missing:
            pieces = [piece._replace(start=_shifted(piece.start, buffer.axis, start)) for piece in value.pieces]
            write(register, value._replace(pieces=tuple(pieces), shape=buffer.shape), self.program, "=")
        if buffer.shape == node.shape:
            return plain(register, self.program)
        return plain(self._slice(register, node.shape, _shifted((0,) * node.ndim, buffer.axis, start)), self.program)

    def _buffer(self, number: int) -> int:
        if number not in self.registers:
            buffer = self.stacks.buffers[number]
            target = self.program.emit("empty", [], buffer.shape, buffer.node.dtype, "fill")
            say(self.program, target, range(len(buffer.shape)), "empty")
            self.registers[number] = target
        return self.registers[number]

    def _row(self, place: Place, buffer: Buffer, shape: tuple[int, ...]) -> int:
        register = self._buffer(place.buffer)
        start = _shifted((0,) * len(buffer.shape), buffer.axis, place.start - buffer.first)
        return self._slice(register, shape, start, buffer.axis if len(shape) < len(start) else None)

    def _slice(self, register: int, shape: tuple[int, ...], start: tuple[int, ...], left_out: int | None = None) -> int:
        """A box of a register; the axis ``left_out`` has one place and leaves."""
        found = self.program.registers[register]
        axes = [axis for axis in range(len(start)) if axis != left_out]
        steps = tuple([tuple([int(axis == each) for each in range(len(start))]) for axis in axes])
        target = self.program.emit(
            "gather",
            [Operand(register)],
            shape,
            found.dtype,
            "view",
            options=Piece(shape, start, steps),
            strides=tuple([contiguous(found.shape)[axis] for axis in axes]),
            sources=[register],
        )
        say(self.program, target, range(len(shape)), f"{indexed(found.name, range(len(found.shape)))}  (view)")
        return target


def _row_shape(buffer: Buffer, place: Place) -> tuple[int, ...]:
    if buffer.rows is not None:
        return buffer.shape[1:]
    return _shifted(buffer.shape, buffer.axis, place.extent - buffer.shape[buffer.axis])


def _shifted(index: tuple[int, ...], axis: int, by: int) -> tuple[int, ...]:
    return tuple([n + by if k == axis else n for k, n in enumerate(index)])


def _in_order(value: View) -> bool:
    """Whether a register holds every element of a tensor, in row-major order of its axes."""
    if value.register is None or value.is_spread:
        return False
    stored = [label for label in value.stored if value.sizes[label] != 1]
    return stored == [label for label in value.labels if value.sizes[label] != 1]


def _takes_memory(op: Op, leading: bool) -> bool:
    if op.function == "row":
        return isinstance(op.options[0].evaluate, np.ufunc)
    return op.function in ELEMENTWISE or (leading and op.function in CONTIGUOUS)
