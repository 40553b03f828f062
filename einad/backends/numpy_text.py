"""Every call of a program in NumPy's words."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any, NamedTuple

import numpy as np

from einad.backends.layout import Prepared
from einad.backends.memory import BLOCKS, LEAST_RESULT, RESULTS, SCRATCH
from einad.backends.products import matmul_rows
from einad.ir.expr import DType
from einad.lower import kernels, one_hot_kernels
from einad.lower.arena import PLACEABLE, Arena
from einad.lower.blocks import run_blocks
from einad.lower.placed import Piece
from einad.lower.program import Argument, Blocks, Constant, Op, Operand, Program, Register, contiguous
from einad.lower.schedule import Schedule

FUNCTIONS: dict[str, Any] = {
    "add": np.add,
    "array": np.array,
    "ascontiguousarray": np.ascontiguousarray,
    "asarray": np.asarray,
    "borrow": BLOCKS.borrow,
    "box": kernels.box,
    "broadcast_to": np.broadcast_to,
    "copyto": np.copyto,
    "divide": np.divide,
    "empty": np.empty,
    "dot": np.dot,
    "fresh": kernels.fresh,
    "full": np.full,
    "give_back": BLOCKS.give_back,
    "give_back_buffers": SCRATCH.give_back,
    "matmul": np.matmul,
    "matmul_rows": matmul_rows,
    "multiply": np.multiply,
    "negative": np.negative,
    "reduce_sum": np.add.reduce,
    "run_blocks": run_blocks,
    "result": RESULTS.take,
    "running_sum": kernels.running_sum,
    "fourier": kernels.fourier,
    "real_fourier": kernels.real_fourier,
    "subtract": np.subtract,
    "vecdot": np.vecdot,
    "where": np.where,
    "write_boxes": kernels.write_boxes,
    "scatter_add": one_hot_kernels.scatter_add,
    "take": one_hot_kernels.take,
    "zeros": np.zeros,
}


class Line(NamedTuple):
    """One line, and the names of prepared arrays that stand in it."""

    text: str
    uses: tuple[str, ...] = ()


class Writer:
    """Calls in NumPy's words. ``namespace`` holds what the text refers to by name."""

    def __init__(self, program: Program, found: Schedule, arena: Arena) -> None:
        self.program, self.schedule, self.arena = program, found, arena
        self.namespace: dict[str, Any] = dict(FUNCTIONS)
        self.helpers: dict[str, str] = {}
        self._named: dict[Any, str] = {}
        first = program.input_count
        self.names = [f"a{n}" if n < first else f"t{n - first}" for n in range(len(program.registers))]
        self.prepared = Prepared(program, arena, self.names)
        self._uses: list[str] = []
        self._before: list[str] = []

    def lines(self, n: int, op: Op) -> list[Line]:
        """The lines of one call, with the copies of operands before it and the deletions after it."""
        if self.prepared.view(op):
            return []
        self._uses, self._before = [], []
        args = [self._argument(arg, (n, k)) for k, arg in enumerate(op.args)]
        text = self._call(op, args, self._memory(n, op), self.schedule.reused[n] is not None)
        uses = tuple(dict.fromkeys(self._uses))
        lines = [Line(each, uses) for each in (*self._before, *text)]
        dead = [self.names[r] for r in self.schedule.dead[n] if r not in self.prepared]
        return [*lines, Line(f"del {', '.join(dead)}")] if dead else lines

    def _call(self, op: Op, args: list[str], out: str | None, in_place: bool) -> list[str]:
        call = Call(self, op, args, out, in_place)
        if op.function in _FILLS:
            return _FILLS[op.function](call)
        special = _SPECIAL.get(op.function)
        if special is not None:
            text = special(call)
        else:
            rest = [] if out is None else [out]
            if isinstance(op.options, Blocks):
                name = self.name("h", op.options, op.options)
                text = f"run_blocks({', '.join([op.function, *args, name, *rest])})"
            else:
                text = f"{op.function}({', '.join([*args, *rest])})"
        return [text] if op.target is None or call.is_prepared else [f"{self.names[op.target]} = {text}"]

    def _memory(self, n: int, op: Op) -> str | None:
        """The array that takes a result: prepared, or a register that dies, or memory of an earlier result."""
        if op.target is None:
            return None
        register, reused = self.program.registers[op.target], self.schedule.reused[n] if op.into is None else op.into
        if op.target in self.prepared or self.prepared.part(op):
            return self._prepared(self.names[op.target])
        if reused is not None:
            views = () if self.program.registers[reused].shape == register.shape else (("reshape", register.shape),)
            return _seen(self.names[reused], Operand(reused, views))
        large = self.arena.keeps_results and register.nbytes >= LEAST_RESULT
        if large and register.owned and op.function in PLACEABLE:
            return f"result({register.shape}, {self.dtype(register.dtype)})"
        return None

    def _prepared(self, name: str) -> str:
        self._uses.append(name)
        return name

    def _argument(self, arg: Argument, place: tuple[int, int]) -> str:
        if isinstance(arg, Constant):
            return self.number(arg)
        if not isinstance(arg, Operand):
            return self.name("c", kernels.constant(arg), arg)
        copy = self.prepared.copy(arg, place)
        if copy is not None:
            self._before.append(f"copyto({self._prepared(copy.target)}, {self._copied(copy.source)})")
            return self._prepared(copy.result)
        return self._operand(arg)

    def _copied(self, source: Operand) -> str:
        """What is copied; reshaping an array with gaps may need a copy of its own, so it is done at each call."""
        found = self.program.registers[source.register]
        if source.register in self.prepared and found.strides != contiguous(found.shape):
            return _seen(self._prepared(self.names[source.register]), source)
        return self._operand(source)

    def _operand(self, arg: Operand) -> str:
        name = self.names[arg.register]
        if arg.register not in self.prepared:
            return _seen(name, arg)
        return _seen(self._prepared(name), arg) if arg.copied else self._prepared(self.prepared.operand(arg))

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
    """What the text of one call is made of: its arguments as text, and the array whose memory takes the result.

    ``is_in_place`` says that this is the memory of an operand.
    """

    writer: Writer
    op: Op
    args: list[str]
    out: str | None
    is_in_place: bool

    @property
    def target(self) -> Register:
        """The register that is made."""
        assert self.op.target is not None
        return self.writer.program.registers[self.op.target]

    @property
    def rest(self) -> list[str]:
        """The memory for the result as a last argument, if there is any."""
        return [] if self.out is None else [self.out]

    @property
    def is_prepared(self) -> bool:
        """Whether the result has an array prepared, under its own name."""
        return self.op.target is not None and self.op.target in self.writer.prepared

    @property
    def name(self) -> str:
        """The name of the result."""
        assert self.op.target is not None
        return self.writer.names[self.op.target]

    @property
    def dtype(self) -> str:
        """The name of the dtype of the result."""
        return self.writer.dtype(self.target.dtype)


