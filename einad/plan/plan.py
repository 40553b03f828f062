"""The record of a plan: its steps in index notation, what they cost, and how to run it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np

from einad.errors import ShapeError
from einad.ir.expr import Array, DType, Shape


class PlanStep(NamedTuple):
    """One step: what it computes, by which kind of call, its FLOPs, the bytes it reads and writes, and those held."""

    statement: str
    kind: str
    flops: int
    bytes: int
    held: int


class PlanInput(NamedTuple):
    """What a plan expects of one input."""

    name: str
    shape: Shape
    dtype: DType


@dataclass(frozen=True, eq=False)
class Plan:
    """A compiled program: call it with one array for each input, and it returns a tuple of new arrays.

    Attributes
    ----------
    inputs : tuple of PlanInput
        The inputs in the order of the call.
    steps : tuple of PlanStep
        The steps in the order in which they run; a multiplication with an addition counts as 2 FLOPs, a pointwise
        function as 1 per element, a view as none.
    peak_bytes : int
        The most bytes that the plan's own arrays, temporary copies and results take at once; inputs and constants
        are not counted.
    notes : tuple of str
        What was chosen on the way, such as the direction of a Jacobian, and what the others would have cost.
    """

    inputs: tuple[PlanInput, ...]
    steps: tuple[PlanStep, ...]
    peak_bytes: int
    run: Callable[..., tuple[Array, ...]] = field(repr=False)
    text: Callable[[], str] = field(repr=False)
    constants: tuple[Array, ...] = field(default=(), repr=False)
    notes: tuple[str, ...] = ()

    @property
    def flops(self) -> int:
        """The floating-point operations of one call."""
        return sum(step.flops for step in self.steps)

    @property
    def bytes_moved(self) -> int:
        """The bytes read and written by one call, every step for itself (no caches)."""
        return sum(step.bytes for step in self.steps)

    def __call__(self, *arrays: Any) -> tuple[Array, ...]:
        """The values of the outputs; they share no memory with the inputs or with one another."""
        if len(arrays) + len(self.constants) != len(self.inputs):
            expected = len(self.inputs) - len(self.constants)
            raise TypeError(f"this plan takes {expected} arrays ({self._signature()}), got {len(arrays)}")
        checked = [
            a if type(a) is np.ndarray and a.shape == e.shape and a.dtype is e.dtype else _checked(a, e)
            for a, e in zip((*arrays, *self.constants), self.inputs, strict=True)
        ]
        return self.run(*checked)

    def bind(self, constants: Sequence[Array]) -> Plan:
        """The same plan with its last inputs bound to arrays, which are read at every call."""
        return replace(self, constants=tuple(constants))

    def source(self) -> str:
        """The generated program as text."""
        return self.text()

    def _signature(self) -> str:
        free = self.inputs[: len(self.inputs) - len(self.constants)]
        return ", ".join(f"{each.name}: {each.dtype}{list(each.shape)}" for each in free)

    def __str__(self) -> str:
        head = ("", "statement", "kind", "FLOPs", "bytes", "held")
        rows = [
            (str(n), step.statement, step.kind, f"{step.flops:,}", f"{step.bytes:,}", f"{step.held:,}")
            for n, step in enumerate(self.steps)
        ]
        total = f"total: {self.flops:,} FLOPs, {self.bytes_moved:,} bytes moved, peak {self.peak_bytes:,} bytes"
        return "\n".join([f"plan({self._signature()})", *_table([head, *rows]), total, *self.notes])


def _checked(value: Any, expected: PlanInput) -> Array:
    array = np.asarray(value)
    if array.shape != expected.shape or array.dtype != expected.dtype:
        raise ShapeError(
            f"input {expected.name!r}: the plan was made for {expected.dtype}{list(expected.shape)}, "
            f"found {array.dtype}{list(array.shape)}. Make a new plan, or convert the array first"
        )
    return array


def _table(rows: Sequence[tuple[str, ...]]) -> list[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = []
    for row in rows:
        cells = [
            cell.ljust(width) if column in (1, 2) else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
    return lines
