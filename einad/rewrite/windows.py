"""window: structured operands without axes of size 1, so that rows and stacks are seen for what they are.

::

    y[b,c] = x[a,b] * [a == k + c], c of size 1; z[b] = y[b,c]   ->  z[b] = x[a,b] * [a == k]
    y[a,i] = x[a,b] * [i == b + k]; z[i,a] = y[a,i]              ->  z[i,a] = x[a,b] * [i == b + k]
    s[t]   = [t == k + c], c of size 1;  Y[t,a] = s[t] * x[a]    ->  Y[t,a] = x[a] * [t == k]
    c * x[a] * [t == k], a part of a stack                       ->  (c * x[a]) * [t == k]

Value: the same numbers. Ends: one walk over the graph.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain

from einad.ir import build
from einad.ir.expr import Add, Affine, Einsum, Node
from einad.ir.spec import Labels
from einad.ir.walk import rebuild
from einad.rewrite.stacks import part_of, parts_of


def has_wide_windows(order: Sequence[Node]) -> bool:
    """Whether the law may apply to some of the nodes."""
    return any(map(_may_apply, order))


def _may_apply(node: Node) -> bool:
    if isinstance(node, Affine):
        return 1 in node.shape
    if isinstance(node, Einsum):
        return len(node.children) == 1 and _is_windowed(node.children[0])
    return isinstance(node, Add) and all(map(_is_windowed, node.children))


def _is_windowed(node: Node) -> bool:
    if not isinstance(node, Einsum) or len(node.children) != 2:
        return False
    return isinstance(node.children[0], Affine) or isinstance(node.children[1], Affine)


def narrow_windows(node: Node, children: tuple[Node, ...]) -> Node:
    """The node over new children, with the law applied."""
    if isinstance(node, Add):
        return _scaled_parts(rebuild(node, children))
    if not isinstance(node, Einsum) or not any(isinstance(child, Einsum | Affine) for child in children):
        return rebuild(node, children)
    if len(children) == 1:
        return _dropped(node, children[0]) or rebuild(node, children)
    return _narrowed(node, children)


def _dropped(node: Einsum, child: Node) -> Node | None:
    """A windowed product without the sum over axes of size 1 above it, or the transpose of a part of a stack."""
    if not isinstance(child, Einsum) or child.coefficient != 1 or child.dtype != node.dtype or not _is_windowed(child):
        return None
    (labels,), output = node.spec
    summed = [label for label in labels if label not in output]
    if len(set(labels)) < len(labels) or any(node.sizes[label] != 1 for label in summed):
        return None
    if not set(output) <= set(labels) or len(set(child.spec.output)) < len(child.spec.output):
        return None
    names = dict(zip(labels, child.spec.output, strict=True))
    sizes = dict(enumerate(child.sizes))
    kept = tuple([names[label] for label in output])
    whole = build.einsum(child.spec.inputs, kept, child.children, sizes, 1, node.dtype)
    if not summed and part_of(whole) is None:
        return None
    whole = Einsum(whole.spec, whole.children, whole.sizes, node.coefficient, node.dtype)
    return _narrowed(whole, whole.children)


def _narrowed(node: Einsum, children: tuple[Node, ...]) -> Node:
    """Structured operands lose the axes of size 1 that nobody else has, and sums of them over such axes are undone."""
    inputs, operands = list(node.spec.inputs), list(children)
    for k, child in enumerate(children):
        if isinstance(child, Affine):
            others = {*node.spec.output, *chain(*[labels for n, labels in enumerate(inputs) if n != k])}
            inputs[k], operands[k] = _without(child, inputs[k], [label for label in inputs[k] if label in others])
        elif _is_summed_window(child):
            assert isinstance(child, Einsum)
            (window,), (labels,) = child.children, child.spec.inputs
            assert isinstance(window, Affine)
            names = dict(zip(child.spec.output, inputs[k], strict=True))
            kept, operands[k] = _without(window, labels, child.spec.output)
            inputs[k] = tuple([names[label] for label in kept])
    if operands == list(node.children):
        return node
    if tuple(inputs) == node.spec.inputs:
        return Einsum(node.spec, tuple(operands), node.sizes, node.coefficient, node.dtype)
    sizes = dict(enumerate(node.sizes))
    return build.einsum(inputs, node.spec.output, operands, sizes, node.coefficient, node.dtype)


def _is_summed_window(node: Node) -> bool:
    if not isinstance(node, Einsum) or len(node.children) != 1 or not isinstance(node.children[0], Affine):
        return False
    (labels,), output = node.spec
    if node.coefficient != 1 or not output or len(set(labels)) < len(labels) or len(set(output)) < len(output):
        return False
    return set(output) <= set(labels) and all(node.sizes[label] == 1 for label in labels if label not in output)


def _without(window: Affine, labels: Labels, kept: Sequence[int]) -> tuple[Labels, Affine]:
    """A structured operand without its axes of size 1 but those of the labels ``kept``; one axis is left."""
    axes = [axis for axis, label in enumerate(labels) if label in kept or window.shape[axis] != 1]
    if len(axes) == len(labels) or not axes:
        return labels, window
    shape, steps = tuple([window.shape[axis] for axis in axes]), tuple([window.coefficients[axis] for axis in axes])
    return tuple([labels[axis] for axis in axes]), Affine(shape, steps, window.offset)


def _scaled_parts(node: Node) -> Node:
    """The parts of a stack with their coefficients applied before they are placed."""
    terms = [term for term in node.children if isinstance(term, Einsum) and len(term.children) == 2]
    if not isinstance(node, Add) or len(terms) < len(node.children) or all(term.coefficient == 1 for term in terms):
        return node
    placed = [_scaled(term) for term in terms]
    stacked = build.add(*placed)
    return stacked if isinstance(stacked, Add) and parts_of(stacked) else node


def _scaled(term: Einsum) -> Node:
    k = 1 if isinstance(term.children[0], Affine) else 0
    child = term.children[k]
    if term.coefficient == 1 or isinstance(child, Affine) or child.dtype != term.dtype:
        return term
    operands = (*term.children[:k], build.scale(child, term.coefficient), *term.children[k + 1 :])
    return Einsum(term.spec, operands, term.sizes, 1, term.dtype)
