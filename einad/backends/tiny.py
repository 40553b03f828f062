"""Small programs as code for one compiled interpreter, where Numba is installed (``pip install einad[fused]``).

A call of NumPy takes 0.2 to 0.4 µs before it computes anything. A program of many calls on a few numbers each is
translated into code (`einad.backends.tiny_code`) that one compiled function runs in one call, in one block of memory.
Booleans are computed as numbers 0 and 1. What is not translated leaves the whole program to NumPy.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from einad.backends.tiny_code import LEAST_CALLS, UnsupportedError
from einad.backends.tiny_encode import Encoder
from einad.backends.tiny_memory import FOREVER, Memory, Seen
from einad.ir.expr import Array, DType, Shape
from einad.lower import kernels
from einad.lower.program import Argument, Constant, Op, Operand, Program
from einad.ops.pointwise import POINTWISE
from einad.ops.reductions import FUNCTIONS as REDUCTIONS

MOST_BYTES = 1 << 22
VIEWS = frozenset({"broadcast", "constant", "diagonal", "gather", "view"})
NAMES = (
    *("square", "negative", "reciprocal", "sign", "sqrt", "exp", "expm1", "log", "log1p", "sin", "cos", "tanh"),
    *("arctan", "maximum", "minimum", "greater", "greater_equal", "equal", "not_equal", "power", "logical_not"),
    *("add", "subtract", "multiply", "divide", "where", "less", "less_equal"),
)
FUNCTIONS: dict[Any, str] = {
    **{getattr(np, name): name for name in NAMES},
    np.abs: "abs",
    np.fabs: "abs",
    np.positive: "copy",
    np.conjugate: "copy",
    np.logical_and: "multiply",
    np.logical_or: "maximum",
    POINTWISE["reciprocal_or_zero"].evaluate: "reciprocal_or_zero",
}
SWAPPED = {"less": "greater", "less_equal": "greater_equal"}
TRUTHS = frozenset(
    {"copy", "equal", "greater", "greater_equal", "less", "less_equal", "logical_not", "maximum", "minimum"}
    | {"multiply", "not_equal", "where"}
)


class Tiny(NamedTuple):
    """A translated program: its code, memory as it is before a call, and where inputs and results lie in it."""

    code: Array
    memory: Array
    inputs: tuple[tuple[int, Shape], ...]
    outputs: tuple[tuple[int, Shape, tuple[int, ...], DType], ...]


def translate(program: Program, always: bool = False) -> Tiny:
    """The code of a program; `UnsupportedError` where it cannot be translated or, unless ``always``, does not pay."""
    translator = _Translator(program)
    memory = translator.memory
    code, places, size = translator.encoder.code()
    if not always:
        translator.refuse_what_does_not_pay(size * memory.dtype.itemsize)
    initial = np.zeros(size, memory.dtype)
    for key, value in memory.values.items():
        initial[places[key] : places[key] + value.size] = value.ravel()
    inputs = [(places[n], program.registers[n].shape) for n in range(program.input_count)]
    seen = [translator.seen[register] for register in program.outputs]
    outputs = [
        (places[each.owner] + memory.start(each), each.array.shape, each.array.strides, program.registers[n].dtype)
        for n, each in zip(program.outputs, seen, strict=True)
    ]
    return Tiny(code, initial, tuple(inputs), tuple(outputs))


class _Translator:
    """Walks over the calls of a program once."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.memory = Memory(next(r.dtype for r in program.registers if r.dtype.kind != "b"))
        self.encoder = Encoder(self.memory)
        self.now, self.calls, self.numpy_cost = -1, 0, 0.0
        self.seen = {n: self.memory.new(n, program.registers[n].shape, -1) for n in range(program.input_count)}
        for self.now, op in enumerate(program.ops):
            self._call(op)
        for register in program.outputs:
            self.memory.use(self.seen[register], FOREVER)

    def refuse_what_does_not_pay(self, nbytes: int) -> None:
        """Few calls, more work than calls, or much memory."""
        cost, calls = self.encoder.cost / 1000, self.numpy_cost / 1000
        if self.calls < LEAST_CALLS:
            raise UnsupportedError("only a few calls")
        if cost > calls:
            raise UnsupportedError(f"about {cost:.1f} µs of work, where NumPy takes {calls:.1f} µs")
        if nbytes > MOST_BYTES:
            raise UnsupportedError(f"{nbytes} bytes of memory")

    def _call(self, op: Op) -> None:
        if op.function in VIEWS:
            assert op.target is not None
            self.seen[op.target] = self._view(op)
            return
        words = WORDS.get(op.function)
        if words is None:
            raise UnsupportedError(f"the call {op.function!r}")
        self.calls += 1
        self.numpy_cost += 300 + op.flops * (0.03 if op.kind in ("gemm", "batched gemm", "gemv", "dot") else 0.3)
        words(self, op, [self._argument(arg) for arg in op.args])

    def target(self, op: Op) -> Seen:
        """The memory that takes a result."""
        assert op.target is not None
        shape = self.program.registers[op.target].shape
        if op.into is None:
            self.seen[op.target] = self.memory.new(op.target, shape, self.now)
        else:
            self.seen[op.target] = self._reshaped(self.memory.use(self.seen[op.into], self.now), shape, copy=False)
        return self.seen[op.target]

    def number(self, value: Any) -> Seen:
        """A number in memory."""
        array = np.asarray(value).astype(self.memory.dtype)
        return self.memory.constant(("number", array.tobytes()), array)

    def _argument(self, arg: Argument) -> Seen:
        if isinstance(arg, Constant):
            return self.number(np.asarray(arg.value).astype(arg.dtype))
        if not isinstance(arg, Operand):
            return self.memory.constant(arg, kernels.constant(arg))
        seen = self.memory.use(self.seen[arg.register], self.now)
        for step, value in arg.views:
            if step == "reshape":
                seen = self._reshaped(seen, value)
            elif step == "transpose":
                seen = seen._replace(array=seen.array.transpose(value))
        return seen

    def _reshaped(self, seen: Seen, shape: Shape, copy: bool = True) -> Seen:
        array = seen.array.reshape(shape)
        if not array.size or np.may_share_memory(array, seen.array):
            return seen._replace(array=array)
        if not copy:
            raise UnsupportedError("a result in memory with gaps")
        made = self.memory.new(("copy", len(self.memory.bases)), seen.array.shape, self.now)
        self.encoder.elementwise("copy", made, seen)
        return made._replace(array=made.array.reshape(shape))

    def _view(self, op: Op) -> Seen:
        (arg,) = op.args
        seen = self._argument(arg)
        if op.function == "broadcast":
            assert op.target is not None
            return seen._replace(array=np.broadcast_to(seen.array, self.program.registers[op.target].shape))
        if op.function == "diagonal":
            return seen._replace(array=seen.array.diagonal(0, *op.options))
        if op.function == "gather":
            return seen._replace(array=kernels.box(seen.array, op.options))
        return seen

    def apply(self, op: Op, name: str, args: list[Seen]) -> None:
        """An elementwise call."""
        assert op.target is not None
        if self.program.registers[op.target].dtype.kind == "b" and name not in TRUTHS:
            raise UnsupportedError(f"{name} of booleans")
        if name in SWAPPED:
            name, args = SWAPPED[name], args[::-1]
        self.encoder.elementwise(name, self.target(op), *args)


