"""When small programs run in the compiled interpreter: from their first call on, once it is ready, or never.

The modules that translate programs are loaded when they are needed, like Numba, by name: most processes never do.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import Context
from importlib import import_module
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np

from einad.backends.compiler import COMPILER, QUIET
from einad.backends.extra import available
from einad.backends.memory import new_memory
from einad.backends.tiny_code import LEAST_CALLS, UnsupportedError
from einad.ir.expr import Array, DType
from einad.lower.program import Program

if TYPE_CHECKING:
    from einad.backends.tiny import Tiny

WARM = 64
MOST_ELEMENTS, MOST_FLOPS, MOST_CALLS = 1 << 16, 2_000_000, 4096
DTYPES = frozenset({np.dtype(np.float64), np.dtype(np.float32), np.dtype(bool)})
MOST_IDLE, IDLE_BYTES = 4, 1 << 20
Run = Callable[..., tuple[Array, ...]]
Interpreter = Callable[[Array, Array], None]


class Interpreters:
    """The compiled interpreters of this process, one for each dtype."""

    def __init__(self) -> None:
        self.made: dict[str, Interpreter] = {}
        self.lock = Lock()

    def get(self, dtype: DType) -> Interpreter:
        """The interpreter for a dtype: compiled if it is not there, or loaded from disk, which loads Numba."""
        if dtype.char in self.made:
            return self.made[dtype.char]
        with self.lock:
            if dtype.char not in self.made:
                self.made[dtype.char] = import_module("einad.backends.tiny_kernel").compiled(dtype)
            return self.made[dtype.char]


INTERPRETERS = Interpreters()


class TinySwitch:
    """How far a small program is: NumPy's calls at first, its code once the interpreter is there."""

    def __init__(self, program: Program, interpreted: Run) -> None:
        self.program, self.interpreted = program, interpreted
        self.fused: Run | None = None
        self.calls, self.asked = 0, False
        self.status = f"NumPy's calls, one compiled call after {WARM} runs"

    @property
    def dtype(self) -> DType:
        """The dtype of its numbers."""
        return next(register.dtype for register in self.program.registers if register.dtype.kind != "b")

    def count(self) -> None:
        """Note one more run in NumPy's words; after some the interpreter is asked for."""
        self.calls += 1
        if self.calls >= WARM and not self.asked:
            self.asked = True
            self.status = "being compiled"
            COMPILER.submit(self.compile)

    def compile(self) -> None:
        """Translate the program and get the interpreter now. Whatever goes wrong is kept in words, and NumPy stays."""
        try:
            tiny = import_module("einad.backends.tiny").translate(self.program)
            self.fused = fused(tiny, INTERPRETERS.get(tiny.memory.dtype))
            self.status = "one compiled call"
        except UnsupportedError as reason:
            self.status = f"NumPy's calls: {reason}"
        except Exception as error:  # noqa: BLE001  (an optional speed-up must not fail what works)
            self.status = f"NumPy's calls, not compiled: {type(error).__name__}: {error}"


def is_tiny(program: Program) -> bool:
    """Whether a program may be worth translating, as far as one sees at a glance."""
    if not (LEAST_CALLS <= len(program.ops) <= MOST_CALLS and program.outputs) or program.opaque:
        return False
    registers = program.registers
    return (
        len({register.dtype for register in registers if register.dtype.kind != "b"}) == 1
        and all(register.dtype in DTYPES and register.size <= MOST_ELEMENTS for register in registers)
        and all(op.flops <= MOST_FLOPS for op in program.ops)
    )


def switched(program: Program, run: Run, thrifty: bool = False) -> tuple[Run, TinySwitch | None]:
    """How a program runs, given its function in NumPy's words; a ``thrifty`` one keeps no memory and stays as it is."""
    if thrifty or not (available() and is_tiny(program)):
        return run, None
    switch = TinySwitch(program, run)
    if switch.dtype.char in INTERPRETERS.made:
        switch.compile()
        if switch.fused is None:
            return run, switch

    def plan(*arrays: Array) -> tuple[Array, ...]:
        if switch.fused is None:
            if not switch.asked:
                switch.count()
            return run(*arrays)
        return switch.fused(*arrays) if is_quiet() else run(*arrays)

    return plan, switch


def _quiet_by_default() -> Callable[[], bool]:
    """Whether floating-point errors are to be ignored or mentioned, and nothing else.

    NumPy takes 0.5 µs to tell. Where nobody has changed anything it keeps its default, which one sees at once.
    """
    variable = getattr(import_module("numpy._core.umath"), "_extobj_contextvar", None)
    if variable is None:
        return lambda: QUIET.issuperset(np.geterr().values())
    get = variable.get
    default = Context().run(get)
    return lambda: get() is default or QUIET.issuperset(np.geterr().values())


is_quiet = _quiet_by_default()


def fused(tiny: Tiny, interpreter: Interpreter) -> Run:
    """The function of a translated program: inputs are copied into a block, results out of it.

    A block has one user at a time; a call that fails drops its block.
    """
    inputs = [f"i{n}" for n in range(len(tiny.inputs))]
    outputs = [f"o{n}" for n in range(len(tiny.outputs))]
    casts = [".astype(bool)" if dtype.kind == "b" else ".copy()" for *_, dtype in tiny.outputs]
    most = max(1, min(MOST_IDLE, IDLE_BYTES // max(tiny.memory.nbytes, 1)))
    text = [
        f"def plan({', '.join([f'a{n}' for n in range(len(inputs))])}):",
        "    try:",
        "        block = pop()",
        "    except IndexError:",
        "        block = new()",
        f"    {', '.join(['memory', *inputs, *outputs])} = block",
        *[f"    {name}[...] = a{n}" for n, name in enumerate(inputs)],
        "    interpreter(memory, code)",
        f"    results = ({' '.join([f'{name}{cast},' for name, cast in zip(outputs, casts, strict=True)])})",
        f"    if len(idle) < {most}:",
        "        give_back(block)",
        "    return results",
    ]
    idle: list[tuple[Array, ...]] = []
    namespace: dict[str, Any] = {
        "code": tiny.code,
        "give_back": idle.append,
        "idle": idle,
        "interpreter": interpreter,
        "new": lambda: _block(tiny),
        "pop": idle.pop,
    }
    exec(compile("\n".join(text), "<einad plan>", "exec"), namespace)
    run: Run = namespace["plan"]
    return run


def _block(tiny: Tiny) -> tuple[Array, ...]:
    """Memory for one call at a time, and where inputs and results lie in it."""
    initial = tiny.memory
    whole, start = new_memory(initial.nbytes)
    memory = whole[start : start + initial.nbytes].view(initial.dtype)
    memory[:] = initial
    size, data = initial.itemsize, memory.data
    inputs = [np.ndarray(shape, initial.dtype, data, size * at) for at, shape in tiny.inputs]
    outputs = [np.ndarray(shape, initial.dtype, data, size * at, strides) for at, shape, strides, _ in tiny.outputs]
    return (memory, *inputs, *outputs)
