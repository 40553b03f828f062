"""Pointwise functions and sums of terms."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from einad.ir.expr import Add, Call, DType, Map, Scalar
from einad.lower.blocks import blocks
from einad.lower.contract import multiply
from einad.lower.emit import argument, cast, reusable, settle
from einad.lower.layout import ANY_LAYOUT, Layout
from einad.lower.placed import Placed, Value, do_not_meet, moved, spread, unspread, whole, write, written, zeros
from einad.lower.program import Argument, Operand, Program, count
from einad.lower.text import indexed, reading, say
from einad.lower.view import View, arrange, by_axes, common_groups, group_shape, plain, relabel
from einad.ops.calculus import RECIPROCAL
from einad.ops.pointwise import POINTWISE

POWER, MOST_EXPONENT = POINTWISE["power"], 64


def lower_map(node: Map, values: Sequence[Value], program: Program) -> View:
    """A pointwise function, on as few elements as its arguments store: a broadcast of f(x) is f of a broadcast."""
    views = [unspread(value, program) for value in values]
    axes = tuple(range(node.ndim))
    if node.row is POWER and (exponent := _whole_exponent(views[1])) and node.dtype.kind in "fc":
        return _power(cast(views[0], node.dtype, program), exponent, node, program)
    groups = common_groups([view for view in views if view.register is not None], axes, program)
    sizes = dict(enumerate(node.shape))
    shape = group_shape(groups, sizes)
    args = [argument(view, groups, program) for view in views]
    ufunc = isinstance(node.row.evaluate, np.ufunc)
    new = ufunc or node.row.memory == "new"
    target = program.emit(
        "row",
        args,
        shape,
        node.dtype,
        "elementwise",
        flops=count(shape),
        options=(node.row, ()),
        reuse=reusable(args) if ufunc else (),
        sources=None if new else [arg.register for arg in args if isinstance(arg, Operand)],
        scratch=count(shape) * node.dtype.itemsize if node.row.memory == "unknown" and not ufunc else 0,
    )
    result = View(target, groups, axes, sizes, 1, node.dtype)
    say(program, target, result.stored, f"{node.row.name}({', '.join(reading(view, program) for view in views)})")
    return result


def _whole_exponent(view: View) -> int | None:
    """The exponent of a power that a few products compute."""
    c = view.coefficient
    if view.register is not None or c.imag or not abs(c) <= MOST_EXPONENT or c.real != int(c.real):
        return None
    return int(c.real) if abs(c) > 1 else None


def _power(x: View, exponent: int, node: Map, program: Program) -> View:
    """A power by repeated squaring. NumPy's takes 60 ns for a negative number, a product 0.25 ns."""
    if x.register is None:
        return View(None, (), x.labels, x.sizes, x.coefficient**exponent, node.dtype)
    rest, square, result = abs(exponent), x, None
    while rest:
        if rest & 1:
            result = square if result is None else _times(result, square, node.dtype, program)
        rest >>= 1
        if rest:
            square = _times(square, square, node.dtype, program)
    assert result is not None
    return result if exponent > 0 else _reciprocal(result, node.dtype, program)


def _times(a: View, b: View, dtype: DType, program: Program) -> View:
    return multiply(a, b, a.labels, dtype, program)._replace(labels=a.labels, sizes=a.sizes)


def _reciprocal(x: View, dtype: DType, program: Program) -> View:
    assert x.register is not None
    shape, operand = program.registers[x.register].shape, Operand(x.register)
    reuse = reusable([operand])
    target = program.emit(
        "row", [operand], shape, dtype, "elementwise", flops=count(shape), options=(RECIPROCAL, ()), reuse=reuse
    )
    say(program, target, x.stored, f"reciprocal({reading(x, program)})")
    return x._replace(register=target)


def lower_call(node: Call, values: Sequence[Value], program: Program) -> View:
    """A named function of whole arrays."""
    args = [whole(value, program) for value in values]
    flops = node.row.flops(node.children) if node.row.flops else sum(count(child.shape) for child in node.children)
    target = program.emit(
        "row",
        args,
        node.shape,
        node.dtype,
        "function",
        flops=flops,
        options=(node.row, node.params),
        scratch=node.row.scratch(node.children, *node.params) if node.row.scratch else 0,
    )
    names = [program.registers[arg.register].name for arg in args]
    say(program, target, range(node.ndim), f"{node.row.name}({', '.join([*names, *map(str, node.params)])})")
    return plain(target, program)


def lower_add(node: Add, values: Sequence[Value], program: Program, layout: Layout = ANY_LAYOUT) -> View:
    """A sum: full terms are added with reused memory, then sparse terms are written into the sum, piece by piece."""
    constant: Scalar = 0
    terms: list[View] = []
    sparse: list[Placed] = []
    for value in values:
        if isinstance(value, View) and value.is_spread:
            value = spread(value)
        if isinstance(value, Placed):
            sparse.append(value._replace(source=cast(value.source, node.dtype, program)))
            continue
        view = by_axes(cast(value, node.dtype, program))
        if view.register is None:
            constant = _weak_sum(constant, view.coefficient, node.dtype)
        else:
            terms.append(view)
    total = _sum(node, terms, constant, layout, program)
    return _write_sparse(node, total, sparse, program) if sparse else total


