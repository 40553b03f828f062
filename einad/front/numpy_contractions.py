"""NumPy's contractions, each of them one einsum."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from einad.errors import ShapeError
from einad.front import einsum_strings
from einad.front.lifting import aligned_labels, as_node, axis_index, broadcast_shape, whole
from einad.front.numpy_elementwise import cast, conjugate, multiply, refuse_out
from einad.front.numpy_shapes import ravel, reshape
from einad.ir import build
from einad.ir.expr import Einsum, Node, Shape


def einsum(
    *operands: Any,
    out: None = None,
    optimize: Any = False,
    dtype: Any = None,
    sizes: Mapping[Any, int] | None = None,
    **_: Any,
) -> Node:
    """NumPy's einsum in all its forms, and the closed notation; ``optimize`` is ignored: every path is optimised."""
    refuse_out("einsum", out)
    if dtype is None and not sizes and len(operands) > 1 and type(operands[0]) is str:
        nodes = [as_node(value) for value in operands[1:]]
        spec, extents = einsum_strings.closed_spec(operands[0], tuple([node.shape for node in nodes]))
        return Einsum(spec, tuple(nodes), extents)
    if operands and isinstance(operands[0], str):
        subscripts, values = einsum_strings.read_string(operands[0]), list(operands[1:])
    else:
        subscripts, values = einsum_strings.read_interleaved(operands)
    nodes = [as_node(value) if dtype is None else cast(value, dtype, "np.einsum") for value in values]
    found = einsum_strings.resolve(subscripts, [node.shape for node in nodes], sizes)
    return build.einsum(found.inputs, found.output, nodes, found.sizes, 1, dtype if nodes else dtype or float)


def contract(name: str, a: Node, b: Node, axes_a: Sequence[int], axes_b: Sequence[int]) -> Node:
    """Sum over pairs of axes; what remains of ``a`` stands in front of what remains of ``b``."""
    left: list[Any] = [("a", axis) for axis in range(a.ndim)]
    right: list[Any] = [("b", axis) for axis in range(b.ndim)]
    for i, j in zip(axes_a, axes_b, strict=True):
        if a.shape[i] != b.shape[j]:
            raise _mismatch(name, a, b, i, j)
        right[j] = left[i]
    output = [label for k, label in enumerate(left) if k not in axes_a]
    output += [label for k, label in enumerate(right) if k not in axes_b]
    return build.einsum([left, right], output, [a, b])


def _mismatch(name: str, a: Node, b: Node, i: int, j: int) -> ShapeError:
    return ShapeError(
        f"np.{name} of shapes {a.shape} and {b.shape}: axis {i} of the first has size {a.shape[i]}, axis {j} of the "
        f"second has size {b.shape[j]}; expected equal sizes, try a transpose"
    )


def matmul(x1: Any, x2: Any) -> Node:
    """Matrix products over the last two axes; leading axes broadcast; vectors are rows or columns."""
    a, b = as_node(x1), as_node(x2)
    if not a.ndim or not b.ndim:
        raise ShapeError(
            f"np.matmul of shapes {a.shape} and {b.shape} needs at least one axis each; for scalars write *"
        )
    row = ["m", "k"] if a.ndim > 1 else ["k"]
    column = ["k", "n"] if b.ndim > 1 else ["k"]
    if a.shape[-1] != b.shape[-len(column)]:
        raise _mismatch("matmul", a, b, a.ndim - 1, b.ndim - len(column))
    return _batched(a, b, row, column, [label for label in (*row, *column) if label != "k"])


def _batched(a: Node, b: Node, row: list[str], column: list[str], core: list[str]) -> Node:
    """Contract the named last axes; the axes before them broadcast."""
    front_a, front_b = a.shape[: a.ndim - len(row)], b.shape[: b.ndim - len(column)]
    front = broadcast_shape(front_a, front_b)
    inputs = [[*aligned_labels(front_a, front), *row], [*aligned_labels(front_b, front), *column]]
    return build.einsum(inputs, [*range(len(front)), *core], [a, b], dict(enumerate(front)))


