"""Memory that is kept between calls: blocks for intermediate results, and that of large results nobody holds any more.

Memory that is new to the process costs more than the arithmetic done in it (`einad.lower.arena`). A running plan
borrows a block and gives it back when it ends, so a block has one user at a time; a call that fails drops its block.
The memory of a result is used again once nothing refers to it or to a view of it. Idle blocks take at most `MOST_KEPT`
bytes, and so does the memory of results; `clear` frees both.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from threading import Lock

import numpy as np

from einad.ir.expr import Array, DType, Shape

MOST_KEPT = 1 << 28  # bytes
MOST_LAYOUTS = 256
LEAST_RESULT = 1 << 17  # bytes; what is smaller comes from memory that malloc keeps
ALIGNMENT = 4096

Layout = tuple[Array, ...]


def new_memory(nbytes: int) -> tuple[Array, int]:
    """New memory with room for ``nbytes`` from the first page that begins in it, and where that is."""
    whole = np.empty(nbytes + ALIGNMENT, np.uint8)
    return whole, -whole.ctypes.data % ALIGNMENT


class Block:
    """One piece of memory, with the arrays that plans have laid out in it, by the plans' numbers."""

    __slots__ = ("data", "layouts")

    def __init__(self, nbytes: int) -> None:
        whole, start = new_memory(nbytes)
        self.data = whole[start : start + nbytes]
        self.layouts: dict[int, Layout] = {}

    def lay_out(self, number: int, layout: Callable[[Array], Layout]) -> Layout:
        """The arrays of the plan ``number``, made now."""
        if len(self.layouts) >= MOST_LAYOUTS:
            self.layouts.clear()
        found = self.layouts[number] = layout(self.data)
        return found


class Blocks:
    """Idle blocks, the last one given back on top.

    >>> blocks = Blocks()
    >>> block = blocks.borrow(100)
    >>> blocks.give_back(block)
    >>> blocks.borrow(50) is block
    True
    """

    def __init__(self) -> None:
        self.idle: list[Block] = []

    def borrow(self, nbytes: int) -> Block:
        """A block of at least ``nbytes`` that nobody else uses."""
        try:
            block = self.idle.pop()
        except IndexError:
            return Block(nbytes)
        return block if block.data.size >= nbytes else Block(nbytes)

    def give_back(self, block: Block) -> None:
        """Keep a block for the next call if there is room."""
        if block.data.size + sum([other.data.size for other in self.idle]) <= MOST_KEPT:
            self.idle.append(block)


class Results:
    """Memory of results: used again where nothing refers to it any more, as CPython's reference counts tell.

    >>> results = Results()
    >>> first = results.take((1 << 15,), np.dtype(float))
    >>> second = results.take((1 << 15,), np.dtype(float))
    >>> place = first.ctypes.data
    >>> np.may_share_memory(first, second), place == results.take((1 << 15,), np.dtype(float)).ctypes.data
    (False, False)
    >>> del first
    >>> place == results.take((1 << 15,), np.dtype(float)).ctypes.data or not COUNTED
    True
    """

    def __init__(self) -> None:
        self.kept: dict[int, list[tuple[Array, int]]] = {}
        self.lock = Lock()

    def take(self, shape: Shape, dtype: DType) -> Array:
        """An array of undefined values that shares memory with nothing anybody can see."""
        nbytes = dtype.itemsize
        for n in shape:
            nbytes *= n
        whole, start = self._free(nbytes) or self._new(nbytes)
        return np.ndarray(shape, dtype, whole, start)

    def _free(self, nbytes: int) -> tuple[Array, int] | None:
        """Memory that only the list below refers to: every array in it has ``whole`` as its base."""
        for whole, start in self.kept.get(nbytes, ()) if COUNTED else ():
            if sys.getrefcount(whole) == ALONE:
                return whole, start
        return None

    def _new(self, nbytes: int) -> tuple[Array, int]:
        """New memory; the last three pieces of a size are remembered, and sizes that were met last."""
        made = new_memory(nbytes)
        with self.lock:
            self.kept[nbytes] = [*self.kept.pop(nbytes, [])[-2:], made]
            while sum([size * len(pieces) for size, pieces in self.kept.items()]) > MOST_KEPT:
                del self.kept[next(iter(self.kept))]
        return made


def _references_when_alone() -> int:
    """What ``sys.getrefcount`` says of an array that only a list holds, asked as `Results` asks."""
    for whole, _ in [(np.empty(1), 0)]:
        return sys.getrefcount(whole)
    raise AssertionError


COUNTED = sys.implementation.name == "cpython" and getattr(sys, "_is_gil_enabled", lambda: True)()
ALONE = _references_when_alone()
BLOCKS, RESULTS = Blocks(), Results()
SCRATCH = Blocks()


def clear() -> None:
    """Free all memory that is kept for later calls."""
    BLOCKS.idle.clear()
    SCRATCH.idle.clear()
    RESULTS.kept.clear()
