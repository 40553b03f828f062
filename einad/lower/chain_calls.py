"""A chain as calls: memory for its results, then the chain itself."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

from einad.ir.expr import DType
from einad.lower.chains import ARITHMETIC, Chain, Link, Member
from einad.lower.program import Constant, Op, Operand, Program, ViewStep, contiguous, count
from einad.lower.spaces import Pattern, Seen, Walk, cuts, masked, merged, pattern, present, walk

BLOCK_BYTES = 1 << 19
WORKING_SET = 24_000_000  # bytes
PARALLEL_COST = 8_000_000
FUNCTION_COST = 4


class Surroundings(NamedTuple):
    """What a chain must know of the calls around it.

    ``read`` counts the reads of each register, ``dying`` are those that nobody reads after the chain, and
    ``threads`` is the number of threads it may run on; ``compiled`` says whether simple calls become one loop.
    """

    program: Program
    read: Counter[int]
    dying: frozenset[int]
    threads: int
    compiled: bool


def chain_calls(members: Sequence[Member], found: frozenset[int], around: Surroundings) -> list[Op] | None:
    """The calls that do what ``members`` do, given the cuts of their space; None where a chain does not pay."""
    axes = merged(found, members[0].size)
    width = max([around.program.registers[member.target].dtype.itemsize for member in members])
    blocks = walk(axes, max(1, BLOCK_BYTES // width))
    kept = [member for member in clustered(members) if not member.reduces or _summed(member, blocks) is not None]
    late = [member.op for member in members if member.reduces and _summed(member, blocks) is None]
    if len(kept) < 2 or (blocks.blocks < 2 and not around.compiled):
        return None
    inner = Counter([register for member in kept for register in member.op.reads])
    results = [member for member in kept if member.reduces or around.read[member.target] > inner[member.target]]
    calls = _Emission(kept, results, blocks, around).calls()
    return [*calls, *late] if calls else None


def clustered(members: Sequence[Member]) -> list[Member]:
    """The members in an order that brings simple ones together: each simple one as soon as it can be computed."""
    made = {member.target for member in members}
    left, done, order = list(members), set[int](), list[Member]()
    while left:
        ready = [member for member in left if all(r in done or r not in made for r in member.op.reads)]
        member = min(ready, key=lambda member: (not member.simple, member.reduces))
        left.remove(member)
        done.add(member.target)
        order.append(member)
    return order


class Sum(NamedTuple):
    """How a reduction goes block by block: its result over the walk's axes, the axes of a block that are summed."""

    pattern: Pattern
    axes: tuple[int, ...]
    whole: bool


def _summed(member: Member, blocks: Walk) -> Sum | None:
    """A reduction by blocks: each sums numbers of the result, or a part of the whole result. None for a mixture."""
    if member.op.function == "dot":
        return Sum((False,), (0,), False) if len(blocks.axes) == 1 else None
    here = _kept(member, blocks)
    outer = here[: blocks.axis + 1]
    if any(outer) and not all(outer):
        return None
    summed = [axis for axis, there in enumerate(here) if not there and axis >= blocks.axis]
    return Sum(here, tuple([axis - blocks.axis for axis in summed]), all(outer))


def _kept(member: Member, blocks: Walk) -> Pattern:
    """Over which of the walk's axes the result of a sum stands."""
    axes = member.op.options
    shape = tuple([1 if axes is None or k in axes else n for k, n in enumerate(member.shape)])
    return pattern(present(Seen(shape, ()), member.shape), member.shape, blocks.axes)


