"""A contraction of two operands as one call, chosen by the roles of the labels.

======== ==== ==== ======
role      a    b    output
======== ==== ==== ======
batch     x    x    x
summed    x    x
left      x         x
right          x    x
======== ==== ==== ======

Without summed labels it is a product with broadcasting; otherwise ``dot``, ``vecdot`` or (batched) ``matmul``, in the
orientation that copies least. Transposed operands are views: BLAS reads either layout.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from einad.ir.expr import DType
from einad.lower.blocks import blocks
from einad.lower.emit import reusable, settle, sum_out
from einad.lower.layout import ANY_LAYOUT, Layout
from einad.lower.orient import Orientation, Roles, orient
from einad.lower.program import Operand, Program, count
from einad.lower.text import product, reading, say
from einad.lower.view import Groups, View, arrange, common_groups, group_shape, label_strides


def contract(
    a: View, b: View, output: Sequence[int], dtype: DType, program: Program, layout: Layout = ANY_LAYOUT
) -> View:
    """``output = a * b`` summed over the rest; the result's coefficient may stay pending."""
    kept = set(output)
    a = sum_out(a, kept.union(b.stored), dtype, program)
    b = sum_out(b, kept.union(a.stored), dtype, program)
    roles = _roles(a, b, kept)
    if not roles.summed:
        return multiply(a, b, output, dtype, program, layout)
    a, b = _fold_coefficient(a, b, roles, program)
    if roles.batch and not roles.left and not roles.right:
        return _batched_dot(a, b, roles, output, dtype, program)
    return _product(a, b, roles, output, dtype, layout, program)


def multiply(
    a: View, b: View, output: Sequence[int], dtype: DType, program: Program, layout: Layout = ANY_LAYOUT
) -> View:
    """The product without sums, with broadcasting."""
    sizes = {**a.sizes, **b.sizes}
    groups = common_groups([a, b], layout.best(output, sizes), program)
    args = [arrange(a, groups, program), arrange(b, groups, program)]
    target = _elementwise("multiply", (a, b), args, groups, dtype, program)
    return _finish(target, groups, a, b, sizes, dtype, program)


def divide(a: View, b: View, output: Sequence[int], dtype: DType, program: Program) -> View:
    """``a / b`` without sums, with broadcasting; the coefficient of ``b`` must be 1."""
    groups = common_groups([a, b], output, program)
    sizes = {**a.sizes, **b.sizes}
    args = [arrange(a, groups, program), arrange(b, groups, program)]
    target = _elementwise("divide", (a, b), args, groups, dtype, program)
    result = View(target, groups, (), sizes, a.coefficient, dtype)
    say(program, target, result.stored, f"{reading(a, program)} / {reading(b, program)}")
    return result


def _roles(a: View, b: View, kept: set[int]) -> Roles:
    in_a, in_b = set(a.stored), set(b.stored)
    return Roles(
        batch=tuple([label for label in a.stored if label in in_b and label in kept]),
        summed=tuple([label for label in a.stored if label in in_b and label not in kept]),
        left=tuple([label for label in a.stored if label not in in_b]),
        right=tuple([label for label in b.stored if label not in in_a]),
    )


def _fold_coefficient(a: View, b: View, roles: Roles, program: Program) -> tuple[View, View]:
    """Scale the smaller operand where that is much less work than scaling the result."""
    coefficient = a.coefficient * b.coefficient
    if coefficient in (1, -1):
        return a, b
    size_a, size_b = (count([v.sizes[label] for label in v.stored]) for v in (a, b))
    result = count([{**a.sizes, **b.sizes}[label] for label in (*roles.batch, *roles.left, *roles.right)])
    if 4 * min(size_a, size_b) > result:
        return a, b
    if size_a <= size_b:
        return settle(a._replace(coefficient=coefficient), program), b._replace(coefficient=1)
    return a._replace(coefficient=1), settle(b._replace(coefficient=coefficient), program)


