"""Contractions with an Affine operand ``[a·i + b·j + c·k + o == 0]``: slices, reshapes, windows and their adjoints.

One label, the pivot, is solved for: ``k = d·others + e``. Where the stored operand carries the pivot, the result is a
strided view of it (gather); where only the output does, the operand is written into strided boxes of a buffer of zeros
(scatter). Indices that fall outside the pivot's range are clipped off. Nothing of the operand's own size is stored.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import gcd, prod

from einad.ir.expr import Affine, DType
from einad.ir.spec import Labels
from einad.lower.emit import sum_out
from einad.lower.placed import Piece, Value
from einad.lower.program import Operand, Program, contiguous
from einad.lower.scatter import Solved, clip, place, scatter
from einad.lower.text import reading, say
from einad.lower.view import View, arrange, label_strides


def contract_affine(
    x: View, node: Affine, labels: Labels, output: Labels, sizes: Mapping[int, int], dtype: DType, program: Program
) -> Value | None:
    """``sum of x * node`` over all labels but those of ``output`` (all different, its order the order of the axes).

    Labels on neither x's register nor ``labels`` nor ``output`` are not known here. None where there is no fast way.
    """
    coefficients = _collect(labels, node, sizes)
    divisor = gcd(*coefficients.values())
    if node.offset % divisor if divisor else node.offset:
        return View(None, (), output, sizes, 0, dtype)
    count = prod([sizes[label] for label in set(labels) if label not in coefficients and not _known(label, x, output)])
    x = x._replace(coefficient=x.coefficient * count)
    x = sum_out(x, {*output, *coefficients}, dtype, program)
    if not coefficients:
        return _finish(x, output, sizes, dtype, program)
    solved = _solve({label: c // divisor for label, c in coefficients.items()}, node.offset // divisor, sizes, x)
    if solved is None:
        return None
    if solved.pivot in x.stored:
        return _gather(x, solved, output, sizes, dtype, program)
    if solved.pivot in output:
        return _merge(x, solved, output, sizes, program) or scatter(x, solved, output, sizes)
    return _restrict(x, solved, output, sizes, dtype, program)


def _known(label: int, x: View, output: Labels) -> bool:
    return label in x.stored or label in output


def _collect(labels: Labels, node: Affine, sizes: Mapping[int, int]) -> dict[int, int]:
    """The coefficient of each label that matters: labels of size 1 are at 0."""
    found: dict[int, int] = {}
    for label, coefficient in zip(labels, node.coefficients, strict=True):
        found[label] = found.get(label, 0) + coefficient
    return {label: c for label, c in found.items() if c and sizes[label] != 1}


def _solve(coefficients: Mapping[int, int], offset: int, sizes: Mapping[int, int], x: View) -> Solved | None:
    """Solve for the best pivot: in range if possible, of opposite sign to the others, carried by x."""
    best: tuple[tuple[bool, bool, bool], Solved] | None = None
    for pivot, c in coefficients.items():
        if abs(c) != 1 and len(coefficients) > 1:
            continue
        if len(coefficients) == 1 and offset % c:
            continue
        steps = {label: -other * c for label, other in coefficients.items() if label != pivot}
        start = -offset * c if abs(c) == 1 else -offset // c
        low, high = _bounds(steps, start, sizes)
        inside = low >= 0 and high < sizes[pivot]
        score = inside, all(step > 0 for step in steps.values()), pivot in x.stored
        if best is None or score > best[0]:
            best = score, Solved(pivot, steps, start, inside)
    return best[1] if best else None


def _bounds(steps: Mapping[int, int], start: int, sizes: Mapping[int, int]) -> tuple[int, int]:
    """The least and the largest value of ``steps · labels + start``."""
    ends = [(sizes[label] - 1) * step for label, step in steps.items()]
    return start + sum(min(e, 0) for e in ends), start + sum(max(e, 0) for e in ends)


def _finish(x: View, output: Labels, sizes: Mapping[int, int], dtype: DType, program: Program) -> View:
    return sum_out(x, output, dtype, program)._replace(labels=output, sizes=sizes)


def _gather(
    x: View, solved: Solved, output: Labels, sizes: Mapping[int, int], dtype: DType, program: Program
) -> Value | None:
    """``y[rest, others] = x[rest, pivot = others]`` as a strided view."""
    others = list(solved.steps)
    low: dict[int, int] = {}
    extents = dict(sizes)
    if solved.inside or len(others) > 1:
        padded, inner, wider = (x, solved, sizes) if solved.inside else _pad(x, solved, sizes, program)
        split = _split(padded, inner, wider)
        view = split or _strided(padded, inner, low, {**wider, **sizes}, program)
    elif not others:
        return View(None, (), output, sizes, 0, dtype)
    else:
        low[others[0]], high = clip(solved.start, solved.steps[others[0]], sizes[others[0]], sizes[solved.pivot])
        extents[others[0]] = high - low[others[0]]
        if not extents[others[0]]:
            return View(None, (), output, sizes, 0, dtype)
        view = _strided(x, solved, low, extents, program)
    view = sum_out(view, {*output, *others}, dtype, program)
    if solved.pivot in output:
        return scatter(view, solved, output, sizes, low, extents)
    if low and others[0] in output:
        return place(view, output, low, sizes, extents)
    return _finish(view, output, sizes, dtype, program)


def _split(x: View, solved: Solved, sizes: Mapping[int, int]) -> View | None:
    """A row-major split of the pivot needs no call: the axis that carried it carries several labels."""
    if not _row_major(solved, sizes) or any(label in x.stored for label in solved.steps):
        return None
    parts = tuple(_outermost_first(solved))
    groups = []
    for group in x.groups:
        at = group.index(solved.pivot) if solved.pivot in group else len(group)
        groups.append((*group[:at], *(parts if at < len(group) else ()), *group[at + 1 :]))
    return x._replace(groups=tuple(groups), sizes=sizes)


def _outermost_first(solved: Solved) -> list[int]:
    return sorted(solved.steps, key=lambda label: -solved.steps[label])


def _row_major(solved: Solved, sizes: Mapping[int, int]) -> bool:
    """Whether the others, in row-major order, count the pivot's range from first to last."""
    order = _outermost_first(solved)
    steps = tuple([solved.steps[label] for label in order])
    extents = [sizes[label] for label in order]
    return bool(order) and solved.start == 0 and steps == contiguous(extents) and prod(extents) == sizes[solved.pivot]


