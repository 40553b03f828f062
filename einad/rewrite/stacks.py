"""Stacks: sums of padded parts that tile an axis, rows of tensors, and how both are recognised.

::

    stack    Y[t,a] = sum of x_k[a] * [t == k]          one Affine for each row
    row      x[a]   = Y[t,a] * [t == k]
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from einad.ir import build
from einad.ir.expr import Add, Affine, Einsum, Map, Node, Scalar, Structured
from einad.ir.spec import Labels
from einad.ops.structured import take_slice


class Part(NamedTuple):
    """A padded tensor: ``child`` stands at ``start`` along ``axis``, over ``extent`` places; zero elsewhere.

    ``is_row`` says that the axis itself is missing from the child, or of size 1 there.
    """

    child: Node
    axis: int
    start: int
    extent: int
    is_row: bool


def parts_of(node: Add) -> tuple[tuple[Node, Part], ...]:
    """The terms of a sum and the parts they are, in order, where they tile an axis; else nothing.

    >>> from einad.ir.expr import Input
    >>> from einad.ops.structured import concatenate
    >>> x = concatenate([Input("a", (2, 3)), Input("b", (4, 3))], 0)
    >>> [(part.child.name, part.start, part.extent) for _, part in parts_of(x)]
    [('a', 0, 2), ('b', 2, 4)]
    """
    if len(node.children) < 2 or not node.size:
        return ()
    found: list[tuple[Node, Part]] = []
    for term in node.children:
        part = part_of(term)
        if part is None or term.dtype != node.dtype or (found and part.axis != found[0][1].axis):
            return ()
        found.append((term, part))
    found.sort(key=lambda pair: pair[1].start)
    end = 0
    for _, part in found:
        if part.start != end:
            return ()
        end += part.extent
    return tuple(found) if end == node.shape[found[0][1].axis] else ()


def part_of(term: Node) -> Part | None:
    """What a padded term consists of; None where a term is something else."""
    if not isinstance(term, Einsum) or len(term.children) != 2 or term.coefficient != 1:
        return None
    for k, window in enumerate(term.children):
        child = term.children[1 - k]
        if isinstance(window, Affine) and not isinstance(child, Affine) and child.dtype == term.dtype:
            return _part(child, window, term.spec.inputs[1 - k], term.spec.inputs[k], term)
    return None


def _part(child: Node, window: Affine, labels: Labels, places: Labels, term: Einsum) -> Part | None:
    output = term.spec.output
    if any(len(set(each)) < len(each) for each in (labels, places, output)):
        return None
    walked = [label for label in places if window.shape[places.index(label)] != 1]
    new = [label for label in walked if label in output and label not in labels]
    old = [label for label in walked if label not in new]
    if len(new) != 1 or len(old) > 1 or any(label in output or label not in labels for label in old):
        return None
    steps = dict(zip(places, window.coefficients, strict=True))
    step = steps[new[0]]
    if abs(step) != 1 or (old and steps[old[0]] != -step):
        return None
    axis, start = output.index(new[0]), -step * window.offset
    sizes = term.sizes
    extent = sizes[old[0]] if old else 1
    if start < 0 or start + extent > sizes[new[0]]:
        return None
    rest = [label for label in output if sizes[label] != 1]
    if old:
        rest = [old[0] if label == new[0] else label for label in rest]
    else:
        rest.remove(new[0])
    if rest != [label for label in labels if sizes[label] != 1]:
        return None
    return Part(child, axis, start, extent, not old)


class Row(NamedTuple):
    """``coefficient * base[.., place, ..]`` along ``axis``, which is missing from the row."""

    base: Node
    axis: int
    place: int
    coefficient: Scalar = 1


def row_of(node: Node) -> Row | None:
    """The row that a node is: one place of an axis, the others as they are; None for anything else.

    >>> from einad.ir.expr import Input
    >>> row_of(row(Input("x", (5, 2)), 3))[1:]
    (0, 3, 1)
    >>> row_of(row(take_slice(Input("x", (5, 2)), 0, 1, 2, 2), 1))[1:]
    (0, 3, 1)
    """
    if not isinstance(node, Einsum) or len(node.children) != 2:
        return None
    k = 1 if isinstance(node.children[1], Affine) else 0
    base, window = node.children[1 - k], node.children[k]
    if not isinstance(window, Affine) or window.ndim != 1 or isinstance(base, Affine) or base.dtype != node.dtype:
        return None
    labels, (picked,) = node.spec.inputs[1 - k], node.spec.inputs[k]
    if len(set(labels)) < len(labels) or node.spec.output != tuple([label for label in labels if label != picked]):
        return None
    (step,) = window.coefficients
    index = -window.offset * step
    if picked not in labels or abs(step) != 1 or not 0 <= index < window.shape[0]:
        return None
    return _unsliced(Row(base, labels.index(picked), index, node.coefficient))


def _unsliced(found: Row) -> Row:
    """A row of a slice as a row of what is sliced."""
    base = found.base
    while isinstance(base, Einsum) and len(base.children) == 2 and base.coefficient == 1:
        source, window = base.children
        if not isinstance(window, Affine) or window.ndim != 2 or source.dtype != base.dtype:
            break
        labels, (old, new) = base.spec.inputs[0], base.spec.inputs[1]
        axis, step = found.axis, window.coefficients[1]
        sliced = tuple([new if label == old else label for label in labels])
        if labels[axis : axis + 1] != (old,) or new in labels or base.spec.output != sliced:
            break
        if window.coefficients[0] != -1 or not 0 <= window.offset + step * found.place < window.shape[0]:
            break
        found = found._replace(base=source, place=window.offset + step * found.place)
        base = source
    return found


def row(base: Node, index: int) -> Node:
    """``base[index]``."""
    labels = tuple(range(base.ndim))
    return build.einsum([labels, labels[:1]], labels[1:], [base, Affine(base.shape[:1], (1,), -index)])


def stack(members: Sequence[Node]) -> Node:
    """Tensors of one shape along a new first axis; rows of one tensor, evenly spaced, are a slice of it.

    >>> from einad.ir.expr import Input
    >>> x = Input("x", (5, 2))
    >>> stack([row(x, k) for k in range(5)]) is x
    True
    """
    whole = _slice_of(members)
    if whole is not None:
        return whole
    inner = _under_view(members)
    if inner is not None:
        view = members[0]
        assert isinstance(view, Einsum)
        (labels,), output = view.spec
        first = view.spec.label_count
        sizes = {**dict(enumerate(view.sizes)), first: len(members)}
        return build.einsum([(first, *labels)], (first, *output), [stack(inner)], sizes, view.coefficient, view.dtype)
    labels = tuple(range(members[0].ndim))
    new, count = members[0].ndim, len(members)
    terms = [
        build.einsum([labels, (new,)], (new, *labels), [member, Affine((count,), (1,), -k)])
        for k, member in enumerate(members)
    ]
    return build.add(*terms)


def stack_copies(members: Sequence[Node]) -> int:
    """How many of the members must be copied to stack them: those that no call makes."""
    if _slice_of(members) is not None:
        return 0
    inner = _under_view(members)
    if inner is not None:
        return stack_copies(inner)
    return sum(not _is_made(member) for member in members)


def is_view(node: Node) -> bool:
    """Whether a node is another one's tensor seen otherwise: permuted, broadcast, scaled later on."""
    return isinstance(node, Einsum) and len(node.children) == 1 and not node.spec.contracted


