"""Static memory: where the intermediate results of a program lie in one block that is kept from call to call.

Memory that is new to a process costs more than the arithmetic done in it: the operating system hands it out page by
page. One elementwise pass over 1.6 MB takes 0.04 ms in memory used before and 0.7 ms in new memory. So every register
that nobody sees after the call gets a fixed place in a block; registers that are not alive together share places.
Results are never placed here, nor what functions of the user's own may keep.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Hashable, Iterable, Mapping, Sequence
from heapq import heappop, heappush
from typing import NamedTuple

import numpy as np

from einad.lower.program import Op, Operand, Program
from einad.lower.schedule import Schedule, is_new, memory_owners, value_owners

ALIGNMENT = 64  # bytes: a cache line, and the widest vector
LARGE = 512  # places found by size, the largest first; the others in the order of the calls

PLACEABLE = frozenset(
    {
        "add",
        "astype",
        "copy",
        "divide",
        "dot",
        "empty",
        "full",
        "matmul",
        "matmul_rows",
        "multiply",
        "negative",
        "subtract",
    }
    | {"sum", "vecdot", "zeros"}
)


class Arena(NamedTuple):
    """Byte offsets in a block of ``nbytes``: of registers, and of copies made of operand ``k`` of call ``n``.

    ``peak`` is the block with the most bytes that are allocated outside of it at once. ``keeps_results`` says whether
    the memory of large results may be kept too, and used again.
    """

    nbytes: int
    registers: Mapping[int, int]
    copies: Mapping[tuple[int, int], int]
    peak: int
    keeps_results: bool = True


class Span(NamedTuple):
    """Memory needed from the call ``first`` to the call ``last``, both included."""

    key: Hashable
    first: int
    last: int
    nbytes: int


def no_arena(found: Schedule) -> Arena:
    """No static memory: every call allocates what it makes."""
    return Arena(0, {}, {}, found.peak, keeps_results=False)


def place_registers(program: Program, found: Schedule) -> Arena:
    """A place for every intermediate result whose call can write into given memory."""
    heads = _heads(program, found)
    made = {heads[op.target]: n for n, op in reversed([*enumerate(program.ops)]) if op.target in heads}
    last = _last_uses(program, heads)
    seen = _seen_by_others(program, heads)
    spans = [
        Span(head, n, last[head], program.registers[head].nbytes)
        for head, n in made.items()
        if head not in seen and _takes_memory(program.ops[n]) and program.registers[head].shape
    ]
    copies = [
        Span((n, k), n, n, arg.copied)
        for n, op in enumerate(program.ops)
        if op.target is None or program.registers[op.target].owned
        for k, arg in enumerate(op.args)
        if isinstance(arg, Operand) and arg.copied
    ]
    places, nbytes = place(sorted([*spans, *copies], key=lambda span: span.first))
    registers = {register: places[head] for register, head in heads.items() if head in places}
    outside = [
        Span(head, n, last[head], program.registers[head].nbytes) for head, n in made.items() if head not in places
    ]
    outside += [Span(("scratch", n), n, n, op.scratch) for n, op in enumerate(program.ops) if op.scratch]
    outside += _results_of_others(program)
    return Arena(
        nbytes, registers, {key: places[key] for key in places if isinstance(key, tuple)}, nbytes + most(outside)
    )


def _heads(program: Program, found: Schedule) -> dict[int, int]:
    """For each register that the program allocates the register whose memory it takes over, or itself."""
    heads: dict[int, int] = {}
    for op, reused in zip(program.ops, found.reused, strict=True):
        if op.target is not None and program.registers[op.target].owned:
            heads[op.target] = op.target if reused is None else heads[reused]
    return heads


def _last_uses(program: Program, heads: Mapping[int, int]) -> dict[int, int]:
    """The last call that needs the memory of each head."""
    owners = memory_owners(program)
    last: dict[int, int] = {}
    for n, op in enumerate(program.ops):
        for register in (*op.reads, *(() if op.target is None else (op.target,))):
            for owner in owners[register]:
                last[heads[owner]] = n
    for register in program.outputs:
        for owner in owners[register]:
            last[heads[owner]] = len(program.ops)
    return last


def _results_of_others(program: Program) -> list[Span]:
    """The results of functions that are not einad's, which are very likely new memory."""
    made = {
        op.target: n
        for n, op in enumerate(program.ops)
        if op.target is not None and op.target in program.opaque and is_new(op, program)
    }
    if not made:
        return []
    owners, last = value_owners(program), dict(made)
    reads = [*enumerate([op.reads for op in program.ops]), (len(program.ops), program.outputs)]
    for n, registers in reads:
        last.update({owner: n for register in registers for owner in owners[register] if owner in made})
    return [Span(register, n, last[register], program.registers[register].nbytes) for register, n in made.items()]


