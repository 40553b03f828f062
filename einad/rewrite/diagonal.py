"""diagonal: compute only the diagonal of what is needed on its diagonal only.

``sum_i (A[i,k] B[k,j] + C[i,j]) at j=i  ->  sum_i (A[i,k] B[k,i] + C[i,i])``: the labels that all consumers give the
same name become one, from the consumers down through sums, products and pointwise functions. So the Laplacian of a
function never holds its Hessian.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from einad.ir import build
from einad.ir.expr import Add, Einsum, Map, Node, Structured
from einad.ir.walk import rebuild, topological, transform

Axes = tuple[int, ...]
Labels = tuple[int, ...]


def take_diagonals(roots: Sequence[Node]) -> list[Node]:
    """``einsum(f(x), ii->..) -> einsum(f(einsum(x, ii->i)), i->..)`` for sums, products and pointwise functions f.

    Fires on nodes of which all consumers read a diagonal alone. Ends: one pass over the graph; each node that changes
    loses axes. Value: the same operations on fewer elements.
    """
    wanted = _wanted(roots)
    if not wanted:
        return list(roots)

    def rule(node: Node, children: tuple[Node, ...]) -> Node:
        if isinstance(node, Einsum):
            return _einsum(node, children, wanted)
        if node in wanted and isinstance(node, Add | Map):
            args = [_restrict(new, old, wanted, wanted[node]) for new, old in zip(children, node.children, strict=True)]
            return Add(*args) if isinstance(node, Add) else Map(node.row, *args)
        return rebuild(node, children)

    return transform(roots, rule)


def _wanted(roots: Sequence[Node]) -> dict[Node, Axes]:
    """The nodes needed on a diagonal only: for each axis, the first axis that every consumer sets equal to it."""
    found: dict[Node, Axes] = {root: _all(root) for root in roots}
    order = topological(roots)
    if not any(_reads_diagonal(node) for node in order):
        return {}
    for node in reversed(order):
        if not _is_reducible(node, found[node]):
            found[node] = _all(node)
        for child, labels in zip(node.children, _uses(node, found[node]), strict=True):
            found[child] = _firsts(zip(found[child], labels, strict=True) if child in found else labels)
    return {node: axes for node, axes in found.items() if axes != _all(node)}


def _reads_diagonal(node: Node) -> bool:
    """Whether some operand of an einsum has a label twice; without such a node nothing is needed on a diagonal."""
    return isinstance(node, Einsum) and any(len(set(labels)) < len(labels) for labels in node.spec.inputs)


def _all(node: Node) -> Axes:
    return tuple(range(node.ndim))


def _firsts(keys: Iterable[object]) -> Axes:
    """For each position the first one with an equal key.

    >>> _firsts("abca")
    (0, 1, 2, 0)
    """
    seen: dict[object, int] = {}
    return tuple([seen.setdefault(key, position) for position, key in enumerate(keys)])


def _is_reducible(node: Node, axes: Axes) -> bool:
    """Whether a node can be computed on a diagonal. Structured operands keep their distinct labels."""
    if not isinstance(node, Einsum):
        return isinstance(node, Add | Map)
    return all(
        len(set(labels)) == child.ndim
        for child, labels in zip(node.children, _uses(node, axes), strict=True)
        if isinstance(child, Structured)
    )


def _uses(node: Node, axes: Axes) -> list[Labels]:
    """The labels that a node, needed on a diagonal, gives the axes of each of its children."""
    if isinstance(node, Einsum):
        joined = _joined(node, axes)
        return [tuple([joined[label] for label in labels]) for labels in node.spec.inputs]
    if isinstance(node, Add | Map):
        return [axes] * len(node.children)
    return [_all(child) for child in node.children]


def _joined(node: Einsum, axes: Axes) -> Labels:
    """For each label of an einsum the one that stands for it on the diagonal."""
    parent = list(range(len(node.sizes)))

    def find(label: int) -> int:
        while parent[label] != label:
            label = parent[label]
        return label

    for axis, first in enumerate(axes):
        parent[find(node.spec.output[axis])] = find(node.spec.output[first])
    return tuple([find(label) for label in parent])


def _einsum(node: Einsum, children: tuple[Node, ...], wanted: Mapping[Node, Axes]) -> Node:
    if node not in wanted and wanted.keys().isdisjoint(node.children):
        return rebuild(node, children)
    axes = wanted.get(node, _all(node))
    joined = _joined(node, axes)
    inputs = [_kept(labels, wanted.get(old)) for old, labels in zip(node.children, _uses(node, axes), strict=True)]
    output = [joined[label] for label in _kept(node.spec.output, axes)]
    return build.einsum(inputs, output, children, dict(enumerate(node.sizes)), node.coefficient, node.dtype)


def _kept(labels: Labels, axes: Axes | None) -> Labels:
    """The labels of the axes that are left of a node."""
    return labels if axes is None else tuple([labels[axis] for axis, first in enumerate(axes) if axis == first])


def _restrict(new: Node, old: Node, wanted: Mapping[Node, Axes], axes: Axes) -> Node:
    """An argument, perhaps on a diagonal already, on the diagonal ``axes``."""
    labels, output = _kept(axes, wanted.get(old)), _kept(axes, axes)
    return new if labels == output else build.einsum([labels], output, [new])
