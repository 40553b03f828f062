"""Elementwise calls that run together, block by block, so that what lies between them stays in the cache.

What it brings is in ``docs/decisions/0010-elementwise-chains.md``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from einad.ir.expr import DType, Shape
from einad.lower.program import Constant, Op, Operand, Program, count
from einad.lower.spaces import Cuts, Pattern, Seen, Walk, cuts, nested, seen

LEAST_BYTES = 1 << 17

ARITHMETIC = frozenset({"add", "subtract", "multiply", "divide", "negative"})
SIMPLE = ARITHMETIC | frozenset(
    {"square", "reciprocal", "sqrt", "abs", "fabs", "greater", "greater_equal", "less", "less_equal", "equal"}
    | {"not_equal", "logical_not", "astype"}
)


class Link(NamedTuple):
    """One call of a chain. Places 0, 1, … are the chain's operands, -1, -2, … its buffers.

    ``axes`` are those of a block that are summed over; ``whole`` says that a block's sums are numbers of the result,
    not parts of such numbers.
    """

    op: Op
    args: tuple[int | Constant, ...]
    out: int
    axes: tuple[int, ...] = ()
    whole: bool = True


class Chain(NamedTuple):
    """What a chain does: its ``links`` in order, for every block of ``walk``.

    The first ``outputs`` operands are written; ``patterns`` say over which of the walk's axes each operand stands,
    ``ordered`` which lie in memory in the order of their elements; ``dtypes`` are the operands', ``buffers`` those of
    what is kept for one block only.
    """

    walk: Walk
    links: tuple[Link, ...]
    patterns: tuple[Pattern, ...]
    ordered: tuple[bool, ...]
    dtypes: tuple[DType, ...]
    outputs: int
    buffers: tuple[DType, ...]
    parallel: bool

    def dtype(self, place: int) -> DType:
        """The dtype of what stands at a place."""
        return self.dtypes[place] if place >= 0 else self.buffers[-place - 1]


class Member(NamedTuple):
    """A call that may stand in a chain, the shape of the space it walks over, its cuts, and what its operands are."""

    op: Op
    shape: Shape
    cuts: Cuts
    operands: tuple[Seen | None, ...]

    @property
    def size(self) -> int:
        """The number of elements walked over."""
        return count(self.shape)

    @property
    def target(self) -> int:
        """The register that is made."""
        assert self.op.target is not None
        return self.op.target

    @property
    def simple(self) -> bool:
        """Whether the call takes a processor one instruction for an element, and rounds in one known way."""
        return simple_name(self.op) in SIMPLE

    @property
    def reduces(self) -> bool:
        """Whether the call sums, and ends the chain."""
        return self.op.function in ("sum", "dot")


def simple_name(op: Op) -> str:
    """The name of what a call computes: that of the function in the table, or that of the call."""
    return str(op.options[0].name) if op.function == "row" else op.function


def is_elementwise(op: Op, program: Program) -> bool:
    """Whether a call computes one element of a large result from one of each operand, into memory of its own."""
    if op.target is None or op.into is not None or op.kind not in ("elementwise", "cast"):
        return False
    made = program.registers[op.target]
    if not made.owned or made.nbytes < LEAST_BYTES or made.dtype.kind == "O":
        return False
    if op.function == "row":
        row, params = op.options
        return isinstance(row.evaluate, np.ufunc) and row.evaluate.nout == 1 and not params
    return op.function == "astype" or (op.function in ARITHMETIC and op.options is None)


def as_member(op: Op, program: Program) -> Member | None:
    """The call as a member of a chain; None where it cannot be one."""
    reduces = op.function in ("sum", "dot")
    if not (reduces or is_elementwise(op, program)) or not all(isinstance(arg, Operand | Constant) for arg in op.args):
        return None
    operands = tuple([seen(arg, program) if isinstance(arg, Operand) else None for arg in op.args])
    if reduces and not _sums_all(op, operands, program):
        return None
    first = operands[0]
    assert op.target is not None
    shape = first.shape if reduces and first is not None else program.registers[op.target].shape
    if not count(shape) or any(len(each.shape) > len(shape) for each in operands if each is not None):
        return None
    found = frozenset[int]().union(*[cuts(each, shape) for each in operands if each is not None])
    if op.function == "sum" and op.options is not None:
        kept = tuple([1 if axis in op.options else n for axis, n in enumerate(shape)])
        found |= cuts(Seen(kept, (0,) * len(kept)), shape)
    return Member(op, shape, found, operands) if nested(found, count(shape)) else None


def _sums_all(op: Op, operands: Sequence[Seen | None], program: Program) -> bool:
    """Whether a sum or dot product reads large arrays as they are."""
    if op.function == "dot" and any(each is None or len(each.shape) != 1 for each in operands):
        return False
    arg = op.args[0]
    return isinstance(arg, Operand) and program.registers[arg.register].nbytes >= LEAST_BYTES