def _seen_by_others(program: Program, heads: Mapping[int, int]) -> set[int]:
    """Heads whose memory somebody may see after the call: results, and arguments of functions that are not einad's."""
    owners = memory_owners(program)
    seen = [*program.outputs]
    for op in program.ops:
        if op.function == "row" and not _is_trusted(op.options[0].evaluate):
            seen.extend(op.reads)
    return {heads[owner] for register in seen for owner in owners[register]}


def _is_trusted(function: object) -> bool:
    return isinstance(function, np.ufunc) or str(getattr(function, "__module__", "")).startswith(("einad.", "numpy"))


def _takes_memory(op: Op) -> bool:
    return op.function in PLACEABLE or (op.function == "row" and isinstance(op.options[0].evaluate, np.ufunc))


def most(spans: Iterable[Span]) -> int:
    """The most bytes needed at once.

    >>> most([Span("a", 0, 1, 8), Span("b", 1, 2, 8), Span("c", 2, 3, 8)])
    16
    """
    changes = sorted(
        [(span.first, 1, span.nbytes) for span in spans] + [(span.last + 1, 0, -span.nbytes) for span in spans]
    )
    held = peak = 0
    for _, _, nbytes in changes:
        held += nbytes
        peak = max(peak, held)
    return peak


def place(spans: Sequence[Span]) -> tuple[dict[Hashable, int], int]:
    """Byte offsets so that spans that overlap in time do not overlap in memory, and the bytes needed.

    The largest ones are placed first, each as low as it fits; many small ones behind them, in the order of time.

    >>> place([Span("a", 0, 1, 64), Span("b", 1, 2, 64), Span("c", 2, 3, 64)])
    ({'a': 0, 'b': 64, 'c': 0}, 128)
    """
    by_size = sorted(spans, key=lambda span: (-span.nbytes, span.first))
    places: dict[Hashable, int] = {}
    placed: list[tuple[int, Span]] = []
    top = 0
    for span in by_size[:LARGE]:
        offset = _lowest(span, placed)
        insort(placed, (offset, span), key=lambda entry: entry[0])
        places[span.key] = offset
        top = max(top, offset + _rounded(span.nbytes))
    small = sorted(by_size[LARGE:], key=lambda span: span.first)
    return places, _place_in_turn(small, places, top)


def _lowest(span: Span, placed: Sequence[tuple[int, Span]]) -> int:
    offset = 0
    for start, other in placed:
        if other.first <= span.last and span.first <= other.last:
            if start >= offset + _rounded(span.nbytes):
                break
            offset = max(offset, start + _rounded(other.nbytes))
    return offset


def _place_in_turn(spans: Sequence[Span], places: dict[Hashable, int], base: int) -> int:
    """First come, first served: a place that is free again goes to the next span of the same size class."""
    free: dict[int, list[int]] = {}
    busy: list[tuple[int, int, int]] = []
    top = base
    for span in spans:
        while busy and busy[0][0] < span.first:
            _, offset, size = heappop(busy)
            free.setdefault(size, []).append(offset)
        size = _rounded(1 << max(span.nbytes - 1, 0).bit_length())
        if free.get(size):
            offset = free[size].pop()
        else:
            offset, top = top, top + size
        places[span.key] = offset
        heappush(busy, (span.last, offset, size))
    return top


def _rounded(nbytes: int) -> int:
    return -(-max(nbytes, 1) // ALIGNMENT) * ALIGNMENT
