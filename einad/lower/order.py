"""The order of calls: what takes memory comes late, what frees memory comes early.

A derivative is lowered in the order in which its nodes are met, which may compute every factor long before the
cotangent it waits for, and every weight gradient at the very end, with all it reads alive until then. Two moves mend
that, and neither raises the number of bytes held at any time:

- *sink*: a call goes to just before the first call that needs it, where its result is at least as large as the
  operands that would have to live longer;
- *hoist*: a call goes to just behind the last call it needs, where the operands it is the last to read are larger than
  its result.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from einad.lower.program import Op, Program
from einad.lower.schedule import memory_owners, schedule, written

ROUNDS = 3
LEAST_BYTES = 1 << 19


def reorder(program: Program, least: int = LEAST_BYTES) -> Program:
    """The same calls in an order that holds fewer bytes, or the same order where none was found.

    Every call still comes after those it reads from, and reads and writes of one buffer keep their order. A program
    whose arrays take fewer than ``least`` bytes together is left as it is: they fit in the cache. With 0 an order that
    is no better is taken too: it computes late what is needed late, so that less depends on what is gone.
    """
    if sum([register.nbytes for register in program.registers if register.owned]) < least:
        return program
    graph = Dependences(program)
    order = list(range(len(program.ops)))
    for _ in range(ROUNDS):
        before = order
        order = _hoist(_sink(order, graph), graph)
        if order == before:
            break
    found = with_ops(program, [program.ops[n] for n in order])
    held, holds = schedule(program).peak, schedule(found).peak
    return found if holds < held or (holds == held and not least) else program


def with_ops(program: Program, ops: Iterable[Op]) -> Program:
    """A program with the same registers and other calls."""
    new = Program()
    new.registers, new.input_count = list(program.registers), program.input_count
    new.outputs, new.opaque = list(program.outputs), set(program.opaque)
    new.ops = list(ops)
    return new


class Dependences:
    """Which calls must come before which, and what memory each reads and makes."""

    def __init__(self, program: Program) -> None:
        owners = memory_owners(program)
        self.size = {owner: program.registers[owner].nbytes for shared in owners for owner in shared}
        self.reads = [tuple(sorted({o for r in op.reads for o in owners[r]})) for op in program.ops]
        self.makes = [op.target if op.target in self.size else None for op in program.ops]
        self.before: list[set[int]] = [set() for _ in program.ops]
        self.after: list[list[int]] = [[] for _ in program.ops]
        self.readers = dict.fromkeys(self.size, 0)
        self.kept = {owner for register in program.outputs for owner in owners[register]}
        self._link(program, owners)

    def _link(self, program: Program, owners: Sequence[tuple[int, ...]]) -> None:
        made = {op.target: n for n, op in enumerate(program.ops) if op.target is not None}
        filled: dict[int, int] = {}
        readers: dict[int, list[int]] = {}
        for n, op in enumerate(program.ops):
            self.before[n].update([made[register] for register in op.reads if register in made])
            for owner in self.reads[n]:
                self.readers[owner] += 1
                if owner in filled:
                    self.before[n].add(filled[owner])
            into = written(op)
            if into is not None:
                for owner in owners[into]:
                    self.before[n].update(readers.pop(owner, ()))
                    filled[owner] = n
            for owner in self.reads[n]:
                readers.setdefault(owner, []).append(n)
            self.before[n].discard(n)
        for n, found in enumerate(self.before):
            for m in found:
                self.after[m].append(n)


# Of a call that stays (n, 0); of calls moved to before it (n, -2), (n, -1); of those moved behind it (n, 1), (n, 2).
Place = tuple[int, int]


def _sink(order: Sequence[int], graph: Dependences) -> list[int]:
    """Move calls down to just before the first that needs them, the last calls first."""
    place: dict[int, Place] = {n: (at, 0) for at, n in enumerate(order)}
    count: dict[int, int] = {}
    end: dict[int, Place] = dict.fromkeys(graph.kept, (len(order), 0))  # the last place where memory is read
    for n in reversed(order):
        made = graph.makes[n]
        if made is not None and made not in graph.kept and graph.after[n]:
            first = min([place[m] for m in graph.after[n]])
            longer = sum([graph.size[owner] for owner in graph.reads[n] if end.get(owner, (-1, 0)) < first])
            if graph.size[made] >= longer:
                at = first[0]
                count[at] = count.get(at, 0) + 1
                place[n] = (at, -count[at])
        for owner in graph.reads[n]:
            end[owner] = max(place[n], end.get(owner, place[n]))
    return sorted(order, key=place.__getitem__)


def _hoist(order: Sequence[int], graph: Dependences) -> list[int]:
    """Move calls up to just behind the first place where they free more than they take, the first calls first."""
    place: dict[int, Place] = {n: (at, 0) for at, n in enumerate(order)}
    count: dict[int, int] = {}
    end: dict[int, Place] = {}  # the last place so far where memory is read
    left = dict(graph.readers)
    for n in order:
        at = _earliest_gain(n, place, end, left, graph)
        if at is not None and at < place[n][0]:
            count[at] = count.get(at, 0) + 1
            place[n] = (at, count[at])
        for owner in graph.reads[n]:
            left[owner] -= 1
            end[owner] = max(place[n], end.get(owner, place[n]))
    return sorted(order, key=place.__getitem__)


def _earliest_gain(
    n: int, place: dict[int, Place], end: dict[int, Place], left: dict[int, int], graph: Dependences
) -> int | None:
    """The first place behind which call ``n`` would free more memory than it takes."""
    made = graph.makes[n]
    need = graph.size[made] if made is not None else 0
    last = [owner for owner in graph.reads[n] if left[owner] == 1 and owner not in graph.kept]
    if not graph.before[n] or sum([graph.size[owner] for owner in last]) <= need:
        return None
    ready = max([place[m] for m in graph.before[n]])
    freed = 0
    for owner in sorted(last, key=lambda owner: end.get(owner, ready)):
        freed += graph.size[owner]
        if freed > need:
            return max(ready, end.get(owner, ready))[0]
    return None
