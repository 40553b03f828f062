"""Factored tensors as SciPy objects; SciPy is needed only here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from einad.factored.terms import Term
from einad.ir.expr import Array

if TYPE_CHECKING:
    from einad.factored.tensor import FactoredTensor


def linear_operator(tensor: FactoredTensor) -> Any:
    """``LinearOperator`` of shape (out size, in size)."""
    try:
        from scipy.sparse.linalg import LinearOperator
    except ImportError:
        raise ImportError("as_linear_operator() needs SciPy: pip install scipy") from None
    return LinearOperator(
        _matrix_shape(tensor),
        matvec=lambda v: tensor.matvec(np.reshape(v, tensor.in_shape)).ravel(),
        rmatvec=lambda u: np.conj(tensor.rmatvec(np.conj(np.reshape(u, tensor.out_shape)))).ravel(),
        dtype=tensor.dtype,
    )


def to_csr(tensor: FactoredTensor) -> Any:
    """``csr_array`` of shape (out size, in size)."""
    try:
        from scipy.sparse import coo_array
    except ImportError:
        raise ImportError("to_scipy_sparse() needs SciPy: pip install scipy") from None
    shape = _matrix_shape(tensor)
    parts = [_entries(term, tensor) for term in tensor.terms] or [(np.zeros(0), np.zeros(0, int), np.zeros(0, int))]
    values, rows, columns = (np.concatenate(column) for column in zip(*parts, strict=True))
    return coo_array((values.astype(tensor.dtype), (rows, columns)), shape=shape).tocsr()


def _entries(term: Term, tensor: FactoredTensor) -> tuple[Array, Array, Array]:
    """Values, row and column numbers: one entry per assignment of the term's distinct labels."""
    labels = list(dict.fromkeys(term.output))
    grid = dict(zip(labels, np.indices([term.sizes[label] for label in labels], sparse=True), strict=True))
    full = tuple(term.sizes[label] for label in labels)
    values = np.full(full, term.coefficient, tensor.dtype)
    for factor in term.factors:
        values = values * factor.array[tuple(grid[label] for label in factor.labels)]
    rank = len(tensor.out_shape)
    rows = _flat([grid[label] for label in term.output[:rank]], tensor.out_shape)
    columns = _flat([grid[label] for label in term.output[rank:]], tensor.in_shape)
    return values.ravel(), np.broadcast_to(rows, full).ravel(), np.broadcast_to(columns, full).ravel()


def _flat(indices: list[Array], shape: tuple[int, ...]) -> Array:
    number = np.zeros((), int)
    for index, n in zip(indices, shape, strict=True):
        number = number * n + index
    return number


def _matrix_shape(tensor: FactoredTensor) -> tuple[int, int]:
    return int(np.prod(tensor.out_shape, dtype=int)), int(np.prod(tensor.in_shape, dtype=int))
