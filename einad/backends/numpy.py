"""The NumPy backend: a program becomes one straight-line Python function over local names.

The text is generated from registers' numbers alone; nothing a user wrote stands in it. A register is deleted after its
last use, and an elementwise result takes the memory of an operand that dies. Long programs are cut into several
functions, because compiling one takes time that grows faster than its length.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from einad.backends.numpy_text import FUNCTIONS, Writer
from einad.ir.expr import Array
from einad.lower.program import Op, Operand, Program
from einad.lower.schedule import schedule
from einad.plan.plan import Plan, PlanInput, PlanStep

CHUNK = 2000


def compile_program(program: Program) -> Plan:
    """The plan that runs a program with NumPy."""
    found = schedule(program)
    writer = Writer(program, found)
    lines = [writer.lines(n, op) for n, op in enumerate(program.ops)]
    run = _compile(program, writer, lines)
    inputs = tuple(
        PlanInput(register.name, register.shape, register.dtype)
        for register in program.registers[: program.input_count]
    )
    steps = tuple(
        [
            PlanStep(
                op.statement,
                op.kind + (", in place" if reused is not None else ""),
                op.flops,
                _bytes(op, program),
                held,
            )
            for op, reused, held in zip(program.ops, found.reused, found.held, strict=True)
        ]
    )
    return Plan(inputs, steps, found.peak, run, lambda: _readable(program, writer, lines))


def _compile(program: Program, writer: Writer, lines: list[list[str]]) -> Callable[..., tuple[Array, ...]]:
    namespace = writer.namespace
    if len(program.ops) <= CHUNK:
        exec(compile(_single(program, writer, lines), "<einad plan>", "exec"), namespace)
        run: Callable[..., tuple[Array, ...]] = namespace["plan"]
        return run
    chunks = _chunks(program, writer, lines)
    functions = []
    for text in chunks:
        exec(compile(text, "<einad plan>", "exec"), namespace)
        functions.append(namespace["part"])
    outputs, inputs = program.outputs, writer.names[: program.input_count]

    def run_parts(*arrays: Array) -> tuple[Array, ...]:
        memory: dict[str, Any] = dict(zip(inputs, arrays, strict=True))
        for part in functions:
            part(memory)
        return tuple([memory[writer.names[register]] for register in outputs])

    return run_parts


def _single(program: Program, writer: Writer, lines: list[list[str]]) -> str:
    names = writer.names
    results = ", ".join([names[register] for register in program.outputs])
    body = [f"    {line}" for group in lines for line in group]
    last = f"    return ({results}{',' if program.outputs else ''})"
    return "\n".join([f"def plan({', '.join(names[: program.input_count])}):", *body, last, ""])


def _chunks(program: Program, writer: Writer, lines: list[list[str]]) -> list[str]:
    """The program in parts that hand their registers on in a dict, so that dead arrays are freed in time."""
    names, texts = writer.names, []
    dead = writer.schedule.dead
    for first in range(0, len(program.ops), CHUNK):
        ops = program.ops[first : first + CHUNK]
        made = {op.target for op in ops if op.target is not None}
        gone = {register for n in range(first, first + len(ops)) for register in dead[n]}
        wanted = sorted({register for op in ops for register in op.reads if register not in made})
        keep = sorted(made - gone)
        head = [
            f"    {names[r]} = memory.pop({names[r]!r})" if r in gone else f"    {names[r]} = memory[{names[r]!r}]"
            for r in wanted
        ]
        body = [f"    {line}" for group in lines[first : first + len(ops)] for line in group]
        tail = [f"    memory[{names[r]!r}] = {names[r]}" for r in keep]
        texts.append("\n".join(["def part(memory):", *head, *body, *tail, ""]))
    return texts


def _readable(program: Program, writer: Writer, lines: list[list[str]]) -> str:
    """The text with each step in index notation beside it, and the constants it refers to above it."""
    inputs = [
        f"# a{n}: {r.name} {r.dtype}{list(r.shape)}" for n, r in enumerate(program.registers[: program.input_count])
    ]
    constants = [
        f"# {name}: {_constant_text(value)}"
        for name, value in writer.namespace.items()
        if name not in FUNCTIONS and name not in ("__builtins__", "plan", "part")
    ]
    names = writer.names
    body = []
    for op, group in zip(program.ops, lines, strict=True):
        body.append(f"    {group[0]}  # {op.statement}")
        body.extend([f"    {line}" for line in group[1:]])
    results = "".join([f"{names[register]}, " for register in program.outputs])
    head = f"def plan({', '.join(names[: program.input_count])}):"
    return "\n".join([*inputs, *constants, head, *body, f"    return ({results.strip()})", ""])


def _constant_text(value: Any) -> str:
    if isinstance(value, np.ndarray):
        return f"constant {value.dtype}{list(value.shape)}"
    return getattr(value, "__name__", None) or repr(value)


def _bytes(op: Op, program: Program) -> int:
    """Bytes read and written: operands and result once each, copies twice; views move nothing."""
    if op.kind in ("view", "constant"):
        return sum(2 * arg.copied for arg in op.args if isinstance(arg, Operand))
    read = sum(program.registers[register].nbytes for register in op.reads)
    written = program.registers[op.target].nbytes if op.target is not None else 0
    if op.function == "write":
        read = 3 * program.registers[op.reads[-1]].nbytes if len(op.reads) > 1 else 0
    return read + written + sum(2 * arg.copied for arg in op.args if isinstance(arg, Operand))
