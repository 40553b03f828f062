"""Memory: when each register dies, which memory is used again, and how much is held at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from einad.lower.program import Op, Program

FOREVER = 1 << 62


class Schedule(NamedTuple):
    """For each call: the register whose memory takes the result, the registers to forget, the bytes held.

    ``held`` counts what the program has allocated while a call runs, temporary copies of its operands included;
    inputs and constants belong to others and are not counted. A user's function is taken to return new memory.
    """

    reused: list[int | None]
    dead: list[list[int]]
    held: list[int]
    allocated: list[int]

    @property
    def peak(self) -> int:
        """The most bytes held at once."""
        return max(self.held, default=0)


def schedule(program: Program) -> Schedule:
    """Liveness over the program's calls, in one backward and one forward pass."""
    last = _last_reads(program)
    owners = memory_owners(program)
    family_end = _family_ends(owners, last)
    counted = value_owners(program)
    counted_end = _family_ends(counted, last)
    result = Schedule([], [], [], [])
    live: dict[int, int] = {}
    current = 0
    deaths = _deaths(program, last)
    for n, op in enumerate(program.ops):
        reused = _choose(op, n, family_end, last)
        new = _allocated(op, program) if reused is None else 0
        if reused is not None and op.target is not None:
            live[op.target] = live.pop(reused)
        elif op.target is not None:
            live[op.target] = new
        current += new
        result.reused.append(reused)
        result.allocated.append(new)
        result.held.append(current + op.temporary)
        result.dead.append(deaths[n])
        for owner in {owner for register in deaths[n] for owner in counted[register]}:
            if counted_end[owner] <= n and owner in live:
                current -= live.pop(owner)
    return result


def _last_reads(program: Program) -> list[int]:
    """The last call that reads each register; the call that makes it where nobody does."""
    last = [-1] * len(program.registers)
    for n, op in enumerate(program.ops):
        if op.target is not None:
            last[op.target] = n
        for register in op.reads:
            last[register] = n
    for register in program.outputs:
        last[register] = FOREVER
    return last


def memory_owners(program: Program) -> list[tuple[int, ...]]:
    """The owned registers whose memory each register may share, itself included."""
    return _families(program, [register.owned for register in program.registers])


def value_owners(program: Program) -> list[tuple[int, ...]]:
    """The registers whose memory each register very likely shares: results of unknown functions are new memory."""
    owned = [register.owned for register in program.registers]
    for op in program.ops:
        if op.target is not None and is_new(op, program):
            owned[op.target] = True
    return _families(program, owned)


def _families(program: Program, owned: Sequence[bool]) -> list[tuple[int, ...]]:
    owners: list[tuple[int, ...]] = []
    for n, register in enumerate(program.registers):
        if owned[n]:
            owners.append((n,))
        else:
            owners.append(tuple(dict.fromkeys([owner for source in register.sources for owner in owners[source]])))
    return owners


def _family_ends(owners: Sequence[tuple[int, ...]], last: Sequence[int]) -> dict[int, int]:
    """When the last register that shares an owned register's memory dies."""
    ends: dict[int, int] = {}
    for register, shared in enumerate(owners):
        for owner in shared:
            ends[owner] = max(ends.get(owner, -1), last[register])
    return ends


def _deaths(program: Program, last: Sequence[int]) -> list[list[int]]:
    deaths: list[list[int]] = [[] for _ in program.ops]
    for register in range(program.input_count, len(program.registers)):
        if 0 <= last[register] != FOREVER:
            deaths[last[register]].append(register)
    return deaths


def _choose(op: Op, n: int, family_end: dict[int, int], last: Sequence[int]) -> int | None:
    """An owned operand that dies with all its views in this call, to take the result."""
    for register in op.reuse:
        if last[register] == n and family_end[register] <= n:
            return register
    return None


def written(op: Op) -> int | None:
    """The register whose memory a call writes into, beside or instead of making a register of its own."""
    return op.reads[0] if op.target is None else op.into


def is_new(op: Op, program: Program) -> bool:
    """Whether the result is memory of its own, as far as one can know."""
    assert op.target is not None
    unknown = op.target in program.opaque and op.options[0].memory == "unknown"
    return program.registers[op.target].owned or unknown


def _allocated(op: Op, program: Program) -> int:
    return program.registers[op.target].nbytes if op.target is not None and is_new(op, program) else 0
