"""Plans within a memory limit: by computing values again, or by running the graph in slices, whichever costs less.

The limit is on the plan's own arrays, temporary copies and results; inputs and constants belong to others. Nothing is
allocated before it is known that the limit can be kept.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

from einad.backends.numpy import compile_program
from einad.backends.parts import Slicing, slicings
from einad.errors import MemoryLimitError
from einad.ir.expr import Input, Node
from einad.lower.graph import lower
from einad.lower.order import reorder
from einad.lower.program import Program
from einad.lower.recompute import least_memory, recompute
from einad.plan.memory import in_words
from einad.plan.plan import Plan

FLOPS_PER_BYTE = 8
BYTES_PER_CALL = 16_000  # a microsecond's worth
CHEAP = 1.03  # of the cost without a limit: no need to look further
LEAST_GAIN = 0.99  # more slices that bring less bring nothing
TRIES = 8
MOST_PARTS = 256
MIXED_PARTS = (4, 16, 64)


class Fit(NamedTuple):
    """A plan within the limit and its cost, ``FLOPs / 8 + bytes``: a byte is moved in the time of about 8 FLOPs."""

    cost: float
    plan: Plan


class Whole(NamedTuple):
    """A program in an order that holds few bytes, and its plan."""

    program: Program
    plan: Plan


def plan_within(graphs: Sequence[Sequence[Node]], inputs: Sequence[Input], limit: int) -> Plan:
    """The cheapest plan found that holds at most ``limit`` bytes at once; the graphs all compute the same.

    Raises
    ------
    MemoryLimitError
        If none was found; names a number of bytes for which there is one, not far above the least.
    """
    searches = [_Search(roots, inputs) for roots in graphs]
    found = _cheapest(searches, limit)
    if found is not None:
        return found
    whole = min([search.whole.plan.peak_bytes for search in searches])
    least = min([search.least() for search in searches])
    while least < whole and _cheapest(searches, least) is None:
        least += least // 8 + 1
    raise MemoryLimitError(
        f"the plan needs {in_words(whole)} at once, and the limit is {in_words(limit)}; by computing values again "
        f"or in slices it can be brought down to {in_words(min(least, whole))}. Allow that much, compute fewer "
        "results at a time, or take a product with the derivative (vjp, jvp, hvp) instead of a Jacobian or Hessian"
    )


def _cheapest(searches: Sequence[_Search], limit: int) -> Plan | None:
    """The cheapest plan within a limit; mixtures are tried last."""
    if any(limit < search.results for search in searches):
        return None
    fits = [fit for search in searches for fit in search.fits(limit)]
    if not fits:
        fits = [fit for search in searches for fit in search.mixed(limit)]
    return min(fits, key=lambda fit: fit.cost).plan if fits else None


def cost(plan: Plan) -> float:
    """What a call costs, in bytes moved."""
    return plan.flops / FLOPS_PER_BYTE + plan.bytes_moved


class _Search:
    """The ways to run one graph within a limit. Plans of its parts are made once."""

    def __init__(self, roots: Sequence[Node], inputs: Sequence[Input]) -> None:
        self.inputs = inputs
        self.made: dict[Hashable, Whole] = {}
        self.target: int | None = None
        self.largest = 0
        self.whole = self._make(roots, inputs)
        self.results = sum([root.size * root.dtype.itemsize for root in roots])
        self.slicings = slicings(roots, inputs, self._compile)

    def fits(self, limit: int) -> list[Fit]:
        """The plan as it is, else with values computed again, and in slices unless that costs next to nothing."""
        plan = self.whole.plan
        if plan.peak_bytes <= limit:
            return [Fit(cost(plan), plan)]
        found = list(self._recomputed(limit))
        if not found or found[0].cost > CHEAP * cost(plan):
            found.extend([fit for slicing in self.slicings for fit in self._sliced(slicing, limit)])
        return found

    def mixed(self, limit: int) -> Iterator[Fit]:
        """In slices within which values are computed again."""
        for slicing in self.slicings:
            for parts in MIXED_PARTS:
                count = min(parts, slicing.most)
                self.largest = 0
                room = limit - (slicing.plan(count).peak_bytes - self.largest)
                if room > 0:
                    self.target = room
                    plan = slicing.plan(count)
                    self.target = None
                    if plan.peak_bytes <= limit:
                        yield self._fit(plan, limit, "in slices, in which calls run again", count)
                        break

    def least(self) -> int:
        """About the fewest bytes that any of these ways takes."""
        sliced = [slicing.plan(min(slicing.most, MIXED_PARTS[-1])).peak_bytes for slicing in self.slicings]
        return max(self.results, min([*sliced, least_memory(self.whole.program)]))

    def _recomputed(self, limit: int) -> Iterator[Fit]:
        """Chains may take a little more than their calls one by one: then the aim is set lower."""
        aim = limit
        for _ in range(TRIES):
            fitted = recompute(self.whole.program, aim)
            if fitted is None:
                return
            plan = compile_program(fitted.program, static=False)
            if plan.peak_bytes <= limit:
                yield self._fit(plan, limit, f"{len(fitted.again)} calls run again", 0)
                return
            aim -= plan.peak_bytes - limit

    def _sliced(self, slicing: Slicing, limit: int) -> Iterator[Fit]:
        """In as few slices as are enough."""
        parts, before = 2, 2 * self.whole.plan.peak_bytes
        for _ in range(TRIES):
            parts = min(parts, slicing.most, MOST_PARTS)
            plan = slicing.plan(parts)
            if plan.peak_bytes <= limit:
                yield self._fit(plan, limit, "in slices", parts)
                return
            if parts in (slicing.most, MOST_PARTS) or plan.peak_bytes > LEAST_GAIN * before:
                return
            parts, before = _more(parts, plan.peak_bytes, limit), plan.peak_bytes

    def _compile(self, roots: Sequence[Node], inputs: Sequence[Input]) -> Plan:
        """The plan of a part of the graph, within ``target`` if it can be."""
        whole = self._make(roots, inputs)
        self.largest = max(self.largest, whole.plan.peak_bytes)
        if self.target is None or whole.plan.peak_bytes <= self.target:
            return whole.plan
        fitted = recompute(whole.program, self.target)
        return whole.plan if fitted is None else compile_program(fitted.program, static=False)

    def _make(self, roots: Sequence[Node], inputs: Sequence[Input]) -> Whole:
        key = (tuple(roots), tuple(inputs))
        if key not in self.made:
            program = reorder(lower(roots, inputs), 0)
            self.made[key] = Whole(program, compile_program(program, static=False))
        return self.made[key]

    def _fit(self, plan: Plan, limit: int, what: str, parts: int) -> Fit:
        whole = self.whole.plan
        more = f"{plan.flops - whole.flops:,} FLOPs more"
        note = f"memory limit {limit:,} bytes ({whole.peak_bytes:,} without): {what}, {more}"
        calls = parts * len(plan.steps) * BYTES_PER_CALL
        return Fit(cost(plan) + calls, replace(plan, notes=(*plan.notes, note)))


def _more(parts: int, peak: int, limit: int) -> int:
    """The number of slices to try next: what would do if memory went down in proportion."""
    return max(parts + 1, min(parts * peak // max(limit, 1), 4 * parts))
