"""The straight-line program: registers, operands seen through views, and calls.

A program is a list of calls in execution order; each makes one register or writes into one. It names no library:
a backend writes every call in its own words. Registers are never reused here; what shares memory with what is
decided afterwards (`einad.lower.schedule`).
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any, NamedTuple

from einad.ir.expr import DType, Scalar, Shape, Structured

Strides = tuple[int, ...]
ViewStep = tuple[str, Any]

LEAST_RESHAPED = 1 << 16  # bytes; below, new memory is cheaper than one more view


class Register(NamedTuple):
    """One array of the program.

    ``strides`` (in elements) is what the planner assumes: inputs are taken to be C-contiguous. Programs are right
    for any layout and fast for this one. ``owned`` says that the program allocates the memory itself; a register
    that is not owned is an input, or shares the memory of the registers in ``sources``.
    """

    name: str
    shape: Shape
    strides: Strides
    dtype: DType
    owned: bool
    sources: tuple[int, ...] = ()

    @property
    def size(self) -> int:
        """The number of elements."""
        return count(self.shape)

    @property
    def nbytes(self) -> int:
        """The number of bytes of the elements."""
        return self.size * self.dtype.itemsize


class Operand(NamedTuple):
    """A register seen through ``views``: ('reshape', shape), ('transpose', axes) or ('copy', None), in order.

    ``copied`` is the number of bytes the views must copy (0 where they are views indeed).
    """

    register: int
    views: tuple[ViewStep, ...] = ()
    copied: int = 0


class Constant(NamedTuple):
    """A number of a given dtype."""

    value: Scalar
    dtype: DType


class Dense(NamedTuple):
    """A structured operand stored after all, as an array made once per plan; ``summed`` is an axis summed over."""

    node: Structured
    dtype: DType
    summed: int | None = None


class Ones(NamedTuple):
    """A vector of ones: a product with it is a sum."""

    size: int
    dtype: DType


Argument = Operand | Constant | Dense | Ones


class Blocks(NamedTuple):
    """How an elementwise call of two operands gets long inner loops (`einad.lower.blocks`).

    Operand ``expanded`` is first written out to ``shape``; with ``fill`` the other one is copied into the result.
    """

    expanded: int
    shape: Shape
    fill: bool
    nbytes: int


class Op(NamedTuple):
    """One call. ``target`` is the register it makes, or None where it writes into its first argument.

    ``reuse`` lists registers of the result's size and dtype whose memory may take the result once they are dead.
    ``scratch`` is how many bytes the called function takes for itself while it runs. ``into`` is a part of a buffer
    that must take the result (`einad.lower.stacks`); the target shares its memory.
    """

    function: str
    args: tuple[Argument, ...]
    target: int | None
    statement: str
    kind: str
    flops: int = 0
    options: Any = None
    reuse: tuple[int, ...] = ()
    scratch: int = 0
    into: int | None = None

    @property
    def reads(self) -> list[int]:
        """The registers read, and the one written into."""
        found = [arg.register for arg in self.args if type(arg) is Operand]
        return found if self.into is None else [*found, self.into]

    @property
    def temporary(self) -> int:
        """The bytes of copies of operands and of other memory that is dropped after the call."""
        copies = sum([arg.copied for arg in self.args if type(arg) is Operand])
        return self.scratch + copies + (self.options.nbytes if isinstance(self.options, Blocks) else 0)


class Program:
    """Calls over registers; the first ``input_count`` registers are the inputs, ``outputs`` the results.

    ``opaque`` are the results of functions that may or may not return a view of an argument. ``made`` remembers which
    register holds a multiple of another, or another in a different dtype.
    """

    def __init__(self) -> None:
        self.registers: list[Register] = []
        self.ops: list[Op] = []
        self.input_count = 0
        self.outputs: list[int] = []
        self.opaque: set[int] = set()
        self.made: dict[Hashable, int] = {}

    def add_input(self, name: str, shape: Shape, dtype: DType, strides: Strides | None = None) -> int:
        """A register that comes with the call."""
        self.registers.append(Register(name, shape, strides or contiguous(shape), dtype, False))
        self.input_count += 1
        return len(self.registers) - 1

    def emit(
        self,
        function: str,
        args: Sequence[Argument],
        shape: Shape,
        dtype: DType,
        kind: str,
        *,
        flops: int = 0,
        options: Any = None,
        reuse: Sequence[int] = (),
        strides: Strides | None = None,
        sources: Sequence[int] | None = None,
        scratch: int = 0,
    ) -> int:
        """Append a call that makes a register; with ``sources`` the register shares their memory."""
        target = len(self.registers)
        layout = contiguous(shape) if strides is None else strides
        owned = sources is None
        if function == "row" and not owned:
            self.opaque.add(target)
        self.registers.append(
            Register(f"t{target - self.input_count}", shape, layout, dtype, owned, tuple(sources or ()))
        )
        fitting = tuple([r for r in reuse if self._fits(r, shape, dtype)])
        self.ops.append(Op(function, tuple(args), target, "", kind, flops, options, fitting, scratch))
        return target

    def write(self, function: str, args: Sequence[Argument], kind: str, *, flops: int = 0, options: Any = None) -> None:
        """Append a call that writes into its first argument, which must be owned."""
        self.ops.append(Op(function, tuple(args), None, "", kind, flops, options))

    def describe(self, statement: str) -> None:
        """Say in index notation what the last call does."""
        self.ops[-1] = self.ops[-1]._replace(statement=statement)

    def _fits(self, register: int, shape: Shape, dtype: DType) -> bool:
        """Whether a register's memory may take a result: as it is, or reshaped where that saves enough."""
        found = self.registers[register]
        if not (found.owned and found.dtype == dtype and shape):
            return False
        large = found.nbytes >= LEAST_RESHAPED and found.strides == contiguous(found.shape)
        return found.shape == shape or (large and found.size == count(shape))


def count(shape: Sequence[int]) -> int:
    """The number of elements of a shape."""
    total = 1
    for n in shape:
        total *= n
    return total


def contiguous(shape: Sequence[int]) -> Strides:
    """Row-major strides, in elements.

    >>> contiguous((2, 3, 4))
    (12, 4, 1)
    """
    strides, stride = [], 1
    for n in reversed(shape):
        strides.append(stride)
        stride *= n
    return tuple(reversed(strides))
