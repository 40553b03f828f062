"""The record of a split graph: the plans it consists of, their steps, the peak, and the text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from einad.ir.expr import Input, Node
from einad.plan.plan import Plan, PlanStep
from einad.plan.split import Split

Range = tuple[int, int]


class Pieces(NamedTuple):
    """The plans of a split graph, and how their arrays hang together."""

    split: Split
    inputs: Sequence[Input]
    ranges: Sequence[Range]
    before: Plan
    parts: Sequence[Plan]
    after: Plan
    after_reads: Sequence[Node]


def result_places(split: Split) -> list[int]:
    """Where each root stands among outputs and roots computed after; ``~n`` asks for a copy."""
    places = {node: n for n, node in enumerate([*split.outputs, *split.after])}
    seen: set[Node] = set()
    found = []
    for root in split.roots:
        found.append(~places[root] if root in seen else places[root])
        seen.add(root)
    return found


def account(pieces: Pieces, at_once: int) -> tuple[list[PlanStep], int]:
    """The steps, those of the parts once with what all parts take together, and the peak.

    Of the parts, the ``at_once`` that take most memory may run at the same time.
    """
    split, before, after = pieces.split, pieces.before, pieces.after
    first = sum(map(nbytes, split.before))
    whole = sum([nbytes(node) for node in split.outputs if node in split.axes])
    sums = sum([nbytes(node) for node in split.outputs if node not in split.axes])
    held = first + whole + (sums if at_once < len(pieces.parts) else 0)
    largest = sorted([part.peak_bytes for part in pieces.parts])[-at_once:]
    joined = first + whole + sums
    steps = [
        *before.steps,
        *_part_steps(pieces, held, at_once),
        *_join_steps(pieces, joined),
        *[step._replace(held=step.held + joined) for step in after.steps],
    ]
    later = joined + (_after_parts(pieces, sums) if at_once > 1 else after.peak_bytes)
    return steps, max(before.peak_bytes, held + sum(largest), later)


def _after_parts(pieces: Pieces, sums: int) -> int:
    """What is held beside the parts' results while what comes after runs.

    The blocks of the parts' temporaries are kept, and one of them is used again if it is large enough.
    """
    pairs = zip(pieces.parts, pieces.ranges, strict=True)
    results = [sums + _piece_bytes(pieces.split, stop - start) for _, (start, stop) in pairs]
    blocks = sorted([part.peak_bytes - n for part, n in zip(pieces.parts, results, strict=True)])
    last = sum(map(nbytes, pieces.split.after))
    return last + sum(blocks[:-1]) + max(blocks[-1], pieces.after.peak_bytes - last)


def _piece_bytes(split: Split, extent: int) -> int:
    return sum([nbytes(node) // split.size * extent for node in split.outputs if node in split.axes])


def _part_steps(pieces: Pieces, held: int, at_once: int) -> list[PlanStep]:
    """The steps of the first part, with the FLOPs and bytes of all parts."""
    longest = max(pieces.parts, key=lambda part: len(part.steps))
    count = len(pieces.parts)
    return [
        PlanStep(
            step.statement,
            f"{step.kind} (x{count})",
            _over_parts(pieces, n, "flops"),
            _over_parts(pieces, n, "bytes"),
            held + at_once * step.held,
        )
        for n, step in enumerate(longest.steps)
    ]


def _over_parts(pieces: Pieces, n: int, name: str) -> int:
    return sum([getattr(part.steps[n], name) for part in pieces.parts if n < len(part.steps)])


def _join_steps(pieces: Pieces, held: int) -> list[PlanStep]:
    """One step for each output of the parts."""
    count = len(pieces.parts)
    steps = []
    for n, node in enumerate(pieces.split.outputs):
        if node in pieces.split.axes:
            text, kind, flops, moved = f"concatenation of {count} pieces", "write", 0, 2 * nbytes(node)
        else:
            text, kind, flops = f"sum of {count} terms", "elementwise, in place", (count - 1) * node.size
            moved = 3 * (count - 1) * nbytes(node)
        steps.append(PlanStep(f"p{n} = {text}", kind, flops, moved, held))
    return steps


def nbytes(node: Node) -> int:
    """The bytes of a node's value."""
    return node.size * node.dtype.itemsize


def text(pieces: Pieces) -> str:
    """The three programs as functions, and the one that calls them."""
    named = {"before": pieces.before, "part": pieces.parts[0], "after": pieces.after}
    texts = [plan.source().replace("def plan(", f"def {name}(") for name, plan in named.items()]
    split = pieces.split
    arrays = ", ".join([f"a{n}" for n in range(len(pieces.inputs))])
    places: dict[Node, str] = {node: f"a{n}" for n, node in enumerate(pieces.inputs)}
    places |= {node: f"first[{n}]" for n, node in enumerate(split.before)}
    reads = [places[node] + _range_text(split.axes.get(node)) for node in split.reads]
    outputs = [
        f"concatenate([term[{n}] for term in terms], axis={split.axes[node]})"
        if node in split.axes
        else f"sum(term[{n}] for term in terms)"
        for n, node in enumerate(split.outputs)
    ]
    given = [*[f"joined[{n}]" for n in range(len(split.outputs))], *[f"first[{n}]" for n in range(len(split.before))]]
    stops = [given[[*split.outputs, *split.before].index(node)] for node in pieces.after_reads]
    found = [f"joined[{n}]" for n in range(len(split.outputs))] + [f"last[{n}]" for n in range(len(split.after))]
    results = [found[n] if n >= 0 else f"{found[~n]}.copy()" for n in result_places(split)]
    body = [
        f"def plan({arrays}):",
        f"    first = before({arrays})",
        f"    terms = [part({', '.join(reads)}) for start, stop in {list(pieces.ranges)}]",
        f"    joined = [{', '.join(outputs)}]",
        f"    last = after({', '.join([arrays, *stops])})",
        f"    return ({', '.join(results)},)",
        "",
    ]
    return "\n".join([*texts, *body])


def _range_text(axis: int | None) -> str:
    return "" if axis is None else f"[{':, ' * axis}start:stop]"