Words = Callable[[_Translator, Op, list[Seen]], None]


def _row(to: _Translator, op: Op, args: list[Seen]) -> None:
    row, params = op.options
    for extreme in ("max", "min"):
        if row is REDUCTIONS[extreme]:
            to.encoder.reduce(extreme, to.target(op), args[0], params[0], to.now)
            return
    name = FUNCTIONS.get(row.evaluate)
    if name is None or params:
        raise UnsupportedError(f"the function {row.name}")
    booleans = row.evaluate in (np.logical_and, np.logical_or)
    if booleans and any(isinstance(a, Operand) and to.program.registers[a.register].dtype.kind != "b" for a in op.args):
        raise UnsupportedError(f"{row.name} of numbers")
    to.apply(op, name, args)


def _cast(to: _Translator, op: Op, args: list[Seen]) -> None:
    assert op.target is not None
    truth = to.program.registers[op.target].dtype.kind == "b"
    to.apply(op, *(("not_equal", [*args, to.number(0)]) if truth else ("copy", args)))


def _matmul(to: _Translator, op: Op, args: list[Seen]) -> None:
    _product(to, to.target(op), *args)


def _product(to: _Translator, out: Seen, a: Seen, b: Seen) -> None:
    """``a @ b``, vectors as in NumPy."""
    x, y, z = a.array, b.array, out.array
    if y.ndim == 1:
        y, z = y[:, np.newaxis], z[..., np.newaxis]
    if x.ndim == 1:
        x, z = x[np.newaxis], z[..., np.newaxis, :]
    to.encoder.contract(out._replace(array=z), a._replace(array=x), b._replace(array=y))


def _dot(to: _Translator, op: Op, args: list[Seen]) -> None:
    if not all(1 <= seen.array.ndim <= 2 for seen in args):
        raise UnsupportedError("dot of arrays of more than two axes")
    _matmul(to, op, args)


def _vecdot(to: _Translator, op: Op, args: list[Seen]) -> None:
    out, (a, b) = to.target(op), args
    rows, columns = a.array[..., np.newaxis, :], b.array[..., np.newaxis]
    result = out._replace(array=out.array[..., np.newaxis, np.newaxis])
    to.encoder.contract(result, a._replace(array=rows), b._replace(array=columns))


def _sum(to: _Translator, op: Op, args: list[Seen]) -> None:
    axes = tuple(range(args[0].array.ndim)) if op.options is None else op.options
    to.encoder.reduce("sum", to.target(op), args[0], axes, to.now)


def _write(to: _Translator, op: Op, args: list[Seen]) -> None:
    mode, pieces = op.options
    buffer, values = args
    for piece in pieces:
        part = values if piece.source is None else values._replace(array=values.array[piece.source])
        view = buffer._replace(array=kernels.box(buffer.array, piece))
        if mode == "=":
            to.encoder.elementwise("copy", view, part)
        else:
            to.encoder.elementwise("add" if mode == "+=" else "subtract", view, view, part)


def _elementwise(to: _Translator, op: Op, args: list[Seen]) -> None:
    to.apply(op, op.function, args)


WORDS: dict[str, Words] = {
    **dict.fromkeys(("add", "copy", "divide", "multiply", "negative", "subtract"), _elementwise),
    "astype": _cast,
    "dot": _dot,
    "empty": lambda to, op, args: (to.target(op), None)[1],
    "full": lambda to, op, args: to.encoder.elementwise("copy", to.target(op), args[0]),
    "mask": lambda to, op, args: to.apply(op, "where", [*args, to.number(0)]),
    "matmul": _matmul,
    "matmul_into": lambda to, op, args: _product(to, *args),
    "matmul_rows": _matmul,
    "row": _row,
    "sum": _sum,
    "vecdot": _vecdot,
    "write": _write,
    "zeros": lambda to, op, args: to.encoder.elementwise("copy", to.target(op), to.number(0)),
}
