"""The values of a program that take memory: which calls make them, which read them, what it costs to make them."""

from __future__ import annotations

from typing import NamedTuple

from einad.lower.program import Op, Program
from einad.lower.schedule import is_new, value_owners, written

FLOPS_PER_BYTE = 8


class Facts(NamedTuple):
    """What a program's memory is used for: its owners are the registers that the program allocates.

    ``recipe[owner]`` are the calls that make and fill a value, ``uses[owner]`` the calls that read it (views are made
    when they are read), and ``fixed`` the values that must not be forgotten.
    """

    owners: list[tuple[int, ...]]
    made: dict[int, int]
    members: dict[int, list[int]]
    recipe: dict[int, list[int]]
    uses: dict[int, list[int]]
    reads: list[tuple[int, ...]]
    cost: list[float]
    fixed: set[int]


def facts(program: Program) -> Facts:
    """Look once at all calls."""
    owners = value_owners(program)
    found = Facts(owners, {}, {}, {}, {}, [], [], set())
    for register, shared in enumerate(owners):
        for owner in shared:
            found.members.setdefault(owner, []).append(register)
            found.recipe.setdefault(owner, [])
            found.uses.setdefault(owner, [])
    for n, op in enumerate(program.ops):
        _enter(n, op, program, found)
    for owner in sorted({owner for register in program.outputs for owner in owners[register]}):
        found.uses[owner].append(len(program.ops))
    for owner, calls in found.recipe.items():
        between = [n for n in found.uses[owner] if calls and calls[0] < n < calls[-1] and n not in calls]
        if not calls or between:
            found.fixed.add(owner)
    return found


def _enter(n: int, op: Op, program: Program, found: Facts) -> None:
    reads = tuple(dict.fromkeys([owner for register in op.reads for owner in found.owners[register]]))
    found.reads.append(reads)
    found.cost.append(op.flops / FLOPS_PER_BYTE + _bytes(op, program))
    if op.target is not None:
        found.made[op.target] = n
    if is_free(op, program):
        return
    for owner in reads:
        found.uses[owner].append(n)
    into = written(op)
    made = () if op.target is None else (op.target,)
    for owner in made if into is None else found.owners[into]:
        found.recipe[owner].append(n)


def _bytes(op: Op, program: Program) -> int:
    touched = [*op.reads, *([] if op.target is None else [op.target])]
    return sum([program.registers[register].nbytes for register in touched]) + 2 * op.temporary


def is_free(op: Op, program: Program) -> bool:
    """Whether a call makes a view or names a constant: it is made again wherever it is read."""
    return op.target is not None and op.into is None and not is_new(op, program)
