"""Which operand comes first, in which order the labels of each side stand, and where the result is written.

Orientations are scored by the bytes that must be copied: of the operands now, and of the result by those who read it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product
from typing import NamedTuple

from einad.ir.expr import DType
from einad.ir.spec import Labels
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
    """The arguments of the call, the groups of its result, and the layout it is written into (None: as it comes)."""

    first: Operand
    second: Operand
    groups: Groups
    into: Groups | None = None


class _Order(NamedTuple):
    """Roles with an orientation: ``rows`` and ``columns`` are those of the result; ``flipped`` takes b first."""

    flipped: bool
    batch: Labels
    rows: Labels
    columns: Labels
    summed: Labels
    into: Labels | None = None

    @property
    def result(self) -> Labels:
        """The labels of the result in memory."""
        return (*self.batch, *self.rows, *self.columns) if self.into is None else self.into


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
    best: tuple[tuple[float, bool, bool], _Order, Operand, Operand] | None = None
    for order in dict.fromkeys(_orders(roles, b, layout)):
        x, y = (b, a) if order.flipped else (a, b)
        first, second = _arguments(x, y, order, plain, program)
        moved = first.copied + second.copied + layout.penalty(order.result) * nbytes
        score = moved, order.result != wish, order.into is not None
        if best is None or score < best[0]:
            best = score, order, first, second
    assert best is not None
    return _orientation(best[1], best[2], best[3], plain)


def _orders(roles: Roles, b: View, layout: Layout) -> Iterator[_Order]:
    """The orders in which the operands are stored, then those that readers wish for."""
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


def _orientation(order: _Order, first: Operand, second: Operand, plain: bool) -> Orientation:
    singles = [(label,) for label in order.batch]
    sides = [side for side in (order.rows, order.columns) if side or not plain]
    into = None
    if order.into is not None:
        into = tuple(
            [
                order.rows if label in order.rows else order.columns if label in order.columns else (label,)
                for label in order.into
            ]
        )
        into = tuple(dict.fromkeys(into))
    return Orientation(first, second, (*singles, *sides), into)


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
