"""The two sweeps over an expression graph: reverse with the swap, forward with the slot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from einad.diff.linearise import project, pull, push
from einad.ir import build
from einad.ir.expr import Node, Shape
from einad.ir.walk import dependents, topological


def vjp(outputs: Sequence[Node], cotangents: Sequence[Node], wrt: Sequence[Node]) -> list[Node]:
    """The cotangents of the nodes ``wrt``, given those of ``outputs``: the reverse sweep.

    A cotangent has the shape ``extra + output.shape``, the same ``extra`` for all; the results have the shape
    ``extra + node.shape``. A node in ``wrt`` may stand anywhere; what is upstream of it is held constant.
    """
    return _results(cotangents_of(outputs, cotangents, wrt), outputs, cotangents, wrt)


def cotangents_of(outputs: Sequence[Node], cotangents: Sequence[Node], wrt: Sequence[Node]) -> dict[Node, Node]:
    """The cotangent of every node between ``wrt`` and ``outputs`` that has one."""
    order = topological(outputs)
    active = dependents(order, wrt)
    parts: dict[Node, list[Node]] = {}
    for output, cotangent in zip(outputs, cotangents, strict=True):
        parts.setdefault(output, []).append(project(cotangent, output.dtype))
    found: dict[Node, Node] = {}
    for node in reversed(order):
        if node not in active or node not in parts:
            continue
        found[node] = build.add(*parts.pop(node))
        for k, child in enumerate(node.children):
            if child in active:
                contribution = pull(node, k, found[node])
                if contribution is not None:
                    parts.setdefault(child, []).append(contribution)
    return found


def _results(
    found: Mapping[Node, Node], outputs: Sequence[Node], cotangents: Sequence[Node], wrt: Sequence[Node]
) -> list[Node]:
    extra: Shape = ()
    if outputs:
        extra = cotangents[0].shape[: cotangents[0].ndim - outputs[0].ndim]
    return [found[node] if node in found else build.zeros(extra + node.shape, node.dtype) for node in wrt]


def jvp(outputs: Sequence[Node], tangents: Mapping[Node, Node], extra: Shape = ()) -> list[Node]:
    """The tangents of ``outputs``, given those of some nodes: the forward sweep.

    Each tangent has the shape ``extra + node.shape``.
    """
    found: dict[Node, Node] = {node: project(tangent, node.dtype) for node, tangent in tangents.items()}
    order = topological(outputs)
    active = dependents(order, found)
    for node in order:
        if node in found or node not in active:
            continue
        pushed = [push(node, k, found[c]) for k, c in enumerate(node.children) if c in found]
        parts = [part for part in pushed if part is not None]
        if parts:
            found[node] = build.add(*parts)
    return [found[node] if node in found else build.zeros(extra + node.shape, node.dtype) for node in outputs]
