"""Find the elementwise calls that can run together, and put them together.

Calls over one iteration space form a chain: every one of them reads what the others make, inputs, or results of
calls that do not need the chain; sums and dot products at its end belong to it. Calls that need a result of the chain
wait until it is done, all others stay before it.
"""

from __future__ import annotations

from collections import Counter

from einad.lower.chain_calls import Surroundings, chain_calls
from einad.lower.chains import Member, as_member, is_elementwise
from einad.lower.program import Op, Operand, Program
from einad.lower.schedule import FOREVER, memory_owners, schedule, written
from einad.lower.spaces import Cuts, cuts, nested, present

MOST_MEMBERS = 64


def group_chains(program: Program, threads: int = 1, compiled: bool = False, thrifty: bool = False) -> Program:
    """The program with its chains; the very same program where none pays, or where it would take more memory.

    A chain may run on ``threads`` threads; ``compiled`` says that its simple calls become one loop. A chain's buffers
    may raise the peak, unless the program must be ``thrifty``.
    """
    made = [op.target for op in program.ops if op.target is not None and is_elementwise(op, program)]
    sizes = Counter([program.registers[register].size for register in made])
    if max(sizes.values(), default=0) < 2:
        return program
    found = _Grouping(program, threads, compiled).run()
    if found is program:
        return program
    slack = 0 if thrifty else max([op.scratch for op in found.ops if op.function == "chain"])
    return found if schedule(found).peak <= schedule(program).peak + slack else program


class _Grouping:
    """One pass over the calls, with one chain open at a time."""

    def __init__(self, program: Program, threads: int, compiled: bool) -> None:
        self.program, self.threads, self.compiled = program, threads, compiled
        self.owners = memory_owners(program)
        self.total = Counter([register for op in program.ops for register in op.reads])
        self.total.update(program.outputs)
        self.ends = self._family_ends()
        self.out: list[Op] = []
        self.grouped = False
        self._open([], frozenset())

    def _family_ends(self) -> list[int]:
        """The last call that reads memory which each register may share."""
        ends = [-1] * len(self.program.registers)
        for n, op in enumerate(self.program.ops):
            for register in op.reads:
                for owner in self.owners[register]:
                    ends[owner] = n
        for register in self.program.outputs:
            for owner in self.owners[register]:
                ends[owner] = FOREVER
        return ends

    def _open(self, members: list[Member], found: Cuts) -> None:
        self.members, self.cuts = members, found
        self.span: list[Op] = []
        self.before: list[Op] = []
        self.held: list[Op] = []
        self.made: set[int] = set()
        self.tainted: set[int] = set()
        self.touched: set[int] = set()

    def run(self) -> Program:
        """The grouped program."""
        for n, op in enumerate(self.program.ops):
            self._take(n, op)
        self._close(len(self.program.ops) - 1)
        if not self.grouped:
            return self.program
        result = Program()
        result.registers, result.input_count = self.program.registers, self.program.input_count
        result.outputs, result.opaque = self.program.outputs, self.program.opaque
        result.ops = self.out
        return result

    def _take(self, n: int, op: Op) -> None:
        member = as_member(op, self.program)
        if member is not None and self._fits(member):
            self._add(member)
        elif member is not None and not member.reduces:
            self._close(n - 1)
            self._add(member)
        elif self.members:
            self.span.append(op)
            self._pass(op)
        else:
            self.out.append(op)

    def _fits(self, member: Member) -> bool:
        """Whether a call can join the open chain."""
        if not self.members or len(self.members) >= MOST_MEMBERS or member.size != self.members[0].size:
            return False
        if not nested(self.cuts | member.cuts, member.size) or self._depends(member.op):
            return False
        inner = [
            (each, present(each, member.shape), cuts(each, member.shape))
            for each, arg in zip(member.operands, member.op.args, strict=True)
            if isinstance(arg, Operand) and each is not None and arg.register in self.made
        ]
        if member.reduces and not inner:
            return False
        return all(all(here) and not found for _, here, found in inner)

    def _depends(self, op: Op) -> bool:
        """Whether a call needs something that waits for the chain."""
        return any(r in self.tainted or not self.tainted.isdisjoint(self.owners[r]) for r in op.reads)

    def _add(self, member: Member) -> None:
        self.members.append(member)
        self.cuts |= member.cuts
        self.span.append(member.op)
        self.touched.update([owner for register in member.op.reads for owner in self.owners[register]])
        assert member.op.target is not None
        (self.tainted if member.reduces else self.made).add(member.op.target)

    def _pass(self, op: Op) -> None:
        """A call outside the chain: it waits if it needs the chain, or writes what the chain or others read before."""
        owners = [owner for register in op.reads for owner in self.owners[register]]
        into = written(op)
        writes = () if into is None else self.owners[into]
        needs = self._depends(op) or not self.made.isdisjoint(op.reads) or not self.made.isdisjoint(owners)
        if not needs and self.touched.isdisjoint(writes):
            self.before.append(op)
            return
        self.held.append(op)
        self.touched.update(owners)
        self.tainted.update(writes if op.target is None else (*writes, op.target))

    def _close(self, last: int) -> None:
        """End the chain: as one call where that pays, else as it was."""
        emitted = chain_calls(self.members, self.cuts, self._surroundings(last)) if len(self.members) > 1 else None
        if emitted is None:
            self.out.extend(self.span)
        else:
            self.out.extend([*self.before, *emitted, *self.held])
            self.grouped = True
        self._open([], frozenset())

    def _surroundings(self, last: int) -> Surroundings:
        """What the chain must know of the calls around it; ``last`` is the last call that it may stand behind."""
        held = {owner for op in self.held for register in op.reads for owner in self.owners[register]}
        registers = self.program.registers
        read = {owner for member in self.members for r in member.op.reads for owner in self.owners[r]} - self.made
        aliased = {o for m in self.members for r in m.op.reads if not registers[r].owned for o in self.owners[r]}
        dying = frozenset(r for r in read - held - aliased if self.ends[r] <= last)
        return Surroundings(self.program, self.total, dying, self.threads, self.compiled)
