"""The oracle: a slow, obvious evaluator that shares no code with planning or lowering.

An einsum is evaluated by its definition: for every assignment of all labels, the product of the operands' entries
is added into the output's entry. Time and memory grow with the product of all label sizes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from einad.ir.expr import Add, Array, Call, Einsum, Input, Literal, Map, Node, OneHot, Structured
from einad.ir.walk import topological
from einad.ops.structured import dense, one_hot


def evaluate(roots: Sequence[Node], values: Mapping[Node, Array]) -> list[Array]:
    """The values of ``roots``, given those of the inputs."""
    found: dict[Node, Array] = {node: np.asarray(value) for node, value in values.items()}
    for node in topological(roots, frozenset(found)):
        if node not in found:
            found[node] = _evaluate(node, [found[child] for child in node.children])
    return [found[root].copy() for root in roots]


def _evaluate(node: Node, args: list[Array]) -> Array:
    if isinstance(node, Literal):
        return node.value
    if isinstance(node, OneHot):
        return one_hot(args[0], node.length)
    if isinstance(node, Structured):
        return dense(node)
    if isinstance(node, Einsum):
        return sum_over_assignments(node, args)
    if isinstance(node, Map):
        return np.asarray(node.row.evaluate(*args), dtype=node.dtype)
    if isinstance(node, Add):
        return np.asarray(sum([arg.astype(node.dtype) for arg in args[1:]], start=args[0].astype(node.dtype)))
    if isinstance(node, Call):
        return np.asarray(node.row.evaluate(*args, *node.params), dtype=node.dtype)
    assert isinstance(node, Input)
    raise KeyError(f"no value was given for the input {node.name!r}")


def sum_over_assignments(node: Einsum, args: list[Array]) -> Array:
    """``out[..] += coefficient * product of operands[..]`` for every assignment of the labels.

    A last label of size 1 on everything spares the case of no labels at all.
    """
    dtype = np.result_type(node.dtype, *[arg.dtype for arg in args])
    compute = np.dtype(np.int64) if dtype.kind == "b" else dtype
    grid = [axis.ravel() for axis in np.indices((*node.sizes, 1))]
    product = np.full(grid[-1].size, node.coefficient, compute)
    for labels, arg in zip(node.spec.inputs, args, strict=True):
        product = product * arg.astype(compute)[..., np.newaxis][tuple(grid[label] for label in (*labels, -1))]
    out = np.zeros((*node.shape, 1), compute)
    np.add.at(out, tuple(grid[label] for label in (*node.spec.output, -1)), product)
    return out[..., 0].astype(node.dtype)
