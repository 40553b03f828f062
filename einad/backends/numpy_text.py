"""Every call of a program in NumPy's words."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from einad.ir.expr import DType
from einad.lower import kernels
from einad.lower.blocks import run_blocks
from einad.lower.placed import Piece
from einad.lower.program import Argument, Blocks, Constant, Op, Operand, Program, Register
from einad.lower.schedule import Schedule

FUNCTIONS: dict[str, Any] = {
    "add": np.add,
    "array": np.array,
    "ascontiguousarray": np.ascontiguousarray,
    "asarray": np.asarray,
    "box": kernels.box,
    "broadcast_to": np.broadcast_to,
    "divide": np.divide,
    "empty": np.empty,
    "dot": np.dot,
    "fresh": kernels.fresh,
    "full": np.full,
    "matmul": np.matmul,
    "multiply": np.multiply,
    "negative": np.negative,
    "reduce_sum": np.add.reduce,
    "run_blocks": run_blocks,
    "running_sum": kernels.running_sum,
    "subtract": np.subtract,
    "vecdot": np.vecdot,
    "where": np.where,
    "write_boxes": kernels.write_boxes,
    "zeros": np.zeros,
}


class Writer:
    """Calls in NumPy's words. ``namespace`` holds what the text refers to by name."""

    def __init__(self, program: Program, found: Schedule) -> None:
        self.program, self.schedule = program, found
        self.namespace: dict[str, Any] = dict(FUNCTIONS)
        self._named: dict[Any, str] = {}
        first = program.input_count
        self.names = [f"a{n}" if n < first else f"t{n - first}" for n in range(len(program.registers))]

    def lines(self, n: int, op: Op) -> list[str]:
        """The lines of one call, with the deletions after it."""
        reused, dead = self.schedule.reused[n], self.schedule.dead[n]
        text = self._call(op, None if reused is None else self._memory(reused, op))
        lines = [text if op.target is None else f"{self.names[op.target]} = {text}"]
        if dead:
            lines.append(f"del {', '.join([self.names[register] for register in dead])}")
        return lines

    def _call(self, op: Op, out: str | None) -> str:
        args = [self._argument(arg) for arg in op.args]
        special = _SPECIAL.get(op.function)
        if special is not None:
            return special(Call(self, op, args, out))
        rest = [] if out is None else [out]
        if isinstance(op.options, Blocks):
            return f"run_blocks({', '.join([op.function, *args, self.name('h', op.options, op.options), *rest])})"
        return f"{op.function}({', '.join([*args, *rest])})"

    def _memory(self, reused: int, op: Op) -> str:
        """The array that takes a result: a register that dies, in the result's shape."""
        assert op.target is not None
        shape = self.program.registers[op.target].shape
        views = () if self.program.registers[reused].shape == shape else (("reshape", shape),)
        return _seen(self.names[reused], Operand(reused, views))

    def _argument(self, arg: Argument) -> str:
        if isinstance(arg, Operand):
            return _seen(self.names[arg.register], arg)
        if isinstance(arg, Constant):
            return self.number(arg)
        return self.name("c", kernels.constant(arg), arg)

    def number(self, constant: Constant) -> str:
        """The name of a number of a given dtype."""
        value = np.asarray(constant.value).astype(constant.dtype)[()]
        return self.name("k", value, ("number", constant.dtype.str, value.tobytes()))

    def name(self, prefix: str, value: Any, key: Any) -> str:
        """The name under which the text refers to ``value``."""
        if key not in self._named:
            self._named[key] = f"{prefix}{len(self._named)}"
            self.namespace[self._named[key]] = value
        return self._named[key]

    def dtype(self, dtype: DType) -> str:
        """The name of a dtype."""
        return self.name("d", dtype, ("dtype", dtype.str))


def _seen(text: str, operand: Operand) -> str:
    for step, value in operand.views:
        if step == "reshape":
            text += f".reshape({', '.join(map(str, value)) or '()'})"
        elif step == "transpose":
            text += ".T" if value == tuple(reversed(range(len(value)))) else f".transpose({', '.join(map(str, value))})"
        else:
            text = f"ascontiguousarray({text})"
    return text