def _batched_dot(a: View, b: View, roles: Roles, output: Sequence[int], dtype: DType, program: Program) -> View:
    """``bk,bk->b``: dots where the summed labels lie innermost, else a product and a sum."""
    innermost = {_innermost(a, program), _innermost(b, program)}
    if dtype.kind == "f" and innermost <= set(roles.summed):
        axes = [*[(label,) for label in roles.batch], roles.summed]
        args = [arrange(a, axes, program), arrange(b, axes, program)]
        groups, sizes = tuple(axes[:-1]), {**a.sizes, **b.sizes}
        flops = 2 * count([a.sizes[label] for label in a.stored])
        target = _emit("vecdot", args, groups, sizes, dtype, "dot", flops, program)
        return _finish(target, groups, a, b, sizes, dtype, program)
    return sum_out(multiply(a, b, a.stored, dtype, program), set(output), dtype, program)


def _innermost(view: View, program: Program) -> int:
    strides = label_strides(view, program)
    return min(view.stored, key=lambda label: abs(strides[label]))


def _product(
    a: View, b: View, roles: Roles, output: Sequence[int], dtype: DType, layout: Layout, program: Program
) -> View:
    """A dot, a matrix product or a batch of them. ``np.dot`` has the least overhead where there is no batch."""
    plain = not roles.batch and dtype.kind in "fc"
    chosen = orient(a, b, roles, output, layout, dtype, plain, program)
    sizes = {**a.sizes, **b.sizes}
    flops = 2 * count(
        [sizes[label] for labels in (roles.batch, roles.summed, roles.left, roles.right) for label in labels]
    )
    if chosen.into is not None:
        return _product_into(chosen, chosen.into, a, b, sizes, flops, dtype, program)
    plain = plain and not chosen.batched
    kind = ("dot", "gemv", "gemm")[len(chosen.groups)] if plain else "batched gemm" if chosen.batched else "gemm"
    function = "matmul_rows" if chosen.rows else "dot" if plain else "matmul"
    args = [chosen.first, chosen.second]
    target = _emit(function, args, chosen.groups, sizes, dtype, kind, flops, program, chosen.rows)
    result = _finish(target, chosen.groups, a, b, sizes, dtype, program)
    return sum_out(result, set(output), dtype, program) if chosen.apart else result


def _product_into(
    chosen: Orientation,
    into: Groups,
    a: View,
    b: View,
    sizes: dict[int, int],
    flops: int,
    dtype: DType,
    program: Program,
) -> View:
    """A batch of matrix products written straight into the layout ``into``."""
    shape = group_shape(into, sizes)
    target = program.emit("empty", [], shape, dtype, "fill")
    say(program, target, [label for group in into for label in group], "empty")
    axes = tuple([into.index(group) for group in chosen.groups])
    buffer = Operand(target, (("transpose", axes),))
    program.write("matmul_into", [buffer, chosen.first, chosen.second], "batched gemm", flops=flops)
    return _finish(target, into, a, b, sizes, dtype, program)


def _emit(
    function: str,
    args: list[Operand],
    groups: Groups,
    sizes: dict[int, int],
    dtype: DType,
    kind: str,
    flops: int,
    program: Program,
    options: int | None = None,
) -> int:
    return program.emit(function, args, group_shape(groups, sizes), dtype, kind, flops=flops, options=options)


def _elementwise(
    function: str, views: tuple[View, View], args: list[Operand], groups: Groups, dtype: DType, program: Program
) -> int:
    shape = group_shape(groups, {**views[0].sizes, **views[1].sizes})
    return program.emit(
        function,
        args,
        shape,
        dtype,
        "elementwise",
        flops=count(shape),
        options=blocks(views, args, groups, dtype, program),
        reuse=reusable(args),
    )


def _finish(
    target: int, groups: Groups, a: View, b: View, sizes: dict[int, int], dtype: DType, program: Program
) -> View:
    result = View(target, groups, (), sizes, a.coefficient * b.coefficient, dtype)
    say(program, target, result.stored, product(1, [reading(a, program), reading(b, program)]))
    return result


def working_dtype(dtype: DType) -> DType:
    """The dtype sums are formed in: float32 for float16, which has no BLAS and little room."""
    return np.dtype(np.float32) if dtype == np.float16 else dtype
