"""The plan of a split graph: a plan for what comes before, one for each part, one for what comes after.

Parts run side by side on several threads, or one after the other, when their temporaries take one part's memory
instead of the whole's. Their terms are added in their order, so that the bits do not depend on which ends first.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from einad.backends.memory import LEAST_RESULT, RESULTS
from einad.backends.pieces import Pieces, Range, account, nbytes, result_places, text
from einad.backends.threads import run_together
from einad.ir.expr import Array, Input, Node
from einad.ir.walk import topological
from einad.plan.plan import Plan, PlanInput
from einad.plan.split import Split
from einad.plan.split_choice import LEAST_TIME, best_split, candidates

Compile = Callable[[Sequence[Node], Sequence[Input]], Plan]
Run = Callable[..., tuple[Array, ...]]
Job = Callable[[], list[Array]]


def split_plan(split: Split, inputs: Sequence[Input], parts: int, compile_graph: Compile, threads: bool = True) -> Plan:
    """One plan for a split graph: ``parts`` parts of as equal extents as can be, at once or one after the other.

    ``compile_graph(roots, inputs)`` makes the plan of a graph.
    """
    ranges = cut(split.size, parts)
    plans = {extent: compile_graph(*split.part(extent)) for extent in sorted({stop - start for start, stop in ranges})}
    rest, reads, rest_inputs = split.rest()
    pieces = Pieces(
        split,
        inputs,
        ranges,
        compile_graph(split.first(), inputs),
        [plans[stop - start] for start, stop in ranges],
        compile_graph(rest, [*inputs, *rest_inputs]),
        reads,
    )
    run = _runner(pieces, _at_once, _memory) if threads else _runner(pieces, _one_by_one, _new_memory)
    wanted = tuple([PlanInput(node.name, node.shape, node.dtype) for node in inputs])
    steps, peak = account(pieces, parts if threads else 1)
    how = f"at once on up to {parts} threads" if threads else "one after the other"
    note = f"split along {split.name} ({split.size}) in {parts} parts, {how}"
    return Plan(wanted, tuple(steps), peak, run, partial(text, pieces), notes=(note,))


class Slicing(NamedTuple):
    """A graph that can be run in slices along a label, one after the other, in less memory than at once.

    ``plan(parts)`` is the plan; its ``peak_bytes`` counts a slice's temporaries, the results and the sums. Results and
    what is computed before and after are not sliced, so more parts do not always take less.
    """

    split: Split
    inputs: Sequence[Input]
    compile_graph: Compile

    @property
    def most(self) -> int:
        """The most parts there can be: the size of the label."""
        return self.split.size

    def plan(self, parts: int, threads: bool = False) -> Plan:
        """The plan that runs in ``parts`` slices."""
        return split_plan(self.split, self.inputs, parts, self.compile_graph, threads)


def slicings(roots: Sequence[Node], inputs: Sequence[Input], compile_graph: Compile) -> list[Slicing]:
    """Ways to slice a graph of pairwise contractions, along the labels that stand on most of its bytes.

    ``compile_graph(roots, inputs)`` makes the plan of a graph, as `einad.pipeline.compile_graph` does.
    """
    found = candidates(roots, {node: nbytes(node) for node in topological(roots)})
    return [Slicing(split, inputs, compile_graph) for split in found if split.size > 1 and split.outputs]


def cut(size: int, parts: int) -> list[Range]:
    """Ranges that cover ``size`` entries, of extents that differ by one at the most.

    >>> cut(7, 3)
    [(0, 2), (2, 4), (4, 7)]
    """
    edges = [size * n // parts for n in range(parts + 1)]
    return list(pairwise(edges))


def _at_once(jobs: Sequence[Job]) -> list[Array]:
    """The sums of the terms of parts that run on several threads."""
    first, *others = run_together(jobs)
    for terms in others:
        _accumulate(first, terms)
    return first


def _one_by_one(jobs: Sequence[Job]) -> list[Array]:
    """The same sums, each part's terms added before the next part runs."""
    first = jobs[0]()
    for job in jobs[1:]:
        _accumulate(first, job())
    return first


def _accumulate(sums: Sequence[Array], terms: Sequence[Array]) -> None:
    for total, term in zip(sums, terms, strict=True):
        np.add(total, term, out=total)


def _runner(pieces: Pieces, together: Callable[[Sequence[Job]], list[Array]], memory: Callable[[Node], Array]) -> Run:
    """The function that runs the pieces. Each part writes its pieces of results itself, on its own thread."""
    split, before, after = pieces.split, pieces.before.run, pieces.after.run
    jobs = [_part_runner(pieces, n) for n in range(len(pieces.parts))]
    joined = [node for node in split.outputs if node in split.axes]
    given = [*split.outputs, *split.before]
    stops = [given.index(node) for node in pieces.after_reads]
    results = result_places(split)

    def run(*arrays: Array) -> tuple[Array, ...]:
        first = before(*arrays) if split.before else ()
        wholes = [memory(node) for node in joined]
        sums = together([partial(job, (*arrays, *first), wholes) for job in jobs])
        outputs = _assemble(split, wholes, sums)
        made = (*outputs, *first)
        last = after(*arrays, *[made[n] for n in stops]) if split.after else ()
        found = (*outputs, *last)
        return tuple([found[n] if n >= 0 else found[~n].copy() for n in results])

    return run


def _memory(node: Node) -> Array:
    return RESULTS.take(node.shape, node.dtype) if nbytes(node) >= LEAST_RESULT else np.empty(node.shape, node.dtype)


def _new_memory(node: Node) -> Array:
    """Memory that nothing keeps once the result is gone."""
    return np.empty(node.shape, node.dtype)


def _part_runner(pieces: Pieces, n: int) -> Callable[..., list[Array]]:
    """A part of the program: it writes its pieces into ``wholes`` and returns its terms."""
    split, run = pieces.split, pieces.parts[n].run
    start, stop = pieces.ranges[n]
    places = {node: place for place, node in enumerate([*pieces.inputs, *split.before])}
    reads = [(places[node], _index(split.axes.get(node), start, stop)) for node in split.reads]
    writes = [_index(split.axes.get(node), start, stop) for node in split.outputs]

    def part(arrays: Sequence[Array], wholes: Sequence[Array]) -> list[Array]:
        found = run(*[arrays[place] if index is None else arrays[place][index] for place, index in reads])
        targets = iter(wholes)
        terms = []
        for value, index in zip(found, writes, strict=True):
            if index is None:
                terms.append(value)
            else:
                next(targets)[index] = value
        return terms

    return part


def _index(axis: int | None, start: int, stop: int) -> tuple[slice, ...] | None:
    return None if axis is None else (*[slice(None)] * axis, slice(start, stop))


def _assemble(split: Split, wholes: Sequence[Array], sums: Sequence[Array]) -> list[Array]:
    """The outputs in their order: those written by the parts, and the sums of the parts' terms."""
    ready, added = iter(wholes), iter(sums)
    return [next(ready) if node in split.axes else next(added) for node in split.outputs]


def best_in_parts(
    roots: Sequence[Node], inputs: Sequence[Input], threads: int, forced: bool, compile_graph: Compile
) -> Plan | None:
    """The plan of the split that is estimated to be fastest; None where none is, unless ``forced``, worth it."""
    chosen = best_split(roots, threads, 0 if forced else LEAST_TIME)
    return None if chosen is None else split_plan(chosen.split, inputs, chosen.parts, compile_graph)