def _is_made(node: Node) -> bool:
    if isinstance(node, Map):
        return node.size > 1 and isinstance(node.row.evaluate, np.ufunc)
    if isinstance(node, Einsum):
        structured = any(isinstance(child, Structured) for child in node.children)
        return node.size > 1 and not structured and bool(node.children) and not is_view(node)
    return isinstance(node, Add) and node.size > 1


def _under_view(members: Sequence[Node]) -> list[Node] | None:
    first = members[0]
    if not isinstance(first, Einsum) or not is_view(first):
        return None
    for node in members:
        if not isinstance(node, Einsum) or (node.spec, node.sizes, node.coefficient, node.dtype) != (
            first.spec,
            first.sizes,
            first.coefficient,
            first.dtype,
        ):
            return None
    inner = [node.children[0] for node in members]
    return inner if len({node.dtype for node in inner}) == 1 else None


def _slice_of(members: Sequence[Node]) -> Node | None:
    rows = [row_of(member) for member in members]
    first, second = rows[0], rows[1]
    if first is None or second is None or second.place == first.place:
        return None
    step = second.place - first.place
    for k, found in enumerate(rows):
        if found is None or found != first._replace(place=first.place + k * step):
            return None
    cut = take_slice(first.base, first.axis, first.place, step, len(rows))
    rest = [axis for axis in range(cut.ndim) if axis != first.axis]
    whole = build.permute(cut, [first.axis, *rest])
    return whole if first.coefficient == 1 else build.scale(whole, first.coefficient)
