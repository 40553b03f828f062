"""Which operand comes first, in which order the labels of each side stand, and where the result is written.

Orientations are scored by the bytes that must be copied, of the operands now and of the result by those who read it,
and by the time of the product itself (`einad.lower.gemm`). Where the summed labels of an operand stand between
others, as in ``T[c,a,d] B[a,b]``, the outer ones may count as a batch: each ``T[c]`` is multiplied by ``B``, and
nothing is copied. Where the others stand between summed labels, as in ``T[a,c,b] B[a,b,d]``, the outer summed labels
may: each ``T[a]`` is multiplied by ``B[a]``, and the products are added afterwards.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product
from typing import NamedTuple

from einad.ir.expr import DType
from einad.ir.spec import Labels
from einad.lower.gemm import block_rows, product_cost
from einad.lower.layout import Layout
from einad.lower.program import Operand, Program, count
from einad.lower.view import Groups, View, arrange, label_strides


class Roles(NamedTuple):
    """The labels of a contraction by role, each in the order in which its operand stores them."""

    batch: Labels
    summed: Labels
    left: Labels
    right: Labels


class Orientation(NamedTuple):
    """The arguments of the call, the groups of its result, and the layout it is written into (None: as it comes).

    ``batched`` says that the call has batch axes, ``rows`` how many rows to multiply at once (None: all), ``apart``
    which labels of the result are still to be summed.
    """

    first: Operand
    second: Operand
    groups: Groups
    into: Groups | None = None
    batched: bool = False
    rows: int | None = None
    apart: Labels = ()


class _Order(NamedTuple):
    """Roles with an orientation: ``rows`` and ``columns`` are those of the result; ``flipped`` takes b first.

    ``apart`` are summed labels that count as a batch.
    """

    flipped: bool
    batch: Labels
    rows: Labels
    columns: Labels
    summed: Labels
    into: Labels | None = None
    apart: Labels = ()

    @property
    def result(self) -> Labels:
        """The labels of the result in memory."""
        if self.into is not None:
            return self.into
        return (*[label for label in self.batch if label not in self.apart], *self.rows, *self.columns)


def orient(
    a: View, b: View, roles: Roles, output: Sequence[int], layout: Layout, dtype: DType, plain: bool, program: Program
) -> Orientation:
    """The orientation that copies least; ties go to the order of ``output``.

    ``plain`` products have no batch and leave an empty side out; others keep both matrix axes.
    """
    sizes = {**a.sizes, **b.sizes}
    here = {*a.stored, *b.stored}
    wish = tuple([label for label in dict.fromkeys(output) if label in here])
    nbytes = count([sizes[label] for label in wish]) * dtype.itemsize
    best: tuple[tuple[float, bool, bool], _Call] | None = None
    for order in dict.fromkeys(_orders(roles, a, b, layout)):
        call = _call(a, b, order, plain, program)
        moved = call.copied + call.apart * dtype.itemsize + layout.penalty(order.result) * nbytes
        score = moved + product_cost(*call.shape, call.is_row_major), order.result != wish, order.into is not None
        if best is None or score < best[0]:
            best = score, call
    assert best is not None
    return _orientation(best[1])


class _Call(NamedTuple):
    """The arguments in one order; ``shape`` is (items of the batch, m, k, n)."""

    order: _Order
    first: Operand
    second: Operand
    plain: bool
    shape: tuple[int, int, int, int]
    is_row_major: bool

    @property
    def copied(self) -> int:
        """The bytes of the operands that are copied."""
        return self.first.copied + self.second.copied

    @property
    def apart(self) -> int:
        """The elements of products that are written and read again to be added."""
        items, m, _, n = self.shape
        return 2 * items * m * n if self.order.apart else 0


def _call(a: View, b: View, order: _Order, plain: bool, program: Program) -> _Call:
    x, y = (b, a) if order.flipped else (a, b)
    plain = plain and not order.batch
    first, second = _arguments(x, y, order, plain, program)
    sizes = {**a.sizes, **b.sizes}
    items, m, k, n = [
        count([sizes[label] for label in labels]) for labels in (order.batch, order.rows, order.summed, order.columns)
    ]
    row_major = _is_row_major(x, first, order.rows, order.summed, program) and _is_row_major(
        y, second, order.summed, order.columns, program
    )
    return _Call(order, first, second, plain, (items, m, k, n), row_major)


def _is_row_major(view: View, operand: Operand, rows: Labels, columns: Labels, program: Program) -> bool:
    """Whether the last two axes of an operand are stored row by row."""
    if operand.copied or not rows or not columns:
        return True
    return label_strides(view, program).get(columns[-1], 1) == 1


def _orders(roles: Roles, a: View, b: View, layout: Layout) -> Iterator[_Order]:
    """The orders in which the operands are stored, then those that readers wish for, then those with a larger batch."""
    in_b = [tuple([label for label in b.stored if label in role]) for role in (roles.batch, roles.summed)]
    summed_orders = tuple(dict.fromkeys((roles.summed, in_b[1])))
    for batch, summed in product(dict.fromkeys((roles.batch, in_b[0])), summed_orders):
        yield _Order(False, batch, roles.left, roles.right, summed)
        yield _Order(True, batch, roles.right, roles.left, summed)
    for wished in layout.orders({*roles.batch, *roles.left, *roles.right}):
        batch, left, right = (
            tuple([each for each in wished if each in role]) for role in (roles.batch, roles.left, roles.right)
        )
        for summed in summed_orders:
            if wished == (*batch, *left, *right):
                yield _Order(False, batch, left, right, summed)
            elif wished == (*batch, *right, *left):
                yield _Order(True, batch, right, left, summed)
            elif (
                left
                and right
                and _consecutive(wished, left)
                and _consecutive(wished, right)
                and wished[-1] not in batch
            ):
                flipped = wished[-1] in left
                rows, columns = (right, left) if flipped else (left, right)
                yield _Order(flipped, batch, rows, columns, summed, wished)
    yield from _wider_batches(roles, a, b)
    yield from _sums_apart(roles, a, b)


def _wider_batches(roles: Roles, a: View, b: View) -> Iterator[_Order]:
    """Orders whose batch has the outer labels of an operand that stores its summed labels between others."""
    for view, free in ((a, roles.left), (b, roles.right)):
        places = [n for n, label in enumerate(view.stored) if label in roles.summed]
        if not places:
            continue
        outer = tuple([label for label in view.stored[: places[0]] if label in free])
        inner = tuple([label for label in view.stored[places[0] :] if label in free])
        if not outer or not inner:
            continue
        batch = (*roles.batch, *outer)
        left, right = (inner, roles.right) if view is a else (roles.left, inner)
        yield _Order(False, batch, left, right, roles.summed)
        yield _Order(True, batch, right, left, roles.summed)


def _sums_apart(roles: Roles, a: View, b: View) -> Iterator[_Order]:
    """Orders that multiply for each value of the outer summed labels of an operand, and add afterwards."""
    for view, free in ((a, roles.left), (b, roles.right)):
        places = [n for n, label in enumerate(view.stored) if label in free]
        if not places:
            continue
        outer = tuple([label for label in view.stored[: places[0]] if label in roles.summed])
        inner = tuple([label for label in roles.summed if label not in outer])
        if outer and any(label in inner for label in view.stored[places[-1] :]):
            batch = (*roles.batch, *outer)
            yield _Order(False, batch, roles.left, roles.right, inner, None, outer)
            yield _Order(True, batch, roles.right, roles.left, inner, None, outer)


def _consecutive(order: Labels, part: Labels) -> bool:
    start = order.index(part[0])
    return order[start : start + len(part)] == part


def _arguments(x: View, y: View, order: _Order, plain: bool, program: Program) -> tuple[Operand, Operand]:
    singles = [(label,) for label in order.batch]
    rows = [order.rows] if order.rows or not plain else []
    columns = [order.columns] if order.columns or not plain else []
    inner = [order.summed, *columns] if rows else [*columns, order.summed]
    first = _readable(x, [*singles, *rows, order.summed], program)
    second = _readable(y, [*singles, *inner], program)
    return (second, first) if columns and not rows else (first, second)


def _orientation(call: _Call) -> Orientation:
    order = call.order
    singles = [(label,) for label in order.batch]
    sides = [side for side in (order.rows, order.columns) if side or not call.plain]
    into = None
    if order.into is not None:
        into = tuple(
            [
                order.rows if label in order.rows else order.columns if label in order.columns else (label,)
                for label in order.into
            ]
        )
        into = tuple(dict.fromkeys(into))
    rows = block_rows(*call.shape[1:]) if len(sides) == 2 and call.plain and call.is_row_major else None
    return Orientation(call.first, call.second, (*singles, *sides), into, bool(order.batch), rows, order.apart)


def _readable(view: View, groups: Sequence[Labels], program: Program) -> Operand:
    """The view on these axes, copied where BLAS could not read its last two as a matrix in place."""
    operand = arrange(view, groups, program)
    if operand.copied or len(groups) < 2:
        return operand
    strides, sizes = label_strides(view, program), view.sizes
    rows, columns = groups[-2:]
    row, column = (strides[group[-1]] if group else 0 for group in (rows, columns))
    n_rows, n_columns = (count([sizes[label] for label in group]) for group in (rows, columns))
    if n_rows == 1 or n_columns == 1 or (column == 1 and row >= n_columns) or (row == 1 and column >= n_rows):
        return operand
    size = count([sizes[label] for label in view.stored])
    return Operand(operand.register, (*operand.views, ("copy", None)), size * view.dtype.itemsize)
