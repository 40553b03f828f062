"""Linear systems with factored tensors: by the small blocks where deltas leave some, else by conjugate gradients."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from einad.factored.terms import Term, total
from einad.ir import build
from einad.ir.expr import Array, Literal

if TYPE_CHECKING:
    from einad.factored.tensor import FactoredTensor

MAX_BLOCK = 4096


def solve(tensor: FactoredTensor, b: Array, tolerance: float) -> Array:
    """Solve ``J x = b``.

    An output axis that every term ties by a delta to its input axis separates the system into blocks, one per
    position. Where no factor depends on the position all blocks are one matrix, which is factorised once (a delta
    times a small matrix costs one small solve). Where the blocks are larger than 4096 the system is solved by
    conjugate gradients with `matvec`, for which it must be symmetric (Hermitian) positive definite.

    Raises
    ------
    numpy.linalg.LinAlgError
        If a block is singular, or conjugate gradients do not converge to ``tolerance`` (relative residual).
    """
    rank = len(tensor.in_shape)
    tied = [axis for axis in range(rank) if all(t.output[axis] == t.output[rank + axis] for t in tensor.terms)]
    free = [axis for axis in range(rank) if axis not in tied]
    size = int(np.prod([tensor.in_shape[axis] for axis in free], dtype=int))
    if size > MAX_BLOCK:
        return conjugate_gradients(tensor, b, tolerance)
    used = [axis for axis in tied if any(_carries(term, axis) for term in tensor.terms)]
    unused = [axis for axis in tied if axis not in used]
    blocks = _blocks(tensor, used, free).reshape(*[tensor.in_shape[axis] for axis in used], size, size)
    order = [*used, *free, *unused]
    moved = np.transpose(b, order)
    columns = moved.reshape(*[tensor.in_shape[axis] for axis in used], size, -1)
    solved = np.linalg.solve(blocks, columns).reshape(moved.shape)
    return np.ascontiguousarray(np.transpose(solved, np.argsort(order)))


def _carries(term: Term, axis: int) -> bool:
    return any(term.output[axis] in factor.labels for factor in term.factors)


def _blocks(tensor: FactoredTensor, used: list[int], free: list[int]) -> Array:
    """``B[used.., free out.., free in..]``: the small matrices on the diagonal."""
    rank = len(tensor.in_shape)
    nodes = []
    for term in tensor.terms:
        output = [term.output[axis] for axis in [*used, *free]] + [term.output[rank + axis] for axis in free]
        inputs = [factor.labels for factor in term.factors]
        operands = [Literal(factor.array) for factor in term.factors]
        nodes.append(build.einsum(inputs, output, operands, dict(term.sizes), term.coefficient, tensor.dtype))
    shape = tuple(tensor.in_shape[axis] for axis in [*used, *free, *free])
    return total(nodes, shape, tensor.dtype)


def conjugate_gradients(tensor: FactoredTensor, b: Array, tolerance: float) -> Array:
    """Solve a symmetric (Hermitian) positive definite system with matrix-vector products only."""
    x = np.zeros(b.shape, np.result_type(tensor.dtype, b.dtype))
    residual = b.astype(x.dtype)
    direction, square = residual.copy(), _dot(residual, residual)
    goal = tolerance**2 * square
    for _ in range(10 * b.size):
        if square <= goal:
            return x
        image = tensor.matvec(direction)
        curvature = _dot(direction, image)
        if not curvature > 0:
            raise np.linalg.LinAlgError(f"conjugate gradients need a positive definite tensor; v·Jv = {curvature:g}")
        step = square / curvature
        x += step * direction
        residual -= step * image
        previous, square = square, _dot(residual, residual)
        direction = residual + (square / previous) * direction
    raise np.linalg.LinAlgError(f"conjugate gradients did not reach a relative residual of {tolerance:g}")


def _dot(a: Array, b: Array) -> float:
    return float(np.vdot(a, b).real)