def _row(call: Call) -> str:
    row, params = call.op.options
    name = call.writer.name
    arguments = [*call.args, *[name("p", value, ("param", id(call.op), n)) for n, value in enumerate(params)]]
    if call.out is not None:
        arguments.append(call.out if row.arity == 1 else f"out={call.out}")  # np.maximum wants the keyword
    text = f"{name('f', row.evaluate, row)}({', '.join(arguments)})"
    return text if isinstance(row.evaluate, np.ufunc) else f"asarray({text}, {call.dtype})"


def _sum(call: Call) -> str:
    axes = call.op.options
    axis = axes[0] if axes is not None and len(axes) == 1 else axes
    return f"reduce_sum({', '.join([call.args[0], str(axis), call.dtype, *call.rest])})"


def _write(call: Call) -> str:
    mode, pieces = call.op.options
    buffer, values = call.args
    single = len(pieces) == 1 and pieces[0].source is None
    index = _basic_index(pieces[0], _plain_shape(call.op.args[0], call)) if single else None
    if index is not None:
        return f"{buffer}[{index}] {mode} {values}"
    return f"write_boxes({buffer}, {values}, {mode!r}, {call.writer.name('b', pieces, ('pieces', id(call.op)))})"


def _gather(call: Call) -> str:
    index = _basic_index(call.op.options, _plain_shape(call.op.args[0], call))
    if index is not None:
        return f"{call.args[0]}[{index}]"
    return f"box({call.args[0]}, {call.writer.name('b', call.op.options, ('piece', id(call.op)))})"


def _plain_shape(arg: Argument, call: Call) -> tuple[int, ...]:
    """The shape of an argument that is a register as it is; nothing is said of others."""
    assert isinstance(arg, Operand)
    return () if arg.views else call.writer.program.registers[arg.register].shape


