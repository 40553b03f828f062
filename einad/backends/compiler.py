"""Kernels compiled on a thread of its own, kept for all plans, and the switch from NumPy calls to them."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from importlib import import_module
from queue import SimpleQueue
from threading import Lock, Thread
from typing import Any

import numpy as np

from einad.backends.kernels import Kernel
from einad.ir.expr import Array

WARM = 3
MOST_KERNELS = 512
RUNTIME_CHECKS = "-runtime-memory-check-threshold=256"
QUIET = frozenset({"ignore", "warn", "print"})


class Compiler:
    """One daemon thread that compiles what it is asked to, in turn; made when first needed."""

    def __init__(self) -> None:
        self.lock = Lock()
        self.queue: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self.thread: Thread | None = None
        self.kernels: OrderedDict[object, Callable[..., None]] = OrderedDict()

    def submit(self, job: Callable[[], None]) -> None:
        """Have a job done soon."""
        self.queue.put(job)
        with self.lock:
            if self.thread is None or not self.thread.is_alive():
                self.thread = Thread(target=self._work, name="einad-compiler", daemon=True)
                self.thread.start()

    def _work(self) -> None:
        while True:
            self.queue.get()()

    def compiled(self, kernel: Kernel) -> Callable[..., None]:
        """A kernel as a compiled function; the 512 used last are kept."""
        with self.lock:
            if kernel.key in self.kernels:
                self.kernels.move_to_end(kernel.key)
                return self.kernels[kernel.key]
        made = _compile(kernel)
        with self.lock:
            self.kernels[kernel.key] = made
            while len(self.kernels) > MOST_KERNELS:
                self.kernels.popitem(last=False)
        return made


def _compile(kernel: Kernel) -> Callable[..., None]:
    numba = import_module("numba")
    # Arrays of a kernel never overlap, but LLVM has to see it: one check for each pair of arrays, 8 by default.
    import_module("llvmlite.binding").set_option("", RUNTIME_CHECKS)
    namespace: dict[str, Any] = dict(kernel.constants)
    exec(compile(kernel.text, "<einad kernel>", "exec"), namespace)
    types = [
        numba.types.Array(numba.from_dtype(np.dtype(dtype)), kernel.ndim, "C" if plain else "A", readonly=not written)
        for dtype, written, plain in kernel.types
    ]
    options = {"nogil": True, "error_model": "numpy", "fastmath": False}
    made: Callable[..., None] = numba.njit([numba.types.void(*types)], **options)(namespace["kernel"])
    return made


COMPILER = Compiler()


class Switch:
    """A chain's function: NumPy calls at first, and once they are compiled, its loops.

    ``plain`` says which arrays must have their elements in order. What NumPy is told to do with floating-point errors
    other than to ignore or mention them is left to NumPy; compiled loops do not mention them.
    """

    def __init__(
        self,
        interpreted: Callable[..., None],
        build: Callable[[Callable[..., Any]], Callable[..., None]],
        plain: Sequence[bool],
    ) -> None:
        self.interpreted, self.build, self.plain = interpreted, build, tuple(plain)
        self.calls, self.asked = 0, False
        self.fused: Callable[..., None] | None = None
        self.status = f"NumPy calls, compiled after {WARM} runs"

    def __call__(self, *arrays: Array) -> None:
        """Run the chain."""
        if self.fused is not None and self._fits(arrays):
            self.fused(*arrays)
            return
        self.interpreted(*arrays)
        self.calls += 1
        if self.calls >= WARM and not self.asked:
            self.asked, self.status = True, "being compiled"
            COMPILER.submit(self.compile)

    def _fits(self, arrays: Sequence[Array]) -> bool:
        ordered = all(
            x.flags.aligned and (x.flags.c_contiguous or not p) for x, p in zip(arrays, self.plain, strict=True)
        )
        return ordered and QUIET.issuperset(np.geterr().values())

    def compile(self) -> None:
        """Compile now. Whatever goes wrong is kept in words, and the NumPy calls stay."""
        try:
            self.fused = self.build(COMPILER.compiled)
            self.status = "compiled"
        except Exception as error:  # noqa: BLE001  (an optional speed-up must not fail what works)
            self.status = f"not compiled: {type(error).__name__}: {error}"
