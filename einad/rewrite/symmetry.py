"""symmetry: a contraction whose operands or result are symmetric is computed by halves.

It looks at pairwise contractions, after paths are chosen, and pays above about a million multiply-adds. Symmetry is
found by exact evaluation modulo a prime on tiny sizes (`einad.rewrite.fingerprint`), never by comparing floats.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from einad.ir import build
from einad.ir.expr import Call, Einsum, Node
from einad.ir.walk import rebuild, topological, transform
from einad.ops.symmetric import GRAM, PACK, TRIANGLE, UNPACK, WEIGHTED_GRAM
from einad.rewrite.fingerprint import Residues, fingerprints, is_symmetric

MIN_MULTIPLICATIONS = 1_000_000
MIN_PAIR, MIN_GRAM = 8, 128

Labels = tuple[int, ...]


def use_symmetry(roots: Sequence[Node]) -> list[Node]:
    """``A[k,i,p] B[k,o,q] -> unpack(pack(A) pack(B))`` and ``A' B -> gram(A, B)`` where the symmetry holds."""
    if not any(_is_candidate(node) for node in topological(roots)):
        return list(roots)
    residues = fingerprints(roots)
    if residues is None:
        return list(roots)
    known = residues

    def rule(node: Node, children: tuple[Node, ...]) -> Node:
        new = rebuild(node, children)
        if not isinstance(node, Einsum) or not isinstance(new, Einsum) or not _is_candidate(node):
            return new
        pairs = [_pair(node, k, known) for k in (0, 1)]
        if any(pairs):
            return _by_packing(new, pairs)
        return _by_gram(new) if _is_gram(node, known) else new

    return transform(roots, rule)


def _is_candidate(node: Node) -> bool:
    if not isinstance(node, Einsum) or len(node.children) != 2 or node.dtype.kind != "f" or not node.spec.contracted:
        return False
    if prod(node.sizes) < MIN_MULTIPLICATIONS:
        return False
    return any(len(_free(node, k)) > 1 for k in (0, 1)) or _gram_labels(node) is not None


def _free(node: Einsum, k: int) -> Labels:
    """The labels that stand on operand ``k`` and in the output only, once each."""
    mine, other = node.spec.inputs[k], node.spec.inputs[1 - k]
    return tuple([x for x in mine if x not in other and mine.count(x) == 1 and node.spec.output.count(x) == 1])


def _pair(node: Einsum, k: int, residues: dict[Node, Residues]) -> tuple[int, int] | None:
    """Two free labels in which operand ``k`` is symmetric."""
    free, labels, operand = _free(node, k), node.spec.inputs[k], node.children[k]
    for n, first in enumerate(free):
        for second in free[n + 1 :]:
            a, b = labels.index(first), labels.index(second)
            large = operand.shape[a] == operand.shape[b] >= MIN_PAIR
            if large and is_symmetric(residues[operand], a, b):
                return first, second
    return None


def _by_packing(node: Einsum, pairs: list[tuple[int, int] | None]) -> Node:
    """Contract packed operands, then put the halves back."""
    fresh = len(node.sizes)
    inputs, operands, order = [], [], []
    for k, pair in enumerate(pairs):
        labels, operand = node.spec.inputs[k], node.children[k]
        if pair is not None:
            labels, operand = _packed(operand, labels, pair, fresh + k)
        inputs.append(labels)
        operands.append(operand)
        order += [x for x in labels if x not in order and (x in node.spec.output or x >= fresh)]
    result: Node = build.einsum(inputs, order, operands, None, node.coefficient, node.dtype)
    for k, pair in enumerate(pairs):
        if pair is not None:
            axis = order.index(fresh + k)
            result = Call(UNPACK, (result,), (axis, node.sizes[pair[0]]))
            order[axis : axis + 1] = pair
    return build.permute(result, [order.index(label) for label in node.spec.output])


def _packed(operand: Node, labels: Labels, pair: tuple[int, int], packed: int) -> tuple[Labels, Node]:
    """An operand with two labels replaced by one; the factors of a product are packed before they are multiplied."""
    a, b = labels.index(pair[0]), labels.index(pair[1])
    kept = [axis for axis in range(len(labels)) if axis not in (a, b)]
    renamed = (*[labels[axis] for axis in kept], packed)
    if not isinstance(operand, Einsum) or operand.spec.contracted or len(operand.children) < 2:
        return renamed, Call(PACK, (operand,), (a, b))
    spec = operand.spec
    first, second, merged = spec.output[a], spec.output[b], len(operand.sizes)
    inputs, factors = [], []
    for inner, factor in zip(spec.inputs, operand.children, strict=True):
        if first in inner and second in inner:
            return renamed, Call(PACK, (operand,), (a, b))
        for side, label in enumerate((first, second)):
            if label in inner:
                factor = Call(TRIANGLE, (factor,), (inner.index(label), side))
                inner = tuple([merged if x == label else x for x in inner])
        inputs.append(inner)
        factors.append(factor)
    output = [*[spec.output[axis] for axis in kept], merged]
    return renamed, build.einsum(inputs, output, factors, None, operand.coefficient, operand.dtype)


def _gram_labels(node: Einsum) -> tuple[int, int, int] | None:
    """``(k, i, j)`` of a product ``A[k,i] B[k,j]`` of matrices of one shape, large enough to pay."""
    (a, b), output = node.spec.inputs, node.spec.output
    if not len(a) == len(b) == len(output) == len(set(output)) == 2 or len(node.spec.contracted) != 1:
        return None
    (k,) = node.spec.contracted
    if k not in a or k not in b or len({*a, *b}) != 3:
        return None
    i, j = sum(a) - k, sum(b) - k
    return (k, i, j) if node.sizes[i] == node.sizes[j] >= MIN_GRAM else None


def _is_gram(node: Einsum, residues: dict[Node, Residues]) -> bool:
    same = node.children[0] is node.children[1]  # BLAS sees that by itself
    return not same and _gram_labels(node) is not None and is_symmetric(residues[node], 0, 1)


def _by_gram(node: Einsum) -> Node:
    found = _gram_labels(node)
    assert found is not None
    k = found[0]
    upright = [
        build.permute(x, (labels.index(k), 1 - labels.index(k)))
        for x, labels in zip(node.children, node.spec.inputs, strict=True)
    ]
    for matrix, other in (upright, upright[::-1]):
        weights = _weights(matrix, other)
        if weights is not None:
            return _scaled(Call(WEIGHTED_GRAM, (matrix, weights[0])), node, weights[1])
    return _scaled(Call(GRAM, (upright[0], upright[1])), node, 1)


def _scaled(result: Node, node: Einsum, factor: complex) -> Node:
    coefficient = node.coefficient * factor
    return build.cast(result if coefficient == 1 else build.scale(result, coefficient), node.dtype)


def _weights(matrix: Node, other: Node) -> tuple[Node, int | float | complex] | None:
    """``(w, c)`` if ``other[k,i] = c w[k] matrix[k,i]``."""
    if not isinstance(other, Einsum) or len(other.children) != 2 or other.spec.contracted:
        return None
    k = other.spec.output[0]
    for matrix_at in (0, 1):
        same = other.children[matrix_at] is matrix and other.spec.inputs[matrix_at] == other.spec.output
        if same and other.spec.inputs[1 - matrix_at] == (k,):
            return other.children[1 - matrix_at], other.coefficient
    return None