def _weak_sum(x: Scalar, y: Scalar, dtype: DType) -> Scalar:
    total: Scalar = np.asarray([x, y]).astype(dtype).sum(dtype=dtype).item()
    return total


def _sum(node: Add, terms: Sequence[View], constant: Scalar, layout: Layout, program: Program) -> View:
    """The sum of stored terms and a number, in an order that needs few extra calls."""
    axes = tuple(range(node.ndim))
    sizes = dict(enumerate(node.shape))
    order = layout.best(axes, sizes)
    if not terms:
        return View(None, (), axes, sizes, constant, node.dtype)
    terms, common = _common_coefficient(terms) if constant == 0 and node.dtype.kind in "fc" else (terms, 1)
    ready = [term if term.coefficient == -1 and node.dtype.kind != "b" else settle(term, program) for term in terms]
    widest = max(len(term.stored) for term in ready)
    ready.sort(key=lambda term: (len(term.stored) < widest, term.coefficient != 1))
    total = ready.pop(0)
    if total.coefficient == -1 and constant != 0:
        number_first = View(None, (), axes, sizes, constant, node.dtype)
        total, constant = _plus(number_first, total, order, program), 0
    elif total.coefficient == -1 and any(term.coefficient == 1 for term in ready):
        positive = next(n for n, term in enumerate(ready) if term.coefficient == 1)
        total = _plus(ready.pop(positive), total, order, program)
    for term in ready:
        total = _plus(settle(total, program), term, order, program)
    if constant != 0:
        total = _plus(settle(total, program), View(None, (), axes, sizes, constant, node.dtype), order, program)
    return total._replace(coefficient=total.coefficient * common)


def _common_coefficient(terms: Sequence[View]) -> tuple[Sequence[View], Scalar]:
    """``c*a - c*b`` as ``c * (a - b)``, the coefficient pending: one multiplication in place of two."""
    common = terms[0].coefficient
    if common in (1, -1) or any(term.coefficient not in (common, -common) for term in terms):
        return terms, 1
    return [term._replace(coefficient=1 if term.coefficient == common else -1) for term in terms], common


def _plus(a: View, b: View, order: Sequence[int], program: Program) -> View:
    """``a + b`` or ``a - b``, by the sign of ``b``'s coefficient; axes in this order where no term has them all."""
    stored = [view for view in (a, b) if view.register is not None]
    groups = common_groups(stored, order, program)
    shape = group_shape(groups, a.sizes)
    minus = b.register is not None and b.coefficient == -1
    b = b._replace(coefficient=1) if minus else b
    args: list[Argument] = [argument(view, groups, program) for view in (a, b)]
    target = program.emit(
        "subtract" if minus else "add",
        args,
        shape,
        a.dtype,
        "elementwise",
        flops=count(shape),
        options=blocks((a, b), args, groups, a.dtype, program),
        reuse=reusable(args),
    )
    result = View(target, groups, a.labels, a.sizes, 1, a.dtype)
    say(program, target, result.stored, f"{reading(a, program)} {'-' if minus else '+'} {reading(b, program)}")
    return result


def _write_sparse(node: Add, total: View, sparse: Sequence[Placed], program: Program) -> View:
    """Write sparse terms into a buffer of the whole shape that holds the sum of the others.

    Into zeros the first term is written as it is, and so are all where no two terms meet; where these leave no gap
    either, as in a concatenation, there is no need for zeros.
    """
    empty = total.register is None and total.coefficient == 0
    alone = empty and do_not_meet(sparse)
    if not empty:
        buffer, order = _private(total, program)
    elif alone and sum(written(term) for term in sparse) == node.size:
        buffer, order = program.emit("empty", [], node.shape, node.dtype, "fill"), range(node.ndim)
        say(program, buffer, order, "empty")
    else:
        buffer, order = zeros(node.shape, node.dtype, program), range(node.ndim)
    for n, term in enumerate([moved(each, order) for each in sparse]):
        if alone or (empty and n == 0 and term.disjoint):
            write(buffer, term, program, "=")
        elif term.coefficient == -1 and node.dtype.kind in "fc":
            write(buffer, term._replace(source=term.source._replace(coefficient=1)), program, "-=")
        else:
            write(buffer, term, program, "+=")
    return relabel(plain(buffer, program), dict(enumerate(order)))._replace(labels=tuple(range(node.ndim)))


def overwritten(total: View, sparse: Placed, program: Program) -> View:
    """A tensor with some of its places written anew."""
    buffer, order = _private(total, program)
    write(buffer, moved(sparse, order), program, "=")
    return relabel(plain(buffer, program), dict(enumerate(order)))._replace(labels=tuple(range(len(order))))


def _private(total: View, program: Program) -> tuple[int, Sequence[int]]:
    """The sum so far in memory of its own, and the order of its axes: that of the register if it has them all."""
    view = unspread(total, program)
    missing = [label for label in view.labels if label not in view.stored]
    if view.register is None or any(view.sizes[label] != 1 for label in missing):
        operand, order = whole(view, program), view.labels
    else:
        order = (*view.stored, *missing)
        operand = arrange(view, [(label,) for label in order], program)
    found = program.registers[operand.register]
    shape = tuple([view.sizes[label] for label in order])
    target = program.emit("copy", [operand], shape, found.dtype, "copy", reuse=reusable([operand]))
    say(program, target, order, indexed(found.name, order))
    return target, order