def _merge(x: View, solved: Solved, output: Labels, sizes: Mapping[int, int], program: Program) -> View | None:
    """A row-major merge of labels that leave: a reshape."""
    parts = tuple(_outermost_first(solved))
    if not _row_major(solved, sizes) or any(label in output or label not in x.stored for label in parts):
        return None
    rest = [label for label in x.stored if label not in parts]
    at = sum(label not in parts for label in x.stored[: x.stored.index(parts[0])])
    groups = [*[(label,) for label in rest[:at]], parts, *[(label,) for label in rest[at:]]]
    merged = [*rest[:at], solved.pivot, *rest[at:]]
    assert x.register is not None
    target = program.emit(
        "view",
        [arrange(x, groups, program)],
        tuple([sizes[label] for label in merged]),
        x.dtype,
        "view",
        sources=[x.register],
    )
    say(program, target, merged, reading(x, program) + "  (reshape)")
    return x._replace(register=target, groups=tuple([(label,) for label in merged]), sizes=sizes, labels=output)


def _pad(x: View, solved: Solved, sizes: Mapping[int, int], program: Program) -> tuple[View, Solved, Mapping[int, int]]:
    """X with zeros before and behind along the pivot, so that all indices are in range."""
    first, last = _bounds(solved.steps, solved.start, sizes)
    n, before = sizes[solved.pivot], max(0, -first)
    width = max(n, last + 1) + before
    order = x.stored
    shape = tuple([width if label == solved.pivot else sizes[label] for label in order])
    assert x.register is not None
    target = program.emit("zeros", [], shape, x.dtype, "fill")
    say(program, target, order, "0")
    start = tuple([before if label == solved.pivot else 0 for label in order])
    steps = tuple([tuple([int(a == b) for b in order]) for a in order])
    piece = Piece(tuple([sizes[label] for label in order]), start, steps)
    source = arrange(x, [(label,) for label in order], program)
    program.write("write", [Operand(target), source], "write", options=("=", (piece,)))
    program.describe(f"{program.registers[target].name}[{before}:{before + n}] = {reading(x, program)}  (padding)")
    padded = {**sizes, solved.pivot: width}
    view = x._replace(register=target, groups=tuple([(label,) for label in order]), sizes=padded)
    return view, Solved(solved.pivot, solved.steps, solved.start + before, True), padded