def vecdot(x1: Any, x2: Any, /, *, axis: int = -1) -> Node:
    """Products of vectors along an axis; the first is conjugated."""
    a, b = conjugate(x1), as_node(x2)
    a, b = _last("vecdot", a, axis), _last("vecdot", b, axis)
    _same_vectors("vecdot", a, b, b.ndim - 1)
    return _batched(a, b, ["k"], ["k"], [])


def _last(name: str, x: Node, axis: int) -> Node:
    if not x.ndim:
        raise ShapeError(f"np.{name} needs operands of at least one axis, found a scalar; for scalars write *")
    i = axis_index(axis, x.ndim)
    return build.permute(x, [k for k in range(x.ndim) if k != i] + [i])


def _same_vectors(name: str, a: Node, b: Node, axis: int) -> None:
    if a.shape[-1] != b.shape[axis]:
        raise _mismatch(name, a, b, a.ndim - 1, axis)


def matvec(x1: Any, x2: Any) -> Node:
    """Matrices times vectors; leading axes broadcast."""
    a, b = as_node(x1), as_node(x2)
    _same_vectors("matvec", a, b, b.ndim - 1)
    return _batched(a, b, ["m", "k"], ["k"], ["m"])


def vecmat(x1: Any, x2: Any) -> Node:
    """Conjugated vectors times matrices; leading axes broadcast."""
    a, b = conjugate(x1), as_node(x2)
    _same_vectors("vecmat", a, b, b.ndim - 2)
    return _batched(a, b, ["k"], ["k", "n"], ["n"])


def dot(a: Any, b: Any, out: None = None) -> Node:
    """NumPy's dot: the last axis of ``a`` with the second-to-last (or only) axis of ``b``."""
    refuse_out("dot", out)
    a, b = as_node(a), as_node(b)
    if not a.ndim or not b.ndim:
        return multiply(a, b)
    return contract("dot", a, b, [a.ndim - 1], [max(b.ndim - 2, 0)])


def inner(a: Any, b: Any) -> Node:
    """The last axes summed."""
    a, b = as_node(a), as_node(b)
    return contract("inner", a, b, [a.ndim - 1], [b.ndim - 1]) if a.ndim and b.ndim else multiply(a, b)


def vdot(a: Any, b: Any) -> Node:
    """The product of two tensors read as vectors; the first is conjugated."""
    return contract("vdot", conjugate(ravel(a)), ravel(b), [0], [0])


def outer(a: Any, b: Any, out: None = None) -> Node:
    """``ij`` from ``i`` and ``j``."""
    refuse_out("outer", out)
    return contract("outer", ravel(a), ravel(b), [], [])


def multiply_outer(a: Any, b: Any) -> Node:
    """All products of entries of ``a`` and ``b``: ``np.multiply.outer``."""
    return contract("multiply.outer", as_node(a), as_node(b), [], [])


def tensordot(a: Any, b: Any, axes: Any = 2) -> Node:
    """Sum over the last ``axes`` axes of ``a`` and the first of ``b``, or over the pairs of axes given."""
    a, b = as_node(a), as_node(b)
    if isinstance(axes, int | np.integer):
        count = whole(axes, "axes")
        if not 0 <= count <= min(a.ndim, b.ndim):
            raise ShapeError(f"np.tensordot over {count} axes of operands of shapes {a.shape} and {b.shape}")
        axes = (list(range(a.ndim - count, a.ndim)), list(range(count)))
    first, second = (list(x) if isinstance(x, list | tuple | np.ndarray) else [x] for x in axes)
    if len(first) != len(second):
        raise ShapeError(f"np.tensordot needs as many axes of a as of b, got axes={axes}")
    return contract("tensordot", a, b, [axis_index(i, a.ndim) for i in first], [axis_index(j, b.ndim) for j in second])


