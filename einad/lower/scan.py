"""Contractions with a Step operand ``[i >= j + offset]``: cumulative sums, triangles and counts."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from einad.ir.expr import DType, Step
from einad.ir.spec import Labels
from einad.lower.contract import contract
from einad.lower.emit import argument, settle, sum_out
from einad.lower.program import Dense, Program, count
from einad.lower.text import reading, say
from einad.lower.view import View, arrange, common_groups, group_shape


def contract_step(
    x: View, node: Step, labels: Labels, output: Labels, sizes: Mapping[int, int], dtype: DType, program: Program
) -> View:
    """``sum of x * node`` over all labels but those of ``output`` (all different)."""
    i, j = labels
    known = [label in x.stored or label in output for label in labels]
    x = sum_out(x, {*output, i, j}, dtype, program)
    if i == j:
        x = x._replace(coefficient=x.coefficient if node.offset <= 0 else 0)
        if not known[0]:
            x = x._replace(coefficient=x.coefficient * sizes[i])
        result = sum_out(x, output, dtype, program)
    elif not any(known):
        result = x._replace(coefficient=x.coefficient * _total(node))
    elif not all(known):
        result = _weighted(x, node, known.index(False), labels, output, sizes, dtype, program)
    elif j in x.stored and j not in output and i not in x.stored:
        result = _running_sum(x, node, j, i, False, sizes, dtype, program)
    elif i in x.stored and i not in output and j not in x.stored:
        result = _running_sum(x, node, i, j, True, sizes, dtype, program)
    else:
        result = sum_out(_masked(x, node, labels, output, sizes, dtype, program), output, dtype, program)
    return result._replace(labels=output, sizes=sizes)


def _total(node: Step) -> int:
    rows, columns = node.shape
    return int(np.clip(rows - np.arange(columns) - node.offset, 0, rows).sum())


def _weighted(
    x: View,
    node: Step,
    summed: int,
    labels: Labels,
    output: Labels,
    sizes: Mapping[int, int],
    dtype: DType,
    program: Program,
) -> View:
    """One label stands on the step alone: the other is weighted by how often the step holds."""
    label = labels[1 - summed]
    weights = stored(Dense(node, dtype, summed), (label,), sizes, program)
    if x.register is None:
        return sum_out(weights._replace(coefficient=x.coefficient), output, dtype, program)
    return contract(x, weights, output, dtype, program)


def _running_sum(
    x: View, node: Step, old: int, new: int, reverse: bool, sizes: Mapping[int, int], dtype: DType, program: Program
) -> View:
    order = x.stored
    axis = order.index(old)
    kept = tuple([new if label == old else label for label in order])
    shape = tuple([sizes[label] for label in kept])
    target = program.emit(
        "cumsum",
        [arrange(x, [(label,) for label in order], program)],
        shape,
        dtype,
        "scan",
        flops=count([sizes[label] for label in order]),
        options=(axis, sizes[new], node.offset, reverse),
    )
    say(program, target, kept, reading(x, program) + ("  (sums from the end)" if reverse else "  (running sums)"))
    groups = tuple([(label,) if sizes[label] != 1 else () for label in kept])
    return x._replace(register=target, groups=groups, dtype=dtype, sizes=sizes)


def _masked(
    x: View, node: Step, labels: Labels, output: Labels, sizes: Mapping[int, int], dtype: DType, program: Program
) -> View:
    """X where the step holds, else zero."""
    mask = stored(Dense(node, np.dtype(bool)), labels, sizes, program)
    if x.register is None:
        x = x._replace(dtype=dtype)
    views = [view for view in (x, mask) if view.register is not None]
    order = tuple(dict.fromkeys([*output, *x.stored, *labels]))
    groups = common_groups(views, order, program)
    shape = group_shape(groups, sizes)
    x = settle(x, program)
    args = [argument(mask, groups, program), argument(x._replace(sizes=sizes), groups, program)]
    target = program.emit("mask", args, shape, dtype, "elementwise", flops=count(shape))
    result = View(target, groups, (), sizes, 1, dtype)
    say(program, target, result.stored, f"{reading(x, program)} * {reading(mask, program)}")
    return result


def stored(dense: Dense, labels: Labels, sizes: Mapping[int, int], program: Program) -> View:
    """A structured operand as a constant array of the plan."""
    shape = dense.node.shape
    if dense.summed is not None:
        shape = tuple([n for axis, n in enumerate(shape) if axis != dense.summed])
    target = program.emit("constant", [dense], shape, dense.dtype, "constant", sources=())
    say(program, target, labels if dense.summed is None else labels[:1], type(dense.node).__name__)
    groups = tuple([(label,) if sizes[label] != 1 else () for label in labels])
    return View(target, groups, labels, sizes, 1, dense.dtype)
