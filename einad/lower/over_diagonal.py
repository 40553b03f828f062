"""Products with a sum of broadcasts and a Kronecker delta, as the Jacobian of softmax: ``x[a] * (u[b] + δ[a,b] v[a])``.

Summed first, such a product is written three times: the broadcast, the diagonal, the product. Here the product with the
broadcasts is written once, and then its diagonal, from the same formula taken along the diagonal. No product is
multiplied out, so no digit is lost.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, TypeVar

from einad.ir import build
from einad.ir.expr import Add, Einsum, Node
from einad.ir.spec import Labels
from einad.ir.walk import use_counts

LEAST_SIZE = 4096
T = TypeVar("T")


class Parts(NamedTuple):
    """``full`` is right but on the diagonal, which ``values`` holds; ``labels`` are the axes of these for each of full.

    A label that stands several times is the diagonal.
    """

    full: Einsum
    values: Node
    labels: Labels


def over_diagonals(roots: Sequence[Node]) -> dict[Node, int]:
    """Products to be computed so: the place of the sum among their operands."""
    counts = use_counts(roots)
    found: dict[Node, int] = {}
    for node in counts:
        if isinstance(node, Einsum) and len(node.children) == 2 and node.size >= LEAST_SIZE and _is_plain(node):
            for k, child in enumerate(node.children):
                if counts[child] == 1 and child not in roots and _is_thin(child) and _covers(node, k):
                    found[node] = k
                    break
    return found


def _is_plain(node: Einsum) -> bool:
    same = all(child.dtype == node.dtype for child in node.children)
    return same and node.dtype.kind in "fc" and not node.spec.contracted and _distinct(node.spec.output)


def _distinct(labels: Labels) -> bool:
    return len(set(labels)) == len(labels)


def _covers(node: Einsum, k: int) -> bool:
    labels = node.spec.inputs[k]
    return _distinct(labels) and set(labels) == set(node.spec.output)


def _is_thin(node: Node) -> bool:
    """A sum of one delta and of broadcasts, which take fewer elements than the sum."""
    if not isinstance(node, Add) or any(child.dtype != node.dtype for child in node.children):
        return False
    deltas = [term for term in node.children if _is_delta(term)]
    return len(deltas) == 1 and all(term in deltas or _is_broadcast(term) for term in node.children)


def _is_delta(term: Node) -> bool:
    return isinstance(term, Einsum) and not term.spec.contracted and not _distinct(term.spec.output)


def _is_broadcast(term: Node) -> bool:
    if not isinstance(term, Einsum) or not _distinct(term.spec.output):
        return False
    stored = {label for labels in term.spec.inputs for label in labels}
    return any(label not in stored and term.sizes[label] > 1 for label in term.spec.output)


def taken_apart(node: Einsum, k: int) -> Parts:
    """The parts of a product with the sum at place ``k``."""
    total = node.children[k]
    (delta,) = [term for term in total.children if _is_delta(term)]
    assert isinstance(delta, Einsum)
    rest = build.add(*[term for term in total.children if term is not delta])
    full = Einsum(node.spec, _with(node.children, k, rest), node.sizes, node.coefficient, node.dtype)

    first: dict[int, int] = {}
    unified = {
        label: first.setdefault(axis, label) for label, axis in zip(node.spec.inputs[k], delta.spec.output, strict=True)
    }

    def along(labels: Labels) -> Labels:
        return tuple([unified.get(label, label) for label in labels])

    diagonal = tuple(dict.fromkeys(along(node.spec.inputs[k])))
    core = build.einsum(
        delta.spec.inputs,
        tuple(dict.fromkeys(delta.spec.output)),
        delta.children,
        dict(enumerate(delta.sizes)),
        delta.coefficient,
        delta.dtype,
    )
    summed = build.add(build.einsum([along(node.spec.inputs[k])], diagonal, [rest]), core)
    output = tuple(dict.fromkeys(along(node.spec.output)))
    inputs = _with(tuple([along(labels) for labels in node.spec.inputs]), k, diagonal)
    operands = _with(node.children, k, summed)
    values = build.einsum(inputs, output, operands, dict(enumerate(node.sizes)), node.coefficient, node.dtype)
    return Parts(full, values, tuple([output.index(label) for label in along(node.spec.output)]))


def _with(items: tuple[T, ...], k: int, item: T) -> tuple[T, ...]:
    return (*items[:k], item, *items[k + 1 :])
