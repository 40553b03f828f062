"""The NumPy backend: a program becomes one straight-line Python function over local names.

The text is generated from registers' numbers alone; nothing a user wrote stands in it. A register is deleted after its
last use, and an elementwise result takes the memory of an operand that dies. Long programs are cut into several
functions, because compiling one takes time that grows faster than its length.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from itertools import count
from typing import Any

import numpy as np

from einad.backends.extra import available
from einad.backends.memory import BLOCKS
from einad.backends.numpy_text import FUNCTIONS, Line, Writer
from einad.backends.threads import cpu_count
from einad.ir.expr import Array
from einad.lower.arena import no_arena, place_registers
from einad.lower.program import Op, Operand, Program
from einad.lower.schedule import schedule
from einad.plan.plan import Plan, PlanInput, PlanStep

CHUNK = 2000
LEAST_CHAINED = 1 << 17  # bytes
_numbers = count()


def compile_program(program: Program, static: bool = True) -> Plan:
    """The plan that runs a program with NumPy.

    A ``static`` plan has a fixed place in a block of memory for every intermediate result (`einad.lower.arena`).
    """
    program = _chained(program, thrifty=not static)
    found = schedule(program)
    arena = place_registers(program, found) if static else no_arena(found)
    writer = Writer(program, found, arena)
    lines = [writer.lines(n, op) for n, op in enumerate(program.ops)]
    run, tiny = _compile(program, writer, lines), None
    if available():
        run, tiny = import_module("einad.backends.tiny_run").switched(program, run, thrifty=not static)
    inputs = tuple(
        PlanInput(register.name, register.shape, register.dtype)
        for register in program.registers[: program.input_count]
    )
    steps = tuple(
        [
            step
            for op, reused, held in zip(program.ops, found.reused, found.held, strict=True)
            for step in _steps(op, reused is not None, held, program)
        ]
    )

    def text() -> str:
        state = f"# The program: {tiny.status}\n" if tiny else ""
        return state + _readable(program, writer, lines)

    return Plan(inputs, steps, arena.peak, run, text)


def _chained(program: Program, thrifty: bool) -> Program:
    """The program with its chains, if it has arrays large enough for any; what makes them is loaded then."""
    if all(register.nbytes < LEAST_CHAINED for register in program.registers):
        return program
    groups = import_module("einad.lower.chain_groups")
    found: Program = groups.group_chains(program, cpu_count(), available(), thrifty=thrifty)
    return found


def _steps(op: Op, in_place: bool, held: int, program: Program) -> list[PlanStep]:
    """A call as steps of the plan: one, or those of a chain, the first of which is charged with all bytes."""
    nbytes = 0 if in_place and op.function == "copy" else _bytes(op, program)
    if op.function != "chain":
        return [PlanStep(op.statement, op.kind + (", in place" if in_place else ""), op.flops, nbytes, held)]
    links = [link.op for link in op.options.links]
    kinds = [f"{link.kind}, {'in the same blocks' if n else 'in blocks'}" for n, link in enumerate(links)]
    return [
        PlanStep(link.statement, kind, link.flops, 0 if n else nbytes, held)
        for n, (link, kind) in enumerate(zip(links, kinds, strict=True))
    ]


def _compile(program: Program, writer: Writer, lines: list[list[Line]]) -> Callable[..., tuple[Array, ...]]:
    namespace = writer.namespace
    used = list(dict.fromkeys([name for group in lines for line in group for name in line.uses]))
    number = next(_numbers)
    layout = writer.prepared.layout(used)
    if len(program.ops) <= CHUNK:
        namespace["lay_out"] = layout
        exec(compile(_single(program, writer, lines, used, number), "<einad plan>", "exec"), namespace)
        run: Callable[..., tuple[Array, ...]] = namespace["plan"]
        return run
    functions = []
    for text in _chunks(program, writer, lines):
        exec(compile(text, "<einad plan>", "exec"), namespace)
        functions.append(namespace["part"])
    outputs, inputs = program.outputs, writer.names[: program.input_count]
    nbytes = writer.arena.nbytes

    def run_parts(*arrays: Array) -> tuple[Array, ...]:
        memory: dict[str, Any] = dict(zip(inputs, arrays, strict=True))
        block = BLOCKS.borrow(nbytes)
        memory.update(zip(used, block.layouts.get(number) or block.lay_out(number, layout), strict=True))
        for part in functions:
            part(memory)
        BLOCKS.give_back(block)
        return tuple([memory[writer.names[register]] for register in outputs])

    return run_parts


def _single(program: Program, writer: Writer, lines: list[list[Line]], used: list[str], number: int) -> str:
    body = [f"    {line.text}" for group in lines for line in group]
    if used:
        body = [
            f"    block = borrow({writer.arena.nbytes})",
            f"    {', '.join(used)}, = block.layouts.get({number}) or block.lay_out({number}, lay_out)",
            *body,
            "    give_back(block)",
        ]
    return "\n".join([_head(program, writer), *body, f"    return {_results(program, writer)}", ""])


def _head(program: Program, writer: Writer) -> str:
    return f"def plan({', '.join(writer.names[: program.input_count])}):"


def _results(program: Program, writer: Writer) -> str:
    return f"({''.join([f'{writer.names[register]}, ' for register in program.outputs]).strip()})"


def _chunks(program: Program, writer: Writer, lines: list[list[Line]]) -> list[str]:
    """The program in parts that hand their registers on in a dict, so that dead arrays are freed in time."""
    names, prepared, texts = writer.names, writer.prepared, []
    dead = writer.schedule.dead
    for first in range(0, len(program.ops), CHUNK):
        ops, groups = program.ops[first : first + CHUNK], lines[first : first + CHUNK]
        made = {op.target for op in ops if op.target is not None}
        gone = {register for n in range(first, first + len(ops)) for register in dead[n]}
        read = {register for op in ops for register in op.reads if register not in made and register not in prepared}
        keep = sorted([register for register in made - gone if register not in prepared])
        used = dict.fromkeys([name for group in groups for line in group for name in line.uses])
        head = [
            f"    {names[r]} = memory.pop({names[r]!r})" if r in gone else f"    {names[r]} = memory[{names[r]!r}]"
            for r in sorted(read)
        ]
        head += [f"    {name} = memory[{name!r}]" for name in used]
        body = [f"    {line.text}" for group in groups for line in group]
        tail = [f"    memory[{names[r]!r}] = {names[r]}" for r in keep]
        texts.append("\n".join(["def part(memory):", *head, *body, *tail, ""]))
    return texts


def _readable(program: Program, writer: Writer, lines: list[list[Line]]) -> str:
    """The text with each step in index notation beside it, and the constants it refers to above it."""
    inputs = [
        f"# a{n}: {r.name} {r.dtype}{list(r.shape)}" for n, r in enumerate(program.registers[: program.input_count])
    ]
    hidden = {*FUNCTIONS, *writer.helpers, "__builtins__", "plan", "part", "lay_out", "buffers", "share"}
    constants = [f"# {name}: {_constant_text(value)}" for name, value in writer.namespace.items() if name not in hidden]
    body = []
    for op, group in zip(program.ops, lines, strict=True):
        head = group[0].text if group else "#"
        body.append(f"    {head}  # {op.statement}")
        body.extend([f"    {line.text}" for line in group[1:]])
    last = f"    return {_results(program, writer)}"
    above = [*inputs, *constants, *writer.prepared.comments(), *_helpers(writer)]
    return "\n".join([*above, _head(program, writer), *body, last, ""])


def _helpers(writer: Writer) -> list[str]:
    """The texts of the chains; those whose loops can be compiled say how far that is."""
    states = {title: getattr(writer.namespace[title], "status", None) for title in writer.helpers}
    return [f"# {title}: {states[title]}\n{text}" if states[title] else text for title, text in writer.helpers.items()]


def _constant_text(value: Any) -> str:
    if isinstance(value, np.ndarray):
        return f"constant {value.dtype}{list(value.shape)}"
    return getattr(value, "__name__", None) or repr(value)


def _bytes(op: Op, program: Program) -> int:
    """Bytes read and written: operands and result once each, copies twice; views move nothing."""
    if op.kind in ("view", "constant") or op.function == "empty":
        return sum(2 * arg.copied for arg in op.args if isinstance(arg, Operand))
    read = sum(program.registers[register].nbytes for register in op.reads)
    written = program.registers[op.target].nbytes if op.target is not None else 0
    if op.function == "write":
        read = 3 * program.registers[op.reads[-1]].nbytes if len(op.reads) > 1 else 0
    return read + written + sum(2 * arg.copied for arg in op.args if isinstance(arg, Operand))