class Call(NamedTuple):
    """What the text of one call is made of: its arguments as text, and the name whose memory takes the result."""

    writer: Writer
    op: Op
    args: list[str]
    out: str | None

    @property
    def target(self) -> Register:
        """The register that is made."""
        assert self.op.target is not None
        return self.writer.program.registers[self.op.target]

    @property
    def dtype(self) -> str:
        """The name of the dtype of the result."""
        return self.writer.dtype(self.target.dtype)


def _row(call: Call) -> str:
    row, params = call.op.options
    name = call.writer.name
    arguments = [*call.args, *[name("p", value, ("param", id(call.op), n)) for n, value in enumerate(params)]]
    if call.out is not None:
        arguments.append(f"out={call.out}")
    text = f"{name('f', row.evaluate, row)}({', '.join(arguments)})"
    return text if isinstance(row.evaluate, np.ufunc) else f"asarray({text}, {call.dtype})"


def _sum(call: Call) -> str:
    axes = call.op.options
    axis = axes[0] if axes is not None and len(axes) == 1 else axes
    return f"reduce_sum({call.args[0]}, {axis}, {call.dtype})"


def _write(call: Call) -> str:
    mode, pieces = call.op.options
    buffer, values = call.args
    index = _basic_index(pieces[0]) if len(pieces) == 1 and pieces[0].source is None else None
    if index is not None:
        return f"{buffer}[{index}] {mode} {values}"
    return f"write_boxes({buffer}, {values}, {mode!r}, {call.writer.name('b', pieces, ('pieces', id(call.op)))})"


def _gather(call: Call) -> str:
    index = _basic_index(call.op.options)
    if index is not None:
        return f"{call.args[0]}[{index}]"
    return f"box({call.args[0]}, {call.writer.name('b', call.op.options, ('piece', id(call.op)))})"


def _basic_index(piece: Piece) -> str | None:
    """A box as a basic index, where each label walks along one axis and the axes come in order."""
    walked = [[axis for axis, step in enumerate(steps) if step] for steps in piece.steps]
    if any(len(axes) != 1 for axes in walked) or [axes[0] for axes in walked] != sorted({axes[0] for axes in walked}):
        return None
    by_axis = {axes[0]: n for n, axes in enumerate(walked)}
    parts = [str(start) for start in piece.start]
    for axis, n in by_axis.items():
        start, step = piece.start[axis], piece.steps[n][axis]
        stop = start + step * piece.shape[n]
        parts[axis] = f"{start}:{stop if stop >= 0 else ''}" + (f":{step}" if step != 1 else "")
    return ", ".join(parts) or "()"


def _copy(call: Call) -> str:
    if not call.target.shape:
        return f"array({call.args[0]})"
    return f"{call.args[0]}.copy()" if call.out is None else call.out


def _running_sum(call: Call) -> str:
    axis, count, offset, reverse = call.op.options
    return f"running_sum({call.args[0]}, {axis}, {count}, {offset}, {reverse}, {call.dtype})"


def _mask(call: Call) -> str:
    return f"where({', '.join(call.args)}, {call.writer.number(Constant(0, call.target.dtype))})"


_SPECIAL: dict[str, Callable[[Call], str]] = {
    "astype": lambda call: f"{call.args[0]}.astype({call.dtype})",
    "broadcast": lambda call: f"broadcast_to({call.args[0]}, {call.target.shape})",
    "constant": lambda call: call.args[0],
    "copy": _copy,
    "cumsum": _running_sum,
    "diagonal": lambda call: f"{call.args[0]}.diagonal(0, {call.op.options[0]}, {call.op.options[1]})",
    "empty": lambda call: f"empty({call.target.shape}, {call.dtype})",
    "full": lambda call: f"full({call.target.shape}, {call.args[0]}, {call.dtype})",
    "gather": _gather,
    "mask": _mask,
    "matmul_into": lambda call: f"matmul({call.args[1]}, {call.args[2]}, {call.args[0]})",
    "row": _row,
    "sum": _sum,
    "view": lambda call: call.args[0],
    "write": _write,
    "zeros": lambda call: f"zeros({call.target.shape}, {call.dtype})",
}