def kron(a: Any, b: Any) -> Node:
    """The Kronecker product: an outer product with pairs of axes merged."""
    a, b = as_node(a), as_node(b)
    ndim = max(a.ndim, b.ndim)
    extents = [(1,) * (ndim - x.ndim) + x.shape for x in (a, b)]
    left, right = reshape(a, extents[0]), reshape(b, extents[1])
    labels_left, labels_right = range(ndim), range(ndim, 2 * ndim)
    output = [label for pair in zip(labels_left, labels_right, strict=True) for label in pair]
    product = build.einsum([labels_left, labels_right], output, [left, right])
    merged: Shape = tuple([m * n for m, n in zip(*extents, strict=True)])
    return reshape(product, merged)


def multi_dot(arrays: Sequence[Any], *, out: None = None) -> Node:
    """The product of a chain of matrices as one einsum: the planner chooses the order."""
    refuse_out("linalg.multi_dot", out)
    nodes = [as_node(x) for x in arrays]
    if len(nodes) < 2:
        raise ValueError(f"np.linalg.multi_dot needs at least two arrays, got {len(nodes)}")
    inputs: list[list[int]] = [[k, k + 1] for k in range(len(nodes))]
    if nodes[0].ndim == 1:
        inputs[0] = [1]
    if nodes[-1].ndim == 1:
        inputs[-1] = [len(nodes) - 1]
    for k, (node, labels) in enumerate(zip(nodes, inputs, strict=True)):
        if node.ndim != len(labels):
            raise ShapeError(
                f"np.linalg.multi_dot needs matrices (vectors at the ends); array {k} has shape {node.shape}"
            )
        if k and nodes[k - 1].shape[-1] != node.shape[0]:
            raise _mismatch("linalg.multi_dot", nodes[k - 1], node, nodes[k - 1].ndim - 1, 0)
    output = [label for label in (0, len(nodes)) if label in (inputs[0][0], inputs[-1][-1])]
    return build.einsum(inputs, output, nodes)


def matrix_power(a: Any, n: int) -> Node:
    """``a`` multiplied by itself; ``n`` must not be negative."""
    node, n = as_node(a), whole(n, "n")
    if n < 0:
        raise TypeError("np.linalg.matrix_power with a negative power needs an inverse, which is not supported yet")
    if node.ndim < 2 or node.shape[-1] != node.shape[-2]:
        raise ShapeError(f"np.linalg.matrix_power needs square matrices, found shape {node.shape}")
    result: Node | None = None
    while n:
        if n & 1:
            result = node if result is None else matmul(result, node)
        node, n = (matmul(node, node), n >> 1) if n > 1 else (node, 0)
    return _identities(node) if result is None else result


def _identities(like: Node) -> Node:
    batch = list(range(like.ndim - 2))
    sizes = dict(enumerate(like.shape[:-1]))
    return build.einsum([], [*batch, like.ndim - 2, like.ndim - 2], [], sizes, 1, like.dtype)


def cross(a: Any, b: Any, axisa: int = -1, axisb: int = -1, axisc: int = -1, axis: int | None = None) -> Node:
    """The cross product of 3-vectors: an einsum with the Levi-Civita symbol."""
    if axis is not None:
        axisa = axisb = axisc = axis
    x, y = _last("cross", as_node(a), axisa), _last("cross", as_node(b), axisb)
    if x.shape[-1] != 3 or y.shape[-1] != 3:
        raise ShapeError(f"np.cross needs vectors of 3 entries, found shapes {x.shape} and {y.shape}")
    front = broadcast_shape(x.shape[:-1], y.shape[:-1])
    inputs = [[*aligned_labels(v.shape[:-1], front), name] for v, name in ((x, "i"), (y, "j"))]
    output: list[Any] = list(range(len(front)))
    output.insert(axis_index(axisc, len(front) + 1), "k")
    return build.einsum([*inputs, ["i", "j", "k"]], output, [x, y, as_node(_levi_civita)], dict(enumerate(front)))


def _permutation_signs() -> np.ndarray[Any, Any]:
    signs = np.zeros((3, 3, 3), np.int8)
    for i in range(3):
        signs[i, (i + 1) % 3, (i + 2) % 3], signs[(i + 1) % 3, i, (i + 2) % 3] = 1, -1
    return signs


_levi_civita = _permutation_signs()