def _basic_index(piece: Piece, shape: tuple[int, ...]) -> str | None:
    """A box of an array of this shape as a basic index, the last axes left out where they are taken whole.

    None unless each label walks along one axis and the axes come in order.
    """
    walked = [[axis for axis, step in enumerate(steps) if step] for steps in piece.steps]
    if any(len(axes) != 1 for axes in walked) or [axes[0] for axes in walked] != sorted({axes[0] for axes in walked}):
        return None
    by_axis = {axes[0]: n for n, axes in enumerate(walked)}
    parts = [str(start) for start in piece.start]
    for axis, n in by_axis.items():
        start, step = piece.start[axis], piece.steps[n][axis]
        stop = start + step * piece.shape[n]
        parts[axis] = f"{start}:{stop if stop >= 0 else ''}" + (f":{step}" if step != 1 else "")
    while len(parts) > 1 and len(parts) == len(shape) and parts[-1] == f"0:{shape[-1]}":
        parts, shape = parts[:-1], shape[:-1]
    return ", ".join(parts) or "()"


def _filled(call: Call, new: str, fill: str) -> list[str]:
    """Lines that make an array and fill it: ``new`` makes one at once, ``fill`` fills one that is there."""
    if call.out is None:
        return [f"{call.name} = {new}"]
    lines = [] if call.is_prepared else [f"{call.name} = {call.out}"]
    return [*lines, fill] if fill else lines


def _copied(call: Call) -> list[str]:
    (x,) = call.args
    new = f"{x}.copy()" if call.target.shape else f"array({x})"
    return _filled(call, new, "" if call.is_in_place else f"copyto({call.name}, {x})")


def _cast(call: Call) -> list[str]:
    (x,) = call.args
    return _filled(call, f"{x}.astype({call.dtype})", f"copyto({call.name}, {x}, 'unsafe')")


def _claimed(call: Call) -> list[str]:
    """Memory of an operand that dies, for a chain to write into while it reads it."""
    if not call.is_in_place:
        return _copied(call)
    return [] if call.is_prepared else [f"{call.name} = ascontiguousarray({call.out})"]


def _chain(call: Call) -> str:
    title, chains = f"chain{len(call.writer.helpers)}", import_module("einad.backends.chains")
    call.writer.namespace |= {"buffers": chains.buffers, "share": chains.share}
    call.writer.namespace[title] = chains.chain_function(title, call.op.options, call.writer)
    call.writer.helpers[title] = chains.chain_text(title, call.op.options, call.writer, comments=True)
    return f"{title}({', '.join(call.args)})"


def _running_sum(call: Call) -> str:
    axis, count, offset, reverse = call.op.options
    return f"running_sum({call.args[0]}, {axis}, {count}, {offset}, {reverse}, {call.dtype})"


def _fourier(call: Call) -> str:
    return f"{call.op.function}({call.args[0]}, {', '.join(map(repr, call.op.options))})"


def _mask(call: Call) -> str:
    return f"where({', '.join(call.args)}, {call.writer.number(Constant(0, call.target.dtype))})"


def _scatter_add(call: Call) -> str:
    index, *values = call.args
    return f"scatter_add({index}, {', '.join(values) or None}, {call.op.options}, {call.dtype})"


_SPECIAL: dict[str, Callable[[Call], str]] = {
    "broadcast": lambda call: f"broadcast_to({call.args[0]}, {call.target.shape})",
    "chain": _chain,
    "constant": lambda call: call.args[0],
    "cumsum": _running_sum,
    "dot": lambda call: f"{call.args[0]}.dot({', '.join([call.args[1], *([call.out] if call.out else [])])})",
    "diagonal": lambda call: f"{call.args[0]}.diagonal(0, {call.op.options[0]}, {call.op.options[1]})",
    "fourier": _fourier,
    "real_fourier": _fourier,
    "gather": _gather,
    "mask": _mask,
    "matmul_rows": lambda call: f"matmul_rows({', '.join([*call.args, str(call.op.options), *call.rest])})",
    "matmul_into": lambda call: f"matmul({call.args[1]}, {call.args[2]}, {call.args[0]})",
    "row": _row,
    "scatter_add": _scatter_add,
    "sum": _sum,
    "view": lambda call: call.args[0],
    "write": _write,
}

_FILLS: dict[str, Callable[[Call], list[str]]] = {
    "astype": _cast,
    "claim": _claimed,
    "copy": _copied,
    "empty": lambda call: _filled(call, f"empty({call.target.shape}, {call.dtype})", ""),
    "full": lambda call: _filled(
        call, f"full({call.target.shape}, {call.args[0]}, {call.dtype})", f"{call.name}.fill({call.args[0]})"
    ),
    "zeros": lambda call: _filled(call, f"zeros({call.target.shape}, {call.dtype})", f"{call.name}.fill(0)"),
}
