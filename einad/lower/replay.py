"""A program written anew within a memory limit, call by call (`einad.lower.recompute`)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from math import inf

from einad.lower.program import Op, Operand, Program, Register
from einad.lower.schedule import is_new
from einad.lower.values import Facts, is_free

MOST_CALLS = 8  # a program may grow by this factor
LONGEST_CHAIN = 100  # calls; what takes more to make again is not forgotten
MOST_CANDIDATES = 50  # looked at in earnest, of all that are in memory
MANY = 64  # of so many values one more is forgotten at the same time
NEARLY = 1.5


class Replay:
    """The new program as far as it is written, and what is in memory at its end."""

    def __init__(self, program: Program, known: Facts, limit: int) -> None:
        self.old, self.known, self.limit = program, known, limit
        self.new = Program()
        self.new.registers = list(program.registers[: program.input_count])
        self.new.input_count = program.input_count
        self.where = {register: register for register in range(program.input_count)}
        self.live: dict[int, int] = {}
        self.held = 0
        self.now = 0
        self.next = dict.fromkeys(known.uses, 0)
        self.pins: dict[int, int] = {}
        self.unfinished: set[int] = set()
        self.again: list[Op] = []

    def run(self) -> Program | None:
        """The whole program, or None where the limit cannot be kept."""
        for n, op in enumerate(self.old.ops):
            self.now = n
            if is_free(op, self.old):
                continue
            if not self._bring(self.known.reads[n]) or not self._call(n, again=False):
                return None
        self.now = len(self.old.ops)
        wanted = [owner for register in self.old.outputs for owner in self.known.owners[register]]
        if not self._bring(wanted):
            return None
        self.new.outputs = [self._register(register) for register in self.old.outputs]
        return self.new

    def _bring(self, wanted: Sequence[int]) -> bool:
        """Compute again what is missing of the values in ``wanted``, which stay in memory until they are read."""
        for owner in wanted:
            self._pin(owner, 1)
        missing = [owner for owner in wanted if owner not in self.live and owner not in self.unfinished]
        calls = sorted(self.closure(missing)) if missing else []
        for n in calls:
            for owner in self.known.reads[n]:
                self._pin(owner, 1)
        grown = len(self.new.ops) + len(calls) > MOST_CALLS * len(self.old.ops)
        return not grown and all(self._call(n, again=True) for n in calls)

    def closure(self, missing: Iterable[int], most: int | None = None, gone: Sequence[int] = ()) -> set[int]:
        """The calls that make values again, from what is in memory and not ``gone``; at most about ``most``."""
        calls: set[int] = set()
        stack, seen = list(missing), set(missing)
        while stack and (most is None or len(calls) <= most):
            owner = stack.pop()
            for n in self.known.recipe[owner]:
                calls.add(n)
                for other in self.known.reads[n]:
                    if other not in seen and (other not in self.live or other in gone):
                        seen.add(other)
                        stack.append(other)
        return calls

    def _pin(self, owner: int, by: int) -> None:
        self.pins[owner] = self.pins.get(owner, 0) + by

    def _call(self, n: int, again: bool) -> bool:
        """Write call ``n``; False where memory runs out. Its operands were pinned for it once."""
        op = self.old.ops[n]
        reads = self.known.reads[n]
        for owner in reads:
            self._pin(owner, -1)
        dead = [owner for owner in reads if self._is_dead(owner, n, again)]
        taken = next((r for r in op.reuse if self.known.owners[r] == (r,) and r in dead), None)
        made = op.target if op.target is not None and is_new(op, self.old) else None
        nbytes = 0 if made is None or taken is not None else self.old.registers[made].nbytes
        if not self._make_room(nbytes + op.temporary, {*reads}):
            return False
        self._write(op, again)
        if made is not None:
            self.live[made] = self.old.registers[made].nbytes
            self.held += self.live[made]
            calls = self.known.recipe.get(made, [])
            if calls[-1:] != [n] and made not in self.known.fixed:
                self.unfinished.add(made)
        for owner in reads:
            if self.known.recipe[owner][-1:] == [n]:
                self.unfinished.discard(owner)
        for owner in [*dead, *([] if made is None else [made])]:
            if self._is_dead(owner, n, again):
                self.forget(owner)
        return True

    def _is_dead(self, owner: int, n: int, again: bool) -> bool:
        """Whether nobody reads a value after call ``n``, in the old program or for what is being made again."""
        if self.pins.get(owner) or owner in self.unfinished or owner not in self.live:
            return False
        return self.next_use(owner, self.now if again else n + 1) is None

    def next_use(self, owner: int, start: int) -> int | None:
        """The first call of the old program, from ``start`` on, that reads a value."""
        uses, at = self.known.uses[owner], self.next[owner]
        while at < len(uses) and uses[at] < min(start, self.now):
            at += 1
        self.next[owner] = at
        while at < len(uses) and uses[at] < start:
            at += 1
        return uses[at] if at < len(uses) else None

    def forget(self, owner: int) -> None:
        """Take a value out of memory, with all views of it."""
        self.held -= self.live.pop(owner)
        for register in self.known.members[owner]:
            self.where.pop(register, None)

    def _make_room(self, nbytes: int, reading: set[int]) -> bool:
        while self.held + nbytes > self.limit:
            chosen = self._cheapest(reading)
            if not chosen:
                return False
            for owner in chosen:
                self.forget(owner)
        return True

    def _cheapest(self, reading: set[int]) -> list[int]:
        """The value to do without, with a few others that are nearly as cheap where there are many."""
        found: list[tuple[float, int]] = []
        for owner, nbytes in self.live.items():
            kept = self.pins.get(owner) or owner in reading or owner in self.unfinished or owner in self.known.fixed
            if nbytes and not kept:
                found.append((self._worth(self.known.recipe[owner], owner), owner))
        found.sort()
        step = 1 + len(found) // MOST_CANDIDATES
        scores = sorted([(self._score(owner), owner) for _, owner in found[::step]])
        chosen = [owner for score, owner in scores[:1] if score < inf]
        for _, owner in scores[1:] if chosen else ():
            if len(chosen) > len(found) // MANY:
                break
            if self._score(owner, chosen) <= NEARLY * scores[0][0]:
                chosen.append(owner)
        return chosen

    def _score(self, owner: int, gone: Sequence[int] = ()) -> float:
        """What it costs to do without a value, if others were gone too."""
        calls = self.closure([owner], LONGEST_CHAIN, gone)
        return self._worth(calls, owner) if len(calls) <= LONGEST_CHAIN else inf

    def _worth(self, calls: Iterable[int], owner: int) -> float:
        return sum([self.known.cost[n] for n in calls]) / (self.live[owner] * self._wait(owner))

    def _wait(self, owner: int) -> int:
        use = self.next_use(owner, self.now)
        return 1 + (len(self.old.ops) if use is None else use) - self.now

    def _write(self, op: Op, again: bool) -> None:
        names: dict[str, str] = {}
        where = {register: self._register(register) for register in op.reads}
        target = None if op.target is None else self._new_register(op.target, where)
        made = {} if op.target is None or target is None else {op.target: target}
        for register, new in (*where.items(), *made.items()):
            names[self.old.registers[register].name] = self.new.registers[new].name
        statement = re.sub(r"\bt\d+\b", lambda match: names.get(match[0], match[0]), op.statement)
        moved = op._replace(
            args=tuple([a._replace(register=where[a.register]) if type(a) is Operand else a for a in op.args]),
            target=target,
            statement=statement + ("  (again)" if again else ""),
            reuse=tuple([where[register] for register in op.reuse if register in where]),
            into=None if op.into is None else where[op.into],
        )
        self.new.ops.append(moved)
        if again:
            self.again.append(moved)

    def _new_register(self, old: int, where: dict[int, int]) -> int:
        found = self.old.registers[old]
        number = len(self.new.registers)
        sources = tuple([where[source] if source in where else self._register(source) for source in found.sources])
        name = f"t{number - self.new.input_count}"
        self.new.registers.append(Register(name, found.shape, found.strides, found.dtype, found.owned, sources))
        if old in self.old.opaque:
            self.new.opaque.add(number)
        self.where[old] = number
        return number

    def _register(self, register: int) -> int:
        """The new register of an old one; views are made where they are missing."""
        stack = [register]
        while stack:
            top = stack[-1]
            if top in self.where:
                stack.pop()
                continue
            op = self.old.ops[self.known.made[top]]
            missing = [source for source in op.reads if source not in self.where]
            if missing:
                stack.extend(missing)
            else:
                self._write(op, again=False)
        return self.where[register]