def _strided(x: View, solved: Solved, low: Mapping[int, int], extents: Mapping[int, int], program: Program) -> View:
    """The gathered view; ``low`` and ``extents`` give the range of each of its labels."""
    order = x.stored
    pivot_axis = order.index(solved.pivot)
    source = arrange(x, [(label,) for label in order], program)
    kept = [label for label in order if label != solved.pivot]
    fresh = [label for label in solved.steps if label not in kept]
    result = [*order[:pivot_axis], *fresh, *order[pivot_axis + 1 :]]
    steps = tuple(
        [
            tuple(
                [
                    solved.steps.get(label, 0) if axis == pivot_axis else int(label == order[axis])
                    for axis in range(len(order))
                ]
            )
            for label in result
        ]
    )
    start = [low.get(label, 0) for label in order]
    start[pivot_axis] = solved.start + sum(solved.steps[label] * value for label, value in low.items())
    shape = tuple([extents[label] for label in result])
    piece = Piece(shape, tuple(start), steps)
    strides = label_strides(x, program)
    base = (
        [strides[label] for label in order]
        if not source.copied
        else list(contiguous([x.sizes[label] for label in order]))
    )
    layout = tuple([sum(m * s for m, s in zip(step, base, strict=True)) for step in steps])
    assert x.register is not None
    target = program.emit(
        "gather", [source], shape, x.dtype, "view", options=piece, strides=layout, sources=[x.register]
    )
    groups = tuple([(label,) if extents[label] != 1 else () for label in result])
    view = x._replace(register=target, groups=groups, sizes={**x.sizes, **extents})
    say(program, target, result, reading(x, program) + "  (view)")
    return view


def _restrict(
    x: View, solved: Solved, output: Labels, sizes: Mapping[int, int], dtype: DType, program: Program
) -> Value | None:
    """The pivot stands on the structured operand alone: 1 where the others put it in range."""
    others = list(solved.steps)
    free = [label for label in others if not _known(label, x, output)]
    if solved.inside:
        x = x._replace(coefficient=x.coefficient * prod([sizes[label] for label in free]))
        return _finish(x, output, sizes, dtype, program)
    if len(others) != 1:
        return None if others else View(None, (), output, sizes, 0, dtype)
    (other,) = others
    low, high = clip(solved.start, solved.steps[other], sizes[other], sizes[solved.pivot])
    extents = {**sizes, other: high - low}
    if high == low:
        return View(None, (), output, sizes, 0, dtype)
    if other in x.stored:
        identity = Solved(other, {other: 1}, 0, True)
        x = _strided(x, identity, {other: low}, extents, program)
    elif free:
        x = x._replace(coefficient=x.coefficient * (high - low))
    if other not in output:
        return _finish(x, output, sizes, dtype, program)
    return place(sum_out(x, output, dtype, program), output, {other: low}, sizes, extents)