class _Emission:
    """The places of a chain's operands and buffers, as they are given out."""

    def __init__(
        self, members: Sequence[Member], results: Sequence[Member], blocks: Walk, around: Surroundings
    ) -> None:
        self.members, self.results, self.walk, self.around = members, results, blocks, around
        self.registers = around.program.registers
        self.operands: list[Operand] = []
        self.patterns: list[Pattern] = []
        self.ordered: list[bool] = []
        self.places: dict[object, int] = {}
        self.buffers: list[DType] = []
        self.free: dict[DType, list[int]] = {}

    def calls(self) -> list[Op] | None:
        """Memory for every result, and the call of the chain; None where a chain does not pay."""
        taken = self._taken()
        rooms = [self._room(member, taken.get(member.target)) for member in self.results]
        for member in self.results:
            self._add_result(member)
        for target, source in taken.items():
            self.places[source] = self.places[target]
        links = self._links()
        threads = self.around.threads
        if not self._pays():
            return None
        parallel = threads > 1 and self.walk.blocks > 1 and self._cost() >= PARALLEL_COST
        chain = Chain(
            self.walk,
            tuple(links),
            tuple(self.patterns),
            tuple(self.ordered),
            tuple([self.registers[operand.register].dtype for operand in self.operands]),
            len(self.results),
            tuple(self.buffers),
            parallel,
        )
        return [*rooms, self._call(chain, threads if parallel else 1)]

    def _taken(self) -> dict[int, int]:
        """For results: an operand that dies in the chain, whose memory the result may take.

        All reads of the operand come before the result is written, or in the same call, and see it as it is.
        """
        last: dict[int, int] = {}
        for n, member in enumerate(self.members):
            last.update(dict.fromkeys(member.op.reads, n))
        fit = {r for r in last if r in self.around.dying and self._reads_plainly(r)}
        taken: dict[int, int] = {}
        for n, member in enumerate(self.members):
            if member in self.results and not member.reduces:
                found = self.registers[member.target]
                for r in sorted(fit, reverse=True):
                    if last[r] <= n and self.registers[r].dtype == found.dtype:
                        taken[member.target] = r
                        fit.remove(r)
                        break
        return taken

    def _reads_plainly(self, register: int) -> bool:
        """Whether the chain reads a register element by element in the space's order."""
        return self.registers[register].size == self.members[0].size and all(
            not isinstance(arg, Operand) or arg.register != register or (each is not None and _plain(each, member))
            for member in self.members
            for arg, each in zip(member.op.args, member.operands, strict=True)
        )

    def _room(self, member: Member, source: int | None) -> Op:
        """The call that makes the memory of a result."""
        found, name = self.registers[member.target], member.op.statement.split(" = ")[0]
        if source is None:
            return Op("empty", (), member.target, f"{name} = empty", "fill")
        old = self.registers[source]
        operand = Operand(source, () if old.shape == found.shape else (("reshape", found.shape),))
        return Op("claim", (operand,), member.target, f"{name} = {old.name}", "view", reuse=(source,))

    def _add_result(self, member: Member) -> None:
        found = _summed(member, self.walk) if member.reduces else None
        here = found.pattern if found is not None else (True,) * len(self.walk.axes)
        shape, wanted = self.registers[member.target].shape, masked(self.walk.axes, here)
        self._add(member.target, Operand(member.target, () if shape == wanted else (("reshape", wanted),)), here)

    def _add(self, key: object, operand: Operand, here: Pattern, ordered: bool = True) -> int:
        self.places[key] = len(self.operands)
        self.operands.append(operand)
        self.patterns.append(here)
        self.ordered.append(ordered)
        return self.places[key]

    def _links(self) -> list[Link]:
        """The calls in terms of places; a buffer is free again after its last read."""
        left = Counter([r for member in self.members for r in member.op.reads])
        links = []
        for member in self.members:
            args = tuple([self._place(member, k) for k in range(len(member.op.args))])
            for register in member.op.reads:
                left[register] -= 1
                if not left[register] and self.places.get(register, 0) < 0:
                    self.free.setdefault(self.registers[register].dtype, []).append(self.places[register])
            found = _summed(member, self.walk) if member.reduces else None
            out = self._out(member)
            links.append(Link(member.op, args, out) if found is None else Link(member.op, args, out, *found[1:]))
        return links

    def _out(self, member: Member) -> int:
        if member.target in self.places:
            return self.places[member.target]
        dtype = self.registers[member.target].dtype
        free = self.free.get(dtype)
        if not free:
            self.buffers.append(dtype)
            free = [-len(self.buffers)]
        self.places[member.target] = free.pop()
        return self.places[member.target]

    def _place(self, member: Member, k: int) -> int | Constant:
        """The place of an argument; a new operand where it is met for the first time."""
        arg, found = member.op.args[k], member.operands[k]
        if not isinstance(arg, Operand) or found is None:
            assert isinstance(arg, Constant)
            return arg
        key = arg.register if _plain(found, member) else arg
        if key in self.places:
            return self.places[key]
        here = pattern(present(found, member.shape), member.shape, self.walk.axes)
        wanted = masked(self.walk.axes, here)
        views = arg.views if found.shape == wanted else (*_unshaped(arg), ("reshape", wanted))
        if all(step == "reshape" for step, _ in views):
            views = () if self.registers[arg.register].shape == wanted else (("reshape", wanted),)
        return self._add(key, Operand(arg.register, views, arg.copied), here, _is_ordered(found))

    def _pays(self) -> bool:
        """Whether the chain beats its calls one by one: it keeps out of slow memory, or makes one loop of several."""
        runs = any(a.simple and b.simple for a, b in pairwise(self.members))
        if self.around.compiled and runs:
            return True
        return self._working_set() >= WORKING_SET and len(self.results) < len(self.members)

    def _working_set(self) -> int:
        """The bytes that the calls walk over if each runs for itself: operands, results, all that is kept meanwhile."""
        full = sum(
            [
                self.registers[o.register].nbytes
                for o, here in zip(self.operands, self.patterns, strict=True)
                if all(here)
            ]
        )
        return full + self.members[0].size * sum([dtype.itemsize for dtype in self.buffers])

    def _cost(self) -> int:
        """About how many nanoseconds times four all calls take."""
        costs = [1 if m.op.function in ARITHMETIC or m.reduces else FUNCTION_COST for m in self.members]
        return sum(costs) * self.members[0].size

    def _call(self, chain: Chain, threads: int) -> Op:
        block = count(self.walk.block)
        scratch = threads * sum([block * dtype.itemsize for dtype in chain.buffers])
        for link in chain.links:
            if link.axes and not link.whole and link.op.target is not None:
                scratch += (
                    self.walk.blocks * count(part_shape(chain, link)) * self.registers[link.op.target].dtype.itemsize
                )
        return Op(
            "chain",
            tuple(self.operands),
            None,
            f"{len(self.members)} calls in {self.walk.blocks} blocks",
            "chain",
            sum([member.op.flops for member in self.members]),
            chain,
            scratch=scratch,
        )


def part_shape(chain: Chain, link: Link) -> tuple[int, ...]:
    """The shape of what one block gives to a sum over all blocks."""
    return tuple([1 if axis in link.axes else n for axis, n in enumerate(chain.walk.block)])


def _unshaped(operand: Operand) -> tuple[ViewStep, ...]:
    """An operand's views but for a reshape at the end, which another one makes needless."""
    return operand.views[:-1] if operand.views and operand.views[-1][0] == "reshape" else operand.views


def _is_ordered(operand: Seen) -> bool:
    """Whether an operand lies in memory in the order of its elements."""
    pairs = zip(operand.shape, operand.strides, contiguous(operand.shape), strict=True)
    return all(n == 1 or stride == wanted for n, stride, wanted in pairs)


def _plain(operand: Seen, member: Member) -> bool:
    """Whether an operand has an element for every element of the space, in its order."""
    return all(present(operand, member.shape)) and not cuts(operand, member.shape)
