"""vmap: one more label, in front, on everything that depends on a batched node."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from einad.ir import build
from einad.ir.expr import Add, Call, Einsum, Map, Node, OneHot
from einad.ir.walk import topological


def batch(roots: Sequence[Node], batched: Mapping[Node, Node], size: int) -> list[Node]:
    """``roots`` with one more leading axis of ``size``; ``batched`` gives the batched form of some nodes.

    A root that depends on none of them is broadcast.
    """
    found: dict[Node, Node] = dict(batched)
    for node in topological(roots):
        if node not in found and any(child in found for child in node.children):
            found[node] = _batch_node(node, found, size)
    return [found[root] if root in found else _widen(root, size) for root in roots]


def _batch_node(node: Node, found: Mapping[Node, Node], size: int) -> Node:
    if isinstance(node, Einsum):
        return _batch_einsum(node, found, size)
    children = tuple([found[c] if c in found else _widen(c, size) for c in node.children])
    if isinstance(node, Map):
        return Map(node.row, *children)
    if isinstance(node, Add):
        return Add(*children)
    if isinstance(node, OneHot):
        return OneHot(children[0], node.length)
    assert isinstance(node, Call)
    return node.row.batch(children, *node.params)


def _batch_einsum(node: Einsum, found: Mapping[Node, Node], size: int) -> Node:
    label = len(node.sizes)
    pairs = zip(node.spec.inputs, node.children, strict=True)
    inputs = [(label, *labels) if child in found else labels for labels, child in pairs]
    operands = [found.get(child, child) for child in node.children]
    sizes = dict(enumerate((*node.sizes, size)))
    return build.einsum(inputs, (label, *node.spec.output), operands, sizes, node.coefficient, node.dtype)


def _widen(node: Node, size: int) -> Node:
    return build.broadcast(node, (size, *node.shape), range(1, node.ndim + 1))
